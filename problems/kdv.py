"""Korteweg-de Vries equation: one soliton (Korteweg & de Vries 1895)."""

from dataclasses import dataclass
from math import sqrt

from torch import Tensor, tanh

from pinn_cli import Box, Problem, on


@dataclass
class KdV(Problem):
    """u_t + 6 u u_x + u_xxx = 0 on [-8, 8] x [0, 1]; u = speed/2 sech^2(sqrt(speed)/2 (x + 2 - speed t)).

    Given are u at t = 0, u at both walls and u_x at the right wall. With these, the third-order problem on an interval
    is well posed (Bona, Sun & Zhang 2003).
    """

    coordinates = ("x", "t")
    fields = ("u",)
    speed: float = 4.0

    def __post_init__(self) -> None:
        self.domain = Box(x=(-8, 8), t=(0, 1))

    def phase(self, x: Tensor, t: Tensor) -> Tensor:
        return sqrt(self.speed) / 2 * (x + 2 - self.speed * t)

    def exact(self, x: Tensor, t: Tensor) -> Tensor:
        return self.speed / 2 * (1 - tanh(self.phase(x, t)) ** 2)

    @on("interior")
    def pde(self, u, u_t, u_x, u_xxx):
        return u_t + 6 * u * u_x + u_xxx

    @on("boundary")
    def wall(self, x, t, u):
        return u - self.exact(x, t)

    @on("x=8")
    def slope(self, x, t, u_x):
        return u_x + sqrt(self.speed) * tanh(self.phase(x, t)) * self.exact(x, t)

    @on("initial")
    def initial(self, x, t, u):
        return u - self.exact(x, t)
