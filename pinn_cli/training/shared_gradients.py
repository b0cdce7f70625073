"""The gradients of several runs as one computation: one graph, mapped over the runs.

    L_b(theta_b) = sum_k mean(w_bk r_k(theta_b; X_b, mu_b)^2)        dL_b / dtheta_b        for b = 1 ... B at once

Each run b has its own parameters theta, points X, weights w and coefficients mu. Every layer is then one batched
product (`torch.func.vmap` over stacked parameters), and the cost of calling an operation is paid once for B runs.
Everything else of a run stays its own: sampler, weighting, optimizer, rows, checkpoints.

The first run that asks for its gradient gets the gradients of all computed (`Objective.begin` and the turns of
`loop.step` see to it that all have their points and weights by then); the others find theirs.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import IntEnum
from math import ceil
from numbers import Real
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call, grad_and_value, vmap
from torch.fx.experimental.proxy_tensor import make_fx

from pinn_cli.methods.contracts import Batch
from pinn_cli.physics.problem import Problem
from pinn_cli.training.clock import COMPILATION, Clock
from pinn_cli.training.objective import Gradients, Objective
from pinn_cli.training.residuals import Group, WeightedLoss

WIDTH = 8  # runs in one computation on a CPU: the streams of more would leave its cache
TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-9}  # of residuals, relative to the largest, by other operations
Stacked = dict[str, Tensor]  # (B, ...) by name
Graph = Callable[..., tuple[Stacked, tuple[Tensor, Stacked]]]  # gradient by parameter, losses (B,), residuals (B, N)


class Sharing(IntEnum):
    """Which runs share a computation. Each is tried in turn, until one gives the residuals of the runs themselves."""

    ALL = 0  # also those with other coefficients: these are arguments of the graph
    OF_EQUAL_COEFFICIENTS = 1  # for a problem that computes something of them that is no tensor
    NONE = 2


@dataclass(frozen=True)
class Ask:
    """What two runs have in common that ask for the same: constraints, and shapes of points and weights.

    The gradient of one `term` is asked for now and then, at the same `step` by all.
    """

    step: int
    term: str | None
    groups: tuple[Group, ...]
    shapes: tuple[Any, ...]
    coefficients: tuple[tuple[str, Real], ...]  # () where they are arguments


class SharedGradients:
    """The gradients of the objectives that have joined, `at_once` in one computation (None: 8 on a CPU, else all).

    With `compiled` the graph is compiled. `say` is told where runs cannot share, and what is compiled.
    """

    def __init__(self, compiled: bool, say: Callable[[str], None], at_once: int | None = None) -> None:
        self.compiled, self.say, self.at_once = compiled, say, at_once
        self.sharing = Sharing.ALL
        self.members: list[Objective] = []
        self._clocks: dict[Objective, Clock] = {}
        self._values: dict[str, set[Real]] = {}  # of the numbers of the problems
        self._graphs: dict[Any, tuple[int, Graph]] = {}  # with its width
        self._known: dict[tuple[int, str | None], tuple[Any, Gradients]] = {}  # not asked for yet, by objective
        self._examined: set[Objective] = set()
        self._fixed: dict[tuple[int, ...], tuple[Stacked, Stacked]] = {}

    def join(self, objective: Objective, clock: Clock) -> None:
        """Compute the gradients of this objective together with those of the others; `clock` is that of its run."""
        if self.sharing == Sharing.NONE:
            return
        self.members.append(objective)
        self._clocks[objective] = clock
        for name, value in _numbers(objective.problem).items():
            self._values.setdefault(name, set()).add(value)
        objective.shared = self

    def leave(self, objective: Objective) -> None:
        """Compute no more gradients of this objective."""
        objective.shared = None
        self._clocks.pop(objective, None)
        self.members = [member for member in self.members if member is not objective]
        self._known = {key: found for key, found in self._known.items() if key[0] != id(objective)}
        self._examined.discard(objective)
        self._fixed.clear()

    def __call__(self, objective: Objective, term: str | None) -> Gradients:
        """Those of one objective; those of all others that ask for the same graph are kept for them."""
        key = (id(objective), term)
        if key not in self._known or self._known[key][0] != _moment(objective):
            self._compute(objective, term)
        return self._known.pop(key)[1] if key in self._known else objective.alone(term)

    def _compute(self, asking: Objective, term: str | None) -> None:
        while self.sharing != Sharing.NONE:
            ask = self._ask(asking, term)
            members = [member for member in self.members if member.batch and self._ask(member, term) == ask]
            try:
                self._known |= self._computed(members, ask)
                return
            except torch.OutOfMemoryError:
                raise
            except Exception as error:  # an operation without a rule for batches, or a coefficient that is no tensor
                reason = f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
                self.sharing = Sharing(self.sharing + 1)
                self._graphs.clear()
                self._fixed.clear()
        self.say(f"the runs go on side by side, each with its own gradient, since they cannot share one ({reason})")
        for member in self.members:
            member.shared = None

    def _ask(self, objective: Objective, term: str | None) -> Ask:
        batch = objective.batch if term is None else {term: objective.batch[term]}  # no pass for the other constraints
        weights = objective.weights_for(term)
        shapes = tuple((name, X.shape, _per_point(weights[name])) for name, X in batch.items())
        numbers = tuple(_numbers(objective.problem).items()) if self.sharing == Sharing.OF_EQUAL_COEFFICIENTS else ()
        return Ask(objective.step if term else 0, term, objective.at.groups(batch), shapes, numbers)

    def _computed(self, members: Sequence[Objective], ask: Ask) -> dict[tuple[int, str | None], tuple[Any, Gradients]]:
        key = (ask.groups, ask.shapes, ask.coefficients, tuple(self._varied))
        width = self._graphs[key][0] if key in self._graphs else self._even_width(len(members), members[0].device)
        known = {}
        for start in range(0, len(members), width):
            some = members[start : start + width]
            full = [*some, *[some[-1]] * (width - len(some))]  # a graph has a fixed number of runs
            arguments = self._arguments(full, ask)
            if key not in self._graphs:
                with self._not_counted():
                    self._graphs[key] = width, self._traced(full[0], ask.groups, arguments)
            gradient, (losses, residuals) = self._graphs[key][1](*arguments)
            for member, found in zip(some, _apart(gradient, losses, residuals), strict=False):
                self._examine(member, found[2])
                known[id(member), ask.term] = _moment(member), found
        return known

    def _even_width(self, runs: int, device: torch.device) -> int:
        """Runs at a time, so that all computations have about the same number."""
        most = self.at_once or (WIDTH if device.type == "cpu" else runs)
        return ceil(runs / ceil(runs / most))

    @torch.no_grad()
    def _arguments(
        self, members: Sequence[Objective], ask: Ask
    ) -> tuple[Stacked, Stacked, Stacked, list[Tensor], Stacked]:
        """Of these runs: parameters, what is not trained, coefficients, points by group, weights by constraint."""
        parameters = zip(*(member.parameters for member in members), strict=True)
        theta = {name: torch.stack(same) for name, same in zip(members[0].names, parameters, strict=True)}
        who = tuple(map(id, members))
        if who not in self._fixed:
            self._fixed[who] = _untrained(members), self._coefficients(members)
        points = [torch.stack([member.batch[names[0]] for member in members]) for names in ask.groups]
        weights = [member.weights_for(ask.term) for member in members]
        like = members[0].parameters[0]
        w = {name: _stacked([of[name] for of in weights], like) for names in ask.groups for name in names}
        return theta, *self._fixed[who], points, w

    @property
    def _varied(self) -> list[str]:
        """The numbers of the problems that differ between all runs, if they are arguments."""
        return [name for name, values in self._values.items() if len(values) > 1 and self.sharing == Sharing.ALL]

    def _coefficients(self, members: Sequence[Objective]) -> Stacked:
        """Those numbers (B,), in double precision as Python has them."""
        of = {name: [float(vars(member.problem)[name]) for member in members] for name in self._varied}
        device = members[0].device
        return {name: torch.tensor(values, dtype=torch.float64, device=device) for name, values in of.items()}

    def _traced(self, one: Objective, groups: tuple[Group, ...], arguments: tuple[Any, ...]) -> Graph:
        """The graph of any runs of these shapes, from the residuals of one of them."""
        loss = WeightedLoss(one.at, groups)

        def value(
            theta: Stacked, fixed: Stacked, numbers: Stacked, points: list[Tensor], weights: Batch
        ) -> tuple[Tensor, Batch]:
            states = {f"model.{name}": tensor for name, tensor in (theta | fixed).items()}
            with _with_numbers(one, numbers):
                return functional_call(loss, states, (points, weights))

        def every(*stacked: Any) -> Any:
            return vmap(grad_and_value(value, has_aux=True))(*stacked)

        graph: Graph = make_fx(every)(*arguments)
        if self.compiled:
            from pinn_cli.training.compiler_options import OPTIONS  # with the compiler, which takes a second to load

            count = len(arguments[-1][groups[0][0]])
            self.say(f"compiling a gradient of {count} runs at a time: about half a minute, more for long formulas")
            graph = torch.compile(graph, fullgraph=True, dynamic=False, options=OPTIONS)
            graph(*arguments)
        return graph

    @contextmanager
    def _not_counted(self) -> Iterator[None]:
        """To make a graph is no training of any of the runs."""
        with ExitStack() as stack:
            for clock in self._clocks.values():
                stack.enter_context(clock(COMPILATION))
            yield

    @torch.no_grad()
    def _examine(self, member: Objective, residuals: Batch) -> None:
        """Raise ValueError if the first residuals of a run are not those that it computes by itself."""
        if member in self._examined:
            return
        own = member.residuals()
        for name, r in residuals.items():
            if not torch.allclose(r, own[name], rtol=0.0, atol=TOLERANCE[r.dtype] * float(own[name].abs().max())):
                raise ValueError(f"the residual `{name}` of one run would be that of another")
        if residuals.keys() == own.keys():
            self._examined.add(member)


def _moment(objective: Objective) -> tuple[int, ...]:
    """What a gradient belongs to: the points, and the parameters."""
    return objective.begun, *(p._version for p in objective.parameters)


def _numbers(problem: Problem) -> dict[str, Real]:
    """The attributes of a problem that are numbers, but not those that count something."""
    own = {name: value for name, value in vars(problem).items() if isinstance(value, Real)}
    return {name: value for name, value in own.items() if not isinstance(value, bool) and name not in problem.unknowns}


@contextmanager
def _with_numbers(objective: Objective, numbers: Mapping[str, Tensor]) -> Iterator[None]:
    """Let the problem of an objective have these numbers, as attributes and as symbols."""
    own, at = vars(objective.problem), objective.at
    before, given = {name: own[name] for name in numbers}, at.given
    own.update(numbers)
    at.given = {**given, **{name: value.to(objective.dtype) for name, value in numbers.items()}}
    try:
        yield
    finally:
        own.update(before)
        at.given = given


def _untrained(members: Sequence[Objective]) -> Stacked:
    """The buffers and the parameters that are not trained, by name."""
    names = set(members[0].names)
    each = [dict(member.model.named_parameters()) | dict(member.model.named_buffers()) for member in members]
    return {name: torch.stack([of[name] for of in each]) for name in each[0] if name not in names}


def _per_point(weight: float | Tensor) -> bool:
    return isinstance(weight, Tensor) and weight.ndim > 0


def _stacked(weights: Sequence[float | Tensor], like: Tensor) -> Tensor:
    """The weights of one constraint, (B,) or (B, N)."""
    if _per_point(weights[0]):
        return torch.stack([torch.as_tensor(w, dtype=like.dtype, device=like.device) for w in weights])
    return torch.tensor([float(w) for w in weights], dtype=like.dtype, device=like.device)


def _apart(gradient: Stacked, losses: Tensor, residuals: Stacked) -> Iterator[Gradients]:
    """What belongs to each run; losses on the CPU, since each run reads its own."""
    parts = zip(*(of.unbind() for of in gradient.values()), strict=True)
    r = zip(*(of.unbind() for of in residuals.values()), strict=True)
    for loss, part, own in zip(losses.cpu().unbind(), parts, r, strict=True):
        yield loss, list(part), dict(zip(residuals, own, strict=True))
