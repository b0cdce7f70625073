"""Heat equation in two space dimensions and time: a cooling plate (Fourier 1822)."""

from dataclasses import dataclass
from math import pi

from torch import Tensor, exp, sin

from pinn_cli import Box, Problem, on


@dataclass
class Heat2D(Problem):
    """u_t = kappa (u_xx + u_yy) on [0, 1]^2 x [0, 1]; u = 0 on the rim.

    u(x, y, 0) = sin(pi x) sin(pi y) + sin(2 pi x) sin(3 pi y) / 2; each mode decays at its own rate.
    """

    coordinates = ("x", "y", "t")
    fields = ("u",)
    kappa: float = 0.05

    def __post_init__(self) -> None:
        self.domain = Box(x=(0, 1), y=(0, 1), t=(0, 1))

    def mode(self, m: int, n: int, x: Tensor, y: Tensor, t: Tensor) -> Tensor:
        return sin(m * pi * x) * sin(n * pi * y) * exp(-self.kappa * (m * m + n * n) * pi**2 * t)

    def exact(self, x: Tensor, y: Tensor, t: Tensor) -> Tensor:
        return self.mode(1, 1, x, y, t) + self.mode(2, 3, x, y, t) / 2

    @on("interior")
    def pde(self, u_t, lap_u, kappa):
        return u_t - kappa * lap_u

    @on("boundary")
    def rim(self, u):
        return u

    @on("initial")
    def initial(self, x, y, u):
        return u - sin(pi * x) * sin(pi * y) - sin(2 * pi * x) * sin(3 * pi * y) / 2
