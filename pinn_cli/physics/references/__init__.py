"""Trusted values to compare a prediction with: one file per kind, and the contract in `base.py`."""

from torch import Tensor

from pinn_cli.basics.errors import UsageError
from pinn_cli.physics.problem import Problem
from pinn_cli.physics.references.base import CachedReference, Reference
from pinn_cli.physics.references.exact import Exact

__all__ = ["Reference", "reference_of"]


def reference_of(problem: Problem) -> Reference | None:
    """The problem's ``exact`` solution if it has one, else its ``reference()``, which may be None.

    It is called once, at a few points of the domain. Raises UsageError if it does not give one number per point.
    """
    exact, reference = getattr(problem, "exact", None), getattr(problem, "reference", None)
    if exact is not None:
        return _tried(Exact(exact, problem.fields), problem, "exact")
    known = None if reference is None else reference()
    return None if known is None else _tried(CachedReference(known), problem, "reference")


def _tried(reference: Reference, problem: Problem, method: str) -> Reference:
    X = problem.domain.grid(2) if reference.at is None else reference.at
    where = f"{type(problem).__name__}.{method}"
    if X.ndim != 2 or X.shape[1] != len(problem.coordinates):
        raise UsageError(f"{where}: points of shape {tuple(X.shape)}; expected (N, {len(problem.coordinates)})")
    try:
        values = reference(X)
    except TypeError as error:
        raise UsageError(f"{where}: {error}; expected one parameter per coordinate") from error
    for name, value in values.items():
        if not isinstance(value, Tensor) or value.shape != X.shape[:1]:
            shown = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
            raise UsageError(
                f"{where}: `{name}` has {shown} at {len(X)} points; expected ({len(X)},), one number per point"
            )
    return reference
