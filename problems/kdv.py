"""Korteweg-de Vries equation: one soliton, or one that overtakes another (Korteweg & de Vries 1895; Hirota 1971)."""

from dataclasses import dataclass
from math import sqrt

from torch import Tensor, exp

from pinn_cli import Box, Problem, on


@dataclass
class KdV(Problem):
    """u_t + 6 u u_x + u_xxx = 0 on [-8, 8] x [0, 1]; u = speed/2 sech^2(sqrt(speed)/2 (x + 2 - speed t)).

    With a `second` speed above 0 there are two solitons (Hirota 1971),

        u = 2 (log F)_xx    F = 1 + e1 + e2 + ((k1 - k2) / (k1 + k2))^2 e1 e2    e = exp(k (x - x0 - k^2 t))

    with the speeds k^2 and x0 = -2, -5. Given are u at t = 0, u at both walls and u_x at the right wall. With these,
    the third-order problem on an interval is well posed (Bona, Sun & Zhang 2003).

    Raises ValueError for negative speeds.
    """

    coordinates = ("x", "t")
    fields = ("u",)
    speed: float = 4.0
    second: float = 0.0

    def __post_init__(self) -> None:
        if not (self.speed > 0 and self.second >= 0):
            found = f"speed={self.speed:g}, second={self.second:g}"
            raise ValueError(f"{found}: expected a speed above 0, and a second one or 0")
        self.domain = Box(x=(-8, 8), t=(0, 1))

    def exact(self, x: Tensor, t: Tensor) -> Tensor:
        return self.cumulant(2, x, t)

    def cumulant(self, order: int, x: Tensor, t: Tensor) -> Tensor:
        """2 d^order/dx^order log F for order 2 or 3: twice a central moment of the k of the terms of F.

        Each term of F is an exponential exp(k x + ...) with its own k, and has the weight of its share of F.
        """
        k1, k2 = sqrt(self.speed), sqrt(self.second)
        e1, e2 = exp(k1 * (x + 2 - k1**2 * t)), exp(k2 * (x + 5 - k2**2 * t))
        mixed = ((k1 - k2) / (k1 + k2)) ** 2 * e1 * e2
        F = 1 + e1 + e2 + mixed
        mean = (k1 * e1 + k2 * e2 + (k1 + k2) * mixed) / F
        terms = [((k - mean) ** order) * term for k, term in ((k1, e1), (k2, e2), (k1 + k2, mixed))]
        return 2 * ((-mean) ** order + terms[0] + terms[1] + terms[2]) / F

    @on("interior")
    def pde(self, u, u_t, u_x, u_xxx):
        return u_t + 6 * u * u_x + u_xxx

    @on("boundary")
    def wall(self, x, t, u):
        return u - self.exact(x, t)

    @on("x=8")
    def slope(self, x, t, u_x):
        return u_x - self.cumulant(3, x, t)

    @on("initial")
    def initial(self, x, t, u):
        return u - self.exact(x, t)
