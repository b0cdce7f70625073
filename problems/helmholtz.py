"""Helmholtz equation with a manufactured solution (Wang, Teng & Perdikaris 2021, arXiv:2001.04536)."""

from dataclasses import dataclass
from math import pi

from torch import Tensor, sin

from pinn_cli import Box, Problem, on


@dataclass
class Helmholtz(Problem):
    """u_xx + u_yy + k^2 u = q on [-1, 1]^2, u given on the boundary.

    The source q belongs to u = sin(a1 pi x) sin(a2 pi y), which vanishes on the boundary for whole a1, a2.
    The paper never states k; its code has k = 1.
    """

    coordinates = ("x", "y")
    fields = ("u",)
    a1: float = 1.0
    a2: float = 4.0
    k: float = 1.0

    def __post_init__(self) -> None:
        self.domain = Box(x=(-1, 1), y=(-1, 1))

    def exact(self, x: Tensor, y: Tensor) -> Tensor:
        return sin(self.a1 * pi * x) * sin(self.a2 * pi * y)

    @on("interior")
    def pde(self, x, y, u, lap_u):
        q = (self.k**2 - (self.a1 * pi) ** 2 - (self.a2 * pi) ** 2) * self.exact(x, y)
        return lap_u + self.k**2 * u - q

    @on("boundary")
    def wall(self, x, y, u):
        return u - self.exact(x, y)
