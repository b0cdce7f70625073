"""A first-order step as one compiled graph: residuals, loss, gradient, and what an optimizer makes of the gradient.

The step is traced as a graph of tensor operations, and the compiler gets this graph. By `torch.compile` it would take
longer to write down on what a step depends than to compile it, and each call would check that nothing has changed and
look the code up, which for a small network takes as long as the arithmetic. So this module answers for what may change:

    parameters, points, weights and the state of the optimizer     arguments of the graph, read at each call
    buffers of the model, as the scales of its inputs              the same
    shapes, strides and precisions of all of these                 compared at each call (`Layout`)
    which parameters are trained                                   a `CompiledStep` belongs to one list of them
    equations, coefficients, units, the parts of the network       the same for as long as `Residuals.serves` says so

The trained parameters are parts of one vector theta (P,), so that the step of an optimizer is one operation on it.
Where the number of points changes, the graph for any number is one of `torch.compile`, with its checks.

A compiler has faults, and a wrong gradient may still lower the loss. So what a graph gives is compared with the same
step without a compiler before it is used.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from math import isfinite
from pathlib import Path
from traceback import extract_tb
from types import FunctionType
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.graph import increment_version
from torch.func import functional_call, grad_and_value

from pinn_cli.basics.errors import TrainingError, UsageError
from pinn_cli.derivatives.fused_layers import one_operation, parts_of
from pinn_cli.methods.contracts import Batch, Rule

Parts = tuple[Tensor, Tensor, Batch]  # the gradient (P,), the loss, and r (N,) by constraint
Layout = tuple[tuple[Any, ...], ...]  # of tensors: shape, strides, precision, device, and which of them are the same
Graph = Callable[..., Sequence[Tensor]]  # of all tensors that a step reads
# By how much a compiled result may differ: of the largest entry for the parameters of a layer, and for all of them.
TOLERANCE = {torch.float32: (3e-2, 1e-3), torch.float64: (1e-6, 1e-8)}
OF_OTHERS = str(Path(torch.__file__).parent), str(Path(__file__).parents[1])  # code that no user has written
UNCHECKED: dict[str, Any] = {"size_asserts": False}  # that `Layout` has compared


class UncompiledError(Exception):
    """There is no compiled step, so that a run can only go on without a compiler."""


class UnfitError(UncompiledError, UsageError):
    """The code of the problem cannot be a part of a graph."""


class WrongError(UncompiledError, TrainingError):
    """The compiler has made a graph that gives other numbers."""


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
        self._trained = list(self.parameters.values())
        self._graphs: dict[Layout, Graph] = {}
        self._kinds: set[Layout] = set()  # layouts with a graph, without the sizes
        self._checked: Graph | None = None  # for layouts that differ from these in their sizes only
        self._theta, self._places = torch.zeros(0, device="cpu"), list[int]()  # and where its parts are
        like, P = next(iter(self.parameters.values())).detach(), sum(p.numel() for p in self.parameters.values())
        memory, numbers = (0, 0) if rule is None else (rule.memory, rule.numbers)
        self._unused = like.new_ones(numbers), [like.new_zeros(P) for _ in range(memory)]  # where nothing is to move
        self._others: tuple[list[Tensor], Layout] = [], ()  # the arguments of the last call besides points
        self._last: tuple[Layout, Graph | None] = (), None

    def gradient(self, points: list[Tensor], weights: Batch) -> Parts:
        """The gradient (P,) of loss = sum_k mean(w_k r_k^2), the loss, and r (N,)."""
        theta = self.theta if self.rule is None else self.theta.clone()  # the graph moves it, and an unread state
        numbers, state = self._unused
        graph, known = self._graph_for(theta, points, weights, numbers, state)
        gradient, loss, *r = graph(theta, *points, *known, numbers, *state)
        return gradient, loss, self._named(r)

    def move(
        self, points: Sequence[list[Tensor]], weights: Batch, numbers: Tensor, state: list[Tensor]
    ) -> tuple[list[Tensor], Batch]:
        """Move parameters and state by the rule, with one row of `numbers` (k, K) at each of k lists of points.

        The losses before each step, and r (N,) before the last.
        """
        theta, losses, r, shapes = self.theta, list[Tensor](), list[Tensor](), None
        for X, row in zip(points, numbers.unbind(), strict=True):
            if shapes != (shapes := [(of.shape, of.stride()) for of in X]):  # `ahead` of a sampler keeps all else
                graph, known = self._graph_for(theta, X, weights, row, state)
            _, loss, *r = graph(theta, *X, *known, row, *state)
            losses.append(loss)
        increment_version(self._trained)  # a graph does not tell, and kept values rely on it
        return losses, self._named(r)

    def _named(self, r: list[Tensor]) -> Batch:
        return dict(zip(self.names, r, strict=True))

    @property
    def theta(self) -> Tensor:
        """The trained parameters as one vector (P,), whose parts they are from the first call on."""
        if [p.data_ptr() for p in self._trained] != self._places:
            self._theta = as_one_vector(self._trained)
            self._places = [p.data_ptr() for p in self._trained]
        return self._theta

    def _graph_for(
        self, theta: Tensor, points: list[Tensor], weights: Batch, numbers: Tensor, state: list[Tensor]
    ) -> tuple[Graph, list[Tensor]]:
        """The graph for arguments of this layout, and those that follow the points: buffers and weights."""
        fixed = [cast(Tensor, module._buffers[name]) for module, name in self.buffers.values()]
        known = [*fixed, *weights.values()]
        layout, graph = layout_of(points) + self._layout_of_others([*known, *state]), self._last[1]
        if graph is None or layout != self._last[0]:
            graph = self._graphs.get(layout) or self._compiled(layout, theta, points, fixed, weights, numbers, state)
            self._last = layout, graph
        return graph, known

    def _layout_of_others(self, others: list[Tensor]) -> Layout:
        """That of all arguments but the points: they are mostly the tensors of the last call."""
        before, _ = self._others
        if len(others) != len(before) or any(a is not b for a, b in zip(others, before, strict=True)):
            self._others = others, layout_of(others)
        return self._others[1]

    def _compiled(
        self,
        layout: Layout,
        theta: Tensor,
        points: list[Tensor],
        fixed: list[Tensor],
        weights: Batch,
        numbers: Tensor,
        state: list[Tensor],
    ) -> Graph:
        kind = tuple((len(shape), *rest) for shape, _, *rest in layout)
        if kind in self._kinds and self._checked is not None:
            return self._checked
        from pinn_cli.training.compiler_options import OPTIONS  # with the compiler, which takes a second to load

        function = self._function(len(points), len(fixed), list(weights))
        tensors = [theta, *points, *fixed, *weights.values(), numbers, *state]
        with self.compiling():
            if kind not in self._kinds:
                graph = unchecked(function, tensors, OPTIONS)
                self._examine(graph, function, tensors)
                self._graphs[layout] = graph
                self._kinds.add(kind)
                return graph
            graph = torch.compile(_alone(function), fullgraph=True, options=OPTIONS)
            points = [_of_any_number(X) for X in points]
            weights = {name: _of_any_number(w) if w.ndim else w for name, w in weights.items()}
            self._examine(graph, function, [theta, *points, *fixed, *weights.values(), numbers, *state])
            self._checked = graph
            return graph

    def _examine(self, graph: Graph, function: FunctionType, tensors: list[Tensor]) -> None:
        """Raise WrongError if a graph does not give what the step gives without a compiler; nothing moves."""
        plain, compiled = (self._tried(step, tensors) for step in (function, graph))
        own, whole = TOLERANCE[tensors[0].dtype]
        for kind, parts in plain.items():
            largest = {name: float(part.abs().max()) for name, part in parts.items()}
            for name, part in parts.items():
                allowed = own * largest[name] + whole * max(largest.values())
                if isfinite(allowed) and not float((compiled[kind][name] - part).abs().max()) <= allowed:
                    raise WrongError(
                        f"the compiler of torch {torch.__version__} has made a wrong step of this problem: {kind} "
                        f"`{name}` is not that of the same step without a compiler; type compile=off"
                    )

    def _tried(self, step: Callable[..., Sequence[Tensor]], tensors: list[Tensor]) -> dict[str, Batch]:
        """The results of a step by kind and name; it moves copies of the parameters and of the state.

        It begins beside the parameters: at a minimum the gradient would be what rounding leaves of larger numbers.
        """
        theta, end = tensors[0], len(tensors) - (0 if self.rule is None else self.rule.memory)
        beside = theta * (1 + 0.1 * torch.arange(len(theta), dtype=theta.dtype, device=theta.device).cos())
        state = [old.clone() for old in tensors[end:]]
        gradient, loss, *r = step(beside, *tensors[1:end], *state)
        parts = gradient.split([p.numel() for p in self._trained])
        return {
            "the state": {str(number): new for number, new in enumerate(state)},
            "the gradient of": dict(zip(self.parameters, parts, strict=True)),
            "the residual": dict(zip(self.names, r, strict=True)),
            "the": {"loss": loss},
        }

    def _function(self, points: int, fixed: int, weighted: list[str]) -> FunctionType:
        """The step as a function of all tensors that it reads; with a rule it moves the parameters and the state."""
        loss, rule, buffers = self.loss, self.rule, list(self.buffers)
        shapes = {name: p.shape for name, p in self.parameters.items()}
        counts = [p.numel() for p in self.parameters.values()]

        def value(theta: Tensor, others: Batch, X: list[Tensor], weights: Batch) -> tuple[Tensor, Batch]:
            each = zip(shapes.items(), theta.split(counts), strict=True)
            named = {name: part.view(shape) for (name, shape), part in each}
            with parts_of(theta, list(named.values())):
                return functional_call(loss, {**named, **others}, (X, weights))

        def step(theta: Tensor, *tensors: Tensor) -> list[Tensor]:
            left = list(tensors)
            X, known, w = (_first(left, n) for n in (points, fixed, len(weighted)))
            others, weights = dict(zip(buffers, known, strict=True)), dict(zip(weighted, w, strict=True))
            gradient, (total, r) = grad_and_value(value, has_aux=True)(theta, others, X, weights)
            if rule is not None:
                numbers, *state = left
                change, *new = rule(gradient, numbers, *state)
                theta.add_(change)
                for old, now in zip(state, new, strict=True):
                    old.copy_(now)
            return [gradient, total, *r.values()]

        return cast(FunctionType, step)


def as_one_vector(parameters: Sequence[nn.Parameter]) -> Tensor:
    """A vector (P,) whose parts the parameters are: the one whose parts they are already, or a new one."""
    first, end = parameters[0].detach(), 0
    for p in parameters:
        beside = p.is_contiguous() and p.data_ptr() == first.data_ptr() + end * p.element_size()
        if not beside or p.untyped_storage().data_ptr() != first.untyped_storage().data_ptr():
            break
        end += p.numel()
    else:
        return first.as_strided((end,), (1,))
    theta = torch.cat([p.detach().reshape(-1) for p in parameters])
    for p, part in zip(parameters, theta.split([p.numel() for p in parameters]), strict=True):
        p.data = part.view(p.shape)
    return theta


def _first(tensors: list[Tensor], count: int) -> list[Tensor]:
    """Take so many from the front."""
    taken, tensors[:] = tensors[:count], tensors[count:]
    return taken


def unchecked(function: Callable[..., Sequence[Tensor]], tensors: list[Tensor], options: dict[str, Any]) -> Graph:
    """The function as one compiled graph for tensors of this layout, which it does not check.

    It is traced with tensors that have no numbers, so that a residual that asks for one raises an error. torch keeps
    what it has compiled, for later runs with an equal graph, only in such a context for tracing.
    """
    from torch._guards import TracingContext, tracing  # these take a second to load
    from torch._subclasses import FakeTensorMode
    from torch.fx.experimental.proxy_tensor import make_fx
    from torch.fx.experimental.symbolic_shapes import ShapeEnv

    with one_operation(), _in_one_line():
        graph = make_fx(function, tracing_mode="fake", _allow_non_fake_inputs=True)(*tensors)
    with tracing(TracingContext(FakeTensorMode(shape_env=ShapeEnv(), static_shapes=True))):
        return cast(Graph, torch._inductor.compile(graph, [*tensors], options=options | UNCHECKED))


@contextmanager
def _in_one_line() -> Iterator[None]:
    """What a graph cannot have, in the code of a problem, becomes an UnfitError of one line, which names the place."""
    try:
        yield
    except (UsageError, TrainingError, OSError, MemoryError):
        raise
    except Exception as error:
        own = [frame for frame in extract_tb(error.__traceback__) if not frame.filename.startswith(OF_OTHERS)]
        if not own:
            raise
        reason = f"{type(error).__name__}: {str(error).strip().splitlines()[0][:160]}" if str(error).strip() else ""
        raise UnfitError(
            f"line {own[-1].lineno} of {own[-1].filename} cannot be compiled (`{own[-1].line}`; {reason}): write a "
            "choice by the values of a tensor as torch.where, or type compile=off"
        ) from error


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
