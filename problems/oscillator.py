"""The harmonic oscillator over a day in seconds, with an amplitude of a millimetre (Hooke 1678)."""

from dataclasses import dataclass
from math import pi

from torch import Tensor, sin

from pinn_cli import Interval, Problem, on


@dataclass
class Oscillator(Problem):
    """u_tt + (2 pi / period)^2 u = 0 for two periods in seconds; u(0) = 0, u_t(0) = 2 pi amplitude / period."""

    coordinates = ("t",)
    fields = ("u",)
    period: float = 43200.0
    amplitude: float = 1e-3

    def __post_init__(self) -> None:
        self.domain = Interval(t=(0, 2 * self.period))

    def exact(self, t: Tensor) -> Tensor:
        return self.amplitude * sin(2 * pi * t / self.period)

    @on("interior")
    def ode(self, u, u_tt, period):
        return u_tt + (2 * pi / period) ** 2 * u

    @on("t=0")
    def begin(self, u):
        return u

    @on("t=0")
    def kick(self, u_t):
        return u_t - 2 * pi * self.amplitude / self.period
