"""Poisson's equation in five dimensions."""

from dataclasses import dataclass
from math import pi

from torch import Tensor, sin

from pinn_cli import Box, Problem, on


@dataclass
class Poisson5D(Problem):
    """lap u = -(k pi)^2 sum_i sin(k pi x_i) on [0, 1]^5, u prescribed on all ten faces: u = sum_i sin(k pi x_i).

    With k = 1/2 it is PNd of PINNacle (Hao et al. 2023, arXiv:2306.08827).
    """

    coordinates = ("v", "w", "x", "y", "z")
    fields = ("u",)
    k: float = 0.5

    def __post_init__(self) -> None:
        self.domain = Box(v=(0, 1), w=(0, 1), x=(0, 1), y=(0, 1), z=(0, 1))

    def exact(self, v: Tensor, w: Tensor, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
        k = self.k * pi
        return sin(k * v) + sin(k * w) + sin(k * x) + sin(k * y) + sin(k * z)

    @on("interior")
    def pde(self, v, w, x, y, z, lap_u):
        return lap_u + (self.k * pi) ** 2 * self.exact(v, w, x, y, z)

    @on("boundary")
    def faces(self, v, w, x, y, z, u):
        return u - self.exact(v, w, x, y, z)
