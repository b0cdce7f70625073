"""Predators and prey (Lotka 1925; Volterra 1926): four coefficients, two populations that rise and fall."""

from dataclasses import dataclass

from pinn_cli import Interval, Problem, on
from pinn_cli.physics.references.initial_value import InitialValue


@dataclass
class LotkaVolterra(Problem):
    """u_t = u (alpha - beta v), v_t = v (delta u - gamma) on [0, length]; u(0) = u0, v(0) = v0: prey u, predators v."""

    coordinates = ("t",)
    fields = ("u", "v")
    alpha: float = 1.0
    beta: float = 0.5
    gamma: float = 1.0
    delta: float = 0.5
    u0: float = 1.0
    v0: float = 1.0
    length: float = 10.0

    def __post_init__(self) -> None:
        self.domain = Interval(t=(0, self.length))

    def reference(self) -> InitialValue:
        def f(t, y):
            u, v = y
            return u * (self.alpha - self.beta * v), v * (self.delta * u - self.gamma)

        return InitialValue(f, (self.u0, self.v0), (0.0, self.length), self.fields)

    @on("interior")
    def prey(self, u, v, u_t, alpha, beta):
        return u_t - u * (alpha - beta * v)

    @on("interior")
    def predators(self, u, v, v_t, gamma, delta):
        return v_t - v * (delta * u - gamma)

    @on("t=0")
    def first_prey(self, u, u0):
        return u - u0

    @on("t=0")
    def first_predators(self, v, v0):
        return v - v0
