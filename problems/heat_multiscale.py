"""Heat equation with strongly different conductivities and wave lengths along both axes."""

from dataclasses import dataclass
from math import pi

from torch import Tensor, exp, sin

from pinn_cli import Box, Problem, on


@dataclass
class HeatMultiscale(Problem):
    """u_t = u_xx / (500 pi)^2 + u_yy / pi^2 on [0, 1]^2 x [0, 5]; u = 0 on the rim, u = sin(m pi x) sin(pi y) at t = 0.

    u = sin(m pi x) sin(pi y) exp(-(1 + (m / 500)^2) t). With m = 20 it is Heat 2d-MS of PINNacle (Hao et al. 2023,
    arXiv:2306.08827).
    """

    coordinates = ("x", "y", "t")
    fields = ("u",)
    m: int = 20

    def __post_init__(self) -> None:
        self.domain = Box(x=(0, 1), y=(0, 1), t=(0, 5))

    def exact(self, x: Tensor, y: Tensor, t: Tensor) -> Tensor:
        return sin(self.m * pi * x) * sin(pi * y) * exp(-(1 + (self.m / 500) ** 2) * t)

    @on("interior")
    def pde(self, u_t, u_xx, u_yy):
        return u_t - u_xx / (500 * pi) ** 2 - u_yy / pi**2

    @on("boundary")
    def rim(self, u):
        return u

    @on("initial")
    def initial(self, x, y, u):
        return u - sin(self.m * pi * x) * sin(pi * y)
