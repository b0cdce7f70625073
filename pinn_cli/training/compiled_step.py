"""A first-order step as one compiled graph: residuals, loss, gradient, and what an optimizer makes of the gradient.

The step is traced as a graph of tensor operations, and the compiler gets this graph. By `torch.compile` it would take
longer to write down on what a step depends than to compile it, and each call would check that nothing has changed and
look the code up, which for a small network takes as long as the arithmetic. So this module answers for what may change:

    parameters, points, weights and the state of the optimizer     arguments of the graph, read at each call
    buffers of the model, as the scales of its inputs              the same
    shapes, strides and precisions of all but the parameters       compared at each call (`Layout`)
    which parameters are trained                                   a `CompiledStep` belongs to one list of them
    equations, coefficients, units, the parts of the network       the same for as long as `Residuals.serves` says so

Where the number of points changes, the graph for any number is one of `torch.compile`, with its checks.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from types import FunctionType
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.graph import increment_version
from torch.func import functional_call, grad_and_value
from torch.fx.experimental.proxy_tensor import make_fx

from pinn_cli.derivatives.fused_layers import one_operation
from pinn_cli.methods.contracts import Batch, Rule

Gradient = tuple[Mapping[str, Tensor], tuple[Tensor, Batch]]  # by parameter; the loss and r (N,) by constraint
Layout = tuple[tuple[Any, ...], ...]  # of tensors: shape, strides, precision, device, and which of them are the same
Graph = Callable[..., Sequence[Tensor]]  # of all tensors that a step reads
UNCHECKED: dict[str, Any] = {"size_asserts": False}  # that `Layout` has compared


class CompiledStep:
    """The gradient of a weighted loss, and with a `rule` the step of an optimizer, as one graph.

    `loss` is a module, so that its trained parameters can be arguments: (points, weights) -> the loss, and r (N,) by
    constraint, in the order of `names`. `compiling` is entered while it is compiled, at its first call.
    """

    def __init__(
        self,
        loss: nn.Module,
        names: Sequence[str],
        rule: Rule | None,
        compiling: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self.loss, self.names, self.rule, self.compiling = loss, names, rule, compiling
        self.parameters = {name: p for name, p in loss.named_parameters() if p.requires_grad}
        owners = {f"{path}.{name}": (m, name) for path, m in loss.named_modules() for name in m._buffers}
        self.buffers = {name: owners[name] for name, _ in loss.named_buffers()}
        self._graphs: dict[Layout, Graph] = {}
        self._kinds: set[Layout] = set()  # layouts with a graph, without the sizes
        self._checked: Graph | None = None  # for layouts that differ from these in their sizes only
        like = next(iter(self.parameters.values())).detach()
        P = sum(p.numel() for p in self.parameters.values())
        memory, numbers = (0, 0) if rule is None else (rule.memory, rule.numbers)
        self._unused = like.new_ones(numbers), [like.new_zeros(P) for _ in range(memory)]  # where nothing is to move

    def gradient(self, points: list[Tensor], weights: Batch) -> Gradient:
        """The gradient by trained parameter of loss = sum_k mean(w_k r_k^2), the loss, and r (N,)."""
        theta = self._theta()
        if self.rule is not None:
            theta = [p.clone() for p in theta]  # the graph moves these, and a state that nobody reads
        slopes, loss, r = self._call(theta, points, weights, *self._unused)
        parts = slopes.split([p.numel() for p in theta])
        return {n: g.view_as(p) for (n, p), g in zip(self.parameters.items(), parts, strict=True)}, (loss, r)

    def move(self, points: list[Tensor], weights: Batch, numbers: Tensor, state: list[Tensor]) -> tuple[Tensor, Batch]:
        """Move parameters and state by the rule; the loss before, and r (N,) there."""
        _, loss, r = self._call(self._theta(), points, weights, numbers, state)
        increment_version(list(self.parameters.values()))  # a graph does not tell, and kept values rely on it
        return loss, r

    def _theta(self) -> list[Tensor]:
        """The parameters as arguments; torch 2.13 loses what a graph writes into float64 tensors without dimensions."""
        return [p.detach() if p.ndim else p.detach().view(1) for p in self.parameters.values()]

    def _call(
        self, theta: list[Tensor], points: list[Tensor], weights: Batch, numbers: Tensor, state: list[Tensor]
    ) -> tuple[Tensor, Tensor, Batch]:
        """The gradient as one vector (P,), the loss, and r (N,)."""
        slopes, loss, *r = self._outputs(theta, points, weights, numbers, state)
        return slopes, loss, dict(zip(self.names, r, strict=True))

    def _outputs(
        self, theta: list[Tensor], points: list[Tensor], weights: Batch, numbers: Tensor, state: list[Tensor]
    ) -> Sequence[Tensor]:
        fixed = [cast(Tensor, module._buffers[name]) for module, name in self.buffers.values()]
        tensors = [*fixed, *points, *weights.values(), numbers, *state]
        layout = layout_of(tensors)
        graph = self._graphs.get(layout)
        if graph is not None:
            return graph(*theta, *tensors)
        kind = tuple((len(shape), *rest) for shape, _, *rest in layout)
        if kind in self._kinds and self._checked is not None:
            return self._checked(*theta, *tensors)
        from pinn_cli.training.compiler_options import OPTIONS  # with the compiler, which takes a second to load

        function = self._function(len(points), list(weights))
        with self.compiling():
            if kind not in self._kinds:
                self._kinds.add(kind)
                graph = self._graphs[layout] = unchecked(function, [*theta, *tensors], OPTIONS)
                return graph(*theta, *tensors)
            self._checked = torch.compile(_alone(function), fullgraph=True, options=OPTIONS)
            points = [_of_any_number(X) for X in points]
            weights = {name: _of_any_number(w) if w.ndim else w for name, w in weights.items()}
            return self._checked(*theta, *fixed, *points, *weights.values(), numbers, *state)

    def _function(self, points: int, names: list[str]) -> FunctionType:
        """The step as a function of all tensors that it reads; with a rule it moves the parameters and the state."""
        loss, rule, shapes = self.loss, self.rule, {name: p.shape for name, p in self.parameters.items()}
        counts, buffers = [p.numel() for p in self.parameters.values()], list(self.buffers)

        def value(theta: Mapping[str, Tensor], fixed: Batch, X: list[Tensor], weights: Batch) -> tuple[Tensor, Batch]:
            return functional_call(loss, {**theta, **fixed}, (X, weights))

        def step(*tensors: Tensor) -> list[Tensor]:
            left = list(tensors)
            theta, fixed, X, w = (_first(left, n) for n in (len(shapes), len(buffers), points, len(names)))
            named = {name: p.view(shape) for (name, shape), p in zip(shapes.items(), theta, strict=True)}
            known, weights = dict(zip(buffers, fixed, strict=True)), dict(zip(names, w, strict=True))
            slopes, (total, r) = grad_and_value(value, has_aux=True)(named, known, X, weights)
            gradient = torch.cat([g.reshape(-1) for g in slopes.values()])
            if rule is not None:
                numbers, *state = left
                change, *new = rule(gradient, numbers, *state)
                for p, by in zip(theta, change.split(counts), strict=True):
                    p.add_(by.view_as(p))
                for old, now in zip(state, new, strict=True):
                    old.copy_(now)
            return [gradient, total, *r.values()]

        return cast(FunctionType, step)


def _first(tensors: list[Tensor], count: int) -> list[Tensor]:
    """Take so many from the front."""
    taken, tensors[:] = tensors[:count], tensors[count:]
    return taken


def unchecked(function: FunctionType, tensors: list[Tensor], options: dict[str, Any]) -> Graph:
    """The function as one compiled graph for tensors of this layout, which it does not check.

    It is traced with tensors that have no numbers, so that a residual that asks for one raises an error.
    """
    with one_operation():
        graph = make_fx(function, tracing_mode="fake", _allow_non_fake_inputs=True)(*tensors)
    return cast(Graph, torch._inductor.compile(graph, tensors, options=options | UNCHECKED))


def _of_any_number(X: Tensor) -> Tensor:
    """The same numbers, as an argument whose first dimension may have another size at the next call."""
    X = X.detach()
    torch._dynamo.maybe_mark_dynamic(X, 0)
    return X


def layout_of(tensors: Sequence[Tensor]) -> Layout:
    """What a graph that is not checked was compiled for, of its arguments."""
    who = [id(tensor) for tensor in tensors]
    return tuple((t.shape, t.stride(), t.dtype, t.device, who.index(id(t))) for t in tensors)


def _alone(function: FunctionType) -> FunctionType:
    """The function with a code object of its own: graphs are kept, looked up and limited in number by code object."""
    code, closure = function.__code__.replace(), function.__closure__
    return FunctionType(code, function.__globals__, function.__name__, function.__defaults__, closure)
