"""Self-scaled Broyden and BFGS with a dense inverse Hessian (Urban, Stefanou and Pons, 2025, arXiv:2405.04230).

With the pair s, y of an accepted step, B = H^-1, and the scalars

    b = s.Bs / s.y      h = y.Hy / s.y      a = b h - 1 >= 0      c = sqrt(a / (1 + a))      v = s / s.y - Hy / y.Hy

the update of parameters zeta and tau is

    H <- (1 / tau) [ H - Hy (Hy)^T / y.Hy + phi (y.Hy) v v^T ] + s s^T / s.y        phi = (1 - zeta) / (1 + a zeta)

BFGS has zeta = 0 and tau = 1. The self-scaled update (their SSBroyden2; Al-Baali, 2014) has

    r = min(1, h (1 - c))
    zeta = max((r - 1) / a, min(1 / r, (1 - b) / b))
    sigma = (1 + a zeta)^(1 / (1 - P))
    tau = min(1, 1 / b) min(sigma, 1 / zeta)  if zeta > 0,  else  min(min(1, 1 / b) sigma, 1 + a zeta)

The first pair scales H = I by s.y / y.y before its update (Nocedal and Wright, 2006, section 6.1).

    P = parameters   H (P, P)
"""

from dataclasses import dataclass
from math import isfinite, sqrt

import torch
from torch import Tensor

from pinn_cli.methods import symmetric
from pinn_cli.methods.contracts import Objective
from pinn_cli.methods.optimizers.quasi_newton import QuasiNewton


class SSBroyden(QuasiNewton):
    """The quasi-Newton iteration with H itself, 8 P^2 bytes. Without `self_scaled` it is BFGS. Use float64."""

    memory = ("H",)

    def __init__(self, self_scaled: bool = True, evaluations: int = 25, gradient_tolerance: float = 0.0,
                 step_tolerance: float = 0.0, loss_tolerance: float = 0.0, stagnation: int = 20,
                 keep: bool | str = False) -> None:
        super().__init__(evaluations, gradient_tolerance, step_tolerance, loss_tolerance, stagnation, keep=keep)
        self.self_scaled = self_scaled

    @property
    def remembers(self) -> bool:
        return self.H is not None

    def workspace(self, parameters: int, rows: int, itemsize: int) -> float:
        """Bytes of a step besides the loss and its gradient: H before and after the update, and some vectors."""
        return float((2 * parameters + 12) * parameters * itemsize)

    def _forget(self) -> None:
        self.H: Tensor | None = None

    def _direction(self, gradient: Tensor) -> Tensor:
        return -gradient if self.H is None else -(self.H @ gradient)

    def _keep_positive(self, objective: Objective) -> None:
        """H as it is if it has a Cholesky factor, else none. It needs no points: H is symmetric by its updates."""
        if self.H is not None and not symmetric.factor(self.H.clone()):
            self._forget()

    def _remember(self, s: Tensor, y: Tensor, Bs: Tensor) -> None:
        H = self.H
        if H is None:
            scale = (s @ y) / (y @ y)
            H, Bs = scale * torch.eye(len(s), dtype=s.dtype, device=s.device), Bs / scale
        Hy, sy = H @ y, float(s @ y)
        yHy = float(y @ Hy)
        update = Update.of(float(s @ Bs) / sy, yHy / sy, len(s)) if self.self_scaled else Update()
        self.H = update(H, s, Hy, sy, yHy)


@dataclass(frozen=True)
class Update:
    """One member of the family; the default is BFGS."""

    phi: float = 1.0
    tau: float = 1.0

    @classmethod
    def of(cls, b: float, h: float, P: int) -> "Update":
        """The self-scaled member for b and h; BFGS where rounding leaves none."""
        a = b * h - 1
        if P < 2 or not (isfinite(a) and b > 0):
            return cls()
        r, zeta = min(1.0, h * (1 - sqrt(max(a, 0.0) / (1 + a)))), 0.0
        if a > 1e-14:  # else Hy and s are parallel, and zeta plays no part
            zeta = max((r - 1) / a, min(1 / r, (1 - b) / b))
        whole, most = 1 + a * zeta, min(1.0, 1 / b)
        if not whole > 0:
            return cls()
        sigma = whole ** (1 / (1 - P))
        tau = most * min(sigma, 1 / zeta) if zeta > 0 else min(most * sigma, whole)
        return cls((1 - zeta) / whole, tau)

    def __call__(self, H: Tensor, s: Tensor, Hy: Tensor, sy: float, yHy: float) -> Tensor:
        """The new H, a tensor of its own; exactly symmetric if H is, since each term is an outer product u u^T."""
        u, v = Hy / sqrt(self.tau * yHy), (s / sy - Hy / yHy) * sqrt(abs(self.phi) * yHy / self.tau)
        new = torch.addr(H, u, u, beta=1 / self.tau, alpha=-1)
        new.addr_(v, v, alpha=1 if self.phi >= 0 else -1)
        s = s / sqrt(sy)
        return new.addr_(s, s)
