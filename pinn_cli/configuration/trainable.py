"""The constraints of a problem, if all of them can be trained.

Each residual is evaluated with trial values in place of a network. It must give one number per point. A point must not
influence the residual at another one: an exact Jacobian and weights per point rely on this. A field must influence it.

    N = points   F = fields
"""

import inspect
import traceback
from collections.abc import Mapping
from math import isfinite, isnan
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from pinn_cli.basics.errors import UsageError, nearest, user_method
from pinn_cli.physics.ansatz import written_ansatz
from pinn_cli.physics.names import EXPECTED
from pinn_cli.physics.points import measured_rows, trial_points
from pinn_cli.physics.problem import Constraint, Problem
from pinn_cli.physics.references.table import Columns, place_of, refuse_non_numbers, refuse_text
from pinn_cli.physics.symbols import Place
from pinn_cli.physics.terms import supplied

Values = dict[str, Tensor]  # (N,) by symbol
N = 16  # trial points
BEYOND = 1e-6  # of an extent by which a domain may reach beyond the grid of a coefficient field
EXTREME = 1e30  # a coefficient beyond it, or below its inverse, may leave the range of numbers


def trainable_constraints(problem: Problem) -> list[Constraint]:
    """The constraints of a problem.

    Raises UsageError if there are none, or if a residual, the measurements or the ansatz cannot be trained; the message
    names the method and what is wrong with it.
    """
    try:
        _check_unknowns(problem)
        constraints = problem.constraints()
        _check_coefficients(problem, constraints)
        _check_coefficient_fields(problem)
        _refuse_names_of_regions(problem, constraints)
        if any(constraint.region == "data" for constraint in constraints):
            _check_measurements(problem)
    except TypeError as error:
        raise UsageError(str(error)) from error
    if not constraints:
        raise UsageError(
            f"{type(problem).__name__} has no constraint; mark its residuals with @on(...) or @periodic(...)"
        )
    for constraint in constraints:
        _check_residual(problem, constraint)
    for name, (method, symbols) in problem.observables().items():
        _row_by_row(problem, Constraint(name, "interior", method, symbols), "observable")
    _check_ansatz(problem)
    names = [c.name for c in constraints]
    if not isinstance(problem.imposes, list | tuple):
        raise UsageError(f"{type(problem).__name__}: imposes = {problem.imposes!r}: expected {EXPECTED['imposes']}")
    for name in problem.imposes:
        if name not in names:
            raise UsageError(f"{type(problem).__name__}.imposes: no constraint `{name}`; {nearest(name, names)}")
    return constraints


def _check_unknowns(problem: Problem) -> None:
    """Require a dict of start values, each a finite number (UsageError)."""
    where, unknowns = f"{type(problem).__name__}.unknowns", problem.unknowns
    if not isinstance(unknowns, Mapping):
        raise UsageError(f"{where} = {unknowns!r}: expected start values by name, e.g. {{'k': 1.0}}")
    for name, value in unknowns.items():
        if not isinstance(value, Real) or isinstance(value, bool) or not isfinite(value):
            raise UsageError(f"{where}: `{name}` starts at {value!r}; expected a finite number")


def _check_coefficients(problem: Problem, constraints: list[Constraint]) -> None:
    """Refuse a coefficient that is NaN, and one without bound that a residual names (UsageError)."""
    named = {name for c in constraints for name in c.symbols}
    for name, value in coefficients(problem).items():
        if isnan(value) or (name in named and not isfinite(value)):
            raise UsageError(f"{type(problem).__name__}: {name} = {value:g}; expected a finite number")


def _check_coefficient_fields(problem: Problem) -> None:
    """Require one finite number per point of each coefficient field, whatever the other points are (UsageError)."""
    X = trial_points(problem, "interior", N)
    for name, function in problem.coefficient_fields.items():
        where = f"{type(problem).__name__}.{name}"
        for c, (low, high) in (function.box or {}).items():
            first, last = problem.domain.extent(c)
            if min(first - low, high - last) < -BEYOND * (last - first):
                known = f"known for {c} from {low:g} to {high:g}"
                raise UsageError(f"{where}: the field is {known}; expected {first:g} to {last:g}, the whole domain")
        columns = [X[:, problem.coordinates.index(c)] for c in function.coordinates]
        with user_method(where):
            values, first = function(*columns), function(*(c[:1] for c in columns))
        if not isinstance(values, Tensor) or values.shape != (N,):
            shown = f"shape {tuple(values.shape)}" if isinstance(values, Tensor) else f"type {type(values).__name__}"
            raise UsageError(f"{where}: the field at {N} points has {shown}; expected ({N},), one number per point")
        if not values.is_floating_point() or not values.isfinite().all():
            raise UsageError(f"{where}: the field is not finite at {int((~values.isfinite()).sum())} of {N} points; "
                             "expected finite real numbers")  # fmt: skip
        if _differ(values[:1], first).any():
            raise UsageError(f"{where}: the value at one point depends on others; write it point by point")


def _refuse_names_of_regions(problem: Problem, constraints: list[Constraint]) -> None:
    """Refuse a constraint with the name of another region or kind: `points.NAME` would mean both (UsageError)."""
    for c in constraints:
        others = {"interior", "face", "data"}.union(*({o.region, o.kind} for o in constraints if o is not c))
        if c.name in others - {c.region, c.kind}:
            raise UsageError(
                f"{type(problem).__name__}.{c.name} has the name of another region, so `weights.{c.name}` would "
                "mean both; choose another name"
            )


def _check_residual(problem: Problem, constraint: Constraint) -> None:
    values, r = _row_by_row(problem, constraint, "residual")
    where, fields = f"{type(problem).__name__}.{constraint.name}", ", ".join(problem.fields)
    # A residual that is not finite here may be so for the network: `training/finite.py` looks at that.
    idle = r.isfinite().any() and not any(reacts(constraint, values, r, name) for name in supplied(constraint))
    if idle or not r.isfinite().any():
        _refuse_extreme_coefficient(problem, constraint, "no field changes it" if idle else "it is not finite")
    if idle:
        raise UsageError(f"{where}: no field changes the residual; expected one that depends on {fields}")
    followed = {name: values[name].clone().requires_grad_() for name in supplied(constraint)}
    with torch.enable_grad():
        r = evaluated(where, constraint, values | {name: 1.0 * v for name, v in followed.items()})
    if not r.requires_grad:
        raise UsageError(f"{where}: the residual has no gradient; write it without `detach`, `item` and `no_grad`")


def _refuse_extreme_coefficient(problem: Problem, constraint: Constraint, what: str) -> None:
    """Refuse a coefficient such as 1e300 that spoils a residual which is sound with 1 in its place (UsageError)."""
    for name, value in coefficients(problem).items():
        extreme = value != 0 and not 1 / EXTREME < abs(value) < EXTREME
        if extreme and _is_sound_with_one(problem, constraint.name, name):
            raise UsageError(
                f"{type(problem).__name__}.{constraint.name}: with {name} = {value:g} the residual leaves the range of "
                f"numbers ({what}), and with {name} = 1 it does not; expected a {name} of moderate size: choose other "
                "units"
            )


def _is_sound_with_one(problem: Problem, constraint: str, coefficient: str) -> bool:
    """Whether a residual is finite somewhere and depends on a field if this coefficient is 1."""
    try:
        known = coefficient in inspect.signature(type(problem)).parameters
        moderate = problem.with_(**{coefficient: 1.0}) if known else problem
        c = next(c for c in moderate.constraints() if c.name == constraint)
        values = trial_values(moderate, c)
        values |= {coefficient: torch.ones_like(values[coefficient])} if coefficient in values else {}
        r = c.residual(**values)
    except Exception:  # with 1 in its place the methods of the user may raise anything
        return False
    return bool(r.isfinite().any()) and any(reacts(c, values, r, symbol) for symbol in supplied(c))


def _row_by_row(problem: Problem, constraint: Constraint, what: str) -> tuple[Values, Tensor]:
    """Trial values of the symbols, and what the method returns for them: one real number per point (or UsageError)."""
    where = f"{type(problem).__name__}.{constraint.name}"
    values = trial_values(problem, constraint)
    n = len(trial_points(problem, constraint, N))
    given = {name: v.clone() for name, v in values.items()}
    try:
        r = evaluated(where, constraint, given)
    except UsageError as error:
        if isinstance(error.__cause__, ArithmeticError):
            _refuse_extreme_coefficient(problem, constraint, type(error.__cause__).__name__)
        raise
    if not isinstance(r, Tensor) or r.shape != (n,):
        shown = f"shape {tuple(r.shape)}" if isinstance(r, Tensor) else f"type {type(r).__name__}"
        raise UsageError(f"{where}: the {what} of {n} points has {shown}; expected ({n},), one number per point")
    if not r.is_floating_point():
        raise UsageError(f"{where}: the {what} has values of {r.dtype}; expected real numbers, of torch.float64")
    _refuse_side_effects(where, constraint, values, given, r)
    if others := _other_rows(constraint, values, r):
        raise UsageError(
            f"{where}: a change at one point changes the {what} at {others} others; write it point by point"
        )
    return values, r


def _refuse_side_effects(where: str, constraint: Constraint, values: Values, given: Values, r: Tensor) -> None:
    """Refuse a method that has changed one of the tensors `given` to it, or that returns something else the next time.

    Other residuals see the same tensors. The memory of a change is the version that torch counts.
    """
    if changed := [name for name, v in given.items() if v._version]:
        raise UsageError(
            f"{where}: changes `{changed[0]}` in place, and other residuals see the same numbers; write a new value, "
            f"e.g. v = {changed[0]} + 1 and not {changed[0]} += 1"
        )
    if _differ(evaluated(where, constraint, {name: v.clone() for name, v in values.items()}), r).any():
        raise UsageError(
            f"{where}: called twice with the same numbers, it returns different ones; expected a function of its "
            "symbols alone, without random numbers and without memory of earlier calls"
        )


def _check_measurements(problem: Problem) -> None:
    columns = problem.data_columns
    where = f"{type(problem).__name__}.measurements"
    where += f" ({columns.path})" if isinstance(columns, Columns) else ""
    refuse_text(columns, where)
    shapes = {name: tuple(column.shape) for name, column in columns.items()}
    if len(set(shapes.values())) > 1 or any(len(shape) != 1 for shape in shapes.values()):
        raise UsageError(f"{where}: columns of shapes {shapes}; expected (N,), all of one length")
    refuse_non_numbers(columns, where)
    if not len(problem.data):
        raise UsageError(f"{where}: no rows; expected at least one")
    _refuse_unmeasured(problem, columns, where)
    points = problem.data[:, : len(problem.coordinates)]
    for row in (~problem.domain.contains(points)).nonzero()[:1, 0].tolist():
        raise UsageError(f"{where}: {place_of(columns, row)}: {_outside(problem, points[row])}")


def _refuse_unmeasured(problem: Problem, columns: Mapping[str, Any], where: str) -> None:
    """Refuse a point without a coordinate, one without a measurement, and a residual without a point (UsageError)."""
    read = ", ".join(problem.grammar.measured)
    for row, k in (~problem.data[:, : len(problem.coordinates)].isfinite()).nonzero()[:1].tolist():
        raise UsageError(f"{where}: {place_of(columns, row)}: no value of {problem.coordinates[k]}; expected a number")
    rows = {c.name: measured_rows(problem, c) for c in problem.constraints() if c.region == "data"}
    for row in (~torch.stack([*rows.values()]).any(0)).nonzero()[:1, 0].tolist():
        raise UsageError(f"{where}: {place_of(columns, row)}: nothing was measured there ({read}); delete it")
    if empty := [name for name, found in rows.items() if not found.any()]:
        raise UsageError(f"{where}: no row has all the values that `{empty[0]}` reads, of {read}; add some")


def _outside(problem: Problem, point: Tensor) -> str:
    """The coordinates of a point (D,) that are beyond their limits, and these limits; all of them if none is."""
    limits = dict(zip(problem.coordinates, problem.domain.extents, strict=True))
    at = dict(zip(problem.coordinates, point.tolist(), strict=True))
    named = [c for c, (low, high) in limits.items() if not low <= at[c] <= high] or list(at)
    position = ", ".join(f"{c} = {at[c]:g}" for c in named)
    expected = ", ".join(f"{limits[c][0]:g} <= {c} <= {limits[c][1]:g}" for c in named)
    return f"{position} lies outside the domain; expected {expected}"


def _check_ansatz(problem: Problem) -> None:
    ansatz = written_ansatz(problem)
    if ansatz is None:
        return
    where = f"{type(problem).__name__}.ansatz"
    X, F = trial_points(problem, "interior", N), len(problem.solution_fields)
    u = torch.ones(N, F, dtype=torch.float64, device="cpu")
    with user_method(where):
        out = ansatz(X, u)
    if out.shape != u.shape:
        raise UsageError(f"{where}: shape {tuple(out.shape)} for {N} points; expected {tuple(u.shape)}, all fields")
    moved = ansatz(torch.cat([X[1:2], X[1:]]), torch.cat([2 * u[:1], u[1:]]))
    if _differ(moved, out)[1:].any():
        raise UsageError(f"{where}: a change at one point changes the fields at others; write it point by point")


def evaluated(where: str, constraint: Constraint, values: Values) -> Any:
    """What the residual returns for these values. Raises UsageError if it fails."""
    try:
        return constraint.residual(**values)
    except Exception as error:  # a method of the user may raise anything
        line = traceback.extract_tb(error.__traceback__)[:2][-1]  # of the method, or of this call
        way = ""
        if isinstance(error, NameError):
            way = f"; add `{error.name}` to the parameters of `{constraint.name}` if it is a symbol or coefficient"
        elif "converted to Python scalars" in str(error):
            way = "; use the functions of torch (torch.sin, torch.exp ...), not those of math"
        place = f"line {line.lineno} of {line.filename}"
        raise UsageError(f"{where}: {type(error).__name__}: {error} ({place}){way}") from error


def trial_values(problem: Problem, constraint: Constraint) -> Values:
    """Points of the region, coefficients, and random numbers in [0.5, 1.5] for the symbols that a network supplies."""
    generator = torch.Generator("cpu").manual_seed(1)
    X = trial_points(problem, constraint, N)
    at = Place({}, X, None, {k: X.new_full((len(X),), v) for k, v in coefficients(problem).items()})
    numbers: dict[str, Any] = {"generator": generator, "dtype": torch.float64, "device": "cpu"}
    fields = {name: 0.5 + torch.rand(len(X), **numbers) for name in supplied(constraint)}
    return {name: fields[name] if name in fields else symbol.read(at) for name, symbol in constraint.symbols.items()}


def _other_rows(constraint: Constraint, values: Values, r: Tensor) -> int:
    """The number of rows besides the first that react if all symbols change at the first point."""
    moved = {name: torch.cat([v[:1] * 1.5 + 0.1, v[1:]]) for name, v in values.items()}
    return int(_differ(constraint.residual(**moved), r)[1:].sum())


def reacts(constraint: Constraint, values: Values, r: Tensor, name: str) -> bool:
    """Whether the residual r (N,) changes with one symbol. Both signs are tried: it may act on one side only.

    Beside a source of 1e19 (lengths of 1e-9) the change is lost in rounding, and the slope is not.
    """
    changes = (values[name] * 1.5 + 0.1, -values[name])
    if any(bool(_differ(constraint.residual(**values | {name: v}), r).any()) for v in changes):
        return True
    leaf = values[name].clone().requires_grad_()
    with torch.enable_grad():
        r = constraint.residual(**values | {name: 1.0 * leaf})
    if not r.requires_grad:
        return False
    (slope,) = torch.autograd.grad(r.sum(), leaf, allow_unused=True, materialize_grads=True)
    return bool((slope.isfinite() & (slope != 0)).any())


def _differ(a: Tensor, b: Tensor) -> Tensor:
    """Rows that differ by more than rounding; NaN equals NaN."""
    return ~torch.isclose(a, b, rtol=1e-12, atol=0, equal_nan=True)


def coefficients(problem: Problem) -> dict[str, float]:
    """Coefficients by name; of an unknown the value written in the problem, or else the start of its search."""
    written = {k: float(getattr(problem, k)) for k in problem.unknowns if hasattr(problem, k)}
    return problem.coefficients | written
