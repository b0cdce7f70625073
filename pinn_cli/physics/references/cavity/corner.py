"""The singular part of the flow where a moving lid meets a wall at rest.

X is the distance from the wall, Y that from the lid, r and a the polar coordinates with a = 0 on the lid and pi / 2 on
the wall. A lid of speed V + S X + ... at the corner has there (Batchelor 1967, section 4.8; Botella & Peyret 1998)

    psi = -V r f(a) + r^2 [+- Re V^2 g(a) - S q(a)] + smaller terms        upper sign: left corner

f and q are Stokes flow; g is what convection does to f: with k = f + f'', g'''' + 4 g'' = (f k)'. Each vanishes with
its slope at both angles, but for f'(0) = q'(0) = 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from math import pi

import torch
from torch import Tensor

Polynomial = Sequence[float]  # coefficients, the constant first


@dataclass(frozen=True)
class Angular:
    """A function of the angle, plain(a) + cosine(a) cos(m a) + sine(a) sin(m a), each factor a polynomial."""

    m: int
    plain: Polynomial
    cosine: Polynomial
    sine: Polynomial

    def __call__(self, a: Tensor) -> Tensor:
        cos, sin = torch.cos(self.m * a), torch.sin(self.m * a)
        return _value(self.plain, a) + _value(self.cosine, a) * cos + _value(self.sine, a) * sin

    def slope(self) -> "Angular":
        """Its derivative."""
        cosine, sine = [self.m * c for c in self.cosine], [self.m * c for c in self.sine]
        return Angular(
            self.m,
            _slope(self.plain),
            [x + y for x, y in zip_longest(_slope(self.cosine), sine, fillvalue=0.0)],
            [x - y for x, y in zip_longest(_slope(self.sine), cosine, fillvalue=0.0)],
        )

    def slopes(self, a: Tensor) -> list[Tensor]:
        """Value and first four derivatives at a (N,)."""
        values, function = [], self
        for _ in range(5):
            values.append(function(a))
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
        sign = -1.0 if self.right else 1.0
        X, Y = (1 - x if self.right else x), 1 - y
        r, a = torch.hypot(X, Y), torch.atan2(Y, X)
        cos, sin, R = torch.cos(a), torch.sin(a), torch.where(r > 0, r, 1e-3)
        f, f1, f2, f3, _ = (-self.speed * d for d in STOKES.slopes(a))
        g, g1, g2, g3, g4 = self._second(a, sign)
        k, k1, h, h1, h2 = f + f2, f1 + f3, 4 * g + g2, 4 * g1 + g3, 4 * g2 + g4

        def xy(radial: Tensor, angular: Tensor) -> tuple[Tensor, Tensor]:
            return sign * (radial * cos - angular * sin), -(radial * sin + angular * cos)

        psi_x, psi_y = xy(f + 2 * r * g, f1 + r * g1)
        z_x, z_y = xy(-k / R**2, k1 / R**2 + h1 / R)
        shear_x, shear_y = xy(f * k / R, f1 * k / R)
        head = sign / self.re * k1 / R + self._logarithm(sign) * torch.log(R) + (f**2 + f1**2) / 2
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

    def flow(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The singular psi, u, v, p, (N,) each, by functions that jets know; r is at least 1e-12.

        The expansion holds for small Re r. So the factors r^2 and log r of the second term are, with R = REACH / Re,
        r^2 / (1 + r^2 / R^2) and log(r / sqrt(r^2 + R^2)), which stay bounded.
        """
        sign, reach = (-1.0 if self.right else 1.0), REACH / self.re
        X, Y = (1 - x if self.right else x), 1 - y
        r2 = X * X + Y * Y + 1e-24
        r, damping = torch.sqrt(r2), 1 / (1 + r2 / reach**2)
        a = 2 * torch.atan(Y / (r + X))  # atan2(Y, X)
        f, f1, _, f3, _ = (-self.speed * d for d in STOKES.slopes(a))
        g, g1, _, _, _ = self._second(a, sign)
        along, across = f + 2 * r * damping * damping * g, f1 + r * damping * g1  # psi_r, psi_a / r
        u, v = -(along * Y + across * X) / r, -sign * (along * X - across * Y) / r
        p = sign / self.re * (f1 + f3) / r + self._logarithm(sign) / 2 * torch.log(r2 * damping)
        return r * f + r2 * damping * g, u, v, p

    def _second(self, a: Tensor, sign: float) -> list[Tensor]:
        """The factor of r^2, in brackets above, and its derivatives."""
        convection = sign * self.re * self.speed**2
        pairs = zip(CONVECTION.slopes(a), SLOPE.slopes(a), strict=True)
        return [convection * g - self.slope * q for g, q in pairs]

    def _logarithm(self, sign: float) -> float:
        """The coefficient of log r in p, beside the term with 1 / r."""
        _, g1, _, g3, _ = self._second(torch.zeros(1, dtype=torch.float64, device="cpu"), sign)
        return -sign / self.re * float(4 * g1 + g3)


def _value(p: Polynomial, a: Tensor) -> Tensor:
    return sum((c * a**i for i, c in enumerate(p)), 0 * a)


def _slope(p: Polynomial) -> list[float]:
    return [i * c for i, c in enumerate(p)][1:]
