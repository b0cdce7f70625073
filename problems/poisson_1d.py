"""Poisson equation in one dimension: the teaching example of Wang, Teng & Perdikaris (2021, arXiv:2001.04536)."""

from dataclasses import dataclass

from torch import Tensor, sin

from pinn_cli import Interval, Problem, on


@dataclass
class Poisson1D(Problem):
    """u_xx = -C^2 sin(C x) on [0, 1], u given at both ends; u = sin(C x)."""

    coordinates = ("x",)
    fields = ("u",)
    C: float = 4.0

    def __post_init__(self) -> None:
        self.domain = Interval(x=(0, 1))

    def exact(self, x: Tensor) -> Tensor:
        return sin(self.C * x)

    @on("interior")
    def pde(self, x, u_xx):
        return u_xx + self.C**2 * sin(self.C * x)

    @on("boundary")
    def ends(self, x, u):
        return u - sin(self.C * x)
