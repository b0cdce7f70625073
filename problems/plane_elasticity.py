"""Plane linear elasticity (Navier 1821), with the body force of Haghighat et al. (2021, CMAME 379, 113741)."""

from dataclasses import dataclass
from math import pi

from torch import Tensor, cos, sin

from pinn_cli import Box, Problem, on


@dataclass
class PlaneElasticity(Problem):
    """(lam + mu) grad div w + mu lap w + f = 0 for the displacement w = (u, v) on [0, 1]^2, given on the boundary.

    f is such that u = size cos(2 pi x) sin(pi y) and v = size sin(pi x) y^4.
    """

    coordinates = ("x", "y")
    fields = ("u", "v")
    lam: float = 1.0
    mu: float = 0.5
    size: float = 1.0

    def __post_init__(self) -> None:
        self.domain = Box(x=(0, 1), y=(0, 1))

    def exact(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        return self.size * cos(2 * pi * x) * sin(pi * y), self.size * sin(pi * x) * y**4

    @on("interior")
    def balance_x(self, x, y, u_xx, u_yy, v_xy, lam, mu):
        u, v_xy_exact = self.size * cos(2 * pi * x) * sin(pi * y), self.size * 4 * pi * cos(pi * x) * y**3
        force = ((lam + 2 * mu) * 4 + mu) * pi**2 * u - (lam + mu) * v_xy_exact
        return (lam + 2 * mu) * u_xx + mu * u_yy + (lam + mu) * v_xy + force

    @on("interior")
    def balance_y(self, x, y, v_xx, v_yy, u_xy, lam, mu):
        v, v_yy_exact = self.size * sin(pi * x) * y**4, self.size * 12 * sin(pi * x) * y**2
        u_xy_exact = -self.size * 2 * pi**2 * sin(2 * pi * x) * cos(pi * y)
        force = mu * pi**2 * v - (lam + 2 * mu) * v_yy_exact - (lam + mu) * u_xy_exact
        return mu * v_xx + (lam + 2 * mu) * v_yy + (lam + mu) * u_xy + force

    @on("boundary")
    def rim_u(self, x, y, u):
        return u - self.exact(x, y)[0]

    @on("boundary")
    def rim_v(self, x, y, v):
        return v - self.exact(x, y)[1]
