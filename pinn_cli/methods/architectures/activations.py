"""Activation functions by name: plain element-wise functions that the Taylor engine has rules for."""

from collections.abc import Callable

from torch import Tensor, cos, exp, sigmoid, sin, tanh
from torch.nn.functional import gelu, silu, softplus

from pinn_cli.basics.errors import UsageError

Activation = Callable[[Tensor], Tensor]

ACTIVATIONS: tuple[Activation, ...] = (tanh, sin, cos, exp, sigmoid, softplus, gelu, silu)


def activation(name: str) -> Activation:
    """The function called `name`; `UsageError` lists the names there are."""
    known = {function.__name__: function for function in ACTIVATIONS}
    if name not in known:
        raise UsageError(f"unknown activation {name!r}: expected one of {', '.join(sorted(known))}, "
                         "e.g. architecture.activation=tanh")
    return known[name]
