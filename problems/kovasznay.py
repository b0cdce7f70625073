"""Steady flow behind a grid, in SI units (Kovasznay 1948)."""

from dataclasses import dataclass
from math import pi

from torch import Tensor, cos, exp, sin

from pinn_cli import Box, Problem, on


@dataclass
class Kovasznay(Problem):
    """Steady flow behind a grid (Kovasznay 1948), in SI units: u, v of `speed` m/s, p of density speed^2 Pa.

    u = speed (1 - e cos(2 pi y / L)), v = speed k / (2 pi) e sin(2 pi y / L), p = density speed^2 (1 - e^2) / 2 with
    e = exp(k x / L), k = Re / 2 - sqrt(Re^2 / 4 + 4 pi^2), Re = 40.
    """

    coordinates = ("x", "y")
    fields = ("u", "v", "p")
    speed: float = 10.0
    density: float = 1000.0
    length: float = 0.01

    def __post_init__(self) -> None:
        L = self.length
        self.domain = Box(x=(-L / 2, L), y=(-L / 2, 1.5 * L), points={"gauge": (0, 0)})
        self.k = 20 - (400 + 4 * pi**2) ** 0.5
        self.viscosity = self.density * self.speed * L / 40

    def exact(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        e, w = exp(self.k * x / self.length), 2 * pi * y / self.length
        u, v = 1 - e * cos(w), self.k / (2 * pi) * e * sin(w)
        return self.speed * u, self.speed * v, self.density * self.speed**2 * (1 - e**2) / 2

    @on("interior")
    def momentum_x(self, u, v, u_x, u_y, p_x, lap_u):
        return self.density * (u * u_x + v * u_y) + p_x - self.viscosity * lap_u

    @on("interior")
    def momentum_y(self, u, v, v_x, v_y, p_y, lap_v):
        return self.density * (u * v_x + v * v_y) + p_y - self.viscosity * lap_v

    @on("interior")
    def continuity(self, u_x, v_y):
        return u_x + v_y

    @on("boundary")
    def rim_u(self, x, y, u):
        return u - self.exact(x, y)[0]

    @on("boundary")
    def rim_v(self, x, y, v):
        return v - self.exact(x, y)[1]

    @on("gauge")
    def gauge(self, p):
        return p
