"""Functions of the angle that the solutions near a corner are made of."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

import torch
from torch import Tensor

Polynomial = Sequence[float]  # coefficients, the constant first


@dataclass(frozen=True)
class Angular:
    """plain(a) + cosine(a) cos(m a) + sine(a) sin(m a), each a polynomial."""

    m: int
    plain: Polynomial
    cosine: Polynomial
    sine: Polynomial

    def __call__(self, a: Tensor) -> Tensor:
        cos, sin = torch.cos(self.m * a), torch.sin(self.m * a)
        return _value(self.plain, a) + _value(self.cosine, a) * cos + _value(self.sine, a) * sin

    def slope(self) -> "Angular":
        cosine, sine = [self.m * c for c in self.cosine], [self.m * c for c in self.sine]
        return Angular(
            self.m,
            _slope(self.plain),
            [x + y for x, y in zip_longest(_slope(self.cosine), sine, fillvalue=0.0)],
            [x - y for x, y in zip_longest(_slope(self.sine), cosine, fillvalue=0.0)],
        )

    def slopes(self, a: Tensor) -> list[Tensor]:
        """Value and first four derivatives at a (N,)."""
        found, function = [], self
        for _ in range(5):
            found.append(function(a))
            function = function.slope()
        return found


def _value(p: Polynomial, a: Tensor) -> Tensor:
    return sum((c * a**i for i, c in enumerate(p)), torch.zeros_like(a))


def _slope(p: Polynomial) -> list[float]:
    return [i * c for i, c in enumerate(p)][1:]
