"""Trusted values to compare a prediction with: one file per kind.

A reference is an object with ``fields``, the names it knows (fields or observables); ``error``, its own relative
error; ``at``, the only points where it is known (a data file) or None; and a call, X (N, D) -> {name: (N,)}.
"""

from collections.abc import Callable
from typing import Any, Protocol

from torch import Tensor

from pinn_cli.references.exact import Exact


class Reference(Protocol):
    """What every reference is."""

    fields: tuple[str, ...]
    error: float
    at: Tensor | None

    def __call__(self, X: Tensor) -> dict[str, Tensor]:
        """Trusted values (N,) by name at X (N, D)."""


def reference_of(problem: Any) -> Reference | None:
    """The problem's ``exact`` solution if it has one, else its ``reference()``, else None."""
    if hasattr(problem, "exact"):
        return Exact(problem.exact, problem.fields)
    make: Callable[[], Reference] | None = getattr(problem, "reference", None)
    return make() if make else None
