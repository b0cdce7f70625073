"""Partial derivatives of a function at given points. All differentiation by coordinates happens here.

Both engines plan once which derivatives are wanted. A call maps u: (N, D) -> (N, F) and points X (N, D) to values
(N, F) by derivative.
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from pinn_cli.derivatives.algebra import Algebra, unit
from pinn_cli.derivatives.jet import Jet, Tape
from pinn_cli.derivatives.keys import Index, Key, Lap


class Taylor:
    """All derivatives in one forward pass of jets (`jet.py`), and the gradient in one backward pass."""

    taped = True  # a `Tape` can record the layers, so that one backward pass gives every row of the Jacobian

    def __init__(self, wanted: Iterable[Key]):
        self.wanted = sorted(set(wanted), key=str)
        self.algebra = Algebra(self.wanted)

    @property
    def streams(self) -> int:
        """How many streams a jet carries."""
        return len(self.algebra)

    def __call__(self, u: Callable, X: Tensor, tape: Tape | None = None) -> dict[Key, Tensor]:
        jet = u(Jet.identity(self.algebra, X, tape))
        if not isinstance(jet, Jet):  # a constant function
            return {k: jet if not isinstance(k, Lap) and not any(k) else torch.zeros_like(jet) for k in self.wanted}
        return {k: jet.derivative(k) for k in self.wanted}


class Autograd:
    """Nested reverse-mode differentiation that shares lower derivatives: slow, but it knows every torch operation."""

    taped = False

    def __init__(self, wanted: Iterable[Key]):
        self.wanted = sorted(set(wanted), key=str)

    @property
    def streams(self) -> int:
        """The function itself: derivatives are no streams here."""
        return 1

    def __call__(self, u: Callable, X: Tensor, tape: Tape | None = None) -> dict[Key, Tensor]:
        with torch.enable_grad():
            X = X if X.requires_grad else X.detach().requires_grad_()
            known: dict[Index, Tensor] = {(0,) * X.shape[1]: u(X)}
            return {k: self._derivative(k, known, X) for k in self.wanted}

    def _derivative(self, key: Key, known: dict[Index, Tensor], X: Tensor) -> Tensor:
        if isinstance(key, Lap):
            seconds = [unit(i, key.dimension, 2) for i in key.axes]
            return sum((self._derivative(a, known, X) for a in seconds[1:]), self._derivative(seconds[0], known, X))
        if key not in known:
            i = next(i for i, n in enumerate(key) if n)
            below = self._derivative(tuple(n - (i == j) for j, n in enumerate(key)), known, X)
            for j, slopes in enumerate(_gradient(below, X)):  # one pass gives the derivatives along all D axes
                known[tuple(n - (i == k) + (j == k) for k, n in enumerate(key))] = slopes
        return known[key]


def _gradient(values: Tensor, X: Tensor) -> list[Tensor]:
    """d values (N, F) / d X_j for each j, (N, F); zero for a value that does not depend on X."""

    def slopes(column: Tensor) -> Tensor:
        if not column.requires_grad:
            return torch.zeros_like(X)
        (g,) = torch.autograd.grad(column.sum(), X, create_graph=True, materialize_grads=True)
        return g

    return list(torch.stack([slopes(column) for column in values.unbind(1)], 1).unbind(2))
