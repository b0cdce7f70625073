"""Convection, the simplest equation on which a plain network fails (Krishnapriyan et al. 2021, arXiv:2109.01050)."""

from dataclasses import dataclass
from math import pi

from torch import Tensor, floor

from pinn_cli import on
from pinn_cli.problems.circle import Circle


@dataclass
class Convection(Circle):
    """u_t + beta u_x = 0 on [0, 2 pi] x [0, 1], periodic in x; u(x, 0) = sin(x), or another initial value.

    The initial value travels unchanged: u(x, t) = u0(x - beta t), also if it jumps at x = 0.
    """

    beta: float = 30.0
    u0: str = "sin"

    def exact(self, x: Tensor, t: Tensor) -> Tensor:
        origin = x - self.beta * t
        return self.start(origin - 2 * pi * floor(origin / (2 * pi)))

    @on("interior")
    def pde(self, u_t, u_x, beta):
        return u_t + beta * u_x
