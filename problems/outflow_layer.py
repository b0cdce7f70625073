"""Steady advection and diffusion with an outflow boundary layer: the standard singularly perturbed test case."""

from dataclasses import dataclass
from math import exp as growth
from math import pi, sqrt

from torch import Tensor, exp, sin

from pinn_cli import Box, Problem, on


@dataclass
class OutflowLayer(Problem):
    """u_x = (u_xx + u_yy) / peclet on [0, 1]^2; u = sin(pi y) at x = 0 and 0 on the other sides.

    u = sin(pi y) (exp(m x) - exp(m) exp(M (x - 1))) / (1 - exp(m - M)) with m < 0 < M the roots of
    z^2 - peclet z - pi^2 = 0 (separation of variables): a layer of width 1 / peclet at x = 1.
    """

    coordinates = ("x", "y")
    fields = ("u",)
    peclet: float = 20.0

    def __post_init__(self) -> None:
        self.domain = Box(x=(0, 1), y=(0, 1))

    def exact(self, x: Tensor, y: Tensor) -> Tensor:
        M = self.peclet / 2 + sqrt(self.peclet**2 / 4 + pi**2)
        m = -(pi**2) / M
        return sin(pi * y) * (exp(m * x) - growth(m) * exp(M * (x - 1))) / (1 - growth(m - M))

    @on("interior")
    def pde(self, u_x, lap_u, peclet):
        return u_x - lap_u / peclet

    @on("x=0")
    def inflow(self, y, u):
        return u - sin(pi * y)

    @on("x=1")
    def outflow(self, u):
        return u

    @on("y=0")
    def bottom(self, u):
        return u

    @on("y=1")
    def top(self, u):
        return u
