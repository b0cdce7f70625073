"""Comparisons of jets and `where`. The derivatives are those of the chosen branch."""

import operator
from typing import Any

import torch
from torch import Tensor

from pinn_cli.derivatives.jet import Jet, rule

T = torch.Tensor


def _value(a: Any) -> Any:
    return a.value if isinstance(a, Jet) else a


for name in ("eq", "ne", "lt", "le", "gt", "ge"):
    compare = getattr(operator, name)

    def compared(a: Any, b: Any, compare: Any = compare) -> Tensor:
        """Compare values, (N, ...). The result is a plain tensor, because it has no derivatives."""
        return compare(_value(a), _value(b))

    rule(getattr(torch, name), getattr(T, name), getattr(T, f"__{name}__"))(compared)
    setattr(Jet, f"__{name}__", compared)
Jet.__hash__ = object.__hash__  # type: ignore[method-assign]


@rule(torch.where, T.where)
def where(condition: Tensor, a: Any, b: Any) -> Jet:
    """a where the condition holds, else b, stream by stream; constants have no derivatives."""
    like = a if isinstance(a, Jet) else b
    sides = [x.streams if isinstance(x, Jet) else [x, *[None] * (len(like.streams) - 1)] for x in (a, b)]
    streams = []
    for x, y in zip(*sides, strict=True):
        both = x is None and y is None
        streams.append(None if both else torch.where(condition, 0.0 if x is None else x, 0.0 if y is None else y))
    return Jet(streams, like.algebra, like.tape)
