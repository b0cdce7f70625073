"""The reference that Krishnapriyan et al. (2021, arXiv:2109.01050) compare with for reaction and diffusion."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from numpy import pi
from torch import Tensor

from pinn_cli.physics.references.circle.initial_values import initial_value
from pinn_cli.physics.references.circle.reaction_diffusion import ReactionDiffusion

NODES, TIMES = 256, 100


def _grid() -> Tensor:
    x = torch.arange(NODES, dtype=torch.float64, device="cpu") * (2 * pi / NODES)
    return torch.cartesian_prod(x, torch.linspace(0, 1, TIMES, dtype=torch.float64, device="cpu"))


@dataclass(frozen=True)
class LieSplitting:
    """u_t = nu u_xx + rho u (1 - u) as in the code of the paper: to compare with its tables, and for nothing else.

    The text says Strang; the code takes a whole step of reaction, then a whole step of diffusion, of 1/100 each, and
    calls the states by times that are 1/99 apart: what it gives for t = 1 belongs to t = 0.99. Known on its own grid
    alone, 256 nodes and 100 times; `error` is its relative L2 distance to the converged solution there.
    """

    nu: float
    rho: float
    u0: str = "gaussian"
    fields: tuple[str, ...] = ("u",)
    at: Tensor = field(default_factory=_grid, compare=False, repr=False)

    def __call__(self, X: Tensor) -> dict[str, Tensor]:
        """Values (N,) at X = `at`, to single precision. Errors: ValueError for other points."""
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
