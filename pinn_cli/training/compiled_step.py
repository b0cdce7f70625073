"""A first-order step as one compiled graph: residuals, loss, gradient, and what an optimizer makes of the gradient.

Before each call of a compiled function torch checks that nothing has changed for which it was compiled, and looks its
code up. For a small network that takes longer than the arithmetic of the step, so it is left out here, and this module
answers for what may change:

    parameters, points, weights and the state of the optimizer     arguments of the graph, read at each call
    shapes, strides and precisions of points and weights           compared at each call (`Layout`)
    which parameters are trained                                   a `CompiledStep` belongs to one list of them
    equations, coefficients, units, the parts of the network       the same for as long as `Residuals.serves` says so

Where the number of points changes, the graph for any number is one that torch checks.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from types import CodeType, FunctionType
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.graph import increment_version
from torch.func import functional_call, grad_and_value

from pinn_cli.methods.contracts import Batch, Rule

Gradient = tuple[Mapping[str, Tensor], tuple[Tensor, Batch]]  # by parameter; the loss and r (N,) by constraint
Layout = tuple[tuple[Any, ...], ...]  # of tensors: shape, strides, precision, device, and which of them are the same
Parts = tuple[Any, Tensor, Batch]  # the gradient (by parameter, or as one vector), the loss, and r (N,) by constraint
UNCHECKED: dict[str, Any] = {"guard_filter_fn": torch.compiler.skip_all_guards_unsafe, "size_asserts": False}


class CompiledStep:
    """The gradient of a weighted loss, and with a `rule` the step of an optimizer, as one graph.

    `loss` is a module, so that its trained parameters can be arguments: (points, weights) -> the loss, and r (N,) by
    constraint. `compiling` is entered while it is compiled, at its first call.
    """

    def __init__(
        self, loss: nn.Module, rule: Rule | None, compiling: Callable[[], AbstractContextManager[None]]
    ) -> None:
        self.loss, self.rule, self.compiling = loss, rule, compiling
        self.parameters = {name: p for name, p in loss.named_parameters() if p.requires_grad}
        self._graphs: dict[Layout, Callable[..., Parts]] = {}
        self._kinds: set[Layout] = set()  # layouts with a graph, without the sizes
        self._checked: Callable[..., Parts] | None = None  # for layouts that differ from these in their sizes only
        like = next(iter(self.parameters.values())).detach()
        P = sum(p.numel() for p in self.parameters.values())
        memory, numbers = (0, 0) if rule is None else (rule.memory, rule.numbers)
        self._unused = like.new_ones(numbers), [like.new_zeros(P) for _ in range(memory)]  # where nothing is to move

    def gradient(self, points: list[Tensor], weights: Batch) -> Gradient:
        """The gradient by trained parameter of loss = sum_k mean(w_k r_k^2), the loss, and r (N,)."""
        if self.rule is None:
            gradient, loss, r = self._call(self._theta(), points, weights, *self._unused)
            return dict(zip(self.parameters, gradient, strict=True)), (loss, r)
        copies = [p.clone() for p in self._theta()]  # the graph moves these, and a state that nobody reads
        gradient, loss, r = self._call(copies, points, weights, *self._unused)
        parts = gradient.split([p.numel() for p in copies])
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
    ) -> Parts:
        layout = layout_of([*points, *weights.values(), numbers, *state])
        graph = self._graphs.get(layout)
        if graph is not None:
            return graph(theta, points, weights, numbers, state)
        kind = tuple((len(shape), *rest) for shape, _, *rest in layout)
        again = kind in self._kinds
        if again and self._checked is not None:
            return self._checked(theta, points, weights, numbers, state)
        self._kinds.add(kind)
        from pinn_cli.training.compiler_options import OPTIONS  # with the compiler, which takes a second to load

        with self.compiling():
            if not again:
                function = _alone(self._function())
                graph = torch.compile(function, fullgraph=True, options=OPTIONS | UNCHECKED)
                self._graphs[layout] = graph
                parts = graph(theta, points, weights, numbers, state)
                self._graphs[layout] = _without_lookup(function, graph)
                return parts
            self._checked = torch.compile(_alone(self._function()), fullgraph=True, options=OPTIONS)
            points = [_of_any_number(X) for X in points]
            weights = {name: _of_any_number(w) if w.ndim else w for name, w in weights.items()}
            return self._checked(theta, points, weights, numbers, state)

    def _function(self) -> FunctionType:
        """The step as a function of all tensors that it reads; with a rule it moves the parameters and the state."""
        loss, rule, shapes = self.loss, self.rule, {name: p.shape for name, p in self.parameters.items()}

        def value(theta: Mapping[str, Tensor], points: list[Tensor], weights: Batch) -> tuple[Tensor, Batch]:
            return functional_call(loss, dict(theta), (points, weights))

        def gradient(
            theta: list[Tensor], points: list[Tensor], weights: Batch, numbers: Tensor, state: list[Tensor]
        ) -> Parts:
            named = {name: p.view(shape) for (name, shape), p in zip(shapes.items(), theta, strict=True)}
            slopes, (total, r) = grad_and_value(value, has_aux=True)(named, points, weights)
            return list(slopes.values()), total, r

        def moving(
            theta: list[Tensor], points: list[Tensor], weights: Batch, numbers: Tensor, state: list[Tensor]
        ) -> Parts:
            assert rule is not None
            slopes, total, r = gradient(theta, points, weights, numbers, state)
            flat = torch.cat([g.reshape(-1) for g in slopes])
            step, *new = rule(flat, numbers, *state)
            for p, change in zip(theta, step.split([p.numel() for p in theta]), strict=True):
                p.add_(change.view_as(p))
            for old, value_ in zip(state, new, strict=True):
                old.copy_(value_)
            return flat, total, r

        return cast(FunctionType, gradient if rule is None else moving)


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
    return _with_code(function, function.__code__.replace())


def _with_code(function: FunctionType, code: CodeType) -> FunctionType:
    return FunctionType(code, function.__globals__, function.__name__, function.__defaults__, function.__closure__)


def _without_lookup(function: FunctionType, graph: Callable[..., Parts]) -> Callable[..., Parts]:
    """The code that torch has made of a function, to be called by itself; the graph as it is if it has made several."""
    entries = torch._dynamo.eval_frame._debug_get_cache_entry_list(function.__code__)
    return _with_code(function, entries[0].code) if len(entries) == 1 else graph
