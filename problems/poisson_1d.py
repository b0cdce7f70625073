"""Poisson equation in one dimension: the teaching example of Wang, Teng & Perdikaris (2021, arXiv:2001.04536)."""

from dataclasses import dataclass

from torch import Tensor, sin

from pinn_cli import Interval, Problem, on


@dataclass
class Poisson1D(Problem):
    """u_xx = f on [0, 1], u given at both ends; f is such that u = sin(C x) + ripple sin(25 C x).

    C = 4 without a ripple is the teaching example. C = 2 pi and ripple = 0.1 is the multi-scale problem of Wang, Wang &
    Perdikaris (2021, arXiv:2012.10047): u = sin(2 pi x) + 0.1 sin(50 pi x).
    """

    coordinates = ("x",)
    fields = ("u",)
    C: float = 4.0
    ripple: float = 0.0

    def __post_init__(self) -> None:
        self.domain = Interval(x=(0, 1))

    def exact(self, x: Tensor) -> Tensor:
        return sin(self.C * x) + self.ripple * sin(25 * self.C * x)

    @on("interior")
    def pde(self, x, u_xx):
        return u_xx + self.C**2 * (sin(self.C * x) + 625 * self.ripple * sin(25 * self.C * x))

    @on("boundary")
    def ends(self, x, u):
        return u - self.exact(x)
