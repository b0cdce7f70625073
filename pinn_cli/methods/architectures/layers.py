"""Dense layers: activation functions and initial weights by name.

All initial weights come from torch's default generator, so one seed fixes them.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from math import inf
from typing import TypeVar

from torch import Tensor, cos, exp, get_default_dtype, nn, sigmoid, sin, tanh, tensor
from torch.nn.functional import gelu, silu, softplus

from pinn_cli.basics.errors import UsageError
from pinn_cli.basics.memory import refuse_too_wide
from pinn_cli.derivatives.function_rules import gaussian

Activation = Callable[[Tensor], Tensor]
Initialiser = Callable[[nn.Linear], None]
Named = TypeVar("Named", bound=Callable)

ACTIVATIONS: tuple[Activation, ...] = (  # jets have rules for these
    tanh, sin, cos, exp, sigmoid, softplus, gelu, silu, gaussian,
)  # fmt: skip


def glorot_normal(layer: nn.Linear) -> None:
    """W ~ N(0, 2 / (n_in + n_out)), b = 0 (Glorot and Bengio, 2010)."""
    nn.init.xavier_normal_(layer.weight)
    nn.init.zeros_(layer.bias)


def glorot_uniform(layer: nn.Linear) -> None:
    """W ~ U(+-sqrt(6 / (n_in + n_out))), b = 0 (Glorot and Bengio, 2010)."""
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)


def torch_default(layer: nn.Linear) -> None:
    """W, b ~ U(+-1 / sqrt(n_in)), the default of `nn.Linear`."""
    layer.reset_parameters()


INITIALISERS: tuple[Initialiser, ...] = (glorot_normal, glorot_uniform, torch_default)


def activation(name: str) -> Activation:
    """The activation function of this name. Raises UsageError, with all names, for any other."""
    return _named("activation", name, ACTIVATIONS)


def initialiser(name: str) -> Initialiser:
    """The initialiser of this name. Raises UsageError, with all names, for any other."""
    return _named("initialiser", name, INITIALISERS)


def stack(inputs: int, width: int, depth: int, outputs: int, name: str, least: int = 1) -> nn.ModuleList:
    """Linear layers inputs -> width -> ... -> outputs with `depth` hidden ones. Raises UsageError below the `least`.

    Without a hidden layer the output is linear in the inputs: second derivatives are zero unless the inputs are waves.
    """
    if depth < least:
        raise UsageError(f"architecture.depth={depth}: expected a whole number above {least - 1}")
    return dense([inputs, *[width] * depth, outputs], name)


def dense(sizes: list[int], name: str) -> nn.ModuleList:
    """Linear layers sizes[0] -> sizes[1] -> ..., with initial weights by the initialiser called `name`."""
    if min(sizes) < 1:
        raise UsageError(f"layers of sizes {sizes}: expected whole numbers above 0, e.g. architecture.width=24")
    refuse_too_wide(sizes)
    start = initialiser(name)
    layers = [nn.Linear(inputs, outputs) for inputs, outputs in pairwise(sizes)]
    for layer in layers:
        start(layer)
    return nn.ModuleList(layers)


def per_input(name: str, given: float | Sequence[float], inputs: int) -> Tensor:
    """One number for all inputs, or one for each, as a tensor (inputs,).

    Raises UsageError, with the name of the setting, unless there are as many numbers as inputs, finite and above 0.
    """
    numbers = [given] * inputs if isinstance(given, int | float) else list(given)
    if len(numbers) != inputs:
        raise UsageError(
            f"architecture.{name}={numbers}: expected one number, or one for each input of the network ({inputs}; a "
            f"periodic coordinate has two), e.g. [{','.join(['6'] * inputs)}]"
        )
    if not all(0 < number < inf for number in numbers):
        raise UsageError(f"architecture.{name}={given}: expected numbers above 0, e.g. 6")
    return tensor(numbers, dtype=get_default_dtype())


def _named(kind: str, name: str, functions: Sequence[Named]) -> Named:
    known = {function.__name__: function for function in functions}
    if name not in known:
        example = f"architecture.{kind}={functions[0].__name__}"
        raise UsageError(f"unknown {kind} {name!r}: expected one of {', '.join(known)}, e.g. {example}")
    return known[name]
