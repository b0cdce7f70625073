"""A vibrating beam (Euler & Bernoulli 1750)."""

from dataclasses import dataclass
from math import pi

from torch import Tensor, cos, sin

from pinn_cli import Box, Problem, on


@dataclass
class Beam(Problem):
    """u_tt + stiffness u_xxxx = 0 on [0, 1] x [0, 1], hinged at both ends: u = u_xx = 0.

    It begins at rest with u = sin(pi x), and u = sin(pi x) cos(pi^2 sqrt(stiffness) t).
    """

    coordinates = ("x", "t")
    fields = ("u",)
    stiffness: float = 1.0

    def __post_init__(self) -> None:
        if not self.stiffness > 0:
            raise ValueError(f"stiffness={self.stiffness:g}: expected a number above 0")
        self.domain = Box(x=(0, 1), t=(0, 1))

    def exact(self, x: Tensor, t: Tensor) -> Tensor:
        return sin(pi * x) * cos(pi**2 * self.stiffness**0.5 * t)

    @on("interior")
    def pde(self, u_tt, u_xxxx, stiffness):
        return u_tt + stiffness * u_xxxx

    @on("boundary")
    def hinge(self, u):
        return u

    @on("boundary")
    def moment(self, u_xx):
        return u_xx

    @on("initial")
    def initial(self, x, u):
        return u - sin(pi * x)

    @on("initial")
    def rest(self, u_t):
        return u_t
