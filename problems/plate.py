"""A clamped plate under a load: the biharmonic equation (Lagrange 1811; Kirchhoff 1850)."""

from dataclasses import dataclass
from math import pi

from torch import Tensor, cos, sin

from pinn_cli import Box, Problem, on


@dataclass
class Plate(Problem):
    """u_xxxx + 2 u_xxyy + u_yyyy = f on the square [0, length]^2; u = u_n = 0 on the rim.

    f is such that u = sin^2(pi x / length) sin^2(pi y / length).
    """

    coordinates = ("x", "y")
    fields = ("u",)
    length: float = 1.0

    def __post_init__(self) -> None:
        self.domain = Box(x=(0, self.length), y=(0, self.length))

    def exact(self, x: Tensor, y: Tensor) -> Tensor:
        return sin(pi * x / self.length) ** 2 * sin(pi * y / self.length) ** 2

    def load(self, x: Tensor, y: Tensor) -> Tensor:
        """f: with c = cos(2 pi x / length), sin^2 is (1 - c) / 2, and its even derivatives are multiples of c."""
        a, b = cos(2 * pi * x / self.length), cos(2 * pi * y / self.length)
        return 4 * (pi / self.length) ** 4 * (4 * a * b - a - b)

    @on("interior")
    def pde(self, x, y, u_xxxx, u_xxyy, u_yyyy):
        return u_xxxx + 2 * u_xxyy + u_yyyy - self.load(x, y)

    @on("boundary")
    def rim(self, u):
        return u

    @on("boundary")
    def clamp(self, u_n):
        return u_n
