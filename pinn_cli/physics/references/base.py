"""What a reference is, and one that keeps its last answer."""

from typing import Any, Protocol

import torch
from torch import Tensor


class Reference(Protocol):
    """Trusted values of some fields or observables.

    It may have a method ``counts(X) -> (N,) bool`` that says which points enter the errors; fields are stored and drawn
    at all points.
    """

    fields: tuple[str, ...]  # the names of the fields and observables that it knows
    error: float  # its own relative error
    at: Tensor | None  # the only points (N, D) where it is known (a data file); None: it is known everywhere

    def __call__(self, X: Tensor) -> dict[str, Tensor]:
        """Values (N,) by name at X (N, D)."""


class CachedReference:
    """A reference that keeps its last answer: a run asks for the same points at every row of its history."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.fields: tuple[str, ...] = tuple(inner.fields)
        self.error: float = inner.error
        self.at: Tensor | None = inner.at
        self._points: Tensor | None = None
        self._values: dict[str, Tensor] = {}

    def counts(self, X: Tensor) -> Tensor:
        return counts(self.inner, X)

    def __call__(self, X: Tensor) -> dict[str, Tensor]:
        """Values (N,) by name at X (N, D). Points that require a gradient are not kept."""
        if not isinstance(X, Tensor) or X.requires_grad:
            return self.inner(X)
        if self._points is None or self._points.dtype != X.dtype or not torch.equal(self._points, X):
            self._points, self._values = X.clone(), self.inner(X)
        return dict(self._values)


class ReferenceRows:
    """Some rows of a tabulated reference: those in the domain, or in a window in time."""

    def __init__(self, whole: Any, rows: Tensor):
        self.whole, self.rows, self.at = whole, rows, whole.at[rows]
        self.fields, self.error = whole.fields, whole.error

    def counts(self, X: Tensor) -> Tensor:
        return counts(self.whole, X)

    def __call__(self, X: Tensor) -> dict[str, Tensor]:
        """Values (N,) by name at X, which must be `at`."""
        whole = self.whole.at.to(X, copy=True)
        whole[self.rows] = X
        return {name: value[self.rows] for name, value in self.whole(whole).items()}


def counts(reference: Any, X: Tensor) -> Tensor:
    """Which points (N,) enter the errors: all, unless the reference has a method of this name."""
    own = getattr(reference, "counts", None)
    return torch.ones(len(X), dtype=torch.bool, device=X.device) if own is None else own(X)
