"""Residuals of a problem for a model, at any points, eager or as one compiled graph.

N = points of one constraint   D = coordinates   F = fields
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Protocol

import torch
from torch import Tensor, nn

from pinn_cli.derivatives import Tape
from pinn_cli.derivatives.fused_layers import one_operation
from pinn_cli.derivatives.keys import Key
from pinn_cli.methods.contracts import Batch, Rule
from pinn_cli.physics.points import trial_points
from pinn_cli.physics.problem import Problem
from pinn_cli.physics.symbols import Place, Symbol
from pinn_cli.physics.terms import Scales, at_rest, coupled, relative_size, scales_of, terms_of
from pinn_cli.physics.unknowns import at_points, values_of
from pinn_cli.training.compiled_step import CompiledStep, Parts, UncompiledError
from pinn_cli.training.kept_features import KeptFeatures

Derivatives = Callable[..., Mapping[Key, Tensor]]  # (model, X (N, D), tape or None) -> values (N, F) by derivative
AT_ONCE = 4096  # points that are evaluated together where no gradient is wanted
TILED = 16384  # the same where layers are one operation, which cuts them into tiles itself
Group = tuple[str, ...]  # constraints that share their points and one pass through the network


class Engine(Protocol):
    """Plans once how to compute the derivatives `wanted`; `taped` if it can record rows of the Jacobian on a tape."""

    @property
    def taped(self) -> bool: ...

    def __call__(self, wanted: Iterable[Key]) -> Derivatives: ...


class Residuals:
    """r (N,) of every constraint of `problem` for `model`, except those `imposed` (None: as the model says).

    Derivatives come from `engine`. With `compiling`, a first-order step is one compiled graph; the context is entered
    while it is compiled. Where it cannot be compiled, `uncompiled` is told, and the steps are eager from then on; None:
    the error is raised.
    """

    of_one_problem = True  # False: of several instances of a family at once (`family_residuals.py`)

    def __init__(self, problem: Problem, model: nn.Module, engine: Engine, imposed: Collection[str] | None = None):
        self.problem, self.model, self.engine = problem, model, engine
        self.compiling: Callable[[], AbstractContextManager[None]] | None = None
        self.uncompiled: Callable[[UncompiledError], None] | None = None
        met = getattr(model, "imposed", ()) if imposed is None else imposed  # a plain module imposes nothing
        self.kept = KeptFeatures()
        self.function = partial(model, kept=self.kept) if getattr(model, "frozen", False) else model
        self.given: Mapping[str, Tensor] = {}  # values of unknowns that count in place of those of the model
        self.constraints = {c.name: c for c in problem.constraints() if c.name not in met}
        self.base: Mapping[str, float] = {}  # weights of squares by constraint, for a model that solves equations
        self.dimension = len(problem.coordinates)
        self._zero = (0,) * self.dimension
        self._engines: dict[Group, Derivatives] = {}
        self.rule: Rule | None = None  # of the optimizer of this stage, a part of the graph
        self._steps: dict[tuple[tuple[Group, ...], Rule | None], CompiledStep] = {}
        self._parts = _parts_of(model)

    @property
    def unknowns(self) -> dict[str, Tensor]:
        """The values of the unknown coefficients."""
        return {**values_of(self.model), **self.given}

    def serves(self, problem: Problem, model: nn.Module, compiled: bool) -> bool:
        """Whether these are the residuals of this problem and model, compiled or not."""
        same = self.problem is problem and self.model is model and (self.compiling is not None) == compiled
        return same and list(map(id, self._parts)) == list(map(id, _parts_of(model)))

    def begin(self, step: int) -> bool:
        """Whether the equations of this step of the stage are others than those of the step before."""
        return False

    def spread(self, values: Batch) -> Batch:
        """Numbers of points by constraint, as often as there are residuals of each point."""
        return values

    def values(self) -> Mapping[str, float]:
        """Columns for the history, by name."""
        return {}

    def held_out(self, which: str) -> Sequence[Problem]:
        """The instances of a family on which the model is measured: `validation` while it is trained, then `test`."""
        return []

    def unsolved(self, instances: Sequence[Problem]) -> dict[int, str]:
        """Why a network that solves equations has not solved some of these instances of a family, by their seeds."""
        return {}

    def solution(self, problem: Problem) -> nn.Module:
        """The model of this problem: that of these residuals, or of a family that of an instance."""
        return self.model

    def __call__(self, batch: Batch) -> Batch:
        """r (N,) by constraint at the points of a batch, eager."""
        out: Batch = {}
        for names in self.groups(batch):
            out |= self.at(names, batch[names[0]])
        return {name: out[name] for name in self.constraints if name in out}

    def differentiated(self, batch: Batch, weights: Batch) -> Parts:
        """The gradient (P,) of loss = sum_k mean(w_k r_k^2), the loss, and r (N,): one compiled graph.

        w_k is a number, or one per point (N,).
        """
        step, firsts = self.compiled_step(batch)
        return step.gradient([batch[name] for name in firsts], weights)

    def give_up(self, error: UncompiledError) -> None:
        """Take eager steps from now on, since there is no compiled one; raise the error where that is not wanted."""
        if self.uncompiled is None:
            raise error
        self.compiling = None
        self.uncompiled(error)

    def compiled_step(self, batch: Batch) -> tuple[CompiledStep, list[str]]:
        """The compiled step of the constraints of a batch, and one constraint of each group: it takes their points."""
        assert self.compiling is not None
        groups = self.groups(batch)
        key = groups, self.rule
        if key not in self._steps:
            names = [name for group in groups for name in group]
            self._steps[key] = CompiledStep(WeightedLoss(self, groups), names, self.rule, self.compiling)
        return self._steps[key], [names[0] for names in groups]

    def at(self, names: Group, X: Tensor, tapes: Sequence[Tape] = ()) -> Batch:
        """r (N,) of constraints of one region at points X. A second tape takes the other end of a periodic pair."""
        here = self._one_sided(names, X, tapes[0] if tapes else None)
        against = self.constraints[names[0]].against
        if against is None:
            return here
        there = self._one_sided(names, against(X), tapes[1] if tapes else None)
        return {name: here[name] - there[name] for name in names}

    def taped(self, batch: Batch) -> tuple[Batch, dict[str, list[Tape]]]:
        """r (N,) by constraint, and the tapes of its evaluation."""
        out: Batch = {}
        tapes: dict[str, list[Tape]] = {}
        for names in self.groups(batch):
            pair = [Tape(), Tape()]
            out |= self.at(names, batch[names[0]], pair)
            tapes |= dict.fromkeys(names, pair)
        return {name: out[name] for name in self.constraints if name in out}, tapes

    def groups(self, batch: Batch) -> tuple[Group, ...]:
        """Constraints by the points they share; a periodic pair is alone."""
        groups: dict[tuple[int, str, str | None], list[str]] = {}
        for name, X in batch.items():
            c = self.constraints[name]
            groups.setdefault((id(X), c.region, name if c.against else None), []).append(name)
        return tuple(map(tuple, groups.values()))

    def terms(self, name: str, X: Tensor, scales: Scales) -> dict[str, float]:
        """The rms size over X of each term of an equation by symbol; `source` is the part without the fields."""
        return terms_of(self.problem, self.constraints[name], self.symbols(name, X), scales)

    @torch.no_grad()
    def measured(
        self, names: Group, X: Tensor, scales: Scales, extents: Problem
    ) -> tuple[Batch, dict[str, float]]:
        """r (N,) of constraints of one region, and each rms over its largest term, from one evaluation at X.

        `extents` is a problem on the domain over which the fields vary.
        """
        at = self.place(names, X)
        r, against = self._read_residuals(names, at), self.constraints[names[0]].against
        if against is not None:
            there = self._one_sided(names, against(X), None)
            r = {name: r[name] - there[name] for name in names}
        relative = {}
        for name in names:
            values = {symbol: s.read(at).detach() for symbol, s in self.constraints[name].symbols.items()}
            relative[name] = relative_size(extents, self.constraints[name], values, r[name], scales)
        return r, relative

    @torch.no_grad()
    def scales(self, like: Tensor) -> Scales:
        """The mean and the deviation of every field on the domain, in the precision of `like`."""
        inside = trial_points(self.problem, "interior", 1000).to(like)
        equations = [c.name for c in self.constraints.values() if c.region == "interior"]
        scales = at_rest(self.problem, scales_of(self.model(inside)))
        return coupled(self.problem, scales, {name: self.symbols(name, inside) for name in equations})

    @torch.no_grad()
    def evaluate(self, symbols: Sequence[str], X: Tensor) -> dict[str, Tensor]:
        """Values (N,), detached, of symbols, observables and ``residual/<constraint>``. Raises TypeError for others."""
        grammar, observables = self.problem.grammar, self.problem.observables()
        values: dict[str, Tensor] = {}
        for name in symbols:
            if name.startswith("residual/"):
                constraint = self.constraints.get(name.removeprefix("residual/"))
                if constraint is None or constraint.kind == "data":  # a measured value belongs to its own point
                    raise TypeError(f"`{name}` is no residual that has a value at any point")
                values[name] = self.at((constraint.name,), X)[constraint.name]
            elif name in observables:
                method, parsed = observables[name]
                values[name] = method(**self._read(parsed, X))
        plain = {name: grammar.parse(name, "evaluate", "interior") for name in symbols if name not in values}
        values |= self._read(plain, X)
        return {name: values[name].detach() for name in symbols}

    def symbols(self, name: str, X: Tensor) -> dict[str, Tensor]:
        """The values (N,) of the symbols of one constraint at points X of its region."""
        at = self.place((name,), X)
        return {symbol: s.read(at).detach() for symbol, s in self.constraints[name].symbols.items()}

    def place(self, names: Group, X: Tensor, tape: Tape | None = None) -> Place:
        """What the symbols of constraints of one region are read from, at points X of that region."""
        return self._place(self._plan(names), self.constraints[names[0]].region, X, tape)

    def _one_sided(self, names: Group, X: Tensor, tape: Tape | None) -> Batch:
        return self._read_residuals(names, self.place(names, X, tape))

    def _read_residuals(self, names: Group, at: Place) -> Batch:
        X, out = at.points, {}
        for name in names:
            c = self.constraints[name]
            r = c.residual(**{symbol: s.read(at) for symbol, s in c.symbols.items()})
            if r.shape != X.shape[:1]:
                raise TypeError(
                    f"residual `{name}` of {type(self.problem).__name__} has shape {tuple(r.shape)}; "
                    f"expected ({len(X)},), one number per point"
                )
            out[name] = r
        return out

    def _plan(self, names: Group) -> Derivatives:
        if names not in self._engines:
            symbols = [s for name in names for s in self.constraints[name].symbols.values()]
            self._engines[names] = self.engine({self._zero}.union(*(s.needs for s in symbols)))
        return self._engines[names]

    def _place(self, derivatives: Derivatives, region: str, X: Tensor, tape: Tape | None = None) -> Place:
        points = X[:, : self.dimension]
        values = self._values(derivatives, points, tape)
        has_normal = region != "data" and self.problem.domain.has_normal(region)
        normals = self.problem.domain.normal(region, points) if has_normal else None
        return Place(values, X, normals, self._coefficients(X, tape))

    def _values(self, derivatives: Derivatives, X: Tensor, tape: Tape | None) -> Mapping[Key, Tensor]:
        """The derivatives at X; without gradients some points at a time, so that memory is bounded."""
        if torch.is_grad_enabled() or tape is not None:
            return derivatives(self.function, X, tape)
        compiled = self.compiling is not None
        with one_operation(compiled):
            parts = [derivatives(self.function, some, None) for some in X.split(TILED if compiled else AT_ONCE)]
        return parts[0] if len(parts) == 1 else {key: torch.cat([part[key] for part in parts]) for key in parts[0]}

    def _coefficients(self, X: Tensor, tape: Tape | None) -> dict[str, Tensor]:
        found = at_points(self.model, len(X), tape, self.given)
        fixed = {k: X.new_full((len(X),), v) for k, v in self.problem.coefficients.items() if k not in found}
        return fixed | found | {k: v.expand(len(X)) for k, v in self.given.items()}

    def inside(self, symbols: Iterable[Symbol], X: Tensor) -> Place:
        """What symbols are read from at any points X of the domain."""
        return self._place(self.engine({self._zero}.union(*(s.needs for s in symbols))), "interior", X)

    def _read(self, parsed: Mapping[str, Symbol], X: Tensor) -> dict[str, Tensor]:
        at = self.inside(parsed.values(), X)
        return {name: s.read(at) for name, s in parsed.items()}


def _parts_of(model: nn.Module) -> list[nn.Module | Tensor]:
    """The modules, parameters and buffers of a model, and once more the parameters that are trained."""
    trained = [p for p in model.parameters() if p.requires_grad]
    return [*model.modules(), *model.parameters(), *model.buffers(), *trained]


class WeightedLoss(nn.Module):
    """sum_k mean(w_k r_k^2), and r (N,) by constraint: a module, so that the trained parameters can be arguments."""

    def __init__(self, residuals: Residuals, groups: Sequence[Group]):
        super().__init__()
        self.model, self.residuals, self.groups = residuals.model, residuals, groups
        for names in groups:
            residuals._plan(names)

    def forward(self, points: Sequence[Tensor], weights: Batch) -> tuple[Tensor, Batch]:
        r: Batch = {}
        for names, X in zip(self.groups, points, strict=True):
            r |= self.residuals.at(names, X)
        terms = [(weights[name] * each.square()).mean() for name, each in r.items()]
        return sum(terms[1:], terms[0]), r
