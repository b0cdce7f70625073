"""Heat conduction in a rod, in SI units: a temperature near 300 K that changes by a few kelvin (Fourier 1822)."""

from dataclasses import dataclass
from math import pi

from torch import Tensor, exp, sin

from pinn_cli import Box, Problem, on


@dataclass
class HeatRod(Problem):
    """T_t = conductivity T_xx on [0, length] for some `seconds`, with T = base at both ends.

    T = base + swing sin(pi x / length) exp(-conductivity (pi / length)^2 t).
    """

    coordinates = ("x", "t")
    fields = ("T",)
    base: float = 300.0
    swing: float = 10.0
    length: float = 0.1
    seconds: float = 100.0
    conductivity: float = 1e-5

    def __post_init__(self) -> None:
        self.domain = Box(x=(0, self.length), t=(0, self.seconds))

    def exact(self, x: Tensor, t: Tensor) -> Tensor:
        rate = self.conductivity * (pi / self.length) ** 2
        return self.base + self.swing * sin(pi * x / self.length) * exp(-rate * t)

    @on("interior")
    def pde(self, T_t, T_xx, conductivity):
        return T_t - conductivity * T_xx

    @on("boundary")
    def ends(self, T):
        return T - self.base

    @on("initial")
    def initial(self, x, t, T):
        return T - self.exact(x, 0 * t)
