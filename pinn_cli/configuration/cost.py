"""What a step costs in derivatives, memory and linear algebra, known before anything large is made."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import torch
from torch import Tensor

from pinn_cli.basics.errors import MachineError
from pinn_cli.basics.memory import USABLE, amount, free_memory, measured
from pinn_cli.configuration.assemble import Parts
from pinn_cli.derivatives.algebra import unit
from pinn_cli.derivatives.engines import Taylor
from pinn_cli.derivatives.keys import Index, Key, Lap
from pinn_cli.methods.contracts import Optimizer, Sampler, Stage
from pinn_cli.methods.samplers.counts import Count
from pinn_cli.methods.samplers.counts import plan as draws_of
from pinn_cli.methods.strategies.direct import Phase
from pinn_cli.physics.points import measured_points, trial_points
from pinn_cli.physics.problem import Constraint, Problem
from pinn_cli.physics.terms import order
from pinn_cli.training.objective import Objective
from pinn_cli.training.residuals import AT_ONCE

PROBE = 16  # points at which the memory of a step is measured
BESIDE = 2048  # the same where a step solves equations at points of its own
FEW, TIMED = 16, 512  # points of every constraint at which the evaluations of a step are timed
PIECE = 1e8  # bytes of J that are formed at a time
OPERATIONS = 5e8  # of the factorisation that is timed
SLOW = 10.0  # seconds a step above which the plan offers another way


# --- Derivatives ------------------------------------------------------------------------------------------------------


@dataclass
class Streams:
    """The derivatives carried over one region, and what a residual there costs in passes through the network."""

    region: str
    constraints: list[str]
    derivatives: list[str]
    taylor: int
    nested: int


def streams_of(problem: Problem, constraints: Iterable[Constraint]) -> list[Streams]:
    """Streams by region; a periodic pair is evaluated at both ends and needs twice as many."""
    return [_streams(problem, group) for group in _groups(constraints)]


def _groups(constraints: Iterable[Constraint]) -> list[list[Constraint]]:
    """Constraints that share one pass: those of one region, and each periodic pair alone."""
    groups: dict[tuple[str, str], list[Constraint]] = {}
    for c in constraints:
        groups.setdefault((c.region, c.name if c.against else ""), []).append(c)
    return list(groups.values())


def _streams(problem: Problem, group: list[Constraint]) -> Streams:
    zero = (0,) * len(problem.coordinates)
    wanted: set[Key] = {zero}
    wanted.update(*(s.needs for c in group for s in c.symbols.values()))
    spelt = [spell(problem.coordinates, key) for key in sorted(wanted, key=lambda k: (order(k), str(k)))]
    ends = 2 if group[0].against else 1
    taylor, nested = Taylor(wanted).streams, nested_passes(wanted, len(zero), len(problem.fields))
    return Streams(group[0].region, [c.name for c in group], spelt, ends * taylor, ends * nested)


def spell(coordinates: Iterable[str], key: Key) -> str:
    """(2, 0) -> `xx`, the Laplacian -> `lap`, the value itself -> `1`."""
    if isinstance(key, Lap):
        return "lap"
    return "".join(c * n for c, n in zip(coordinates, key, strict=True)) or "1"


def nested_passes(wanted: Iterable[Key], D: int, F: int) -> int:
    """Passes through the network of nested reverse mode that shares lower derivatives, as `Autograd` does.

    The function itself is one pass. The gradient of a derivative of order m goes back through its whole graph, which is
    2^m passes, for each of the F fields: a chain to order m costs 2^m in all, a Laplacian 1 + F (1 + 2 D).
    """
    differentiated: set[Index] = set()
    for key in wanted:
        for index in [unit(i, D, 2) for i in key.axes] if isinstance(key, Lap) else [key]:
            while any(index):
                i = next(i for i, n in enumerate(index) if n)
                index = tuple(n - (i == j) for j, n in enumerate(index))
                differentiated.add(index)
    return 1 + F * sum(2 ** sum(index) for index in differentiated)


# --- Memory and time --------------------------------------------------------------------------------------------------


class StepCost:
    """Bytes that one step needs at its peak, and its seconds.

    Residuals, their gradient and the rows of J take memory in proportion to the points. So each is computed once at
    PROBE points of every region, with the network, dtype and device of the run, and its bytes are counted.

        first order, quasi-Newton   points x gradient + workspace
        least squares               max(points x linearisation, points x rows of J + workspace)
                                    where points are linearised `at_once` at a time, these and the rows of all others

    `workspace` is what the optimizer needs besides. A sampler also evaluates the residuals at `candidates` fresh points
    per training point, without a gradient and at most AT_ONCE at a time. A compiled step needs less than this. A phase
    for which the strategy adds to the network, or the sampler points, is counted with these.

    The seconds of a least-squares step are those of its evaluations (F, J, the loss with its gradient, and a trial),
    which grow with the points, and those of its linear algebra, at the rate of a smaller piece. Steps that try several
    lengths or dampings take longer.
    """

    def __init__(self, stage: Stage, parts: Parts) -> None:
        self.stage, self.parts, self.problem = stage, parts, stage.problem
        self.model_of = cache(self._model_of)

    def of(self, phase: Phase, points: Mapping[str, Count] | None = None) -> float:
        """Bytes of one step of a phase, at its own numbers of points unless others are given."""
        optimizer, model = phase.optimizer(), self.model_of(phase.name)
        counts, candidates = self._counts(phase, points), max(s.candidates for s in _chain(phase.sampler()))
        totals = [sum({counts[name] for name in group}) for group in model.groups]  # equal numbers share their points
        workspace = optimizer.workspace(model.solved(optimizer), sum(counts.values()), self.parts.dtype.itemsize)

        def needed(compute: Callable, kept: bool = False) -> list[float]:
            return [n * model.per_point(i, compute)[kept] for i, n in enumerate(totals)]

        if optimizer.least_squares:
            kept = sum(needed(_linearisation, kept=True))
            most = optimizer.at_once or max(totals, default=0)
            peaks = [min(n, most) * model.per_point(i, _linearisation)[0] for i, n in enumerate(totals)]
            step = max(sum(peaks) if optimizer.at_once is None else kept + sum(peaks), kept + workspace)
        else:
            step = sum(needed(_gradient)) + model.at_any_points + workspace
        fresh = [min(candidates * n, AT_ONCE) * model.per_point(i, _residuals)[0] for i, n in enumerate(totals)]
        return max(step, *fresh)

    def shape(self, phase: Phase) -> tuple[int, int]:
        """The parameters that one step of a phase solves for, and its residuals."""
        return self.model_of(phase.name).solved(phase.optimizer()), sum(self._counts(phase).values())

    def seconds(self, phase: Phase) -> float:
        """About those of one step of a least-squares phase, measured on smaller pieces."""
        optimizer, model, shape = phase.optimizer(), self.model_of(phase.name), self.shape(phase)
        rate = _rate(optimizer, *shape, self.parts.dtype, self.parts.device)
        return model.seconds(optimizer, self._counts(phase)) + optimizer.operations(*shape) / rate

    def _counts(self, phase: Phase, points: Mapping[str, Count] | None = None) -> dict[str, int]:
        """Points by constraint, with those that a sampler adds at once."""
        constraints = {c.name: c for c in self.problem.constraints()}
        imposed = constraints.keys() - self.model_of(phase.name).objective.constraints.keys()
        draws = draws_of(self.problem, phase.points if points is None else points, imposed)
        counts = {n: d.rows or len(measured_points(self.problem, constraints[n])) for d in draws for n in d.names}
        more = 1 + sum(sampler.extra for sampler in _chain(phase.sampler()))
        return {n: round(more * k) if constraints[n].region == "interior" else k for n, k in counts.items()}

    def _model_of(self, phase: str) -> "_Model":
        optimizer = next(p.optimizer() for p in self.parts.schedule if p.name == phase)
        model = self.parts.strategy.model_for(optimizer, self.stage)
        first = self.parts.schedule[0].name
        if model is self.stage.model and phase != first:
            return self.model_of(first)
        return _Model(Objective(self.problem, model, self.parts.engine, lambda batch, residuals: {}))


def _chain(sampler: Sampler) -> Iterator[Sampler]:
    """A sampler, and those that it wraps."""
    link: Sampler | None = sampler
    while link is not None:
        yield link
        link = getattr(link, "inner", None)


class _Model:
    """The bytes of a point of each group of constraints, for the model of one objective."""

    def __init__(self, objective: Objective) -> None:
        self.objective = objective
        self.groups = [[c.name for c in group] for group in _groups(objective.constraints.values())]
        self.parameters = sum(p.numel() for p in objective.parameters)
        self.size = objective.dtype.itemsize
        self.per_point = cache(self._per_point)

    @cached_property
    def at_any_points(self) -> float:
        """Bytes that a step takes besides those of its points: a solve at points of the model's own."""
        if self.objective.at.of_one_problem:
            return 0.0
        return self._peak(0, 1, _gradient)[0]

    def columns(self, optimizer: Optimizer) -> list[slice]:
        """The places of the parameters that the optimizer trains: all, or the output layer and the unknowns."""
        objective, last = self.objective, self.objective.output_layer
        unknowns = {id(p) for p in dict(getattr(objective.model, "unknowns", {})).values()}
        pairs = zip(objective.parameters, objective.columns, strict=True)
        every = not optimizer.output_layer_alone
        return [place for p, place in pairs if every or bool(last[place].all()) or id(p) in unknowns]

    def solved(self, optimizer: Optimizer) -> int:
        """How many parameters these are."""
        return sum(place.stop - place.start for place in self.columns(optimizer))

    def seconds(self, optimizer: Optimizer, counts: Mapping[str, int]) -> float:
        """Those of the evaluations of a step at these numbers of points, by constraint."""
        most, columns = max(counts.values(), default=0), self.columns(optimizer)
        self._evaluations(columns, counts, FEW)  # the first one prepares what later ones keep
        few, many = (self._evaluations(columns, counts, n) for n in (FEW, TIMED))
        return many + max(0, most - TIMED) * max(0.0, many - few) / (TIMED - FEW)

    def _evaluations(self, columns: list[slice], counts: Mapping[str, int], most: int) -> float:
        """The same at no more than `most` points of every constraint."""
        objective, sizes = self.objective, {name: min(most, n) for name, n in counts.items()}
        batch: dict[str, Tensor] = {}
        for names in self.groups:
            longest = max(sizes[name] for name in names)
            X = trial_points(objective.problem, objective.constraints[names[0]], longest)
            shared = {n: X[:n].to(objective.device, objective.dtype) for n in {sizes[name] for name in names}}
            batch |= {name: shared[sizes[name]] for name in names}
        objective.begin(batch)
        start = time.perf_counter()
        for J in objective.linearise().chunks(PIECE, columns):
            float(J[0, 0])
        _gradient(objective)
        _residuals(objective)
        if objective.device.type == "cuda":
            torch.cuda.synchronize(objective.device)
        return time.perf_counter() - start

    def _per_point(self, group: int, compute: Callable[[Objective], Any]) -> tuple[float, float]:
        """Bytes of one point of a group of constraints: at the peak, and kept by the result."""
        names, objective = self.groups[group], self.objective
        if compute is _linearisation and not objective.engine.taped:  # one row after the other, then all in one tensor
            rows = float(len(names) * self.parameters * self.size)
            return self._per_point(group, _gradient)[0] + 2 * rows, rows
        if not objective.at.of_one_problem:  # so many that they, and not the solve, are the peak
            (few, few_kept, m), (many, many_kept, n) = (self._peak(group, k * BESIDE, compute) for k in (1, 2))
            return max(0, many - few) / (n - m), max(0, many_kept - few_kept) / (n - m)
        peak, kept, n = self._peak(group, PROBE, compute)
        constant = 0 if compute is _residuals else self.parameters * self.size  # a gradient has this at any points
        return max(0, peak - constant) / n, kept / n

    def _peak(self, group: int, points: int, compute: Callable[[Objective], Any]) -> tuple[int, int, int]:
        """Bytes at a few points of a group of constraints, at the peak and kept by the result, and their number."""
        names, objective = self.groups[group], self.objective
        X = trial_points(objective.problem, objective.constraints[names[0]], points)[:points]
        objective.begin(dict.fromkeys(names, X.to(objective.device, objective.dtype)))
        peak, kept, _ = measured(lambda: compute(objective))
        return peak, kept, len(X)


def _residuals(objective: Objective) -> None:
    with torch.no_grad():
        objective.residuals()


def _gradient(objective: Objective) -> None:
    loss = objective.loss()
    if loss.requires_grad:  # not u_xx of a network that is linear in x
        torch.autograd.grad(loss, objective.parameters, allow_unused=True)


def _linearisation(objective: Objective) -> Any:
    return objective.linearise()


def refuse_too_large(memory: StepCost, parts: Parts) -> None:
    """Raises MachineError for points whose step does not fit into the free memory, with a number that does."""
    free = free_memory(parts.device)
    for phase in parts.schedule:
        if free is None or (needed := memory.of(phase)) <= USABLE * free:
            continue
        sizes = f"a step of {phase.name} needs {amount(needed)}, {amount(free)} are free"
        ways = ["a smaller architecture.width"]
        if phase.optimizer().least_squares:
            ways += ["optimizer=lbfgs"]
        key, most = _most_points(memory, phase, USABLE * free)
        if most < 1:
            raise MachineError(f"{memory.shape(phase)[0]} parameters: {sizes}; type {' or '.join(ways)}")
        where = f"points.{key}" if phase is parts.schedule[0] else f"optimizer.{phase.name}.points.{key}"
        raise MachineError(f"{where}={phase.points[key]}: {sizes}; type {' or '.join([f'{where}={most}', *ways])}")


def _most_points(memory: StepCost, phase: Phase, limit: float) -> tuple[str, int]:
    """The entry of `points` that needs the most memory, and a number for it that fits; 0 if none does."""
    table = phase.points
    numbers = {key: n for key, n in table.items() if isinstance(n, int)}
    if not numbers:
        return "", 0
    key = min(numbers, key=lambda key: memory.of(phase, {**table, key: 1}))
    low, high = 0, numbers[key]
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if memory.of(phase, {**table, key: middle}) <= limit else (low, middle)
    digits = max(0, len(str(low)) - 2)
    return key, low // 10**digits * 10**digits


# --- Linear algebra ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Factorisation:
    """A least-squares step forms and factors an n x n matrix, n the smaller of parameters and residuals."""

    parameters: int
    rows: int
    seconds: float

    def __str__(self) -> str:
        side = min(self.parameters, self.rows)
        space = "parameters" if self.parameters <= self.rows else "residuals"
        return f"{side} x {side} matrix of {space}, about {self.seconds:.2g} s a step"


def _rate(optimizer: Optimizer, parameters: int, rows: int, dtype: torch.dtype, device: torch.device) -> float:
    """Operations per second of the optimizer's linear algebra on a smaller matrix of about the same shape."""
    share = min(1.0, (OPERATIONS / max(1.0, optimizer.operations(parameters, rows))) ** (1 / 3))
    M, P = max(1, round(share * rows)), max(1, round(share * parameters))
    J = torch.rand(M, P, dtype=dtype, device=device, generator=torch.Generator(device).manual_seed(0))
    start = time.perf_counter()
    optimizer.factorise(J)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return optimizer.operations(P, M) / (time.perf_counter() - start)
