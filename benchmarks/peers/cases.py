"""The problems of the comparison, written without a framework: every contestant reads the same formulas.

`m` is the module of functions (torch or jax.numpy), `x` the coordinates, and `d(field, *axes)` a derivative of a field:
`d(0)` is u, `d(0, 1, 1)` its second derivative along the second coordinate.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import pi
from typing import Any

Formula = Callable[[Any, Any, Callable[..., Any]], Any]  # (m, x, d) -> a residual
Target = Callable[[Any, Any], Any]  # (m, x) -> a value


@dataclass(frozen=True)
class Condition:
    """d(field, *axes) = target on a face."""

    field: int
    target: Target
    axes: tuple[int, ...] = ()


@dataclass(frozen=True)
class Face:
    """The points where a coordinate has one of its two ends: (axis, end) each, with what holds on all of them."""

    sides: tuple[tuple[int, float], ...]
    conditions: tuple[Condition, ...]


@dataclass(frozen=True)
class Case:
    """A problem on a rectangle: one mean square for each equation and for each condition of each face."""

    name: str  # of the problem of this package
    words: tuple[str, ...]  # its settings, for the same equations
    low: tuple[float, float]
    high: tuple[float, float]
    fields: int
    equations: tuple[Formula, ...]
    faces: tuple[Face, ...]
    in_time: bool = False  # the second coordinate is the time
    pin: int | None = None  # a field that is 0 at the corner `low`


def zero(m, x):
    return 0.0 * x[0]


def wave_target(m, x):
    return x[0] * m.cos(5 * pi * x[1]) + (x[0] * x[1]) ** 3


def helmholtz(m, x, d):
    q = (1 - 17 * pi**2) * m.sin(pi * x[0]) * m.sin(4 * pi * x[1])
    return d(0, 0, 0) + d(0, 1, 1) + d(0) - q


def klein_gordon(m, x, d):
    f = 6 * x[1] * x[0] ** 3 - 25 * pi**2 * x[0] * m.cos(5 * pi * x[1]) - 6 * x[0] * x[1] ** 3
    return d(0, 1, 1) - d(0, 0, 0) + d(0) ** 3 - f - wave_target(m, x) ** 3


def burgers(m, x, d):
    return d(0, 1) + d(0) * d(0, 0) - 0.01 / pi * d(0, 0, 0)


def momentum(component):
    def formula(m, x, d):
        viscous = (d(component, 0, 0) + d(component, 1, 1)) / 100
        return d(0) * d(component, 0) + d(1) * d(component, 1) + d(2, component) - viscous

    return formula


def continuity(m, x, d):
    return d(0, 0) + d(1, 1)


def lid(m, x):
    return m.where(x[1] == 1, 16 * x[0] ** 2 * (1 - x[0]) ** 2, 0.0 * x[0])


def around(low, high):
    """All four sides of a rectangle."""
    return tuple((axis, end) for axis in (0, 1) for end in (low[axis], high[axis]))


BOX, UNIT = ((-1.0, -1.0), (1.0, 1.0)), ((0.0, 0.0), (1.0, 1.0))
CASES = {
    case.name: case
    for case in (
        Case("helmholtz", (), *BOX, 1, (helmholtz,), (Face(around(*BOX), (Condition(0, zero),)),)),
        Case(
            "klein_gordon", (), *UNIT, 1, (klein_gordon,),
            (
                Face(((0, 0.0),), (Condition(0, zero),)),
                Face(((0, 1.0),), (Condition(0, wave_target),)),
                Face(((1, 0.0),), (Condition(0, lambda m, x: x[0]), Condition(0, zero, (1,)))),
            ),
            in_time=True,
        ),
        Case(
            "burgers", (), (-1.0, 0.0), (1.0, 1.0), 1, (burgers,),
            (
                Face(((0, -1.0), (0, 1.0)), (Condition(0, zero),)),
                Face(((1, 0.0),), (Condition(0, lambda m, x: -m.sin(pi * x[0])),)),
            ),
            in_time=True,
        ),
        Case(
            "lid_driven_cavity", ("problem.lid=regularised", "problem.corner_flow=false"), *UNIT, 3,
            (momentum(0), momentum(1), continuity),
            (Face(around(*UNIT), (Condition(0, lid), Condition(1, zero))),), pin=2,
        ),
    )
}  # fmt: skip
