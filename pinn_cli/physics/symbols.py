"""The grammar of symbols: what the parameter names of a residual mean.

    x            a coordinate
    u            a field, of the solution or an unknown one
    u_xx, u_xt   a partial derivative
    lap_u        the Laplacian in space, one collapsed stream
    u_n          the outward normal derivative, on a face
    nu           a coefficient: its value, or the unknown that is being trained; a coefficient field: its value here
    nu_x, nu_xy  a partial derivative of a coefficient field
    u_data       a measured column, on the region `data`

Each symbol says which derivatives it `needs`, and reads its value, one number per point, from a `Place`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor

from pinn_cli.derivatives.algebra import unit
from pinn_cli.derivatives.keys import Index, Lap
from pinn_cli.physics.coefficient_fields.base import CoefficientField
from pinn_cli.physics.names import refuse_no_name


@dataclass
class Place:
    """What symbols are read from at N points: derivatives (N, F), points (N, D + columns), normals (N, D)."""

    values: Mapping[Index | Lap, Tensor]
    points: Tensor
    normals: Tensor | None
    coefficients: dict[str, Tensor]  # each (N,)


class Symbol(Protocol):
    """A symbol: the derivatives that it needs, and its value (N,) at a place."""

    @property
    def needs(self) -> frozenset[Index | Lap]: ...
    def read(self, at: Place) -> Tensor: ...


@dataclass(frozen=True)
class Column:
    """A coordinate, or a measured value that is stored with its point."""

    position: int
    needs: frozenset = frozenset()

    def of(self, columns: Sequence[Any]) -> Any:
        """The value (N,) at points that are given column by column, as tensors or jets."""
        return columns[self.position]

    def read(self, at: Place) -> Tensor:
        return at.points[:, self.position]


@dataclass(frozen=True)
class Derivative:
    """A field, one of its partial derivatives, or its Laplacian."""

    field: int
    index: Index | Lap

    @property
    def needs(self) -> frozenset[Index | Lap]:
        return frozenset({self.index})

    def read(self, at: Place) -> Tensor:
        return at.values[self.index][:, self.field]


@dataclass(frozen=True)
class Normal:
    """du/dn = sum_i n_i du/dx_i over the axes of space, n the outward normal of the region."""

    field: int
    axes: tuple[int, ...]
    dimension: int

    @property
    def needs(self) -> frozenset[Index | Lap]:
        return frozenset(unit(axis, self.dimension) for axis in self.axes)

    def read(self, at: Place) -> Tensor:
        assert at.normals is not None
        terms = [at.normals[:, i] * at.values[unit(i, self.dimension)][:, self.field] for i in self.axes]
        return sum(terms[1:], terms[0])


@dataclass(frozen=True)
class Coefficient:
    """A coefficient of the equation, by its name."""

    name: str
    needs: frozenset = frozenset()

    def read(self, at: Place) -> Tensor:
        return at.coefficients[self.name]


@dataclass(frozen=True)
class FieldValue:
    """A coefficient field, or one of its derivatives: a function of some coordinates, so it is read from the points."""

    function: CoefficientField
    positions: tuple[int, ...]
    needs: frozenset = frozenset()

    def of(self, columns: Sequence[Any]) -> Any:
        """The value (N,) at points that are given column by column, as tensors or jets."""
        return self.function(*(columns[i] for i in self.positions))

    def read(self, at: Place) -> Tensor:
        return self.of(at.points.unbind(1))


@dataclass(frozen=True)
class Grammar:
    """The symbols that the residuals of one problem may use. Raises TypeError for ambiguous names."""

    coordinates: tuple[str, ...]
    fields: tuple[str, ...]
    coefficients: tuple[str, ...] = ()
    measured: tuple[str, ...] = ()
    time: str | None = None
    columns: tuple[str, ...] = ()  # all of a table, also those that no residual asks for
    varying: Mapping[str, CoefficientField] = field(default_factory=dict)
    seen: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # the coordinates of fields that have fewer

    def __post_init__(self) -> None:
        for kind, names in (("coordinates", self.coordinates), ("fields", self.fields)):
            if isinstance(names, str) or not names:
                raise TypeError(f'{kind} = {names!r}: expected a tuple of names, e.g. {kind} = ("{names or "u"}",)')
        for c in self.coordinates:
            refuse_no_name("coordinate", c)
            if len(c) != 1 or c == "n":
                raise TypeError(f"coordinate `{c}`: expected one letter other than n (u_n is the normal derivative)")
        for f in self.fields:
            refuse_no_name("field", f)
            if "_" in f or f == "lap" or f in self.coordinates:
                raise TypeError(f"field `{f}`: expected a name without underscore that is no coordinate and not `lap`")
        for name, own in self.seen.items():
            if other := [c for c in own if c not in self.coordinates]:
                known = ", ".join(self.coordinates)
                raise TypeError(f"unknown field `{name}` is a function of {other[0]}; expected of {known}")
        for name, of in self.varying.items():
            refuse_no_name("coefficient field", name)
            if "_" in name or name == "lap":
                raise TypeError(f"coefficient field `{name}`: expected a name without underscore other than `lap`")
            if other := [c for c in of.coordinates if c not in self.coordinates]:
                known = ", ".join(self.coordinates)
                raise TypeError(f"coefficient field `{name}` is a function of {other[0]}; expected of {known}")

    @property
    def space(self) -> tuple[int, ...]:
        return tuple(i for i, c in enumerate(self.coordinates) if c != self.time)

    @property
    def symbols(self) -> tuple[str, ...]:
        """The names that are symbols as they stand; derivatives are made from them."""
        return (*self.coordinates, *self.fields, *self.coefficients, *self.varying, *self.measured)

    def is_derivative(self, name: str) -> bool:
        """Whether a name means a derivative of a field, such as `u_xx`, `nu_x`, `lap_u` or, on a face, `u_n`."""
        field, _, suffix = name.partition("_")
        known = set(suffix) <= {*self.coordinates, "n"} and bool(suffix)
        return (field == "lap" and suffix in self.fields) or (field in (*self.fields, *self.varying) and known)

    def parse(self, name: str, where: str, region: str, has_normal: bool = False) -> Symbol:
        """The symbol called `name` in the residual `where` on `region`. Raises TypeError if there is none."""
        D = len(self.coordinates)
        if name in self.coordinates:
            return Column(self.coordinates.index(name))
        if name in self.measured and region == "data":
            return Column(D + self.measured.index(name))
        if name in self.coefficients:
            return Coefficient(name)
        field, _, suffix = name.partition("_")
        if field in self.varying and all(c in self.coordinates for c in suffix) and not name.endswith("_"):
            return self._field_value(name, where)
        if field == "lap" and suffix in self.fields and not self.space:
            way = f"write e.g. `{suffix}_{self.time}{self.time}`"
            raise TypeError(f"{where}: `{name}` is the Laplacian in space, and the only coordinate is time; {way}")
        if field == "lap" and suffix in self.fields:
            return Derivative(self.fields.index(suffix), Lap(self.space, D))
        if field in self.fields and suffix == "n" and has_normal:
            return Normal(self.fields.index(field), self.space, D)
        if field in self.fields and all(c in self.coordinates for c in suffix) and not name.endswith("_"):
            _refuse_vanishing(name, where, suffix, self.seen.get(field, self.coordinates))
            return Derivative(self.fields.index(field), tuple(suffix.count(c) for c in self.coordinates))
        raise TypeError(f"{where}: `{name}` {self._expected(region, has_normal)}")

    def _field_value(self, name: str, where: str) -> FieldValue:
        field, _, suffix = name.partition("_")
        function = self.varying[field]
        _refuse_vanishing(name, where, suffix, function.coordinates)
        try:
            function = function.derivative(tuple(suffix.count(c) for c in function.coordinates))
        except ValueError as error:
            reason = f"because `{field}` has no such derivative: {error}"
            raise TypeError(f"{where}: `{name}` is no symbol, {reason}") from None
        return FieldValue(function, tuple(self.coordinates.index(c) for c in function.coordinates))

    def _expected(self, region: str, has_normal: bool) -> str:
        u, x = self.fields[0], self.coordinates[0]
        known = [f"a coordinate ({', '.join(self.coordinates)})", f"a field ({', '.join(self.fields)})"]
        known += [f"a derivative such as `{u}_{x}`, `{u}_{x}{x}` or `lap_{u}`"]
        known += [f"a normal derivative `{u}_n`"] * has_normal
        coefficients = ", ".join((*self.coefficients, *self.varying))
        known += [f"a coefficient ({coefficients})"] * bool(coefficients)
        columns = [c for c in self.columns or self.measured if c not in self.coordinates]
        known += [f"a measured column ({', '.join(columns)})"] * bool(columns and region == "data")
        return f"is no symbol of the region `{region}`; expected {', '.join(known[:-1])} or {known[-1]}"


def _refuse_vanishing(name: str, where: str, suffix: str, own: Sequence[str]) -> None:
    """Refuse the derivative of a field by a coordinate that it does not depend on (TypeError)."""
    if other := [c for c in suffix if c not in own]:
        field = name.partition("_")[0]
        raise TypeError(f"{where}: `{name}` vanishes, because `{field}` is a function of {', '.join(own)} and not of "
                        f"{other[0]}; leave it out")  # fmt: skip
