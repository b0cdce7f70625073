"""Klein-Gordon equation with a manufactured solution (Wang, Teng & Perdikaris 2021, arXiv:2001.04536)."""

from dataclasses import dataclass
from math import pi

from torch import Tensor, cos

from pinn_cli import Box, Problem, on


@dataclass
class KleinGordon(Problem):
    """u_tt + alpha u_xx + beta u + gamma u^power = f on [0, 1] x [0, 1].

    Given are u(0, t), u(1, t), u(x, 0) and u_t(x, 0) = 0 of u = x cos(5 pi t) + (x t)^3. The paper prints u(x, 0) = 0,
    which contradicts its own solution; its code uses u(x, 0) = x, and so does this problem. The source f is always that
    of the true coefficients, also if one of them is unknown.
    """

    coordinates = ("x", "t")
    fields = ("u",)
    alpha: float = -1.0
    beta: float = 0.0
    gamma: float = 1.0
    power: int = 3

    def __post_init__(self) -> None:
        self.domain = Box(x=(0, 1), t=(0, 1))

    def exact(self, x: Tensor, t: Tensor) -> Tensor:
        return x * cos(5 * pi * t) + (x * t) ** 3

    def source(self, x: Tensor, t: Tensor) -> Tensor:
        u_tt = 6 * t * x**3 - 25 * pi**2 * x * cos(5 * pi * t)
        u_xx = 6 * x * t**3
        u = self.exact(x, t)
        return u_tt + self.alpha * u_xx + self.beta * u + self.gamma * u**self.power

    @on("interior")
    def pde(self, x, t, u, u_tt, u_xx, alpha, beta, gamma):
        return u_tt + alpha * u_xx + beta * u + gamma * u**self.power - self.source(x, t)

    @on("x=0")
    def left(self, u):
        return u

    @on("x=1")
    def right(self, t, u):
        return u - cos(5 * pi * t) - t**3

    @on("initial")
    def displacement(self, x, u):
        return u - x

    @on("initial")
    def velocity(self, u_t):
        return u_t
