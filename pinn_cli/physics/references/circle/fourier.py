"""Functions of period 2 pi by their coefficients c_k, and linear transport, which moves each mode by itself.

    f(x) = c_0 + 2 Re sum_(k > 0) c_k exp(i k x)        k = 0 .. K
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from math import sqrt

import numpy as np
import torch
from numpy import pi
from torch import Tensor

from pinn_cli.basics.errors import UsageError
from pinn_cli.physics.references.circle.initial_values import initial_value

BLOCK = 1024  # points at a time
NODES = 16  # of Gauss-Legendre in each panel, in which the phase of exp(i k x) changes by pi at most


def coefficients(function: Callable[[Tensor], Tensor], modes: int) -> np.ndarray:
    """c_k = 1/(2 pi) int_0^(2 pi) f(x) exp(-i k x) dx, complex (modes + 1,), to rounding.

    It is the integral and not a sum over the nodes of a grid, because such a sum has aliasing errors if f or its slope
    jumps at x = 0. Gauss-Legendre in 2 `modes` panels, summed over the panels by FFT.
    """
    panels = 2 * modes
    node, weight = np.polynomial.legendre.leggauss(NODES)
    inside = 2 * pi / panels * (node + 1) / 2
    x = 2 * pi / panels * np.arange(panels)[:, None] + inside
    k = np.arange(modes + 1)[:, None]
    by_panel = np.fft.fft(function(torch.from_numpy(x)).numpy(), axis=0)[: modes + 1]
    return (by_panel * np.exp(-1j * k * inside) * weight / 2).sum(1) / panels


def values(c: Tensor, x: Tensor) -> Tensor:
    """f(x) (N,) at x (N,); each point has its own coefficients, complex (N, K + 1)."""
    angle = x[:, None] * torch.arange(c.shape[1], dtype=x.dtype, device=x.device)
    terms = c.real * torch.cos(angle) - c.imag * torch.sin(angle)
    return 2 * terms.sum(1) - terms[:, 0]


@dataclass(frozen=True)
class FourierModes:
    """u_t + beta u_x = nu u_xx + q, 0 <= t <= 1, period 2 pi (Fourier 1822).

        u = q t + sum_k c_k exp(i k (x - beta t) - nu k^2 t)

    c_k are the coefficients of the initial value called `u0`, for |k| <= `modes`. If it jumps at x = 0, the solution is
    still smooth for t > 0, and the series converges, slowly for t < 1 / (nu modes^2). At t = 0 the initial value itself
    is returned. Raises UsageError for nu <= 0.
    """

    u0: str
    nu: float
    beta: float = 0.0
    q: float = 0.0
    modes: int = 1024
    fields: tuple[str, ...] = ("u",)
    at = None

    def __post_init__(self) -> None:
        if not self.nu > 0:
            raise UsageError(f"nu={self.nu:g}: expected a diffusivity above 0 (without diffusion: problem=convection)")

    def __call__(self, X: Tensor) -> dict[str, Tensor]:
        """Values at X = (x, t) (N, 2), computed in double precision, returned in that of X, differentiable."""
        blocks = [self._solve(*block.T) for block in X.to(torch.float64).cpu().split(BLOCK)]
        return {"u": torch.cat(blocks).to(X)}

    def _solve(self, x: Tensor, t: Tensor) -> Tensor:
        c = torch.from_numpy(self._coefficients)
        k = torch.arange(len(c), dtype=x.dtype, device=x.device)
        decay = torch.exp(-self.nu * k**2 * t[:, None])
        return torch.where(t > 0, values(c * decay, x - self.beta * t) + self.q * t, initial_value(self.u0)(x))

    @cached_property
    def _coefficients(self) -> np.ndarray:
        """All but the last ones that are pure rounding."""
        c = coefficients(initial_value(self.u0), self.modes)
        (large,) = np.nonzero(abs(c) > 1e-16 * abs(c).max())
        return c[: large[-1] + 1]

    @cached_property
    def error(self) -> float:
        """Relative L2 distance, over x and t, to the series of half as many modes; it exceeds the error."""
        c, k = self._coefficients, np.arange(len(self._coefficients))
        rate = 2 * self.nu * k[1:] ** 2
        energy = 2 * abs(c[1:]) ** 2 * -np.expm1(-rate) / rate  # of each mode, over time
        mean = c[0].real ** 2 + c[0].real * self.q + self.q**2 / 3
        return max(1e-15, sqrt(energy[self.modes // 2 :].sum() / (mean + energy.sum())))
