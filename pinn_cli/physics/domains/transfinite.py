"""Conditions on the faces of a box, imposed exactly.

    u = L(X) + d(X) N(X),        L = g on the faces,  d = 0 on the faces,

L is built one axis at a time (transfinite interpolation, Gordon & Hall 1973), and d is a product of distances, each
scaled to at most 1. Time comes first: L = u0(x) + (t - t0) u1(x) and d ~ (t - t0)^2 if u_t is given as well.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from pinn_cli.physics.domains.base import Columns, Function, Given, Interpolant, one, zero

Sides = tuple[float, float]


def interpolant(
    met: Sequence[Given],
    sides: Mapping[int, Sides],
    ends: Mapping[int, Mapping[int, Function]],
    slopes: Mapping[int, Function | None],
) -> Interpolant:
    """Lift and distance of one field; the conditions `met` by axis, in the order in which they are blended.

    `sides` are the two ends of each axis, `ends` the values given at its lower (0) and upper (1) face, `slopes` the
    derivative along it that is given at its lower face.
    """
    lift: Function = zero
    distance: Function = one
    for axis, side in sides.items():
        if ends[axis]:
            lift = _lift_along(axis, side, lift, ends[axis], slopes[axis])
            distance = _distance_along(axis, side, distance, set(ends[axis]), slopes[axis] is not None)
    return Interpolant(met, lift, distance)


def _lift_along(
    i: int, sides: Sides, below: Function, ends: Mapping[int, Function], slope: Function | None
) -> Function:
    """Add to `below` what it lacks at the ends of axis i, blended linearly between them."""
    functions = [below, *ends.values(), *([slope] if slope else [])]
    if all(f is zero for f in functions):
        return zero

    def lift(columns: Columns) -> Tensor:
        out = below(columns)
        for end, value in ends.items():
            at = [*columns]
            at[i] = torch.zeros_like(columns[i]) + sides[end]
            blend = _coordinate(columns[i], sides) if end else 1 - _coordinate(columns[i], sides)
            gap = value(at) - below(at)
            out = out + (gap * blend if len(ends) == 2 else gap)
            if slope is not None:
                out = out + (columns[i] - sides[end]) * slope(at)
        return out

    return lift


def _distance_along(i: int, sides: Sides, below: Function, ends: set[int], slope: bool) -> Function:
    """The distance to the faces of axis i, at most 1: 4 xi (1 - xi), xi, xi^2 or 1 - xi."""

    def distance(columns: Columns) -> Tensor:
        xi = _coordinate(columns[i], sides)
        here = 4 * xi * (1 - xi) if len(ends) == 2 else (xi * xi if slope else xi) if 0 in ends else 1 - xi
        return here if below is one else below(columns) * here

    return distance


def _coordinate(column: Tensor, sides: Sides) -> Tensor:
    return (column - sides[0]) * (1 / (sides[1] - sides[0]))
