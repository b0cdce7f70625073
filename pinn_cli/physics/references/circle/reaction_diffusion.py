"""Reaction and diffusion on a circle (Fisher 1937): a spectral solution."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from pinn_cli.basics.errors import UsageError
from pinn_cli.physics.references import chebyshev
from pinn_cli.physics.references.cache import Arrays, cached
from pinn_cli.physics.references.circle import fourier
from pinn_cli.physics.references.circle.etdrk4 import ETDRK4
from pinn_cli.physics.references.circle.initial_values import JUMPS, initial_value

VERSION = 1  # of the method: a new one makes old cache entries unused
BLOCK = 1024  # points at a time
LARGEST = 1e6  # beyond it nothing comes back: u' ~ -rho u^2 for u < 0


@dataclass(frozen=True)
class ReactionDiffusion:
    """u_t = nu u_xx + rho u (1 - u), 0 <= t <= 1, period 2 pi, from the initial value called `u0`.

    `modes` Fourier modes, products without aliasing; ETDRK4 with `steps` equal steps from each of the `times` + 1 nodes
    to the next; in between the polynomial through all nodes, Chebyshev's in sqrt(t): where the slope of u0 jumps at the
    seam, the solution has a corner of that width. At t = 0 the initial value itself is returned. Computed on the first
    question and kept in the cache.

    Errors: UsageError for nu <= 0, for initial values that jump at the seam, for solutions that run to infinity.
    """

    nu: float
    rho: float
    u0: str = "gaussian"
    modes: int = 512
    times: int = 64
    steps: int = 32
    fields: tuple[str, ...] = ("u",)
    at = None

    def __post_init__(self) -> None:
        if not self.nu > 0:
            raise UsageError(f"nu={self.nu:g}: expected a diffusivity above 0 (without diffusion: problem=reaction)")
        if self.u0 in JUMPS:
            raise UsageError(f"u0={self.u0}: expected an initial value that does not jump at the seam, e.g. gaussian")

    def __call__(self, X: Tensor) -> dict[str, Tensor]:
        """Values at X = (x, t) (N, 2): computed in double precision, differentiable, returned in X's."""
        blocks = [self._interpolate(*block.T) for block in X.to(torch.float64).cpu().split(BLOCK)]
        return {"u": torch.cat(blocks).to(X)}

    @cached_property
    def error(self) -> float:
        """Relative L2 distance to the solution with half the modes, 3/4 of the times, half the steps: more than it."""
        return float(self._solution["error"])

    def _interpolate(self, x: Tensor, t: Tensor) -> Tensor:
        P = chebyshev.polynomials(self.times, t.clamp_min(1e-30).sqrt())
        c = torch.complex(P @ self._series.real, P @ self._series.imag)
        return torch.where(t > 0, fourier.values(c, x), initial_value(self.u0)(x))

    @cached_property
    def _series(self) -> Tensor:
        """Coefficients (times + 1, modes + 1) of T_j(2 sqrt(t) - 1) exp(i k x)."""
        return torch.from_numpy(chebyshev.coefficients(self.times) @ self._solution["states"])

    @cached_property
    def _solution(self) -> Arrays:
        numbers: dict[str, float | int | str] = {"nu": float(self.nu), "rho": float(self.rho), "u0": self.u0}
        resolution = {"modes": self.modes, "times": self.times, "steps": self.steps, "version": VERSION}
        return cached("reaction_diffusion", numbers | resolution, self._solve)

    def _solve(self) -> Arrays:
        coarse = replace(self, modes=self.modes // 2, times=3 * self.times // 4, steps=self.steps // 2)
        for reference in (self, coarse):
            reference.__dict__["_solution"] = {"states": reference._states()}
        line = torch.linspace(0, 1, 100, dtype=torch.float64)
        X = torch.cartesian_prod(2 * np.pi * line, line)
        fine = self(X)["u"]
        distance = torch.linalg.vector_norm(fine - coarse(X)["u"]) / torch.linalg.vector_norm(fine)
        return {"states": self._solution["states"], "error": distance.numpy()}

    def _states(self) -> np.ndarray:
        """Fourier coefficients (times + 1, modes + 1) at the times s^2, s the nodes of Chebyshev."""
        L = self.rho - self.nu * np.arange(self.modes + 1) ** 2
        t = chebyshev.nodes(self.times) ** 2
        states = [fourier.coefficients(initial_value(self.u0), self.modes)]
        for h in np.diff(t) / self.steps:
            v, step = states[-1], ETDRK4(L, h)
            with np.errstate(over="ignore", invalid="ignore"):
                for _ in range(self.steps):
                    v = step(v, self._reaction)
            if not abs(v).max() < LARGEST:
                found = f"u0={self.u0}, rho={self.rho:g}, nu={self.nu:g}: the solution runs to infinity"
                raise UsageError(f"{found} before t={t[len(states)]:.2g}; expected u0 >= 0")
            states.append(v)
        return np.stack(states)

    def _reaction(self, v: np.ndarray) -> np.ndarray:
        """-rho u^2 in Fourier space (modes + 1,); a grid of 3 nodes a mode keeps its modes apart (Orszag 1971)."""
        u = np.fft.irfft(v, 3 * self.modes + 2, norm="forward")
        return -self.rho * np.fft.rfft(u * u, norm="forward")[: self.modes + 1]
