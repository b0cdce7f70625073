"""A thin boundary layer in one dimension (Prandtl 1938; Bender & Orszag 1978, chapter 9)."""

from dataclasses import dataclass
from math import expm1

from torch import Tensor, exp

from pinn_cli import Interval, Problem, on


@dataclass
class BoundaryLayer(Problem):
    """eps u_xx + u_x = 1 on [0, 1], u = 0 at both ends: a layer of width eps at x = 0.

    u = x - (1 - exp(-x / eps)) / (1 - exp(-1 / eps)), without overflow for any eps > 0.
    """

    coordinates = ("x",)
    fields = ("u",)
    eps: float = 0.01

    def __post_init__(self) -> None:
        if not self.eps > 0:
            raise ValueError(f"eps={self.eps:g}: expected a number above 0")
        self.domain = Interval(x=(0, 1))

    def exact(self, x: Tensor) -> Tensor:
        return x + (1 - exp(-x / self.eps)) / expm1(-1 / self.eps)

    @on("interior")
    def ode(self, u_x, u_xx, eps):
        return eps * u_xx + u_x - 1

    @on("boundary")
    def ends(self, u):
        return u
