"""Reaction equation: steep growth leads networks to wrong solutions (Krishnapriyan et al. 2021, arXiv:2109.01050)."""

from dataclasses import dataclass
from math import exp as growth
from math import pi

import torch
from torch import Tensor, exp

from pinn_cli import on
from pinn_cli.physics.references.circle.initial_values import JUMPS
from pinn_cli.problems.circle import Circle


@dataclass
class Reaction(Circle):
    """u_t = rho u (1 - u) on [0, 2 pi] x [0, 1], periodic in x; u(x, 0) = exp(-(x - pi)^2 / (2 (pi/4)^2)).

    Raises ValueError for initial values that jump at x = 0, and for solutions that run to infinity before t = 1.
    """

    rho: float = 5.0
    u0: str = "gaussian"

    def __post_init__(self) -> None:
        super().__post_init__()
        u = self.start(torch.linspace(0, 2 * pi, 1001, dtype=torch.float64, device="cpu"))
        if self.u0 in JUMPS:
            raise ValueError(f"u0={self.u0}: expected an initial value that does not jump at the seam, e.g. gaussian")
        if not (u + (1 - u) * growth(-self.rho)).min() > 0:
            raise ValueError(f"u0={self.u0}, rho={self.rho:g}: u runs to infinity before t=1; expected 0 <= u0 <= 1")

    def exact(self, x: Tensor, t: Tensor) -> Tensor:
        u = self.start(x)
        return u / (u + (1 - u) * exp(-self.rho * t))

    @on("interior")
    def pde(self, u, u_t, rho):
        return u_t - rho * u * (1 - u)
