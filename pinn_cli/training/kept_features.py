"""Features that are not trained are computed once for the points of a stage, with all their derivatives."""

from collections.abc import Callable
from math import inf
from typing import Any

import torch
from torch import Tensor

from pinn_cli.basics.memory import free_memory
from pinn_cli.derivatives.jet import Jet

MOST, SHARE = 0.5e9, 0.1  # bytes of streams that are kept, and of the free memory

Key = tuple[Any, ...]


class KeptFeatures:
    """phi(X) as a jet, kept for the next time; in all at most `MOST` bytes, and a tenth of the free memory.

    Only the output layer is trained, so phi and its derivatives do not change while the points stay. A point set is
    known by its memory, which cannot be used for others as long as it is kept here, and by its version, which changes
    with its content.
    """

    kept: dict[Key, tuple[Tensor, list[Tensor | None]]]
    left: float | None  # bytes; None: not looked at yet, because the files of the system take as long as a small step

    def __init__(self) -> None:
        self.clear()

    def __call__(self, phi: Callable[[Any], Any], X: Any) -> Any:
        """phi(X), X a jet or a plain tensor; without a jet, nothing is kept."""
        if not isinstance(X, Jet) or X.value.requires_grad or torch.compiler.is_compiling():
            return phi(X)
        points = X.value
        key = (*X.algebra.position, points.data_ptr(), points._version, points.shape, points.stride(), points.dtype)
        if key in self.kept:
            return Jet(self.kept[key][1], X.algebra, X.tape)
        features = phi(X)
        if isinstance(features, Jet):
            size = sum(s.untyped_storage().nbytes() for s in features.streams if s is not None)
            if self.left is None:
                self.left = min(MOST, SHARE * (free_memory(torch.device("cpu")) or inf))
            if size <= self.left:
                self.kept[key], self.left = (points, features.streams), self.left - size
        return features

    def clear(self) -> None:
        """Forget all: other points have come."""
        self.kept, self.left = {}, None

    def __deepcopy__(self, memo: dict[int, Any]) -> "KeptFeatures":
        """An empty one: a copy of a model may have other features."""
        return KeptFeatures()
