"""Equations on a circle whose linear part is diagonal in Fourier space: the base of their spectral solutions."""

from dataclasses import dataclass, replace
from dataclasses import fields as dataclass_fields
from functools import cached_property, lru_cache
from math import ceil
from typing import ClassVar

import numpy as np
import torch
from numpy import pi
from torch import Tensor

from pinn_cli.basics.errors import UsageError
from pinn_cli.physics.coefficient_fields.base import CoefficientField
from pinn_cli.physics.references import chebyshev
from pinn_cli.physics.references.cache import Arrays, cached
from pinn_cli.physics.references.circle import fourier
from pinn_cli.physics.references.circle.etdrk4 import ETDRK4

BLOCK = 1024  # points at a time
LARGEST = 1e6  # a solution beyond it runs to infinity
FEWEST = 4  # steps between two nodes in time
RESOLUTION = ("modes", "times", "steps")


@dataclass(frozen=True, kw_only=True)
class Evolution:
    """u_t = L u + M g(u) for origin <= x <= origin + length, periodic, 0 <= t <= end, from u(x, 0) = `start`.

    L and M are `linear` and `outer`, diagonal in Fourier space; g is `product`, a polynomial in u. The solution is

        u = w + s        w = sum_jk w_jk T_j(2 (t / end)^(1 / power) - 1) exp(i k x)        k = -modes .. modes

    where s is `singular`, a known solution of s_t = L s with what is not smooth in `start`, so that w is smooth. ETDRK4
    steps from each of the `times` + 1 nodes in time to the next, in equal steps of at most end / `steps`, and in FEWEST
    steps at least. Products have no aliasing. At t = 0 the initial value itself is returned. The first call computes
    the solution and stores it in the cache.

    Raises UsageError for solutions that run to infinity.
    """

    end: float = 1.0
    modes: int = 255
    times: int = 64
    steps: int = 2048
    fields: tuple[str, ...] = ("u",)
    at: ClassVar[None] = None
    origin: ClassVar[float] = 0.0
    length: ClassVar[float] = 2 * pi
    power: ClassVar[int] = 1
    degree: ClassVar[int] = 2  # of the polynomial g
    version: ClassVar[int] = 2  # of the method: a new one makes old cache entries unused

    def linear(self, k: np.ndarray) -> np.ndarray:
        """L by wavenumber (modes + 1,), real."""
        raise NotImplementedError

    def outer(self, k: np.ndarray) -> np.ndarray:
        """M by wavenumber (modes + 1,)."""
        return np.ones_like(k)

    def product(self, u: np.ndarray) -> np.ndarray:
        """g(u) at every node."""
        raise NotImplementedError

    def start(self, x: Tensor) -> Tensor:
        """u(x, 0) (N,)."""
        raise NotImplementedError

    def singular(self, x: Tensor, t: Tensor) -> Tensor:
        """s(x, t) (N,)."""
        return torch.zeros_like(x)

    def __call__(self, X: Tensor) -> dict[str, Tensor]:
        """Values at X = (x, t) (N, 2), computed in double precision, returned in that of X, differentiable."""
        blocks = [self._interpolate(*block.T) for block in X.to(torch.float64).cpu().split(BLOCK)]
        return {"u": torch.cat(blocks).to(X)}

    @cached_property
    def error(self) -> float:
        """Relative L2 distance to that with half the modes, 3/4 of the times, half the steps.

        It exceeds the error, except where the solution has a corner that does not fade; there it is about as large.
        """
        return float(self._solution["error"])

    def _interpolate(self, x: Tensor, t: Tensor) -> Tensor:
        part = t / self.end
        P = chebyshev.polynomials(self.times, part if self.power == 1 else part.clamp_min(1e-30) ** (1 / self.power))
        c = torch.complex(P @ self._series.real, P @ self._series.imag)
        u = fourier.values(c, 2 * pi / self.length * (x - self.origin)) + self.singular(x, t)
        return torch.where(t > 0, u, self.start(x))

    @cached_property
    def _series(self) -> Tensor:
        """w_jk (times + 1, modes + 1) for k >= 0."""
        return torch.from_numpy(chebyshev.coefficients(self.times) @ self._solution["states"])

    @cached_property
    def _solution(self) -> Arrays:
        return cached(type(self).__name__, self._parameters | {"version": self.version}, self._solve)

    @property
    def _parameters(self) -> dict[str, float | int | str]:
        """All that the solution depends on, by name; an initial value that is a field by its fingerprint."""
        values = {f.name: getattr(self, f.name) for f in dataclass_fields(self) if f.name != "fields"}
        values = {n: v.fingerprint if isinstance(v, CoefficientField) else v for n, v in values.items()}
        return {n: v if isinstance(v, str) else float(v) for n, v in values.items()}

    def _solve(self) -> Arrays:
        coarse = replace(self, modes=self.modes // 2, times=3 * self.times // 4, steps=self.steps // 2)
        for reference in (self, coarse):
            reference.__dict__["_solution"] = {"states": reference._states()}
        line = torch.linspace(0, 1, 100, dtype=torch.float64, device="cpu")
        X = torch.cartesian_prod(self.origin + self.length * line, self.end * line)
        fine = self(X)["u"]
        distance = torch.linalg.vector_norm(fine - coarse(X)["u"]) / torch.linalg.vector_norm(fine)
        return {"states": self._solution["states"], "error": distance.numpy()}

    def _states(self) -> np.ndarray:
        """Fourier coefficients (times + 1, modes + 1) of w at the nodes in time."""
        k = 2 * pi / self.length * np.arange(self.modes + 1)
        L, M = self.linear(k), self.outer(k)
        count = fast_length((self.degree + 1) * self.modes + 1)  # of nodes: without aliasing (Orszag 1971)
        x = torch.from_numpy(self.origin + self.length * np.arange(count) / count)

        @lru_cache(maxsize=2)  # two stages of a step are at the same time
        def s(t: float) -> np.ndarray:
            return self.singular(x, torch.full_like(x, t)).numpy()

        def N(v: np.ndarray, t: float) -> np.ndarray:
            g = self.product(np.fft.irfft(v, count, norm="forward") + s(t))
            return M * np.fft.rfft(g, norm="forward")[: self.modes + 1]

        times = self.end * chebyshev.nodes(self.times) ** self.power
        states = [fourier.coefficients(self._smooth_start, self.modes)]
        for t, span in zip(times, np.diff(times), strict=False):
            steps = max(FEWEST, ceil(self.steps * span / self.end))
            v, step = states[-1], ETDRK4(L, span / steps)
            with np.errstate(over="ignore", invalid="ignore"):
                for n in range(steps):
                    v = step(v, t + n * step.h, N)
            if not abs(v).max() < LARGEST:
                raise UsageError(
                    f"{self._settings}: the reference runs to infinity before t={times[len(states)]:.2g}; there is no "
                    f"solution from then on, or it is too fine for {self.modes} modes and {self.steps} steps"
                )
            states.append(v)
        return np.stack(states)

    def _smooth_start(self, angle: Tensor) -> Tensor:
        """w(x, 0) (N,) at the angles 2 pi (x - origin) / length."""
        x = self.origin + self.length / (2 * pi) * angle
        return self.start(x) - self.singular(x, torch.zeros_like(x))

    @property
    def _settings(self) -> str:
        settings = {name: value for name, value in self._parameters.items() if name not in RESOLUTION}
        return ", ".join(f"{n}={v}" if isinstance(v, str) else f"{n}={v:g}" for n, v in settings.items())


def fast_length(least: int) -> int:
    """The first number from `least` on whose prime factors are 2, 3 and 5: Fourier transforms of it are fast."""
    while pow(30, least.bit_length(), least):
        least += 1
    return least
