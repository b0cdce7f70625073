"""What no run may begin with: residuals that cannot be trained as they are written.

Each is called with made-up numbers, without a network: does it give one number per point, does no point look at another
(an exact Jacobian and weights by point rely on it), and can a field change it at all?
"""

from typing import Any

import torch
from torch import Tensor

from pinn_cli.basics.errors import UsageError
from pinn_cli.physics.ansatz import written_ansatz
from pinn_cli.physics.points import trial_points
from pinn_cli.physics.problem import Constraint, Problem
from pinn_cli.physics.references.table import Columns, refuse_what_is_no_number
from pinn_cli.physics.symbols import Place
from pinn_cli.physics.terms import supplied

Values = dict[str, Tensor]


def refuse(problem: Problem) -> list[Constraint]:
    """The constraints, if all can be trained. Errors: UsageError, naming the method and what is wrong with it."""
    try:
        constraints = problem.constraints()
        if any(constraint.region == "data" for constraint in constraints):
            refuse_measurements(problem)
    except TypeError as error:
        raise UsageError(str(error)) from error
    if not constraints:
        raise UsageError(
            f"{type(problem).__name__} has no constraint; mark its residuals with @on(...) or @periodic(...)"
        )
    for constraint in constraints:
        refuse_constraint(problem, constraint)
    refuse_ansatz(problem)
    return constraints


def refuse_constraint(problem: Problem, constraint: Constraint) -> None:
    """Refuse a residual of another shape than (N,), one that mixes points, one no field can change (UsageError)."""
    where = f"{type(problem).__name__}.{constraint.name}"
    values = made_up(problem, constraint)
    n = len(trial_points(problem, constraint.region, 16))
    r = called(where, constraint, values)
    if not isinstance(r, Tensor) or r.shape != (n,):
        found = f"shape {tuple(r.shape)}" if isinstance(r, Tensor) else f"type {type(r).__name__}"
        raise UsageError(f"{where}: the residual of {n} points has {found}; expected ({n},), one number per point")
    if others := mixed_rows(constraint, values, r):
        raise UsageError(
            f"{where}: a change at one point changes the residual at {others} others; write it point by point"
        )
    if not any(matters(constraint, values, r, name) for name in supplied(constraint)):
        fields = ", ".join(problem.fields)
        raise UsageError(f"{where}: no field changes the residual; expected one that depends on {fields}")


def refuse_measurements(problem: Problem) -> None:
    """Refuse columns of different lengths, values that are not finite, points outside the domain (UsageError)."""
    columns = problem.data_columns
    where = f"{type(problem).__name__}.measurements"
    where += f" ({columns.path})" if isinstance(columns, Columns) else ""
    shapes = {name: tuple(column.shape) for name, column in columns.items()}
    if len(set(shapes.values())) > 1 or any(len(shape) != 1 for shape in shapes.values()):
        raise UsageError(f"{where}: columns of shapes {shapes}; expected (N,), all of one length")
    refuse_what_is_no_number(columns, where)
    points = problem.data[:, : len(problem.coordinates)]
    for row in (~problem.domain.contains(points)).nonzero()[:1, 0].tolist():
        raise UsageError(f"{where}: row {row + 1}: {_outside(problem, points[row])}")


def _outside(problem: Problem, point: Tensor) -> str:
    """The position of a point (D,) and the limits, of the coordinates that are beyond theirs, or else of all."""
    limits = dict(zip(problem.coordinates, problem.domain.extents, strict=True))
    at = dict(zip(problem.coordinates, point.tolist(), strict=True))
    named = [c for c, (low, high) in limits.items() if not low <= at[c] <= high] or list(at)
    position = ", ".join(f"{c} = {at[c]:g}" for c in named)
    expected = ", ".join(f"{limits[c][0]:g} <= {c} <= {limits[c][1]:g}" for c in named)
    return f"{position} lies outside the domain; expected {expected}"


def refuse_ansatz(problem: Problem) -> None:
    """Refuse an ansatz of another shape than the fields, or one that mixes points (UsageError)."""
    ansatz = written_ansatz(problem)
    if ansatz is None:
        return
    where = f"{type(problem).__name__}.ansatz"
    X, u = trial_points(problem, "interior", 16), torch.ones(16, len(problem.fields), dtype=torch.float64, device="cpu")
    out = ansatz(X, u)
    if out.shape != u.shape:
        raise UsageError(f"{where}: shape {tuple(out.shape)} for 16 points; expected {tuple(u.shape)}, all fields")
    moved = ansatz(torch.cat([X[1:2], X[1:]]), torch.cat([2 * u[:1], u[1:]]))
    if different(moved, out)[1:].any():
        raise UsageError(f"{where}: a change at one point changes the fields at others; write it point by point")


def called(where: str, constraint: Constraint, values: Values) -> Any:
    """The residual's value, whatever it is. Errors: UsageError if the method fails."""
    try:
        return constraint.residual(**values)
    except Exception as error:  # the person's own code may raise anything
        raise UsageError(f"{where}: {type(error).__name__}: {error}") from error


def made_up(problem: Problem, constraint: Constraint, n: int = 16) -> Values:
    """Points of the region, true coefficients, and random numbers in [0.5, 1.5] for whatever the network would give."""
    generator = torch.Generator("cpu").manual_seed(1)
    X = trial_points(problem, constraint.region, n)
    numbers: dict[str, Any] = {"generator": generator, "dtype": torch.float64, "device": "cpu"}
    at = Place({}, X, None, {k: X.new_full((len(X),), v) for k, v in truth(problem).items()})
    fields = {name: 0.5 + torch.rand(len(X), **numbers) for name in supplied(constraint)}
    return {name: fields[name] if name in fields else symbol.read(at) for name, symbol in constraint.symbols.items()}


def mixed_rows(constraint: Constraint, values: Values, r: Tensor) -> int:
    """How many rows besides the first react when all symbols change at the first point."""
    moved = {name: torch.cat([v[:1] * 1.5 + 0.1, v[1:]]) for name, v in values.items()}
    return int(different(constraint.residual(**moved), r)[1:].sum())


def matters(constraint: Constraint, values: Values, r: Tensor, name: str) -> bool:
    """Whether the residual reacts to one symbol."""
    changes = (values[name] * 1.5 + 0.1, -values[name])
    return any(bool(different(constraint.residual(**values | {name: v}), r).any()) for v in changes)


def different(a: Tensor, b: Tensor) -> Tensor:
    """Rows that differ by more than rounding; NaN equals NaN."""
    return ~torch.isclose(a, b, rtol=1e-12, atol=0, equal_nan=True)


def truth(problem: Problem) -> dict[str, float]:
    """Coefficients by name: of an unknown the value written in the problem, else where its search starts."""
    return problem.coefficients | {k: float(getattr(problem, k)) for k in problem.unknowns if hasattr(problem, k)}
