"""Trusted values to compare a prediction with: one file per kind, and the contract in `base.py`."""

from inspect import signature

from torch import Tensor

from pinn_cli.basics.errors import UsageError, user_method
from pinn_cli.physics.problem import Problem
from pinn_cli.physics.references.base import CachedReference, Reference, ReferenceRows
from pinn_cli.physics.references.exact import Exact
from pinn_cli.physics.references.truths import with_truths

__all__ = ["Reference", "coverage", "reference_of"]

NODES = 10_000  # of the grid on which an exact solution is looked at
COVERED = 0.9  # the share of an extent from which a table counts as one of the whole domain


def reference_of(problem: Problem) -> Reference | None:
    """The problem's ``exact`` solution if it has one, else its ``reference()``, which may be None.

    With it the true values of unknown fields are known that the problem has as coefficients.

    It is called once, at a few points of the domain. Points of a table that lie outside the domain do not count. Raises
    UsageError if all do, and if the reference does not give one real number per point, or none that is finite.
    """
    known = _solution(problem)
    return known if known is None or not problem.unknown_fields else with_truths(known, problem)


def _solution(problem: Problem) -> Reference | None:
    exact, reference = getattr(problem, "exact", None), getattr(problem, "reference", None)
    if exact is not None:
        for name, coordinate in zip(signature(exact).parameters, problem.coordinates, strict=False):
            if name in problem.coordinates and name != coordinate:
                where, expected = f"{type(problem).__name__}.exact", ", ".join(problem.coordinates)
                raise UsageError(f"{where}: `{name}` stands for {coordinate}; expected {expected}")
        return _tried(Exact(exact, problem.solution_fields), problem, "exact")
    with user_method(f"{type(problem).__name__}.reference"):
        known = None if reference is None else reference()
    if known is not None and not all(hasattr(known, name) for name in ("fields", "error", "at", "__call__")):
        where, found = f"{type(problem).__name__}.reference", type(known).__name__
        raise UsageError(f"{where}: found {found}; expected e.g. Table('u.csv', ...), or None")
    return None if known is None else _inside(_tried(CachedReference(known), problem, "reference"), problem)


def coverage(reference: Reference, problem: Problem) -> list[str]:
    """What a reference does not say of the domain: how many points of a table lie outside, the extents that it lacks,
    and how many values of an exact solution are not finite."""
    if reference.at is None:
        X = problem.domain.grid(max(2, round(NODES ** (1 / len(problem.coordinates)))))
        values = reference(X) if isinstance(reference, Exact) else {}
        undefined = {name: int((~value.isfinite()).sum()) for name, value in values.items()}
        return [f"exact: {name} is not finite at {n} of {len(X)} points, which do not count"
                for name, n in undefined.items() if n]  # fmt: skip
    total: int = len(getattr(reference, "whole", reference).at)  # type: ignore[arg-type]
    outside = total - len(reference.at)
    notes = [f"reference: {outside} of {total} points lie outside the domain and do not count"] if outside else []
    for k, name in enumerate(problem.coordinates):
        (low, high), x = problem.domain.extents[k], reference.at[:, k]
        first, last = float(x.min()), float(x.max())
        if last - first < COVERED * (high - low):
            part = f"{first:g} to {last:g} of {low:g} to {high:g}"
            notes.append(f"reference: known for {name} from {part}; errors are those of this part")
    return notes


def _inside(reference: Reference, problem: Problem) -> Reference:
    """The reference without its points outside the domain (UsageError if none is inside)."""
    if reference.at is None:
        return reference
    rows = problem.domain.lies_on("interior", reference.at)
    if not rows.any():
        first = ", ".join(f"{c} = {x:g}" for c, x in zip(problem.coordinates, reference.at[0].tolist(), strict=True))
        where = f"{type(problem).__name__}.reference"
        raise UsageError(f"{where}: none of {len(rows)} points lies in the domain; the first is {first}")
    return reference if rows.all() else ReferenceRows(reference, rows)


def _tried(reference: Reference, problem: Problem, method: str) -> Reference:
    X = problem.domain.grid(2) if reference.at is None else reference.at
    where, known = f"{type(problem).__name__}.{method}", [*problem.fields, *problem.observables()]
    for name in reference.fields:
        if name not in known:
            raise UsageError(f"{where}: `{name}` is no field and no observable; expected one of {', '.join(known)}")
    if X.ndim != 2 or X.shape[1] != len(problem.coordinates):
        raise UsageError(f"{where}: points of shape {tuple(X.shape)}; expected (N, {len(problem.coordinates)})")
    try:
        values = reference(X)
    except TypeError as error:
        raise UsageError(f"{where}: {error}; expected one parameter per coordinate") from error
    except UsageError:
        raise
    except Exception as error:  # a method of the user may raise anything
        raise UsageError(f"{where}: {type(error).__name__}: {' '.join(str(error).split())}") from error
    for name, value in values.items():
        if not isinstance(value, Tensor) or value.shape != X.shape[:1]:
            shown = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
            raise UsageError(
                f"{where}: `{name}` has {shown} at {len(X)} points; expected ({len(X)},), one number per point"
            )
        if not value.is_floating_point() or (method == "exact" and value.dtype != X.dtype):
            raise UsageError(f"{where}: `{name}` has values of {value.dtype}; expected {X.dtype}, as its arguments")
        if reference.at is not None and not value.isfinite().any():
            raise UsageError(f"{where}: `{name}` is finite at none of {len(X)} points")
    return reference
