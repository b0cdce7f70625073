"""Reaction equation, whose steep growth hides wrong branches (Krishnapriyan et al. 2021, arXiv:2109.01050)."""

from dataclasses import dataclass
from math import pi

from torch import Tensor, exp

from pinn_cli.domains import Box
from pinn_cli.problem import Problem, on, periodic


@dataclass
class Reaction(Problem):
    """u_t = rho u (1 - u) on [0, 2 pi] x [0, 1], periodic in x; u(x, 0) = exp(-(x - pi)^2 / (2 (pi/4)^2))."""

    coordinates = ("x", "t")
    fields = ("u",)
    rho: float = 5.0

    def __post_init__(self) -> None:
        self.domain = Box(x=(0, 2 * pi), t=(0, 1))

    def start(self, x: Tensor) -> Tensor:
        return exp(-((x - pi) ** 2) / (2 * (pi / 4) ** 2))

    def exact(self, x: Tensor, t: Tensor) -> Tensor:
        u = self.start(x)
        return u / (u + (1 - u) * exp(-self.rho * t))

    @on("interior")
    def pde(self, u, u_t, rho):
        return u_t - rho * u * (1 - u)

    @on("initial")
    def initial(self, x, u):
        return u - self.start(x)

    @periodic("x")
    def seam(self, u):
        return u
