"""A box: a product of intervals, in space and possibly in time.

interior    the box itself
boundary    all faces in space          initial     the face where time begins
x=0         one face                    lid         faces given a name of their own
gauge       one point given a name of its own
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite, nan

import torch
from torch import Tensor

from pinn_cli.physics.domains.base import Domain, Free, Given, Interpolant, lattice
from pinn_cli.physics.domains.transfinite import interpolant

Face = tuple[int, int]  # (axis, end): end 0 is the lower, 1 the upper


@dataclass(init=False)
class Box(Domain):
    """A product of intervals, ``Box(x=(-1, 1), t=(0, 1))``; time is the coordinate `t` unless told otherwise.

    ``names={"lid": ["y=1"], "walls": ["x=0", "x=1", "y=0"]}`` gives faces a name, ``points={"gauge": (0, 0)}`` a point.
    Raises ValueError for a side without length, and for a point outside or with the name of another region.
    """

    coordinates: tuple[str, ...]
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    time: str | None
    names: dict[str, list[str]] = field(default_factory=dict)
    points: dict[str, tuple[float, ...]] = field(default_factory=dict)

    def __init__(
        self,
        *,
        time: str | None = "t",
        names: Mapping[str, Sequence[str]] | None = None,
        points: Mapping[str, Sequence[float]] | None = None,
        **sides: tuple[float, float],
    ):
        if not sides:
            raise ValueError("Box(): expected at least one side, e.g. Box(x=(0, 1))")
        ends = {c: _ends_of(c, side) for c, side in sides.items()}
        self.coordinates = tuple(sides)
        self.lower = tuple(low for low, _ in ends.values())
        self.upper = tuple(high for _, high in ends.values())
        if time not in (None, "t", *sides):
            raise ValueError(f"time={time!r}: no such side; expected one of {', '.join(sides)}, or time=None")
        self.time = time if time in sides else None
        self.names = {name: list(faces) for name, faces in (names or {}).items()}
        self.points = {name: tuple(map(float, point)) for name, point in (points or {}).items()}
        for c, (low, high) in zip(self.coordinates, self.extents, strict=True):
            if not low < high:
                raise ValueError(f"side {c}=({low:g}, {high:g}): expected the lower end first and a positive length")
        own = ["interior", "boundary", "initial", "data", *self.regions[-2 * self.dimension :]]
        for name, faces in (names or {}).items():
            if name in own:
                raise ValueError(f"name {name}: there is a region of this name already; choose another")
            if isinstance(faces, str):
                raise ValueError(f"name {name}: expected a list of faces, e.g. [{faces!r}]")
        for name, point in self.points.items():
            if self.regions.count(name) > 1:
                raise ValueError(f"point {name}: there is a region of this name already; choose another")
            at = torch.tensor([point], dtype=torch.float64, device="cpu")
            if len(point) != self.dimension or not self.contains(at).all():
                raise ValueError(f"point {name}={point}: expected {self.dimension} coordinates inside the box")

    @property
    def extents(self) -> tuple[tuple[float, float], ...]:
        return tuple(zip(self.lower, self.upper, strict=True))

    @property
    def space(self) -> list[int]:
        """The axes of space."""
        return [i for i, c in enumerate(self.coordinates) if c != self.time]

    @property
    def regions(self) -> list[str]:
        named = [
            "interior",
            *(["boundary"] if self.space else []),
            *(["initial"] if self.time else []),
            *self.names,
            *self.points,
        ]
        return named + [self._spell(i, end) for i in range(self.dimension) for end in (0, 1)]

    def faces(self, region: str) -> list[Face]:
        """The faces that make up a region; none for the interior and a point. Raises ValueError for no region."""
        if region == "interior" or region in self.points:
            return []
        if region == "boundary" and self.space:
            return [(i, end) for i in self.space for end in (0, 1)]
        if region == "initial" and self.time:
            return [(self.coordinates.index(self.time), 0)]
        if region in self.names:
            return [face for name in self.names[region] for face in self.faces(name)]
        return [self._parse(region)]

    def parts(self, region: str) -> list[Free]:
        every = tuple(range(self.dimension))
        if region in self.points:
            return [()]
        return [tuple(i for i in every if i != axis) for axis, _ in self.faces(region)] or [every]

    def sample(self, region: str, unit: Tensor) -> Tensor:
        low, high = self._ends(unit)
        if region in self.points:
            return torch.tensor(self.points[region], dtype=unit.dtype, device=unit.device).expand_as(unit).clone()
        X = low + (high - low) * unit
        faces = self.faces(region)
        for k, (axis, end) in enumerate(faces):
            X[k :: len(faces), axis] = (low, high)[end][axis]
        return X

    def contains(self, X: Tensor) -> Tensor:
        low, high = self._ends(X)
        return ((low <= X) & (high >= X)).all(1)

    def lies_on(self, region: str, X: Tensor) -> Tensor:
        low, high = self._ends(X)
        near = 1e-6 * (high - low)
        if region in self.points:
            return ((X - X.new_tensor(self.points[region])).abs() <= near).all(1)
        inside = ((low - near <= X) & (high + near >= X)).all(1)
        on = [(X[:, i] - (low, high)[end][i]).abs() <= near[i] for i, end in self.faces(region)]
        return inside & torch.stack(on).any(0) if on else inside

    def has_normal(self, region: str) -> bool:
        return any(axis in self.space for axis, _ in self.faces(region))

    def normal(self, region: str, X: Tensor) -> Tensor:
        """Outward unit normals (N, D) of the nearest face of the region; at a corner, of the first listed."""
        low, high = self._ends(X)
        faces = self.faces(region)
        gaps = [(X[:, i] - (low, high)[end][i]).abs() / (high - low)[i] for i, end in faces]
        unit = torch.eye(self.dimension, dtype=X.dtype, device=X.device)
        outward = torch.stack([(2 * end - 1) * unit[i] for i, end in faces])
        return outward[torch.stack(gaps).argmin(0)]

    def periodic_pair(self, coordinate: str) -> tuple[str, Callable[[Tensor], Tensor]]:
        axis = self.coordinates.index(coordinate)

        def opposite(X: Tensor) -> Tensor:
            X = X.clone()
            X[:, axis] = self.upper[axis]
            return X

        return self._spell(axis, 0), opposite

    def interpolate(self, given: Sequence[Given]) -> Interpolant:
        """Values on faces, and the derivative in time where time begins; the axis of time is blended first."""
        values = {i: g for i, g in enumerate(given) if not any(g.index) and self.faces(g.region)}
        slopes = {i: g for i, g in enumerate(given) if self._is_velocity(g, list(values.values()))}
        met = values | slopes
        axes = sorted(range(self.dimension), key=lambda i: self.coordinates[i] != self.time)
        return interpolant(
            [met[i] for i in sorted(met)],
            {axis: self.extents[axis] for axis in axes},
            {axis: {end: g.value for g in values.values() for a, end in self.faces(g.region) if a == axis}
             for axis in axes},
            {axis: next((g.value for g in slopes.values() if g.index[axis]), None) for axis in axes},
        )  # fmt: skip

    def _is_velocity(self, g: Given, values: Sequence[Given]) -> bool:
        """A slope can be imposed if it is the slope in time where time begins, and the value there is given too."""
        if self.time is None or not self.is_initial(g.region):
            return False
        axis = self.coordinates.index(self.time)
        # With a value at the end of time as well, the slope would need a polynomial of its own: it stays soft.
        at_the_end = any((axis, 1) in self.faces(o.region) for o in values)
        return g.index[axis] == 1 and not at_the_end and any(self.is_initial(o.region) for o in values)

    def is_initial(self, region: str) -> bool:
        return self.time is not None and self.faces(region) == [(self.coordinates.index(self.time), 0)]

    def spans_time(self, region: str) -> bool:
        return region not in self.points and all(axis in self.space for axis, _ in self.faces(region))

    def between(self, coordinate: str, start: float, end: float) -> "Box":
        """The part with start <= coordinate <= end; its lower face also goes by the name of the whole box's."""
        i = self.coordinates.index(coordinate)
        sides = dict(zip(self.coordinates, self.extents, strict=True))
        lower, face = self._spell(i, 0), f"{coordinate}={start:g}"
        names = self.names if lower == face else {lower: [face], **self.names}
        points = {name: point for name, point in self.points.items() if start <= point[i] <= end}
        return Box(time=self.time, names=names, points=points, **sides | {coordinate: (start, end)})

    def grid(self, n: int) -> Tensor:
        """n^D uniform nodes (n^D, D), the boundary included; the last coordinate runs fastest. Float64, on the CPU."""
        return lattice(self.extents, n)

    def _ends(self, like: Tensor) -> Tensor:
        """Lower and upper ends (2, D)."""
        return torch.tensor([self.lower, self.upper], dtype=like.dtype, device=like.device)

    def _spell(self, axis: int, end: int) -> str:
        low, high = self.extents[axis]
        at = (low, high)[end]
        return f"{self.coordinates[axis]}={at}" if f"{low:g}" == f"{high:g}" else f"{self.coordinates[axis]}={at:g}"

    def _parse(self, region: str) -> Face:
        coordinate, _, value = region.partition("=")
        if coordinate in self.coordinates and value:
            i = self.coordinates.index(coordinate)
            for end, at in enumerate(self.extents[i]):
                if f"{coordinate}={value.strip()}" == self._spell(i, end) or _number(value) == at:
                    return i, end
        raise ValueError(f"no region `{region}`; expected one of: {', '.join(self.regions)}")


def _ends_of(coordinate: str, side: object) -> tuple[float, float]:
    try:
        low, high = (float(end) for end in side)  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        low = high = nan
    if not isfinite(low) or not isfinite(high):
        raise ValueError(f"side {coordinate}={side!r}: expected two finite numbers, the lower end first")
    return low, high


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


class Interval(Box):
    """A box of one dimension, ``Interval(x=(0, 1))``; each of its faces is a point."""

    def __init__(self, **side: tuple[float, float]):
        super().__init__(time=None, names=None, points=None, **side)
        if self.dimension != 1:
            raise ValueError(f"an Interval has one side, found {', '.join(self.coordinates)}; expected Box(...)")
