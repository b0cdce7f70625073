"""A reference that keeps its last answer."""

from typing import Any

import torch
from torch import Tensor


class Remembered:
    """The same points are asked for at every row of a run's history: only the first time costs anything."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.fields: tuple[str, ...] = tuple(inner.fields)
        self.error: float = inner.error
        self.at: Tensor | None = inner.at
        self._points: Tensor | None = None
        self._values: dict[str, Tensor] = {}

    def counts(self, X: Tensor) -> Tensor:
        """Which points (N,) enter the errors: all, unless the reference says otherwise."""
        if not hasattr(self.inner, "counts"):
            return torch.ones(len(X), dtype=torch.bool, device=X.device)
        return self.inner.counts(X)

    def __call__(self, X: Tensor) -> dict[str, Tensor]:
        """Values (N,) by name at X (N, D); points that are differentiated with respect to are never kept."""
        if not isinstance(X, Tensor) or X.requires_grad:
            return self.inner(X)
        if self._points is None or self._points.dtype != X.dtype or not torch.equal(self._points, X):
            self._points, self._values = X.clone(), self.inner(X)
        return dict(self._values)
