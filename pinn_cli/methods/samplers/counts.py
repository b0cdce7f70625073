"""How many points each constraint gets, and which constraints share them.

    points: {interior: 2048, face: 128, data: all, wall: 500, "x=0": 50}

The name of a constraint counts before the name of its region, and that before its kind (`interior`, `face`, `data`).
A number for faces is the number on each face. A face that is one point (in one dimension, or a named point) gets one
point, whatever the number. A window in time may take a share of the number. Measurements are used all at once,
and constraints share those that have all the values which they read.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pinn_cli.basics.errors import UsageError, nearest
from pinn_cli.physics.domains.base import Free
from pinn_cli.physics.points import PointSet, point_set
from pinn_cli.physics.problem import Constraint, Problem

KINDS = ("interior", "face", "data")
Count = int | str


@dataclass(frozen=True)
class Draw:
    """Points that several constraints share: `count` (None: all their measurements) on each of `parts`, of one region.

    A part is given by the coordinates of the unit cube that move its points (`Domain.parts`).
    """

    region: str
    count: int | None
    parts: tuple[Free, ...]
    names: tuple[str, ...]

    @property
    def rows(self) -> int | None:
        """How many points there are on all parts; None: as many as there are measurements."""
        return None if self.count is None else self.count * len(self.parts)


def plan(problem: Problem, points: Mapping[str, Count], imposed: Collection[str] = ()) -> list[Draw]:
    """The draws for the constraints that are not imposed exactly.

    Raises UsageError for a number that is missing or not positive, and for an unknown constraint, region or kind.
    """
    constraints = problem.constraints()
    known = dict.fromkeys([*KINDS, *(c.region for c in constraints), *(c.name for c in constraints)])
    for key in points:
        if key not in known:
            raise UsageError(f"points.{key}: no such constraint or region; {nearest(key, known)}")
    shared: dict[tuple[PointSet, int | None], list[str]] = {}
    for c in constraints:
        if c.name not in imposed:
            shared.setdefault((point_set(problem, c), _count(problem, c, points)), []).append(c.name)
    return [Draw(region, n, _parts(problem, region), tuple(names)) for ((region, _), n), names in shared.items()]


def _count(problem: Problem, constraint: Constraint, points: Mapping[str, Count]) -> int | None:
    key = next((k for k in (constraint.name, constraint.region, constraint.kind) if k in points), None)
    if constraint.kind == "data":
        if key is not None and points[key] != "all":
            raise UsageError(f"points.{key}={points[key]}: measurements are taken all at once, type points.{key}=all")
        return None
    if key is None:
        raise UsageError(f"no number of points for `{constraint.name}`: type points.{constraint.kind}=128")
    n = points[key]
    if not isinstance(n, int) or isinstance(n, bool) or n <= 0:
        raise UsageError(f"points.{key}={n}: expected a positive whole number, e.g. points.{key}=128")
    n = max(1, round(n * problem.share(constraint.region)))
    return 1 if constraint.kind == "face" and problem.domain.is_point(constraint.region) else n


def _parts(problem: Problem, region: str) -> tuple[Free, ...]:
    return () if region == "data" else tuple(problem.domain.parts(region))


def place(problem: Problem, region: str, parts: Sequence[Tensor]) -> Tensor:
    """Map points of the unit cube, (count, D) for each part of the region, onto it: (count * parts, D).

    The parts are interleaved, since a domain deals rows out to its faces in turn.
    """
    return problem.domain.sample(region, torch.stack(list(parts), 1).flatten(0, 1))
