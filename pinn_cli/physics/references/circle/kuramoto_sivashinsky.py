"""The Kuramoto-Sivashinsky equation on a circle (Kuramoto & Tsuzuki 1976; Sivashinsky 1977): a spectral solution."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy import pi
from torch import Tensor

from pinn_cli.physics.references import chebyshev
from pinn_cli.physics.references.cache import Arrays, cached
from pinn_cli.physics.references.circle import fourier
from pinn_cli.physics.references.circle.etdrk4 import ETDRK4

VERSION = 1  # of the method: a new one makes old cache entries unused
BLOCK = 1024  # points at a time


@dataclass(frozen=True)
class KuramotoSivashinsky:
    """u_t + alpha u u_x + beta u_xx + gamma u_xxxx = 0, 0 <= t <= end, period 2 pi, u(x, 0) = sin(x).

    `modes` Fourier modes, products without aliasing. ETDRK4 takes `steps` equal steps from each of the `times` + 1
    Chebyshev nodes in time to the next; between them the solution is the polynomial through all nodes. The first call
    computes the solution and stores it in the cache.
    """

    alpha: float
    beta: float
    gamma: float
    end: float
    modes: int = 256
    times: int = 96
    steps: int = 32
    fields: tuple[str, ...] = ("u",)
    at = None

    def __call__(self, X: Tensor) -> dict[str, Tensor]:
        """Values at X = (x, t) (N, 2), computed in double precision, returned in that of X, differentiable."""
        blocks = [self._interpolate(*block.T) for block in X.to(torch.float64).cpu().split(BLOCK)]
        return {"u": torch.cat(blocks).to(X)}

    @cached_property
    def error(self) -> float:
        """Relative L2 distance to that with half the modes, 3/4 of the times, half the steps; it exceeds the error."""
        return float(self._solution["error"])

    def _interpolate(self, x: Tensor, t: Tensor) -> Tensor:
        P = chebyshev.polynomials(self.times, t / self.end)
        return fourier.values(torch.complex(P @ self._series.real, P @ self._series.imag), x)

    @cached_property
    def _series(self) -> Tensor:
        """Coefficients (times + 1, modes + 1) of T_j(2 t / end - 1) exp(i k x)."""
        return torch.from_numpy(chebyshev.coefficients(self.times) @ self._solution["states"])

    @cached_property
    def _solution(self) -> Arrays:
        numbers: dict[str, float | int | str] = {
            "alpha": float(self.alpha), "beta": float(self.beta), "gamma": float(self.gamma), "end": float(self.end),
        }  # fmt: skip
        resolution = {"modes": self.modes, "times": self.times, "steps": self.steps, "version": VERSION}
        return cached("kuramoto_sivashinsky", numbers | resolution, self._solve)

    def _solve(self) -> Arrays:
        coarse = replace(self, modes=self.modes // 2, times=3 * self.times // 4, steps=self.steps // 2)
        for reference in (self, coarse):
            reference.__dict__["_solution"] = {"states": reference._states()}
        line = torch.linspace(0, 1, 100, dtype=torch.float64)
        X = torch.cartesian_prod(2 * pi * line, self.end * line)
        fine = self(X)["u"]
        distance = torch.linalg.vector_norm(fine - coarse(X)["u"]) / torch.linalg.vector_norm(fine)
        return {"states": self._solution["states"], "error": distance.numpy()}

    def _states(self) -> np.ndarray:
        """Fourier coefficients (times + 1, modes + 1) at the Chebyshev nodes in time."""
        k = np.arange(self.modes + 1)
        L = self.beta * k**2 - self.gamma * k**4
        states = [fourier.coefficients(torch.sin, self.modes)]
        for h in np.diff(self.end * chebyshev.nodes(self.times)) / self.steps:
            v, step = states[-1], ETDRK4(L.astype(float), h)
            for _ in range(self.steps):
                v = step(v, self._advection)
            states.append(v)
        return np.stack(states)

    def _advection(self, v: np.ndarray) -> np.ndarray:
        """-alpha (u^2 / 2)_x in Fourier space (modes + 1,), without aliasing: 3 nodes per mode (Orszag 1971)."""
        u = np.fft.irfft(v, 3 * self.modes + 2, norm="forward")
        square = np.fft.rfft(u * u, norm="forward")[: self.modes + 1]
        return -0.5j * self.alpha * np.arange(self.modes + 1) * square
