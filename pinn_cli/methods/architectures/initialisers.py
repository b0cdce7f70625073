"""How the weights of a dense layer start. All draws come from torch's default generator, so one seed fixes them."""

from collections.abc import Callable
from itertools import pairwise

from torch import nn

from pinn_cli.basics.errors import UsageError
from pinn_cli.basics.memory import refuse_too_wide

Initialiser = Callable[[nn.Linear], None]


def glorot_normal(layer: nn.Linear) -> None:
    """W ~ N(0, 2 / (n_in + n_out)), b = 0 (Glorot and Bengio, 2010)."""
    nn.init.xavier_normal_(layer.weight)
    nn.init.zeros_(layer.bias)


def glorot_uniform(layer: nn.Linear) -> None:
    """W ~ U(+-sqrt(6 / (n_in + n_out))), b = 0 (Glorot and Bengio, 2010)."""
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)


def torch_default(layer: nn.Linear) -> None:
    """W, b ~ U(+-1 / sqrt(n_in)): what `nn.Linear` does by itself."""
    layer.reset_parameters()


INITIALISERS: tuple[Initialiser, ...] = (glorot_normal, glorot_uniform, torch_default)


def initialiser(name: str) -> Initialiser:
    """The function called `name`; `UsageError` lists the names there are."""
    known = {function.__name__: function for function in INITIALISERS}
    if name not in known:
        raise UsageError(f"unknown initialiser {name!r}: expected one of {', '.join(known)}, "
                         "e.g. architecture.initialiser=glorot_normal")
    return known[name]


def dense(sizes: list[int], name: str) -> nn.ModuleList:
    """Linear layers sizes[0] -> sizes[1] -> ... , each started by the initialiser called `name`."""
    if min(sizes) < 1:
        raise UsageError(f"layers of sizes {sizes}: expected whole numbers above 0, e.g. architecture.width=24")
    refuse_too_wide(sizes)
    start = initialiser(name)
    layers = [nn.Linear(inputs, outputs) for inputs, outputs in pairwise(sizes)]
    for layer in layers:
        start(layer)
    return nn.ModuleList(layers)
