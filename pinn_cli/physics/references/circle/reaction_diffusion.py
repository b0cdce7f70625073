"""Reaction and diffusion on a circle (Fisher 1937): a spectral solution, and that of the paper's code."""

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch
from numpy import pi
from torch import Tensor

from pinn_cli.basics.errors import UsageError
from pinn_cli.physics.references import chebyshev
from pinn_cli.physics.references.cache import Arrays, cached
from pinn_cli.physics.references.circle import fourier
from pinn_cli.physics.references.circle.etdrk4 import ETDRK4
from pinn_cli.physics.references.circle.initial_values import JUMPS, initial_value

VERSION = 1  # of the method: a new one makes old cache entries unused
BLOCK = 1024  # points at a time
LARGEST = 1e6  # a solution beyond it runs to infinity: u' ~ -rho u^2 for u < 0
NODES, TIMES = 256, 100  # the grid of the paper's code


@dataclass(frozen=True)
class ReactionDiffusion:
    """u_t = nu u_xx + rho u (1 - u), 0 <= t <= 1, period 2 pi, from the initial value called `u0`.

    `modes` Fourier modes, products without aliasing. ETDRK4 takes `steps` equal steps from each of the `times` + 1
    nodes in time to the next. Between them, the solution is the Chebyshev polynomial in sqrt(t) through all nodes: if
    the slope of u0 jumps at x = 0, the solution has a corner there whose width grows like sqrt(t). At t = 0 the initial
    value itself is returned. The first call computes the solution and stores it in the cache.

    Raises UsageError for nu <= 0, for initial values that jump at x = 0, and for solutions that run to infinity.
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
        """Values at X = (x, t) (N, 2), computed in double precision, returned in that of X, differentiable."""
        blocks = [self._interpolate(*block.T) for block in X.to(torch.float64).cpu().split(BLOCK)]
        return {"u": torch.cat(blocks).to(X)}

    @cached_property
    def error(self) -> float:
        """Relative L2 distance to that with half the modes, 3/4 of the times, half the steps; it exceeds the error."""
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
        X = torch.cartesian_prod(2 * pi * line, line)
        fine = self(X)["u"]
        distance = torch.linalg.vector_norm(fine - coarse(X)["u"]) / torch.linalg.vector_norm(fine)
        return {"states": self._solution["states"], "error": distance.numpy()}

    def _states(self) -> np.ndarray:
        """Fourier coefficients (times + 1, modes + 1) at the times s^2, s the Chebyshev nodes."""
        L = self.rho - self.nu * np.arange(self.modes + 1) ** 2
        t = chebyshev.nodes(self.times) ** 2
        states = [fourier.coefficients(initial_value(self.u0), self.modes)]
        for h in np.diff(t) / self.steps:
            v, step = states[-1], ETDRK4(L, h)
            with np.errstate(over="ignore", invalid="ignore"):
                for _ in range(self.steps):
                    v = step(v, self._reaction)
            if not abs(v).max() < LARGEST:
                settings = f"u0={self.u0}, rho={self.rho:g}, nu={self.nu:g}"
                when = f"the solution runs to infinity before t={t[len(states)]:.2g}"
                raise UsageError(f"{settings}: {when}; expected u0 >= 0")
            states.append(v)
        return np.stack(states)

    def _reaction(self, v: np.ndarray) -> np.ndarray:
        """-rho u^2 in Fourier space (modes + 1,), on 3 nodes per mode, which avoids aliasing (Orszag 1971)."""
        u = np.fft.irfft(v, 3 * self.modes + 2, norm="forward")
        return -self.rho * np.fft.rfft(u * u, norm="forward")[: self.modes + 1]


def _grid() -> Tensor:
    x = torch.arange(NODES, dtype=torch.float64, device="cpu") * (2 * pi / NODES)
    return torch.cartesian_prod(x, torch.linspace(0, 1, TIMES, dtype=torch.float64, device="cpu"))


@dataclass(frozen=True)
class LieSplitting:
    """u_t = nu u_xx + rho u (1 - u) as the code of Krishnapriyan et al. (2021, arXiv:2109.01050) solves it.

    It serves only to compare with the tables of the paper. The paper says Strang splitting. The code takes a whole step
    of reaction, then a whole step of diffusion, each of length 1/100, and assigns the states to times that are 1/99
    apart: its state at t = 1 belongs to t = 0.99. It is known on its own grid only, 256 nodes and 100 times. `error` is
    the relative L2 distance to the converged solution there.
    """

    nu: float
    rho: float
    u0: str = "gaussian"
    fields: tuple[str, ...] = ("u",)
    at: Tensor = field(default_factory=_grid, compare=False, repr=False)

    def __call__(self, X: Tensor) -> dict[str, Tensor]:
        """Values (N,) at X = `at`, to single precision. Raises ValueError for other points."""
        if X.shape != self.at.shape or not torch.allclose(X.to(self.at), self.at, rtol=1e-6, atol=1e-6):
            raise ValueError(f"the splitting solution is known at its own {len(self.at)} points only")
        return {"u": self._values.to(X)}

    @cached_property
    def error(self) -> float:
        truth = ReactionDiffusion(self.nu, self.rho, self.u0)(self.at)["u"]
        return float(torch.linalg.vector_norm(self._values - truth) / torch.linalg.vector_norm(truth))

    @cached_property
    def _values(self) -> Tensor:
        """States of all steps, time running fastest, as in `at`."""
        dt = 1 / TIMES
        decay = np.exp(-self.nu * dt * np.arange(NODES // 2 + 1) ** 2)
        states = [initial_value(self.u0)(self.at[::TIMES, 0]).numpy()]
        for _ in range(TIMES - 1):
            grown = states[-1] * np.exp(self.rho * dt)
            states.append(np.fft.irfft(np.fft.rfft(grown / (1 - states[-1] + grown)) * decay, NODES))
        return torch.from_numpy(np.stack(states, 1).ravel())
