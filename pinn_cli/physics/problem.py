"""A boundary-value problem, written as in a paper.

A residual is a method whose parameters are the symbols of its equation (`symbols.py`): coordinates (``x``), fields
(``u``), derivatives (``u_xx``, ``lap_u``, ``u_n``), coefficients (``nu``), which may vary (``nu_x``). Every symbol is
a tensor (N,), and so is the returned residual, which must vanish. The name of the method is the name of its loss in the
log, the weights and the results file.
"""

import copy
import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, wraps
from numbers import Real
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from pinn_cli.basics.errors import user_method
from pinn_cli.physics.coefficient_fields.base import CoefficientField
from pinn_cli.physics.domains.base import Domain
from pinn_cli.physics.names import EXPECTED, OneOfEachName, is_marked, refuse_clashes
from pinn_cli.physics.symbols import Grammar, Symbol
from pinn_cli.physics.unknowns import Field, fields_of

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Constraint:
    """r = 0 on a region. With `against`, a map of points, it is r(X) - r(against(X)) = 0: a periodic pair.

    `noise` is the standard deviation of the residual of measurements, where it is known.
    """

    name: str
    region: str
    residual: Callable[..., Tensor]
    symbols: dict[str, Symbol]
    against: Callable[[Tensor], Tensor] | None = None
    noise: float | None = None

    @property
    def kind(self) -> str:
        """`interior`, `data`, or else `face`: the key of default numbers of points and default weights."""
        return self.region if self.region in ("interior", "data") else "face"

    @property
    def plain(self) -> Callable[..., Tensor]:
        """The residual with all squares in full, where outliers count less."""
        return getattr(self.residual, "plain", self.residual)


class Measured(Protocol):
    """Measurements from outside a problem, as `data_set.py` makes them: their columns, and the residuals of these.

    Residuals of the class on `data` are `own`; they ask for the symbols `taken`.
    """

    columns: Any

    def constraints(self, problem: "Problem", own: Sequence[Constraint]) -> list[Constraint]: ...
    def names(self, taken: Collection[str]) -> list[str]: ...
    def asked(self, taken: Collection[str]) -> set[str]: ...


def on(region: str, *others: str) -> Callable:
    """Mark a method as a residual that must vanish on `region`. Raises TypeError for more than one region."""
    if others:
        faces = ", ".join(f'"{face}"' for face in (region, *others))
        named = f'type Box(..., names={{"ends": [{faces}]}}) and @on("ends")'
        raise TypeError(f"@on({faces}): expected one region; {named}")

    def mark(method: Callable) -> Callable:
        method._build = lambda problem, name: problem._constraint(name, region)  # type: ignore[attr-defined]
        method._region = region  # type: ignore[attr-defined]
        return method

    return mark


def periodic(coordinate: str) -> Callable:
    """Mark a method whose value must be the same at both ends of `coordinate`: ``@periodic("x") def seam(self, u)``."""

    def mark(method: Callable) -> Callable:
        method._build = lambda problem, name: problem._pair(name, coordinate)  # type: ignore[attr-defined]
        return method

    return mark


def asked_once(question: Callable[..., Answer]) -> Callable[..., Answer]:
    """Keep the answer to a question about a problem with the problem, which does not change once it is made.

    The beginning and the end of a run ask the same questions again and again. Further arguments must be hashable.
    """

    @wraps(question)
    def ask(problem: "Problem", *more: Any) -> Answer:
        answers = problem._answers
        if (question, *more) not in answers:
            answers[question, *more] = question(problem, *more)
        return answers[question, *more]

    return ask


def observable(method: Callable) -> Callable:
    """Mark a method as a derived field, such as a velocity: ``@observable def v(self, psi_x): return -psi_x``."""
    method._observable = True  # type: ignore[attr-defined]
    return method


class Problem(metaclass=OneOfEachName):
    """Base of all problems: a dataclass with `coordinates`, `fields`, a `domain`, and residuals marked by `on`.

    Coefficients are dataclass fields, ``nu: float = 0.1``; `unknowns` are start values of those that are trained. One
    that varies in space or time is a `CoefficientField` (`coefficient_fields/`). An unknown one is a `Field`
    (`unknowns.py`): it moves from `unknowns` to `unknown_fields`, and is the last of the `fields` of the problem.
    `scale` and `offset`, by field, say how large a field is where its conditions do not (`scales.py`):
    ``scale = {"p": 1e5}`` for a pressure of some 1e5 Pa, ``offset = {"T": 300}`` for a temperature near 300 K.

    Optional methods:

    exact(self, x, t)           the exact solution: one tensor (N,), or a tuple with one for each field
    reference(self)             a reference solution (`references/`), where there is no exact one
    measurements(self)          a dict of columns (N,): the coordinates, and what was measured there; {}: nothing.
                                A value that is masked (`numpy.ma`) was not measured at that point
    ansatz(self, x, t, u)       the fields in terms of the network's output u, with conditions imposed exactly; as in a
                                residual, further parameters are coefficients, which may be unknown
    impose(self, x, t, u)       the same, used only with `constraints=exact`; `imposes` names the constraints it meets
    metrics(self, evaluate)     further numbers to report of a prediction, by name
    and derived fields marked by `observable`.

    `data_set` are measurements from outside the class (`data_set.py`), which take the place of its own.
    """

    coordinates: tuple[str, ...]
    fields: tuple[str, ...]
    unknowns: Mapping[str, Any] = {}
    unknown_fields: Mapping[str, Field] = {}
    imposes: tuple[str, ...] = ()
    scale: Mapping[str, float] = {}
    offset: Mapping[str, float] = {}
    domain: Domain
    data_set: "Measured | None" = None

    def __init_subclass__(cls, **options: Any) -> None:
        """Refuse a number without a type, because a dataclass would not make it a coefficient, and residuals of one
        name in two bases, because Python would take the first (TypeError)."""
        super().__init_subclass__(**options)
        typed = inspect.get_annotations(cls)
        for name, value in vars(cls).items():
            if isinstance(value, int | float) and name in EXPECTED:
                raise TypeError(f"{cls.__name__}: {name} = {value!r}: expected {EXPECTED[name]}")
            if isinstance(value, int | float) and not name.startswith("_") and name not in typed:
                kind = type(value).__name__
                raise TypeError(
                    f"{cls.__name__}: `{name} = {value!r}` has no type, so it can be neither overridden nor used as a "
                    f"symbol; write `{name}: {kind} = {value!r}`"
                )
        for name in {name for base in cls.__mro__[1:] for name, member in vars(base).items() if is_marked(member)}:
            first, *others = [base for base in cls.__mro__ if name in vars(base)]
            if rival := next((base for base in others if not issubclass(first, base)), None):
                raise TypeError(
                    f"{cls.__name__}: {first.__name__} and {rival.__name__} both have `{name}`; rename one of them"
                )

    def _take_unknowns(self, unknowns: Mapping[str, Any]) -> None:
        """Of these unknowns, let those that are fields become fields of the problem."""
        fields = fields_of(unknowns, f"{type(self).__name__}.unknowns") if isinstance(unknowns, Mapping) else {}
        if fields:
            self.unknowns = {name: start for name, start in unknowns.items() if name not in fields}
            self.unknown_fields, self.fields = fields, (*self.solution_fields, *fields)

    @property
    def solution_fields(self) -> tuple[str, ...]:
        """The fields that the class has, without those that are unknown functions of some coordinates."""
        return tuple(name for name in self.fields if name not in self.unknown_fields)

    @property
    def coefficients(self) -> dict[str, float]:
        """The numbers of the problem that may be used as symbols, by name."""
        return self._numbers | {k: float(v) for k, v in self.unknowns.items()}

    @property
    def _numbers(self) -> dict[str, Any]:
        """The attributes that are numbers, those of numpy too; that of an unknown field is its true value."""
        numbers = {k: v for k, v in vars(self).items() if isinstance(v, Real) and not isinstance(v, bool)}
        return {k: v for k, v in numbers.items() if k not in self.unknown_fields}

    @property
    def coefficient_fields(self) -> dict[str, CoefficientField]:
        """The coefficients that are known functions of coordinates, by name."""
        public = {k: v for k, v in vars(self).items() if not k.startswith("_") and k not in self.unknown_fields}
        return {k: v for k, v in public.items() if isinstance(v, CoefficientField)}

    def with_(self, **changes: Any) -> "Problem":
        """A changed copy: ``problem.with_(nu=0.1)``."""
        outside = {k: v for k, v in vars(self).items() if k == "data_set"}
        if "unknowns" in vars(self) and "unknowns" not in changes:
            outside["unknowns"] = {**self.unknowns, **self.unknown_fields}
        return given(type(self)(**self._arguments(changes)), **outside)

    def _arguments(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of a changed copy. Raises TypeError for a name that is none."""
        arguments = {k: v for k, v in vars(self).items() if k in inspect.signature(type(self)).parameters}
        unknown = [k for k in changes if k not in inspect.signature(type(self)).parameters]
        if unknown:
            raise TypeError(f"{type(self).__name__} has no coefficient `{unknown[0]}`; it has {', '.join(arguments)}")
        return {**copy.deepcopy(arguments), **changes}

    @cached_property
    def grammar(self) -> Grammar:
        """The symbols that residuals may use. Raises TypeError if the domain does not fit the coordinates."""
        sides = getattr(getattr(self, "domain", None), "coordinates", None)
        if sides != tuple(self.coordinates):
            found = "no domain" if sides is None else f"the sides {', '.join(sides)}"
            expected = f"self.domain = Box({', '.join(f'{c}=(0, 1)' for c in self.coordinates)}) in __post_init__"
            raise TypeError(f"{type(self).__name__}: found {found}; expected {expected}, sides in this order")
        measured = tuple(c for c in self.data_columns if c not in self.coordinates)
        varying, columns = self.coefficient_fields, tuple(self._measured)
        grammar = Grammar(
            self.coordinates, self.fields, tuple(self.coefficients), measured, self.domain.time, columns, varying,
            {name: tuple(unknown.of) for name, unknown in self.unknown_fields.items()},
        )  # fmt: skip
        kinds = {
            "coordinate": self.coordinates,
            "field": self.fields,
            "coefficient": self._numbers,
            "coefficient field": varying,
            "unknown": self.unknowns,
            "measured column": measured,
            "observable": self._marked("_observable"),
            "constraint": self._marked("_build"),
            "residual of measurements": () if self.data_set is None else self.data_set.names(self._asked),
        }
        refuse_clashes(type(self), kinds, grammar.is_derivative)
        return grammar

    @cached_property
    def _measured(self) -> dict[str, Any]:
        """The columns of the data set, or else what `measurements` returns; {} without that method."""
        if self.data_set is not None:
            return self.data_set.columns
        where = f"{type(self).__name__}.measurements"
        with user_method(where):
            columns = self.measurements() if hasattr(self, "measurements") else {}
        if not isinstance(columns, dict):
            found = type(columns).__name__
            raise TypeError(f"{where}: found {found}; expected a dict of columns by name")
        return columns

    @cached_property
    def data_columns(self) -> dict[str, Any]:
        """The columns of `measurements` by name: the coordinates, and those that a residual on `data` asks for."""
        asked = set(self._asked)
        if self.data_set is not None:
            asked |= self.data_set.asked(self._asked)
        columns = copy.copy(self._measured)
        for name in self._measured.keys() - asked - set(self.coordinates):
            del columns[name]
        for name, column in columns.items():
            if type(column) in (list, tuple):
                try:
                    columns[name] = torch.tensor(column, dtype=torch.float64, device="cpu")
                except (TypeError, ValueError) as error:
                    where = f"{type(self).__name__}.measurements: {name}"
                    raise TypeError(f"{where}: {error}; expected a list of numbers") from error
        return columns

    @property
    def _asked(self) -> list[str]:
        """The symbols that the residuals of the class on `data` ask for."""
        residuals = [name for name, region in self._marked("_region").items() if region == "data"]
        return [n for name in residuals for n in inspect.signature(getattr(self, name)).parameters]

    @property
    def data(self) -> Tensor:
        """The points of the region `data` (N, D + columns): the coordinates, then the measured values.

        A value is NaN where it was not measured.
        """
        columns = self.data_columns
        missing = [c for c in self.coordinates if c not in columns]
        if missing:
            raise TypeError(
                f"{type(self).__name__}.measurements: no column `{missing[0]}`; found {', '.join(columns) or 'none'}"
            )
        ordered = [columns[c] for c in (*self.coordinates, *self.grammar.measured)]
        return torch.stack([torch.as_tensor(numbers_of(c), dtype=torch.float64) for c in ordered], 1)

    def constraints(self) -> list[Constraint]:
        """Every marked method, in the order of the class; an overridden one keeps its first place.

        Those on `data` are left out where `measurements` returns {}: there are none. With a data set they come last.
        """
        return [*self._constraints]

    @cached_property
    def _answers(self) -> dict[tuple[Any, ...], Any]:
        """What `asked_once` keeps."""
        return {}

    @cached_property
    def _constraints(self) -> list[Constraint]:
        on_data = {name for name, region in self._marked("_region").items() if region == "data"}
        missing = on_data if on_data and hasattr(self, "measurements") and not self._measured else ()
        own = [build(self, name) for name, build in self._marked("_build").items() if name not in missing]
        if self.data_set is None:
            return own
        measured = self.data_set.constraints(self, [c for c in own if c.region == "data"])
        return [*(c for c in own if c.region != "data"), *measured]

    def share(self, region: str) -> float:
        """The share of the configured number of points that a region gets: 1, except in a window in time."""
        return 1.0

    def observables(self) -> dict[str, tuple[Callable[..., Tensor], dict[str, Symbol]]]:
        """Derived fields by name: the method that computes them, and its symbols."""
        return {n: (getattr(self, n), self._symbols(n, "interior")) for n in self._marked("_observable")}

    def _marked(self, mark: str) -> dict[str, Any]:
        """Marks by method name, base classes first. An override keeps the mark; `name = None` removes it."""
        marks: dict[str, Any] = {}
        for name, member in (item for c in reversed(type(self).__mro__) for item in vars(c).items()):
            if hasattr(member, mark):
                marks[name] = getattr(member, mark)
            elif name in marks and not callable(member):
                del marks[name]
        return marks

    def _symbols(self, name: str, region: str) -> dict[str, Symbol]:
        where, parameters = f"{type(self).__name__}.{name}", inspect.signature(getattr(self, name)).parameters
        for n, parameter in parameters.items():
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
                raise TypeError(f"{where}: found `{parameter}`; expected symbols, each by its name")
            if parameter.default is not parameter.empty:
                raise TypeError(f"{where}: `{n}` has a default, which no symbol has; write the name alone")
            if n in vars(self) and n not in self.grammar.symbols:
                found = f"a {type(vars(self)[n]).__name__}"
                expected = f"a coefficient is a number, e.g. {n}: float = 1.0, a CoefficientField, or drawn"
                raise TypeError(f"{where}: `{n}` is {found}; {expected} (`parameters`)")
        has_normal = region != "data" and self.domain.has_normal(region)
        return {n: self.grammar.parse(n, where, region, has_normal) for n in parameters}

    def _constraint(self, name: str, region: str, against: Callable[[Tensor], Tensor] | None = None) -> Constraint:
        assert self.grammar  # raises if the domain is missing or does not fit, before it is used
        try:
            symbols = self._symbols(name, region)
        except ValueError as error:
            raise TypeError(f"{type(self).__name__}.{name}: {error}") from None
        return Constraint(name, region, getattr(self, name), symbols, against)

    def _pair(self, name: str, coordinate: str) -> Constraint:
        if coordinate not in self.coordinates:
            known = ", ".join(self.coordinates)
            raise TypeError(f"{type(self).__name__}.{name}: @periodic({coordinate!r}); expected a coordinate ({known})")
        try:
            region, opposite = self.domain.periodic_pair(coordinate)
        except ValueError as error:
            raise TypeError(f"{type(self).__name__}.{name}: {error}") from None
        return self._constraint(name, region, against=opposite)


def numbers_of(column: Any) -> Any:
    """A column whose masked values are NaN."""
    return np.ma.filled(column.astype(np.float64), np.nan) if isinstance(column, np.ma.MaskedArray) else column


def given(problem: Problem, **attributes: Any) -> Problem:
    """A copy of a problem with these `unknowns` or this `data_set`; what follows from them is found anew."""
    made = copy.copy(problem)
    for name in [k for k in vars(made) if isinstance(getattr(type(made), k, None), cached_property)]:
        del vars(made)[name]
    if "unknowns" in attributes and made.unknown_fields:
        vars(made).update(unknown_fields={}, fields=made.solution_fields)
    vars(made).update(attributes)
    made._take_unknowns(made.unknowns)
    return made
