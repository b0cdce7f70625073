"""Boundary and initial values imposed exactly on a box, derived from the constraints themselves.

A constraint such as ``u - g(x, t)`` on faces gives g = -r(u=0); with it the field becomes

    u = L(X) + d(X) N(X),        L = g on the faces,  d = 0 on the faces,

where L is built one axis at a time (transfinite interpolation, Gordon & Hall 1973) and d is a product of distances,
each scaled to at most 1. Time comes first: L = u0(x) + (t - t0) u1(x) and d ~ (t - t0)^2 if u_t is given as well.
Data that contradict each other where faces meet are refused: what is blended in for one would spoil the other.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pinn_cli.basics.errors import UsageError
from pinn_cli.derivatives.keys import Index
from pinn_cli.physics.domains import Box
from pinn_cli.physics.problem import Constraint, Problem
from pinn_cli.physics.symbols import Column, Derivative

Ansatz = Callable[[Tensor, Tensor], Tensor]  # points (N, D), network (N, F) -> fields (N, F)
Columns = list[Tensor]  # one (N,) tensor or jet per coordinate
Function = Callable[[Columns], Any]  # of the columns: a tensor or jet (N,), or one number for all points


@dataclass(frozen=True)
class Given:
    """A field's value, or its slope in time, as a constraint prescribes it on some faces."""

    constraint: str
    field: int
    index: Index
    faces: list[tuple[int, int]]
    value: Function


def written_ansatz(problem: Problem, name: str = "ansatz") -> Ansatz | None:
    """The ansatz of a problem's own method ``ansatz(self, x, t, u)``, which returns one field or a tuple of all."""
    method = getattr(problem, name, None)
    if method is None:
        return None

    def apply(X: Tensor, u: Tensor) -> Tensor:
        coordinates = {c: X[:, i] for i, c in enumerate(problem.coordinates)}
        fields = {f: u[:, i] for i, f in enumerate(problem.fields)}
        out = method(**coordinates, **fields)
        return torch.stack(list(out) if isinstance(out, tuple) else [out], -1)

    return apply


def derive(problem: Problem) -> tuple[Ansatz | None, list[str]]:
    """The ansatz that makes all Dirichlet and initial constraints exact, and their names; None if there are none.

    Raises UsageError for conditions that contradict each other.
    """
    given = [g for c in problem.constraints() if (g := _given(problem, c)) is not None]
    box = problem.domain
    usable = [g for g in given if not any(g.index) or _is_velocity(g, given, box)]
    if not usable:
        return None, []
    builders = [_build(box, [g for g in usable if g.field == k]) for k in range(len(problem.fields))]
    for g in usable:
        _refuse_contradiction(problem, g, builders[g.field][0])

    def ansatz(X: Tensor, u: Tensor) -> Tensor:
        columns = [X[:, i] for i in range(box.dimension)]
        return torch.stack(
            [lift(columns) + distance(columns) * u[:, k] for k, (lift, distance) in enumerate(builders)], -1
        )

    return ansatz, [g.constraint for g in usable]


def held_by_period(problem: Problem, periodic: Collection[str]) -> list[str]:
    """Pairs across a coordinate that the network sees as sine and cosine: they hold whatever its parameters are."""
    pairs = {c.name: c.region.partition("=")[0] for c in problem.constraints() if c.against is not None}
    symbols = {c.name: c.symbols for c in problem.constraints()}
    return [name for name, across in pairs.items() if across in periodic and across not in symbols[name]]


def _refuse_contradiction(problem: Problem, g: Given, lift: Function) -> None:
    """Just inside, the lift must have the value prescribed (slopes are blended in with what they belong to)."""
    unit = torch.rand(64, problem.domain.dimension, generator=torch.Generator("cpu").manual_seed(1), device="cpu")
    X = problem.domain.sample(next(c.region for c in problem.constraints() if c.name == g.constraint), unit.double())
    inside = X + 1e-9 * (X.new_tensor([problem.domain.lower, problem.domain.upper]).mean(0) - X)
    value = torch.as_tensor(g.value(list(X.unbind(1))))
    gap = float((torch.as_tensor(lift(list(inside.unbind(1)))) - value).abs().max())
    if not any(g.index) and gap > 1e-6 * (1 + float(value.abs().max())):
        raise UsageError(
            f"constraints=exact: `{g.constraint}` contradicts itself or another condition on "
            f"{problem.fields[g.field]} where faces meet (by up to {gap:.2g}); type constraints=soft"
        )


def _given(problem: Problem, c: Constraint) -> Given | None:
    """What a constraint prescribes, if its residual is `scale * (value - g)` in a single field's value or slope."""
    derivatives = {n: s for n, s in c.symbols.items() if isinstance(s, Derivative)}
    others = all(isinstance(s, Column) for n, s in c.symbols.items() if n not in derivatives)
    faces = [] if c.kind == "data" else problem.domain.faces(c.region)
    if not faces or c.against is not None or len(derivatives) != 1 or not others:
        return None
    ((name, symbol),) = derivatives.items()
    if not isinstance(symbol.index, tuple) or sum(symbol.index) > 1:
        return None
    D = problem.domain.dimension
    unit = torch.rand(32, D, generator=torch.Generator("cpu").manual_seed(0), dtype=torch.float64, device="cpu")
    X = problem.domain.sample(c.region, unit)

    def residual(columns: Columns, level: float) -> Tensor:
        at = {n: columns[s.position] for n, s in c.symbols.items() if isinstance(s, Column)}
        return c.residual(**at, **{name: torch.zeros_like(columns[0]) + level})

    r0, r1, r2 = (residual(list(X.unbind(1)), level) for level in (0.0, 1.0, 2.0))
    scale = float((r1 - r0)[0])
    if scale == 0 or not torch.allclose(r1 - r0, torch.full_like(r0, scale)) or not torch.allclose(r2 - r1, r1 - r0):
        return None
    value = _nothing if not r0.any() else lambda columns: residual(columns, 0.0) * (-1 / scale)
    return Given(c.name, symbol.field, symbol.index, faces, value)


def _is_velocity(g: Given, given: list[Given], box: Box) -> bool:
    """A slope can be imposed if it is the slope in time where time begins, and the value there is given too."""
    if box.time is None:
        return False
    start = (box.coordinates.index(box.time), 0)
    in_time = g.index[start[0]] == 1 and g.faces == [start]
    values = [o for o in given if o.field == g.field and not any(o.index)]
    at_the_end = any((start[0], 1) in o.faces for o in values)  # with it the slope would need a lift of its own: soft
    return in_time and not at_the_end and any(o.faces == [start] for o in values)


def _build(box: Box, given: list[Given]) -> tuple[Function, Function]:
    """Lift and distance of one field."""
    lift: Function = _nothing
    distance: Function = _one
    axes = sorted(range(box.dimension), key=lambda i: box.coordinates[i] != box.time)
    for i in axes:
        ends = {end: g.value for g in given if not any(g.index) for axis, end in g.faces if axis == i}
        slope = next((g.value for g in given if any(g.index) and g.index[i]), None)
        if ends:
            lift = _lift_along(i, (box.lower[i], box.upper[i]), lift, ends, slope)
            distance = _distance_along(i, (box.lower[i], box.upper[i]), distance, set(ends), slope is not None)
    return lift, distance


def _lift_along(
    i: int, sides: tuple[float, float], below: Function, ends: dict[int, Function], slope: Function | None
) -> Function:
    """Add to `below` what it lacks at the ends of axis i, blended linearly between them."""
    functions = [below, *ends.values(), *([slope] if slope else [])]
    if all(f is _nothing for f in functions):
        return _nothing

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


def _distance_along(i: int, sides: tuple[float, float], below: Function, ends: set[int], slope: bool) -> Function:
    """The distance to the faces of axis i, at most 1: 4 xi (1 - xi), xi, xi^2 or 1 - xi."""

    def distance(columns: Columns) -> Tensor:
        xi = _coordinate(columns[i], sides)
        here = 4 * xi * (1 - xi) if len(ends) == 2 else (xi * xi if slope else xi) if 0 in ends else 1 - xi
        return here if below is _one else below(columns) * here

    return distance


def _coordinate(column: Tensor, sides: tuple[float, float]) -> Tensor:
    return (column - sides[0]) * (1 / (sides[1] - sides[0]))


def _nothing(columns: Columns) -> float:
    return 0.0


def _one(columns: Columns) -> float:
    return 1.0
