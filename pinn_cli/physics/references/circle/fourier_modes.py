"""Linear transport on a circle: each Fourier mode travels and decays by itself (Fourier 1822)."""

from dataclasses import dataclass
from functools import cached_property
from math import sqrt

import numpy as np
import torch
from torch import Tensor

from pinn_cli.basics.errors import UsageError
from pinn_cli.physics.references.circle import fourier
from pinn_cli.physics.references.circle.initial_values import initial_value

BLOCK = 1024  # points at a time


@dataclass(frozen=True)
class FourierModes:
    """u_t + beta u_x = nu u_xx + q, 0 <= t <= 1, period 2 pi: u = q t + sum_k c_k exp(i k (x - beta t) - nu k^2 t).

    c_k are the coefficients of the initial value called `u0`, for |k| <= `modes`. Where it jumps at the seam, the
    solution is the limit of smooth ones: it is smooth for t > 0 and the series converges there, slowly for
    t < 1 / (nu modes^2). At t = 0 the initial value itself is returned. Errors: UsageError for nu <= 0.
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
        """Values at X = (x, t) (N, 2): computed in double precision, differentiable, returned in X's."""
        blocks = [self._solve(*block.T) for block in X.to(torch.float64).cpu().split(BLOCK)]
        return {"u": torch.cat(blocks).to(X)}

    def _solve(self, x: Tensor, t: Tensor) -> Tensor:
        c = torch.from_numpy(self._coefficients)
        k = torch.arange(len(c), dtype=x.dtype, device=x.device)
        decay = torch.exp(-self.nu * k**2 * t[:, None])
        return torch.where(t > 0, fourier.values(c * decay, x - self.beta * t) + self.q * t, initial_value(self.u0)(x))

    @cached_property
    def _coefficients(self) -> np.ndarray:
        """Without the last ones if they are nothing but rounding."""
        c = fourier.coefficients(initial_value(self.u0), self.modes)
        (large,) = np.nonzero(abs(c) > 1e-16 * abs(c).max())
        return c[: large[-1] + 1]

    @cached_property
    def error(self) -> float:
        """Relative L2 distance, over x and t, to the series of half as many modes: more than the error."""
        c, k = self._coefficients, np.arange(len(self._coefficients))
        rate = 2 * self.nu * k[1:] ** 2
        energy = 2 * abs(c[1:]) ** 2 * -np.expm1(-rate) / rate  # of each mode, over time; it falls fast with k
        mean = c[0].real ** 2 + c[0].real * self.q + self.q**2 / 3
        return max(1e-15, sqrt(energy[self.modes // 2 :].sum() / (mean + energy.sum())))
