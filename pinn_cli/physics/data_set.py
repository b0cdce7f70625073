"""Measurements that are given to any problem from outside: a table, or values of the reference with added noise.

A column with the name of a field, a derivative or an observable (`u`, `u_x`, `v`; also `u_data`) holds measured values
of it. Each such symbol s gets a residual on the region `data`, unless a residual of the class asks for its column,

    r = s - s_data,    or with a known standard deviation sigma of the noise    r = (s - s_data) / sigma

so that the sum of squares over all measurements is -2 log of a normal likelihood, up to a constant. With `huber` = c,
squares grow only linearly beyond c standard deviations (Huber 1964), r = sign(r) sqrt(2 c |r| - c^2), so that outliers
count less.

Different symbols may be measured at different points: the cell of a text file is empty where a symbol was not measured,
and its residual has the other rows alone. A `nan` is refused, since a failed computation writes it too.

    N = measurements
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pinn_cli.basics.errors import UsageError, nearest
from pinn_cli.physics.problem import Constraint, Problem, numbers_of
from pinn_cli.physics.references import reference_of
from pinn_cli.physics.references.base import Reference
from pinn_cli.physics.references.delimited import Text
from pinn_cli.physics.references.table import Columns, place_of, read_table, refuse_non_numbers, refuse_text
from pinn_cli.physics.symbols import Derivative, Symbol

DATA, SIGMA = "_data", "_sigma"  # ends of the names of columns: values, and their standard deviations
KEYS = ("file", "points", "noise", "seed", "noise_seed", "of", "sigma", "huber")
MADE = ("points", "noise", "seed", "noise_seed", "of")  # keys of data that are made from the reference
SAMPLES = 10_000  # points at which the deviation of a solution is taken, to which noise is relative
LARGEST = 1e150  # of a measured value: the loss has its square
APART = 6.0  # standard deviations of a difference: repeated measurements beyond contradict each other


@dataclass(frozen=True)
class Difference:
    """s - s_data (N,) for one symbol; `value` computes an observable from its symbols, None: the symbol itself."""

    symbol: str
    value: Callable[..., Tensor] | None = None

    def __call__(self, **symbols: Tensor) -> Tensor:
        measured = symbols.pop(f"{self.symbol}{DATA}")
        return (symbols[self.symbol] if self.value is None else self.value(**symbols)) - measured


@dataclass(frozen=True)
class Standardised:
    """A residual of measurements in standard deviations of their noise, `sigma`: a number, or the name of a column.

    Beyond `huber` of them, squares grow only linearly.
    """

    inner: Callable[..., Tensor]
    sigma: float | str
    huber: float | None = None

    def __call__(self, **symbols: Tensor) -> Tensor:
        r = self.plain(**symbols)
        if self.huber is None:
            return r
        size = r.abs().clamp_min(self.huber)  # the root has no slope at 0
        return torch.where(r.abs() <= self.huber, r, r.sign() * (2 * self.huber * size - self.huber**2).sqrt())

    def plain(self, **symbols: Tensor) -> Tensor:
        """The residual with all squares in full."""
        sigma = symbols.pop(self.sigma) if isinstance(self.sigma, str) else self.sigma
        return self.inner(**symbols) / sigma


@dataclass
class DataSet:
    """Columns (N,) by name: the coordinates, ``u_data``, ``u_sigma``, and what else a table has.

    `sigma` is the standard deviation of the noise by symbol: a number, the name of a column, or None (not known).
    """

    columns: Columns
    sigma: Mapping[str, float | str | None]
    huber: float | None = None

    def constraints(self, problem: Problem, own: Sequence[Constraint]) -> list[Constraint]:
        """The residuals `own` of a class on `data`, and one for each measured symbol that none of them asks for."""
        taken = {name for c in own for name in c.symbols}
        made = [self._difference(problem, symbol) for symbol in self._free(taken)]
        return [self._standardised(problem, c) for c in (*own, *made)]

    def names(self, taken: Collection[str]) -> list[str]:
        """The names of the residuals that are made, where those of the class ask for the symbols `taken`."""
        return [name_of(symbol) for symbol in self._free(taken)]

    def asked(self, taken: Collection[str]) -> set[str]:
        """The columns that all these residuals read, besides those `taken`."""
        return {f"{s}{DATA}" for s in self._free(taken)} | {s for s in self.sigma.values() if isinstance(s, str)}

    def _free(self, taken: Collection[str]) -> list[str]:
        return [s for s in self.sigma if f"{s}{DATA}" not in taken]

    def _difference(self, problem: Problem, symbol: str) -> Constraint:
        """s - s_data."""
        method, parsed = problem.observables().get(symbol, (None, {}))
        names = [f"{symbol}{DATA}", *([symbol] if method is None else [])]
        symbols = {**parsed, **{name: _parsed(problem, name) for name in names}}
        return Constraint(name_of(symbol), "data", Difference(symbol, method), symbols)

    def _standardised(self, problem: Problem, c: Constraint) -> Constraint:
        """A residual that reads one measured symbol, in standard deviations of its noise where that is known."""
        read = [s for s in self.sigma if f"{s}{DATA}" in c.symbols]
        sigma = self.sigma[read[0]] if len(read) == 1 else None
        if sigma is None:
            return c
        symbols = c.symbols | ({sigma: _parsed(problem, sigma)} if isinstance(sigma, str) else {})
        return replace(c, residual=Standardised(c.residual, sigma, self.huber), symbols=symbols, noise=1.0)


def _parsed(problem: Problem, name: str) -> Symbol:
    return problem.grammar.parse(name, f"{type(problem).__name__}: measurements", "data")


def name_of(symbol: str) -> str:
    """The name of the residual of its measurements."""
    return f"measured_{symbol}"


def data_set(setting: Any, problem: Problem, read: Callable[[str | Path], Columns] = read_table) -> DataSet:
    """The measurements that `problem.data` describes: the name of a file, or a table of `KEYS`.

    file         CSV, TSV, NPZ, HDF5 or Parquet with columns by name
    points       how many points are drawn at random in the domain, or from those of a tabulated reference
    noise        standard deviation of the noise that is added there, relative to that of the solution on the domain
    seed         of the points; noise_seed: of the noise, by default the same
    of           the symbols that are measured; by default all fields that the reference knows
    sigma        standard deviation of the noise: a number, or one by symbol; by default it is estimated from the fit
    huber        residuals beyond this many standard deviations count linearly; it needs a sigma

    Raises UsageError for what cannot be measurements, with file and line where there is one.
    """
    table = {"file": setting} if isinstance(setting, str | Path) else setting
    if not isinstance(table, Mapping) or not table:
        raise UsageError(f"problem.data={setting}: expected the name of a file, or e.g. {{points: 200, noise: 0.01}}")
    for key in table:
        if key not in KEYS:
            raise UsageError(f"unknown key `problem.data.{key}`; {nearest(str(key), KEYS)}")
    own: dict[str, Any] = {key: value for key, value in table.items() if value is not None}
    if ("file" in own) == ("points" in own):
        raise UsageError("problem.data: expected either a file or a number of points, e.g. problem.data=probe.csv")
    if "file" in own and (odd := [key for key in own if key in MADE]):
        raise UsageError(f"problem.data.{odd[0]}: a file has its own points and values; leave it out")
    columns = _from_file(str(own["file"]), problem, read) if "file" in own else _from_reference(own, problem)
    known = _measurable(problem)
    symbols = [s for name in columns if name.endswith(DATA) and known(s := name.removesuffix(DATA))]
    sigma = {s: _sigma(own.get("sigma"), s, columns) for s in symbols}
    _refuse_names(own.get("sigma"), symbols)
    huber = _positive(own["huber"], "problem.data.huber") if "huber" in own else None
    if huber is not None and (missing := [s for s, noise in sigma.items() if noise is None]):
        raise UsageError(f"problem.data.huber={huber}: it counts in standard deviations; type problem.data.sigma=, "
                         f"the standard deviation of the noise of {missing[0]}")  # fmt: skip
    columns = _with_gaps(columns, [*(f"{s}{DATA}" for s in sigma), *(s for s in sigma.values() if isinstance(s, str))])
    _refuse_bad_rows(columns, problem, sigma, huber is not None)
    return DataSet(columns, sigma, huber)


# --- from a file ------------------------------------------------------------------------------------------------------


def _from_file(path: str, problem: Problem, read: Callable[[str | Path], Columns]) -> Columns:
    """The columns of a table, those of measured symbols named ``u_data``."""
    table = read(path)
    found = f"found {', '.join(table) or 'none'}"
    if missing := [c for c in problem.coordinates if c not in table]:
        raise UsageError(f"{path}: no column `{missing[0]}`; {found}; expected the coordinates "
                         f"{', '.join(problem.coordinates)} and what was measured")  # fmt: skip
    known = _measurable(problem)
    renamed = {}
    for name, column in table.items():
        full = f"{name}{DATA}" if name not in problem.coordinates and known(name) else name
        if full in renamed:
            short = full.removesuffix(DATA)
            raise UsageError(f"{path}: columns `{short}` and `{full}` both hold its values; remove one")
        renamed[full] = column
    if not any(name.endswith(DATA) and known(name.removesuffix(DATA)) for name in renamed):
        fields = ", ".join([*problem.fields, *problem.observables()])
        raise UsageError(f"{path}: no column is a field or an observable; {found}; expected {fields}")
    return Columns(renamed, path, table.lines)


def _with_gaps(columns: Columns, names: Collection[str]) -> Columns:
    """The columns, those `names` masked where a cell of a text file is empty; the others stay as they are."""
    read = {n: c.with_gaps() if isinstance(c, Text) and n in names else c for n, c in columns.items()}
    return Columns(read, columns.path, columns.lines)


def _measurable(problem: Problem) -> Callable[[str], bool]:
    """Whether a name is a field, a derivative of one, or an observable."""

    def known(name: str) -> bool:
        if name in problem.observables():
            return True
        try:
            return isinstance(problem.grammar.parse(name, "", "data"), Derivative)
        except TypeError:
            return False

    return known


# --- from the reference -----------------------------------------------------------------------------------------------


def _from_reference(own: Mapping[str, Any], problem: Problem) -> Columns:
    """Values of the reference at random points, with normal noise."""
    where = f"problem.data: {type(problem).__name__}"
    reference = reference_of(problem)
    if reference is None:
        raise UsageError(f"{where} has no `exact` and no `reference` to measure; type problem.data=FILE")
    counts = {key: _whole(own.get(key, least), f"problem.data.{key}", least)
              for key, least in (("points", 1), ("seed", 0))}  # fmt: skip
    noise_seed = _whole(own.get("noise_seed", counts["seed"]), "problem.data.noise_seed", 0)
    noise = own.get("noise", 0.0)
    if not isinstance(noise, int | float) or isinstance(noise, bool) or not 0 <= noise < inf:
        raise UsageError(f"problem.data.noise={noise}: expected a number from 0 on, e.g. 0.01 for 1 %")
    of = own.get("of", [name for name in reference.fields if name in problem.solution_fields])
    of = [of] if isinstance(of, str) else list(of)
    for name in of:
        if name not in reference.fields:
            raise UsageError(f"problem.data.of: the reference does not know `{name}`; "
                             f"{nearest(str(name), reference.fields)}")  # fmt: skip
    X = _points(problem, reference, counts["points"], counts["seed"])
    clean, sizes = reference(X), _deviations(problem, reference)
    generator = torch.Generator("cpu").manual_seed(noise_seed + 2**32)  # not the numbers of the points
    normal = {name: torch.randn(len(X), generator=generator, dtype=torch.float64, device="cpu") for name in of}
    values = {f"{n}{DATA}": clean[n].double().cpu() + noise * sizes[n] * normal[n] for n in of}
    points = dict(zip(problem.coordinates, X.double().cpu().unbind(1), strict=True))
    made = f"made from the reference of {type(problem).__name__}"
    return Columns(points | values, made)


def _points(problem: Problem, reference: Reference, count: int, seed: int) -> Tensor:
    """Random points (count, D) of the domain; of a tabulated reference some of its own."""
    generator = torch.Generator("cpu").manual_seed(seed)
    if reference.at is None:
        unit = torch.rand(count, len(problem.coordinates), generator=generator, dtype=torch.float64, device="cpu")
        return problem.domain.sample("interior", unit)
    if count != len(reference.at):
        raise UsageError(f"problem.data.points={count}: the reference is a table of {len(reference.at)} points; "
                         f"type problem.data.points={len(reference.at)}, or problem.data=FILE")  # fmt: skip
    return reference.at


def _deviations(problem: Problem, reference: Reference) -> dict[str, float]:
    """The standard deviation of every field of the reference on the domain."""
    axes = len(problem.coordinates)
    X = problem.domain.grid(max(2, round(SAMPLES ** (1 / axes)))) if reference.at is None else reference.at
    return {name: float(v[v.isfinite()].double().std(correction=0)) for name, v in reference(X).items()}


# --- the noise --------------------------------------------------------------------------------------------------------


def _sigma(setting: Any, symbol: str, columns: Mapping[str, Any]) -> float | str | None:
    """The standard deviation of the noise of one symbol: as typed, else the column ``u_sigma`` or ``sigma``."""
    own = setting.get(symbol) if isinstance(setting, Mapping) else setting
    if own is None:
        return next((name for name in (f"{symbol}{SIGMA}", "sigma") if name in columns), None)
    if isinstance(own, str):
        if own not in columns:
            raise UsageError(f"problem.data.sigma={own}: no such column; {nearest(own, columns)}")
        return own
    return _positive(own, "problem.data.sigma")


def _refuse_names(setting: Any, symbols: Sequence[str]) -> None:
    """Refuse a sigma of what was not measured (UsageError)."""
    for name in setting if isinstance(setting, Mapping) else ():
        if name not in symbols:
            raise UsageError(f"problem.data.sigma.{name}: not measured; {nearest(str(name), symbols)}")


def _positive(number: Any, where: str) -> float:
    if not isinstance(number, Real) or isinstance(number, bool) or not 0 < float(number) < inf:
        raise UsageError(f"{where}={number}: expected a number above 0")
    return float(number)


def _whole(number: Any, where: str, least: int) -> int:
    if not isinstance(number, int) or isinstance(number, bool) or not least <= number < 2**32:
        raise UsageError(f"{where}={number}: expected a whole number from {least} on")
    return number


# --- bad rows ---------------------------------------------------------------------------------------------------------


def _refuse_bad_rows(
    columns: Columns, problem: Problem, sigma: Mapping[str, float | str | None], outliers: bool
) -> None:
    """Refuse values that are no finite numbers, a sigma that is missing or not above 0, repeats that contradict."""
    used = [*problem.coordinates, *(f"{s}{DATA}" for s in sigma), *(s for s in sigma.values() if isinstance(s, str))]
    read = Columns({name: columns[name] for name in dict.fromkeys(used)}, columns.path, columns.lines)
    for name, column in read.items():
        if isinstance(column, Text) and name not in problem.coordinates:
            raise UsageError(f"{columns.path}: {column.fault(name)} (where nothing was measured, the cell is empty)")
        if np.ma.getmaskarray(np.ma.asarray(column)).all():
            raise UsageError(f"{columns.path}: column {name} is empty; expected numbers, or no such column")
    refuse_text(read, columns.path)
    shapes = {name: tuple(column.shape) for name, column in read.items()}
    if len(set(shapes.values())) > 1 or any(len(shape) != 1 for shape in shapes.values()):
        raise UsageError(f"{columns.path}: columns of shapes {shapes}; expected (N,), all of one length")
    refuse_non_numbers(read, columns.path)
    numbers = {name: torch.as_tensor(numbers_of(c), dtype=torch.float64) for name, c in read.items()}
    _refuse_values_without_sigma(columns, numbers, sigma)
    for name, column in numbers.items():
        for row in (column.abs() > LARGEST).nonzero()[:1, 0].tolist():
            raise UsageError(f"{columns.path}: {place_of(columns, row)}: {name} is {float(column[row]):g}, and its "
                             "square is no finite number; expected another unit, or no such line")  # fmt: skip
    for name in {s for s in sigma.values() if isinstance(s, str)}:
        for row in (numbers[name] <= 0).nonzero()[:1, 0].tolist():
            raise UsageError(f"{columns.path}: {place_of(columns, row)}: {name} is {float(numbers[name][row]):g}; "
                             "expected a standard deviation above 0")  # fmt: skip
    if not outliers:
        _refuse_contradictions(columns, numbers, problem.coordinates, sigma)


def _refuse_values_without_sigma(
    columns: Columns, numbers: Mapping[str, Tensor], sigma: Mapping[str, float | str | None]
) -> None:
    for symbol, name in sigma.items():
        alone = numbers[f"{symbol}{DATA}"].isfinite() & numbers[name].isnan() if isinstance(name, str) else None
        for row in () if alone is None else alone.nonzero()[:1, 0].tolist():
            raise UsageError(f"{columns.path}: {place_of(columns, row)}: {symbol} was measured, and {name} is empty; "
                             "expected a standard deviation above 0")  # fmt: skip


def _refuse_contradictions(
    columns: Columns,
    numbers: Mapping[str, Tensor],
    coordinates: Sequence[str],
    sigma: Mapping[str, float | str | None],
) -> None:
    """Refuse two measurements at one point that differ by far more than their noise; that of the column if unknown."""
    every, points = _sorted(torch.stack([numbers[c] for c in coordinates], 1))
    for symbol, known in sigma.items():
        there = numbers[f"{symbol}{DATA}"][every].isfinite()
        order, X = every[there], points[there]
        same, values = (X[1:] == X[:-1]).all(1), numbers[f"{symbol}{DATA}"][order]
        if known is None:
            bound = values.std(correction=0).expand(len(values))
        else:
            bound = numbers[known][order] if isinstance(known, str) else torch.full_like(values, known)
            bound = APART * 2**0.5 * bound
        apart = same & ((values[1:] - values[:-1]).abs() > torch.maximum(bound[1:], bound[:-1]))
        for k in apart.nonzero()[:1, 0].tolist():
            first, second = sorted(order[k : k + 2].tolist())
            one, other = (float(numbers[f"{symbol}{DATA}"][row]) for row in (first, second))
            raise UsageError(
                f"{columns.path}: {place_of(columns, first)} and {place_of(columns, second)}: {symbol} is {one:g} and "
                f"{other:g} at the same point; expected repeated values that differ by their noise: remove one of them"
            )


def _sorted(X: Tensor) -> tuple[Tensor, Tensor]:
    """The order of the rows of X (N, D) by their values, so that equal rows are neighbours, and X in this order."""
    order = torch.arange(len(X), device=X.device)
    for column in reversed(range(X.shape[1])):
        order = order[X[order, column].argsort(stable=True)]
    return order, X[order]
