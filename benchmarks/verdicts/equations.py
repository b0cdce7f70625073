"""Equations on which the verdict is tried: right ones, and ones that are stated or trained wrongly on purpose."""

from dataclasses import dataclass, field
from math import cosh, pi

import torch
from torch import cos, exp, sin

from pinn_cli import Box, Problem, on


class Line(Problem):
    """Base of problems on [0, 1]."""

    coordinates, fields = ("x",), ("u",)

    def __post_init__(self) -> None:
        self.domain = Box(x=(0, 1))


class Strip(Problem):
    """Base of problems on [0, 1] x [0, 1]."""

    coordinates, fields = ("x", "t"), ("u",)

    def __post_init__(self) -> None:
        self.domain = Box(x=(0, 1), t=(0, 1))


class Square(Problem):
    """Base of problems on the unit square."""

    coordinates, fields = ("x", "y"), ("u",)

    def __post_init__(self) -> None:
        self.domain = Box(x=(0, 1), y=(0, 1), points={"corner": (0, 0)})


class Time(Problem):
    """Base of problems in time alone."""

    coordinates, fields = ("t",), ("u",)
    _end = 1.0

    def __post_init__(self) -> None:
        self.domain = Box(t=(0, self._end))


# --- an offset --------------------------------------------------------------------------------------------------------


@dataclass
class Kelvin(Strip):
    """T_t = a T_xx, T = base at both ends, base + sin(pi x) at first: a rod near room temperature."""

    fields = ("T",)
    a: float = 0.1
    base: float = 300.0

    def exact(self, x, t):
        return self.base + sin(pi * x) * exp(-self.a * pi**2 * t)

    @on("interior")
    def heat(self, T_t, T_xx, a):
        return T_t - a * T_xx

    @on("boundary")
    def ends(self, T, base):
        return T - base

    @on("initial")
    def start(self, x, T, base):
        return T - base - sin(pi * x)


@dataclass
class KelvinImposed(Kelvin):
    """The same with an ansatz that adds the offset."""

    def ansatz(self, x, t, T):
        return self.base + T


@dataclass
class Constant(Strip):
    """u_t = u_xx, u = 300 everywhere: a field that is constant."""

    def exact(self, x, t):
        return 300 + 0 * x

    @on("interior")
    def heat(self, u_t, u_xx):
        return u_t - u_xx

    @on("boundary")
    def wall(self, u):
        return u - 300

    @on("initial")
    def start(self, u):
        return u - 300


@dataclass
class Decay(Time):
    """u_t = -k u over a day in seconds, u(0) = 300."""

    k: float = 2e-5
    _end = 86400.0

    def exact(self, t):
        return 300 * exp(-self.k * t)

    @on("interior")
    def decay(self, u, u_t, k):
        return u_t + k * u

    @on("initial")
    def start(self, u):
        return u - 300


# --- smooth problems that are well stated -----------------------------------------------------------------------------


@dataclass
class Root(Line):
    """2 u u_x = 1, u(0) = 0: u = sqrt(x), whose slope at 0 is infinite."""

    def exact(self, x):
        return torch.sqrt(x)

    @on("interior")
    def growth(self, u, u_x):
        return 2 * u * u_x - 1

    @on("x=0")
    def start(self, u):
        return u


@dataclass
class Robin(Line):
    """u_xx = -pi^2 sin(pi x), u_n + u = -pi at both ends: u = sin(pi x)."""

    def exact(self, x):
        return sin(pi * x)

    @on("interior")
    def poisson(self, x, u_xx):
        return u_xx + pi**2 * sin(pi * x)

    @on("boundary")
    def exchange(self, u, u_n):
        return u_n + u + pi


@dataclass
class Pendulum(Time):
    """u_tt = -u, u(0) = 1, u_t(0) = 0, over one period."""

    _end = 2 * pi

    def exact(self, t):
        return cos(t)

    @on("interior")
    def swing(self, u, u_tt):
        return u_tt + u

    @on("initial")
    def start(self, u):
        return u - 1

    @on("initial")
    def rest(self, u_t):
        return u_t


@dataclass
class Oscillators(Time):
    """u_t = v, v_t = -25 u, u(0) = 1, v(0) = 0: two fields of different size."""

    fields = ("u", "v")
    _end = 2.0

    def exact(self, t):
        return cos(5 * t), -5 * sin(5 * t)

    @on("interior")
    def velocity(self, u_t, v):
        return u_t - v

    @on("interior")
    def force(self, v_t, u):
        return v_t + 25 * u

    @on("initial")
    def start(self, u):
        return u - 1

    @on("initial")
    def rest(self, v):
        return v


@dataclass
class Channel(Square):
    """Stokes flow in a channel: u = y (1 - y), v = 0, p = 2 - 2 x; a field that vanishes."""

    fields = ("u", "v", "p")

    def exact(self, x, y):
        return y * (1 - y), 0 * x, 2 - 2 * x

    @on("interior")
    def x_momentum(self, p_x, lap_u):
        return p_x - lap_u

    @on("interior")
    def y_momentum(self, p_y, lap_v):
        return p_y - lap_v

    @on("interior")
    def mass(self, u_x, v_y):
        return u_x + v_y

    @on("boundary")
    def wall_u(self, y, u):
        return u - y * (1 - y)

    @on("boundary")
    def wall_v(self, v):
        return v

    @on("corner")
    def level(self, p):
        return p - 2


@dataclass
class ChannelWithoutLevel(Channel):
    """The same without the level of the pressure."""

    level = None


@dataclass
class Diffusivity(Line):
    """(k u_x)_x = f with k = 1 + x^2: u = sin(pi x)."""

    def exact(self, x):
        return sin(pi * x)

    @on("interior")
    def flux(self, x, u_x, u_xx):
        f = -(pi**2) * (1 + x**2) * sin(pi * x) + 2 * pi * x * cos(pi * x)
        return (1 + x**2) * u_xx + 2 * x * u_x - f

    @on("boundary")
    def ends(self, u):
        return u


@dataclass
class Membrane(Square):
    """lap u - u^3 = f, u = 0: u = sin(pi x) sin(pi y)."""

    def exact(self, x, y):
        return sin(pi * x) * sin(pi * y)

    @on("interior")
    def balance(self, x, y, u, lap_u):
        s = sin(pi * x) * sin(pi * y)
        return lap_u - u**3 + 2 * pi**2 * s + s**3

    @on("boundary")
    def wall(self, u):
        return u


# --- wrongly stated ---------------------------------------------------------------------------------------------------


@dataclass
class Layers(Line):
    """(k u_x)_x = 0 with k = 1 for x < 1/2 and 10 beyond, u(0) = 0, u(1) = 1, written as k u_xx = 0."""

    def exact(self, x):
        return torch.where(x < 0.5, 20 * x / 11, 1 - 2 * (1 - x) / 11)

    @on("interior")
    def flux(self, x, u_xx):
        return torch.where(x < 0.5, 1.0, 10.0) * u_xx

    @on("boundary")
    def ends(self, x, u):
        return u - x


@dataclass
class Plates(Square):
    """(k u_x)_x + k u_yy = 0 with k that jumps at x = 1/2, written with k lap u."""

    def exact(self, x, y):
        return torch.where(x < 0.5, 20 * x / 11, 1 - 2 * (1 - x) / 11)

    @on("interior")
    def flux(self, x, lap_u):
        return torch.where(x < 0.5, 1.0, 10.0) * lap_u

    @on("boundary")
    def wall(self, x, u):
        return u - torch.where(x < 0.5, 20 * x / 11, 1 - 2 * (1 - x) / 11)


@dataclass
class Heat(Strip):
    """u_t = 0.1 u_xx, u = 0 at the ends, u = sin(pi x) at first."""

    def exact(self, x, t):
        return sin(pi * x) * exp(-0.1 * pi**2 * t)

    @on("interior")
    def heat(self, u_t, u_xx):
        return u_t - 0.1 * u_xx

    @on("boundary")
    def wall(self, u):
        return u

    @on("initial")
    def start(self, x, u):
        return u - sin(pi * x)


@dataclass
class HeatWithoutStart(Heat):
    """The same without its initial value."""

    start = None


@dataclass
class HeatHalfImposed(Heat):
    """The same with an `impose` that meets one wall and claims both."""

    imposes = ("wall",)

    def impose(self, x, t, u):
        return x * u


@dataclass
class HeatWithoutWall(Heat):
    """The same with a wall on one side alone."""

    wall = None

    @on("x=0")
    def left(self, u):
        return u


@dataclass
class StringWithoutVelocity(Strip):
    """u_tt = u_xx without the initial velocity."""

    def exact(self, x, t):
        return sin(pi * x) * cos(pi * t)

    @on("interior")
    def wave(self, u_tt, u_xx):
        return u_tt - u_xx

    @on("boundary")
    def wall(self, u):
        return u

    @on("initial")
    def start(self, x, u):
        return u - sin(pi * x)


@dataclass
class Slopes(Square):
    """lap u = f with slopes alone: u = cos(pi x) + 1 up to a constant."""

    def exact(self, x, y):
        return cos(pi * x) + 1

    @on("interior")
    def poisson(self, x, lap_u):
        return lap_u + pi**2 * cos(pi * x)

    @on("boundary")
    def slope(self, u_n):
        return u_n


@dataclass
class TwoFields(Strip):
    """Heat u, and v driven by it, v without a condition."""

    fields = ("u", "v")

    def exact(self, x, t):
        u = sin(pi * x) * exp(-0.1 * pi**2 * t)
        return u, 10 / pi**2 * (sin(pi * x) - u) + 0.0 * x

    @on("interior")
    def heat(self, u_t, u_xx):
        return u_t - 0.1 * u_xx

    @on("interior")
    def sum(self, v_t, u):
        return v_t - u

    @on("boundary")
    def wall(self, u):
        return u

    @on("initial")
    def start(self, x, u):
        return u - sin(pi * x)


@dataclass
class Blind(Heat):
    """Heat with an unknown diffusivity and no measurements."""

    unknowns: dict[str, float] = field(default_factory=lambda: {"a": 1.0})

    @on("interior")
    def heat(self, u_t, u_xx, a):
        return u_t - a * u_xx


# --- stated well, and hard --------------------------------------------------------------------------------------------


@dataclass
class Waves(Square):
    """lap u = f with u = sin(a pi x) sin(a pi y): high frequency."""

    a: float = 10.0

    def exact(self, x, y):
        return sin(self.a * pi * x) * sin(self.a * pi * y)

    @on("interior")
    def poisson(self, x, y, lap_u, a):
        return lap_u + 2 * (a * pi) ** 2 * sin(a * pi * x) * sin(a * pi * y)

    @on("boundary")
    def wall(self, u):
        return u


# --- what the verdict cannot see --------------------------------------------------------------------------------------


@dataclass
class Bratu(Line):
    """u_xx + exp(u) = 0, u = 0 at both ends has two solutions; `exact` is the upper one, and training finds the lower.

    u = -2 ln(cosh(theta (2 x - 1) / 4) / cosh(theta / 4)) with theta = sqrt(2) cosh(theta / 4) (Bratu 1914).
    """

    theta: float = 10.93870277207

    def exact(self, x):
        quarter = self.theta / 4
        z = (2 * x - 1) * quarter
        return -2 * torch.log((exp(z) + exp(-z)) / (2 * cosh(quarter)))

    @on("interior")
    def bratu(self, u, u_xx):
        return u_xx + exp(u)

    @on("boundary")
    def ends(self, u):
        return u


@dataclass
class Spike(Line):
    """u_xx = f where f has a spike of width 2e-6 between all points: u has a corner at 0.7."""

    width: float = 2e-6
    at: float = 0.7

    def exact(self, x):
        corner = -torch.where(x < self.at, x * (1 - self.at), self.at * (1 - x))
        return sin(pi * x) + 4 * corner

    @on("interior")
    def poisson(self, x, u_xx):
        spike = 4 * exp(-(((x - self.at) / self.width) ** 2)) / (self.width * pi**0.5)
        return u_xx + pi**2 * sin(pi * x) - spike

    @on("boundary")
    def ends(self, u):
        return u


@dataclass
class WrongSign(Heat):
    """The equation that was meant is u_t = 0.1 u_xx; the one that was typed has 0.05."""

    @on("interior")
    def heat(self, u_t, u_xx):
        return u_t - 0.05 * u_xx
