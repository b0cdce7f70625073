"""The singular part of the flow where a moving lid meets a wall at rest.

X is the distance from the wall, Y that from the lid, r and a the polar coordinates with a = 0 on the lid and pi / 2 on
the wall. A lid of speed V + S X + ... at the corner has there (Batchelor 1967, section 4.8; Botella & Peyret 1998)

    psi = -V r f(a) + r^2 [+- Re V^2 g(a) - S q(a)] + smaller terms        upper sign: left corner

f and q are Stokes flow; g is what convection does to f: with k = f + f'', g'''' + 4 g'' = (f k)'. Each vanishes with
its slope at both angles, but for f'(0) = q'(0) = 1.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from math import pi

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

    def derivative(self, order: int) -> "Angular":
        """Its derivative of this order."""
        return self if order == 0 else self.slope().derivative(order - 1)


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
    """The corner at x = 0, or at x = 1 if `right`, below a lid of `speed` V and `slope` S away from the wall.

    An unknown `re` is a tensor, () or (N,), through which derivatives flow.
    """

    re: float | Tensor
    speed: float
    slope: float
    right: bool

    def __call__(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        """The singular psi and what the equations need of it, (N,) each; z stands for lap psi = -vorticity.

        psi, psi_x, psi_y, z, z_x, z_y; bilaplace = lap z; head, the part of p + (u^2 + v^2) / 2, and shear_x, shear_y,
        the part of z grad psi, that are equally singular. At r = 0, infinite values are replaced by those at r = 1e-3.
        """
        sign, X, Y = self.sign, (1 - x if self.right else x), 1 - y
        r, a = torch.hypot(X, Y), torch.atan2(Y, X)
        cos, sin, R = torch.cos(a), torch.sin(a), torch.where(r > 0, r, 1e-3)
        f, f1, f2, f3 = (self.first(k, _on_circle(a)(1)) for k in range(4))
        g, g1, g2, g3, g4 = (self.second(k, _on_circle(a)(2)) for k in range(5))
        k, k1, h, h1, h2 = f + f2, f1 + f3, 4 * g + g2, 4 * g1 + g3, 4 * g2 + g4

        def xy(radial: Tensor, angular: Tensor) -> tuple[Tensor, Tensor]:
            return sign * (radial * cos - angular * sin), -(radial * sin + angular * cos)

        psi_x, psi_y = xy(f + 2 * r * g, f1 + r * g1)
        z_x, z_y = xy(-k / R**2, k1 / R**2 + h1 / R)
        shear_x, shear_y = xy(f * k / R, f1 * k / R)
        head = sign / self.re * k1 / R + self.logarithm * torch.log(R) + (f**2 + f1**2) / 2
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

    def first(self, order: int, factors: Factors) -> Tensor:
        """The factor of r, its derivative of this order."""
        return -self.speed * STOKES.derivative(order)(*factors)

    def second(self, order: int, factors: Factors) -> Tensor:
        """The factor of r^2, in brackets above, its derivative of this order."""
        of_convection = self.sign * self.re * self.speed**2 * CONVECTION.derivative(order)(*factors)
        return of_convection - self.slope * SLOPE.derivative(order)(*factors) if self.slope else of_convection

    @property
    def sign(self) -> float:
        return -1.0 if self.right else 1.0

    @property
    def logarithm(self) -> float | Tensor:
        """The coefficient of log r in p, beside the term with 1 / r."""
        convection = -(self.speed**2) * ON_LID_G
        return convection + (self.sign / self.re * self.slope * ON_LID_Q if self.slope else 0.0)


class FadingCorner:
    """The singular flow of a corner at points x, y (N,), times a step s(x) from 1 at this end of the lid to 0 at the
    other.

        s = 1 - 10 X^3 + 15 X^4 - 6 X^5        X the distance from the wall of the corner

    u and v are the slopes of the product: u = (s psi)_y = s psi_y and v = -(s psi)_x = -s psi_x - s_x psi. All are
    (N,), by functions that jets know; r is at least 1e-12. What several of them need is computed once, because
    derivatives of a long formula take time, and much more time to compile.

    The expansion holds for small Re r. So the factors r^2 and log r of its second term are, with R = REACH / Re,
    r^2 / (1 + r^2 / R^2) and log(r / sqrt(r^2 + R^2)), which stay bounded.
    """

    def __init__(self, corner: Corner, x: Tensor, y: Tensor):
        self.corner = corner
        self.X, self.Y = X, Y = (1 - x if corner.right else x), 1 - y
        self.r2 = X**2 + Y**2 + 1e-24
        r, self.over_r2 = torch.sqrt(self.r2), 1 / self.r2
        angle = 2 * torch.atan(Y / (r + X))
        self.damping = damping = 1 / (1 + (corner.re / REACH) ** 2 * self.r2)
        self.first = first = angle, r, X, Y  # r cos a and r sin a without functions of the angle
        second = angle, self.r2, X**2 - Y**2, 2 * X * Y  # and those of 2 a
        f, self.f_a, g = corner.first(0, first), corner.first(1, first), corner.second(0, second)
        self.whole = f + damping * g  # psi before it fades
        self.along = f + 2 * damping**2 * g  # r psi_r
        self.across = self.f_a + damping * corner.second(1, second)  # the derivative of psi along the angle
        self.step = 1 - X**3 * (10 - 15 * X + 6 * X**2)

    @property
    def psi(self) -> Tensor:
        return self.step * self.whole

    @property
    def u(self) -> Tensor:
        return -self.step * self.over_r2 * (self.along * self.Y + self.across * self.X)

    @property
    def v(self) -> Tensor:
        psi_X = self.over_r2 * (self.along * self.X - self.across * self.Y)
        step_X = -30.0 * (self.X * (1 - self.X)) ** 2
        return -self.corner.sign * (self.step * psi_X + step_X * self.whole)

    @property
    def p(self) -> Tensor:
        stokes = self.corner.sign / self.corner.re * self.over_r2 * (self.f_a + self.corner.first(3, self.first))
        return self.step * (stokes + self.corner.logarithm / 2 * torch.log(self.r2 * self.damping))


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


def _on_lid(h: Angular) -> float:
    """4 h_a + h_aaa at a = 0."""
    factors = _on_circle(torch.zeros(1, dtype=torch.float64, device="cpu"))(h.m)
    return float(4 * h.derivative(1)(*factors) + h.derivative(3)(*factors))


ON_LID_G, ON_LID_Q = _on_lid(CONVECTION), _on_lid(SLOPE)  # numbers of tensors, which a compiled step cannot take
