"""Dense layers with tanh between as one operation, in float32 on the CPU: of a compiled step, and of values beside it.

They may be gated by two encoders of the inputs.

Layer by layer, the compiler of torch calls a library for each product, and streams go to memory and back in between.
Here one function in C++ takes tiles of points through all layers and back (`fused_layers.cpp`). It has the numbers of
the rules for jets up to rounding, with the tanh of `rational_tanh.py`.

    S = streams   N = points   D = inputs   F = outputs   P = parameters of the layers
"""

import ctypes
from ast import literal_eval
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, library, nn

from pinn_cli.derivatives.fused_source import kept_size, source_for
from pinn_cli.derivatives.jet import Jet

WIDEST = 128  # features of a layer for which this is faster than large products
TOLD: list[Callable] = []  # functions that the tracer of `torch.compile` knows
ALLOWED: list[bool] = []  # of the blocks that are under way: whether layers are one operation where they can
PARTS: list[tuple[Tensor, list[Tensor]]] = []  # a vector, and the parameters that are its parts in turn
ASKING: list[list[str]] = []  # who wants to know what `obstacle` says of the layers that are evaluated
OPERATIONS = library.Library("pinn", "FRAGMENT")
OPERATIONS.define("values(Tensor inputs, Tensor theta, str plan) -> Tensor")
OPERATIONS.define("layers(Tensor inputs, Tensor theta, str plan) -> (Tensor, Tensor)")
OPERATIONS.define(
    "layers_backward(Tensor g, Tensor inputs, Tensor theta, Tensor saved, str plan, bool of_inputs) -> (Tensor, Tensor)"
)


class Gates(NamedTuple):
    """Hidden layers that choose between two encoders E = phi(X A + a) of the input: H = E + Z (E' - E).

    E is the encoder of number `closed`, E' the other one, Z = phi(H W + b). The first `ungated` hidden layers have
    H = Z. The encoders are as wide as the hidden layers.
    """

    encoders: Iterable[Any]
    ungated: int
    closed: int


def dense_layers(X: Any, layers: Iterable[Any], activation: Callable[[Any], Any], gates: Gates | None = None) -> Any:
    """Linear layers with an activation and perhaps gates between, of points or a jet X (N, D) -> (N, F)."""
    layers = list(layers)
    encoders = list(gates.encoders) if gates else []
    if ASKING and isinstance(X, Jet):
        tell_obstacle(obstacle(X, layers, activation, encoders))
    if isinstance(X, Jet) and _can_be_one(X, layers, activation, gates):
        theta = _as_vector([p for layer in [*layers, *encoders] for p in (layer.weight, layer.bias)])
        out = _in_graph(_all_full(X), theta, _plan_of(X, layers, gates))
        return Jet([s.t() for s in out.unbind()], X.algebra)
    ends = [activation(encoder(X)) for encoder in encoders]
    *hidden, output = layers
    for number, layer in enumerate(hidden):
        X = activation(layer(X))
        if gates and number >= gates.ungated:
            X = ends[gates.closed] + X * (ends[1 - gates.closed] - ends[gates.closed])
    return output(X)


@contextmanager
def one_operation(allowed: bool = True) -> Iterator[None]:
    """Let layers be one operation where they can: in a graph that is traced in the block, and for values there."""
    ALLOWED.append(allowed)
    try:
        yield
    finally:
        ALLOWED.pop()


@contextmanager
def parts_of(theta: Tensor, parameters: list[Tensor]) -> Iterator[None]:
    """Let layers in the block know that their parameters are parts of one vector, in this order."""
    PARTS.append((theta, parameters))
    try:
        yield
    finally:
        PARTS.pop()


def tell_the_tracer() -> None:
    """The same for the graphs of `torch.compile` from now on. It loads the compiler, which takes a second."""
    TOLD[:] = torch.compiler.allow_in_graph(_in_graph), torch.compiler.assume_constant_result(_works)


@contextmanager
def obstacles() -> Iterator[list[str]]:
    """What keeps layers from being one operation in a compiled step, of all that are evaluated in the block.

    "" is for layers that nothing keeps; a network that calls neither `dense_layers` nor `tell_obstacle` adds nothing.
    """
    ASKING.append([])
    try:
        yield ASKING[-1]
    finally:
        ASKING.pop()


def tell_obstacle(reason: str) -> None:
    """Say in `obstacles` why layers are not one operation."""
    if ASKING:
        ASKING[-1].append(reason)


def obstacle(X: Jet, layers: Sequence[Any], activation: Callable[[Any], Any], encoders: Sequence[Any] = ()) -> str:
    """Why these layers, with encoders if they are gated, cannot be one operation, in words; "" if they can."""
    if activation is not torch.tanh:
        return f"the activation is {getattr(activation, '__name__', type(activation).__name__)}"
    both = [*layers, *encoders]
    weights = [layer.weight for layer in both if isinstance(layer, nn.Linear) and layer.bias is not None]
    if len(layers) < 2 or len(weights) < len(both):
        return "a layer is not linear with a bias"
    *hidden, _ = weights[: len(layers)]
    if encoders and len({len(w) for w in [*hidden, *weights[len(layers) :]]}) > 1:
        return "the encoders are not as wide as the hidden layers"
    kinds = {(t.device.type, t.dtype) for t in [X.value, *weights]}
    if kinds != {("cpu", torch.float32)}:
        return "it is not all float32 on the CPU"
    widest = max(max(w.shape) for w in weights)
    return f"a layer has {widest} features" if widest > WIDEST else ""


def _can_be_one(X: Jet, layers: Sequence[Any], activation: Callable[[Any], Any], gates: Gates | None) -> bool:
    """Whether the layers can be one operation here."""
    if not ((ALLOWED and ALLOWED[-1]) or (TOLD and torch.compiler.is_dynamo_compiling())):
        return False
    if X.tape is not None or X.ndim != 2 or obstacle(X, layers, activation, [*gates.encoders] if gates else []):
        return False
    return _works(_plan_of(X, layers, gates))


def _as_vector(parameters: list[Tensor]) -> Tensor:
    """The parameters one after another: a part of the vector whose parts they are, or a copy."""
    whole, parts = PARTS[-1] if PARTS else (parameters[0], [])
    start = next((i for i, part in enumerate(parts) if part is parameters[0]), len(parts))
    some = parts[start : start + len(parameters)]
    if len(some) == len(parameters) and all(a is b for a, b in zip(some, parameters, strict=True)):
        begin, count = sum(part.numel() for part in parts[:start]), sum(part.numel() for part in some)
        return whole if count == whole.numel() else whole.narrow(0, begin, count)
    return torch.cat([p.reshape(-1) for p in parameters])


def _all_full(X: Jet) -> Tensor:
    """The streams side by side, (S, D, N)."""
    zero = torch.zeros_like(X.value)
    return torch.stack([(zero if s is None else s.expand(X.value.shape)).t() for s in X.streams])


def _plan_of(X: Jet, layers: Sequence[Any], gates: Gates | None = None) -> str:
    """All that the source depends on, as text that a graph can have as an argument: sizes, streams and gates."""
    sizes, algebra = [X.shape[1], *(len(layer.weight) for layer in layers)], X.algebra
    return repr((sizes, algebra.compositions, algebra.products, (gates.ungated, gates.closed) if gates else None))


class FusedLayers(torch.autograd.Function):
    """inputs (S, D, N), theta (P,) -> outputs (S, F, N), and what the way back needs."""

    @staticmethod
    def forward(inputs: Tensor, theta: Tensor, plan: str) -> tuple[Tensor, Tensor]:
        return torch.ops.pinn.layers(inputs, theta, plan)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, str], output: tuple[Tensor, Tensor]) -> None:
        X, theta, ctx.plan = inputs
        ctx.save_for_backward(X, theta, output[1])
        ctx.mark_non_differentiable(output[1])

    @staticmethod
    def backward(ctx: Any, g: Tensor, _: Any) -> tuple[Tensor | None, Tensor, None]:
        of_inputs = ctx.needs_input_grad[0]
        gradient, back = torch.ops.pinn.layers_backward(g, *ctx.saved_tensors, ctx.plan, of_inputs)
        return back if of_inputs else None, gradient, None


def _in_graph(inputs: Tensor, theta: Tensor, plan: str) -> Tensor:
    """The same as one node of the graph: `torch.compile` does not know functions with derivatives of their own here."""
    if not torch.is_grad_enabled():
        return torch.ops.pinn.values(inputs, theta, plan)
    return FusedLayers.apply(inputs, theta, plan)[0]


class Kernel:
    """The functions of a plan, compiled or from the files that are kept."""

    def __init__(self, plan: str) -> None:
        from torch._inductor.codecache import CppCodeCache  # with the compiler, which takes a second to load

        sizes, compositions, products, gating = literal_eval(plan)
        self.outputs, self.kept_size = sizes[-1], partial(kept_size, sizes=sizes, gating=gating)
        source = source_for(sizes, compositions, products, gating)
        compiled = CppCodeCache.load(source, extra_flags=("-ffp-contract=fast",))
        pointer, number = ctypes.c_void_p, ctypes.c_long
        self.forward, self.backward = compiled.forward, compiled.backward
        self.forward.argtypes, self.forward.restype = [*[pointer] * 4, *[number] * 2], None
        self.backward.argtypes, self.backward.restype = [*[pointer] * 6, *[number] * 2], None


_kernel = cache(Kernel)


def _works(plan: str) -> bool:
    """Whether the compiler of this machine takes the source."""
    try:
        _kernel(plan)
    except Exception:  # the compiler, its driver and the loader each have errors of their own
        return False
    return True


@library.impl(OPERATIONS, "layers", "CPU")
def _forward(inputs: Tensor, theta: Tensor, plan: str) -> tuple[Tensor, Tensor]:
    S, _, N = inputs.shape
    saved = inputs.new_empty(_kernel(plan).kept_size(S, N))
    return _outputs(inputs, theta, plan, saved), saved


@library.impl(OPERATIONS, "values", "CPU")
def _outputs(inputs: Tensor, theta: Tensor, plan: str, saved: Tensor | None = None) -> Tensor:
    inputs, theta, kernel = inputs.contiguous(), theta.contiguous(), _kernel(plan)
    S, _, N = inputs.shape
    out, threads = inputs.new_empty(S, kernel.outputs, N), torch.get_num_threads()
    kept = None if saved is None else saved.data_ptr()
    kernel.forward(theta.data_ptr(), inputs.data_ptr(), out.data_ptr(), kept, N, threads)
    return out


@library.impl(OPERATIONS, "layers_backward", "CPU")
def _backward(
    g: Tensor, inputs: Tensor, theta: Tensor, saved: Tensor, plan: str, of_inputs: bool
) -> tuple[Tensor, Tensor]:
    g, inputs, theta, threads = g.contiguous(), inputs.contiguous(), theta.contiguous(), torch.get_num_threads()
    gradient = torch.empty_like(theta) if threads == 1 else theta.new_empty(threads, theta.numel())
    back = torch.empty_like(inputs) if of_inputs else theta.new_empty(0)
    _kernel(plan).backward(
        theta.data_ptr(), g.data_ptr(), inputs.data_ptr(), saved.data_ptr(), gradient.data_ptr(),
        back.data_ptr() if of_inputs else None, inputs.shape[2], threads,
    )  # fmt: skip
    return gradient if threads == 1 else gradient.sum(0), back


@library.register_fake("pinn::values", lib=OPERATIONS)
def _values(inputs: Tensor, theta: Tensor, plan: str) -> Tensor:
    """The outputs (S, F, N)."""
    return inputs.new_empty(inputs.shape[0], _kernel(plan).outputs, inputs.shape[2])


@library.register_fake("pinn::layers", lib=OPERATIONS)
def _results(inputs: Tensor, theta: Tensor, plan: str) -> tuple[Tensor, Tensor]:
    """The outputs (S, F, N); what enters and leaves tanh."""
    kernel, (S, _, N) = _kernel(plan), inputs.shape
    return inputs.new_empty(S, kernel.outputs, N), inputs.new_empty(kernel.kept_size(S, N))


@library.register_fake("pinn::layers_backward", lib=OPERATIONS)
def _gradients(
    g: Tensor, inputs: Tensor, theta: Tensor, saved: Tensor, plan: str, of_inputs: bool
) -> tuple[Tensor, Tensor]:
    """The gradient of the parameters (P,), and of the inputs where it is wanted."""
    return torch.empty_like(theta), torch.empty_like(inputs) if of_inputs else theta.new_empty(0)
