"""The Allen-Cahn equation: phases separate and sharp fronts form (Allen & Cahn 1979)."""

from dataclasses import dataclass
from math import pi

from torch import cos

from pinn_cli import Box, Problem, on, periodic
from pinn_cli.physics.references.circle.allen_cahn import AllenCahn as Spectral


@dataclass
class AllenCahn(Problem):
    """u_t = nu u_xx + rate (u - u^3) on [-1, 1] x [0, 1], periodic in x; u(x, 0) = x^2 cos(pi x).

    The setting of Raissi, Perdikaris & Karniadakis (2019). The slope of the initial value jumps by 4 at the seam.
    """

    coordinates = ("x", "t")
    fields = ("u",)
    nu: float = 1e-4
    rate: float = 5.0

    def __post_init__(self) -> None:
        self.domain = Box(x=(-1, 1), t=(0, 1))

    def reference(self) -> Spectral:
        return Spectral(self.nu, rate=self.rate)

    @on("interior")
    def pde(self, u, u_t, u_xx, nu, rate):
        return u_t - nu * u_xx - rate * (u - u**3)

    @on("initial")
    def initial(self, x, u):
        return u - x**2 * cos(pi * x)

    @periodic("x")
    def seam(self, u):
        return u

    @periodic("x")
    def seam_slope(self, u_x):
        return u_x
