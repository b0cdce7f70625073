"""Viscous Burgers equation with a steepening front (Basdevant et al. 1986; Raissi, Perdikaris & Karniadakis 2019)."""

from dataclasses import dataclass
from math import pi

from torch import sin

from pinn_cli import Box, Problem, on
from pinn_cli.physics.references.cole_hopf import ColeHopf


@dataclass
class Burgers(Problem):
    """u_t + speed u u_x = nu u_xx on [-1, 1] x [0, 1]; u(x, 0) = -sin(pi x); u = 0 at x = +-1."""

    coordinates = ("x", "t")
    fields = ("u",)
    nu: float = 0.01 / pi
    speed: float = 1.0

    def __post_init__(self) -> None:
        self.domain = Box(x=(-1, 1), t=(0, 1))

    def reference(self) -> ColeHopf:
        return ColeHopf(self.nu, self.speed)

    @on("interior")
    def pde(self, u, u_t, u_x, u_xx, nu, speed):
        return u_t + speed * u * u_x - nu * u_xx

    @on("boundary")
    def wall(self, u):
        return u

    @on("initial")
    def initial(self, x, u):
        return u + sin(pi * x)
