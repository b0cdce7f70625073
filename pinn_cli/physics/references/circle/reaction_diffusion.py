"""Reaction and diffusion on a circle (Fisher 1937): a spectral solution, and that of the paper's code."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from numpy import pi
from torch import Tensor

from pinn_cli.basics.errors import UsageError
from pinn_cli.physics.references.circle.diffusive import Diffusive
from pinn_cli.physics.references.circle.initial_values import JUMPS, initial_value

NODES, TIMES = 256, 100  # the grid of the paper's code


@dataclass(frozen=True)
class ReactionDiffusion(Diffusive):
    """u_t = nu u_xx + rho u (1 - u), 0 <= t <= 1, period 2 pi, from the initial value called `u0`.

    Raises UsageError for nu <= 0, for initial values that jump at x = 0, and for solutions that run to infinity, as
    some do where u0 < 0.
    """

    modes: int = field(default=511, kw_only=True)
    rho: float
    u0: str = "gaussian"

    def __post_init__(self) -> None:
        if not self.nu > 0:
            raise UsageError(f"nu={self.nu:g}: expected a diffusivity above 0 (without diffusion: problem=reaction)")
        if self.u0 in JUMPS:
            raise UsageError(f"u0={self.u0}: expected an initial value that does not jump at the seam, e.g. gaussian")

    def reaction(self, u: Tensor) -> Tensor:
        return self.rho * u * (1 - u)

    def start(self, x: Tensor) -> Tensor:
        return initial_value(self.u0)(x)


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
