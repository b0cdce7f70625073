"""The singular part of the flow where a moving lid meets a wall at rest.

X is the distance from the wall, Y that from the lid, r and a the polar coordinates with a = 0 on the lid and pi / 2 on
the wall. A lid of speed V + S X + ... at the corner has there (Batchelor 1967, section 4.8; Botella & Peyret 1998)

    psi = -V r f(a) + r^2 [+- Re V^2 g(a) - S q(a)] + smaller terms        upper sign: left corner

f and q are Stokes flow; g is what convection does to f: with k = f + f'', g'''' + 4 g'' = (f k)'. Each vanishes with
its slope at both angles, but for f'(0) = q'(0) = 1.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import zip_longest
from math import pi
from typing import NamedTuple

import torch
from torch import Tensor

Factors = tuple[Tensor, Tensor | float, Tensor, Tensor]  # the angle, and what multiplies its three polynomials
Polynomial = Sequence[float]  # coefficients, the constant first


@dataclass(frozen=True)
class Angular:
    """A function of the angle, plain(a) + cosine(a) cos(m a) + sine(a) sin(m a), each factor a polynomial."""

    m: int
    plain: Polynomial
    cosine: Polynomial
    sine: Polynomial

    def __call__(self, a: Tensor, one: Tensor | float, cos: Tensor, sin: Tensor) -> Tensor:
        """The value (N,) for these factors in place of 1, cos(m a) and sin(m a): r^m times all gives r^m times it."""
        parts = ((self.plain, one), (self.cosine, cos), (self.sine, sin))
        return 0 * a + sum(_value(p, a) * factor for p, factor in parts if any(p))

    def slope(self) -> "Angular":
        """Its derivative."""
        cosine, sine = [self.m * c for c in self.cosine], [self.m * c for c in self.sine]
        return Angular(
            self.m,
            _slope(self.plain),
            [x + y for x, y in zip_longest(_slope(self.cosine), sine, fillvalue=0.0)],
            [x - y for x, y in zip_longest(_slope(self.sine), cosine, fillvalue=0.0)],
        )

    def slopes(self, factors: Callable[[int], Factors], count: int = 5) -> list[Tensor]:
        """Value and first derivatives (N,), `count` in all; `factors` are those of m."""
        values, function = [], self
        for _ in range(count):
            values.append(function(*factors(self.m)))
            function = function.slope()
        return values


_C = 1 / (pi**2 - 4)
_E = pi * (pi**4 + 14 * pi**2 - 24)
STOKES = Angular(1, [], [0, -4 * _C], [pi**2 * _C, -2 * pi * _C])  # f
CONVECTION = Angular(  # g
    2,
    [-_E * _C**2 / 64, 4 * pi**2 * (8 + pi**2) * _C**2 / 64],
    [_E * _C**2 / 64, 8 * (12 + pi**2) * _C**2 / 64, -pi * _C**2],
    [-2 * (4 + pi**2) * (6 + pi**2) * _C**2 / 64, pi * (6 + pi**2) * _C**2 / 4, -_C / 4],
)
REACH = 30.0  # the second term is damped beyond REACH / Re
SLOPE = Angular(2, [-pi / 8, 0.5], [pi / 8], [0.25])  # q


@dataclass(frozen=True)
class Corner:
    """The corner at x = 0, or at x = 1 if `right`, below a lid of `speed` V and `slope` S away from the wall."""

    re: float
    speed: float
    slope: float
    right: bool

    def __call__(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        """The singular psi and what the equations need of it, (N,) each; z stands for lap psi = -vorticity.

        psi, psi_x, psi_y, z, z_x, z_y; bilaplace = lap z; head, the part of p + (u^2 + v^2) / 2, and shear_x, shear_y,
        the part of z grad psi, that are equally singular. At r = 0, infinite values are replaced by those at r = 1e-3.
        """
        sign, X, Y = self._sign, (1 - x if self.right else x), 1 - y
        r, a = torch.hypot(X, Y), torch.atan2(Y, X)
        cos, sin, R = torch.cos(a), torch.sin(a), torch.where(r > 0, r, 1e-3)
        f, f1, f2, f3, _ = self._first(_on_circle(a))
        g, g1, g2, g3, g4 = self._second(_on_circle(a), sign)
        k, k1, h, h1, h2 = f + f2, f1 + f3, 4 * g + g2, 4 * g1 + g3, 4 * g2 + g4

        def xy(radial: Tensor, angular: Tensor) -> tuple[Tensor, Tensor]:
            return sign * (radial * cos - angular * sin), -(radial * sin + angular * cos)

        psi_x, psi_y = xy(f + 2 * r * g, f1 + r * g1)
        z_x, z_y = xy(-k / R**2, k1 / R**2 + h1 / R)
        shear_x, shear_y = xy(f * k / R, f1 * k / R)
        head = sign / self.re * k1 / R + self._logarithm * torch.log(R) + (f**2 + f1**2) / 2
        return {
            "psi": r * f + r**2 * g,
            "psi_x": psi_x,
            "psi_y": psi_y,
            "z": k / R + h,
            "z_x": z_x,
            "z_y": z_y,
            "bilaplace": h2 / R**2,
            "head": head,
            "shear_x": shear_x,
            "shear_y": shear_y,
        }

    def psi(self, x: Tensor, y: Tensor) -> Tensor:
        """The singular psi (N,), as `u`, `v` and `p` by functions that jets know; r is at least 1e-12.

        The expansion holds for small Re r. So the factors r^2 and log r of the second term are, with R = REACH / Re,
        r^2 / (1 + r^2 / R^2) and log(r / sqrt(r^2 + R^2)), which stay bounded.
        """
        at = self._polar(x, y)
        (first,), (second,) = self._terms(at, 1)
        return first + at.damping * second

    def u(self, x: Tensor, y: Tensor) -> Tensor:
        """psi_y (N,)."""
        at = self._polar(x, y)
        along, across = self._slopes(at)
        return -(along * at.Y + across * at.X) / at.r2

    def v(self, x: Tensor, y: Tensor) -> Tensor:
        """-psi_x (N,)."""
        at = self._polar(x, y)
        along, across = self._slopes(at)
        return -self._sign * (along * at.X - across * at.Y) / at.r2

    def p(self, x: Tensor, y: Tensor) -> Tensor:
        """The singular pressure (N,)."""
        at = self._polar(x, y)
        (_, f1, _, f3), _ = self._terms(at, 4)
        return self._sign / self.re * (f1 + f3) / at.r2 + self._logarithm / 2 * torch.log(at.r2 * at.damping)

    def _slopes(self, at: "Polar") -> tuple[Tensor, Tensor]:
        """r psi_r, and the derivative of psi along the angle."""
        (first, first_a), (second, second_a) = self._terms(at, 2)
        return first + 2 * at.damping**2 * second, first_a + at.damping * second_a

    def _terms(self, at: "Polar", count: int) -> tuple[list[Tensor], list[Tensor]]:
        """Both terms of psi without damping, and their first derivatives along the angle, `count` in all."""
        return self._first(at.factors, count), self._second(at.factors, self._sign, count)

    def _polar(self, x: Tensor, y: Tensor) -> "Polar":
        X, Y = (1 - x if self.right else x), 1 - y
        r2 = X * X + Y * Y + 1e-24
        return Polar(X, Y, r2, 2 * torch.atan(Y / (torch.sqrt(r2) + X)), 1 / (1 + (self.re / REACH) ** 2 * r2))

    def _first(self, factors: Callable[[int], Factors], count: int = 5) -> list[Tensor]:
        """The factor of r and its first derivatives, `count` in all."""
        return [-self.speed * d for d in STOKES.slopes(factors, count)]

    def _second(self, factors: Callable[[int], Factors], sign: float, count: int = 5) -> list[Tensor]:
        """The factor of r^2, in brackets above, and its first derivatives, `count` in all."""
        convection = sign * self.re * self.speed**2
        if not self.slope:
            return [convection * g for g in CONVECTION.slopes(factors, count)]
        pairs = zip(CONVECTION.slopes(factors, count), SLOPE.slopes(factors, count), strict=True)
        return [convection * g - self.slope * q for g, q in pairs]

    @property
    def _sign(self) -> float:
        return -1.0 if self.right else 1.0

    @cached_property
    def _logarithm(self) -> float:
        """The coefficient of log r in p, beside the term with 1 / r."""
        _, g1, _, g3 = self._second(_on_circle(torch.zeros(1, dtype=torch.float64, device="cpu")), self._sign, 4)
        return -self._sign / self.re * float(4 * g1 + g3)


@dataclass(frozen=True)
class FadingCorner:
    """The singular flow of a corner, its psi and p times a step s(x) from 1 at this end of the lid to 0 at the other.

        s = 1 - 10 X^3 + 15 X^4 - 6 X^5        X the distance from the wall of the corner

    u and v are the slopes of the product: u = (s psi)_y = s psi_y and v = -(s psi)_x = -s psi_x - s_x psi. (N,) each.
    """

    corner: Corner

    def psi(self, x: Tensor, y: Tensor) -> Tensor:
        return self._step(x) * self.corner.psi(x, y)

    def u(self, x: Tensor, y: Tensor) -> Tensor:
        return self._step(x) * self.corner.u(x, y)

    def v(self, x: Tensor, y: Tensor) -> Tensor:
        return self._step(x) * self.corner.v(x, y) - self._step_x(x) * self.corner.psi(x, y)

    def p(self, x: Tensor, y: Tensor) -> Tensor:
        return self._step(x) * self.corner.p(x, y)

    def _step(self, x: Tensor) -> Tensor:
        X = self._distance(x)
        return 1 - X**3 * (10 - 15 * X + 6 * X**2)

    def _step_x(self, x: Tensor) -> Tensor:
        X = self._distance(x)
        return (30.0 if self.corner.right else -30.0) * (X * (1 - X)) ** 2

    def _distance(self, x: Tensor) -> Tensor:
        return 1 - x if self.corner.right else x


class Polar(NamedTuple):
    """Distances from the wall and from the lid, r^2, the angle, and the damping 1 / (1 + r^2 / R^2); (N,) each."""

    X: Tensor
    Y: Tensor
    r2: Tensor
    a: Tensor
    damping: Tensor

    def factors(self, m: int) -> Factors:
        """a, and r^m times 1, cos(m a) and sin(m a), without functions of the angle, for m = 1 or 2."""
        X, Y = self.X, self.Y
        return (self.a, torch.sqrt(self.r2), X, Y) if m == 1 else (self.a, self.r2, X * X - Y * Y, 2 * X * Y)


def _on_circle(a: Tensor) -> Callable[[int], Factors]:
    """The factors 1, cos(m a) and sin(m a)."""
    return lambda m: (a, 1.0, torch.cos(m * a), torch.sin(m * a))


def _value(p: Polynomial, a: Tensor) -> Tensor | float:
    """By Horner's rule; a constant is a number."""
    value: Tensor | float = p[-1]
    for c in reversed(p[:-1]):
        value = value * a + c
    return value


def _slope(p: Polynomial) -> list[float]:
    return [i * c for i, c in enumerate(p)][1:]
