"""Newton's law of cooling over one day in seconds, in air whose temperature is a sine (Newton 1701)."""

from dataclasses import dataclass
from math import pi

from torch import Tensor, cos, exp, sin

from pinn_cli import Interval, Problem, on


@dataclass
class DailyTemperature(Problem):
    """T_t = (air(t) - T) / tau over one day in seconds, air = 288 + 8 sin(2 pi t / day), tau = 3 h, T(0) = 293 K."""

    coordinates = ("t",)
    fields = ("T",)
    day: float = 86400.0
    tau: float = 10800.0
    start: float = 293.0
    mean: float = 288.0
    swing: float = 8.0

    def __post_init__(self) -> None:
        self.domain = Interval(t=(0, self.day))

    def exact(self, t: Tensor) -> Tensor:
        w = 2 * pi / self.day
        gain = self.swing / (1 + (w * self.tau) ** 2)
        forced = gain * (sin(w * t) - w * self.tau * cos(w * t))
        return self.mean + forced + (self.start - self.mean + gain * w * self.tau) * exp(-t / self.tau)

    @on("interior")
    def ode(self, t, T, T_t, tau):
        return T_t - (self.mean + self.swing * sin(2 * pi * t / self.day) - T) / tau

    @on("t=0")
    def begin(self, T, start):
        return T - start
