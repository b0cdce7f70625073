"""Wave equation: standing waves of a clamped string (d'Alembert 1747; Bernoulli 1753)."""

from dataclasses import dataclass
from math import pi

from torch import Tensor, cos, sin

from pinn_cli import Box, Problem, on


@dataclass
class Wave(Problem):
    """u_tt = c^2 u_xx on [0, 1] x [0, 1]; u = 0 at x = 0, 1; u = sin(pi x) + overtone sin(4 pi x), u_t = 0 at t = 0.

    c = 2 and overtone = 1/2 is the wave of Wang, Yu & Perdikaris (2022, arXiv:2007.14527).
    """

    coordinates = ("x", "t")
    fields = ("u",)
    c: float = 2.0
    overtone: float = 0.0

    def __post_init__(self) -> None:
        self.domain = Box(x=(0, 1), t=(0, 1))

    def exact(self, x: Tensor, t: Tensor) -> Tensor:
        return self.mode(1, x, t) + self.overtone * self.mode(4, x, t)

    def mode(self, n: int, x: Tensor, t: Tensor) -> Tensor:
        return sin(n * pi * x) * cos(n * self.c * pi * t)

    @on("interior")
    def pde(self, u_tt, u_xx, c):
        return u_tt - c**2 * u_xx

    @on("boundary")
    def wall(self, u):
        return u

    @on("initial")
    def displacement(self, x, u):
        return u - sin(pi * x) - self.overtone * sin(4 * pi * x)

    @on("initial")
    def velocity(self, u_t):
        return u_t
