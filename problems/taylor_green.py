"""Decaying vortices in the plane: the unsteady Navier-Stokes equations (Taylor 1923; Taylor & Green 1937)."""

from dataclasses import dataclass
from math import pi

from torch import Tensor, cos, exp, sin

from pinn_cli import Box, Problem, on


@dataclass
class TaylorGreen(Problem):
    """w_t + w . grad w + grad p = nu lap w, div w = 0 for the velocity w = (u, v) on [-1, 1]^2 x [0, 1].

    u = -cos(pi x) sin(pi y) e, v = sin(pi x) cos(pi y) e, p = -(cos(2 pi x) + cos(2 pi y)) e^2 / 4 with
    e = exp(-2 pi^2 nu t). Given are u, v at t = 0 and on the rim, and p, whose level is free at every instant, on
    x = -1.
    """

    coordinates = ("x", "y", "t")
    fields = ("u", "v", "p")
    nu: float = 0.01

    def __post_init__(self) -> None:
        self.domain = Box(x=(-1, 1), y=(-1, 1), t=(0, 1))

    def exact(self, x: Tensor, y: Tensor, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        e = exp(-2 * pi**2 * self.nu * t)
        u, v = -cos(pi * x) * sin(pi * y) * e, sin(pi * x) * cos(pi * y) * e
        return u, v, -(cos(2 * pi * x) + cos(2 * pi * y)) * e**2 / 4

    @on("interior")
    def momentum_x(self, u, v, u_t, u_x, u_y, p_x, lap_u, nu):
        return u_t + u * u_x + v * u_y + p_x - nu * lap_u

    @on("interior")
    def momentum_y(self, u, v, v_t, v_x, v_y, p_y, lap_v, nu):
        return v_t + u * v_x + v * v_y + p_y - nu * lap_v

    @on("interior")
    def continuity(self, u_x, v_y):
        return u_x + v_y

    @on("boundary")
    def rim_u(self, x, y, t, u):
        return u - self.exact(x, y, t)[0]

    @on("boundary")
    def rim_v(self, x, y, t, v):
        return v - self.exact(x, y, t)[1]

    @on("x=-1")
    def level(self, x, y, t, p):
        return p - self.exact(x, y, t)[2]

    @on("initial")
    def initial_u(self, x, y, t, u):
        return u - self.exact(x, y, t)[0]

    @on("initial")
    def initial_v(self, x, y, t, v):
        return v - self.exact(x, y, t)[1]
