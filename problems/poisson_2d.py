"""Poisson equation on a square of any size (Poisson 1813)."""

from dataclasses import dataclass
from math import pi

from torch import Tensor, sin

from pinn_cli import Box, Problem, on


@dataclass
class Poisson2D(Problem):
    """lap u = f on [0, length]^2, u = 0 on the rim; f is such that u = size sin(pi x / length) sin(2 pi y / length)."""

    coordinates = ("x", "y")
    fields = ("u",)
    length: float = 1.0
    size: float = 1.0

    def __post_init__(self) -> None:
        self.domain = Box(x=(0, self.length), y=(0, self.length))

    def exact(self, x: Tensor, y: Tensor) -> Tensor:
        return self.size * sin(pi * x / self.length) * sin(2 * pi * y / self.length)

    @on("interior")
    def pde(self, x, y, lap_u):
        return lap_u + 5 * (pi / self.length) ** 2 * self.exact(x, y)

    @on("boundary")
    def rim(self, u):
        return u
