"""The loss of a step, and the views of it that weightings, samplers and optimizers use.

    F_i = sqrt(w_i / N_i) r_i(theta)        loss = |F|^2 = sum_k mean(w_k r_k^2)        w = base weight x weighting

The base weight of a constraint is its stated weight / unit^2, with its natural unit (`physics/scales.py`) or unit 1.

The factors f of a sampler, one per point, are part of w, and mean r^2 is mean(f r^2) in every view.

First-order methods use `loss`, least-squares methods `vector` and `linearise`, weightings and samplers the residuals.
`methods/contracts.py` describes every view.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from pinn_cli.basics.errors import UsageError
from pinn_cli.basics.ranks import ALONE, Ranks
from pinn_cli.derivatives import Tape
from pinn_cli.methods.contracts import Batch, Rule, Weights
from pinn_cli.physics.family import Family
from pinn_cli.physics.family_scales import family_units
from pinn_cli.physics.problem import Constraint, Problem
from pinn_cli.physics.scales import Scale, natural_units
from pinn_cli.training import jacobian
from pinn_cli.training.compiled_step import UncompiledError
from pinn_cli.training.divided_jacobian import DividedLinearisation
from pinn_cli.training.family_model import FamilyModel
from pinn_cli.training.family_residuals import FamilyResiduals
from pinn_cli.training.jacobian import ConstraintRows, Linearisation, rows_of
from pinn_cli.training.residuals import Engine, Residuals

Gradients = tuple[Tensor, list[Tensor], Batch]  # a loss, its gradient by parameter, and r (N,) by constraint


class Shared(Protocol):
    """The gradients of several objectives as one computation (`shared_gradients.py`)."""

    def __call__(self, objective: "Objective", term: str | None) -> Gradients:
        """Those of the loss of one of them, or of the mean square of one constraint."""


@dataclass(frozen=True)
class Taped:
    """An evaluation of the residuals with its tapes, at parameters theta (P,) and the points of a batch.

    The tapes are those of the points of one of its `ranks`.
    """

    theta: Tensor
    batch: Batch
    residuals: Batch
    tapes: dict[str, list[Tape]]
    ranks: Ranks

    def still(self, theta: Tensor, batch: Batch, ranks: Ranks) -> bool:
        """Whether it is that of these parameters and points."""
        same = batch.keys() == self.batch.keys() and all(batch[name] is X for name, X in self.batch.items())
        return same and ranks is self.ranks and torch.equal(theta, self.theta)


class _Partial(torch.autograd.Function):
    """A value that has no derivative, since this process has the graph of its own points only."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        raise UsageError(
            "a method differentiates `loss`, `vector` or `residuals` itself, which would be the derivative at the "
            "points of one process; take `differentiated`, `gradients` or `linearise` of the objective, or type "
            "processes=1"
        )


class Objective:
    """The residuals of a problem as functions of the parameters of a model, at the points and weights of a step.

    `weights` are the stated weights by constraint, `units` the natural units (1 where none is given). `at` evaluates
    the residuals. Every view calls `check` first, which may raise to end a step that is under way.
    """

    def __init__(
        self,
        problem: Problem,
        model: nn.Module,
        engine: Engine,
        weighting: Callable[[Batch, Batch], Weights],
        weights: Mapping[str, float] | None = None,
        units: Mapping[str, float] | None = None,
    ):
        self.problem, self.model, self.engine, self.weighting = problem, model, engine, weighting
        self.at = residuals_of(problem, model, engine)
        self.check: Callable[[], None] = lambda: None
        self.constraints: dict[str, Constraint] = self.at.constraints
        self.units = {name: float((units or {}).get(name, 1.0)) for name in self.constraints}
        self.stated = {name: float((weights or {}).get(name, 1.0)) for name in self.constraints}
        self.base = {name: weight / self.units[name] ** 2 for name, weight in self.stated.items()}
        self.at.base = self.base
        self.names = [n for n, p in model.named_parameters() if p.requires_grad]
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.columns = jacobian.columns_of(self.parameters)
        self.batch: Batch = {}
        self.factors: Batch = {}
        self.points_changed = True
        self.ranks: Ranks = ALONE  # the processes that compute these views together
        self.begun = self.step = 0  # how often a step has begun, and the number of the last one
        self.shared: Shared | None = None  # computes the gradients of this objective together with those of others
        self._numbers: dict[str, tuple[float, Tensor]] = {}  # the last weights that are numbers, as tensors
        self.latest: Batch = {}  # residuals of the last loss or vector, detached
        self.untaped: dict[str, list[int]] = {}  # parameters, by position, that the tape of a constraint misses
        self._weights: dict[str, float | Tensor] | None = None
        self._kept: Taped | None = None  # the last evaluation by `linearise`, until its J is used

    @property
    def device(self) -> torch.device:
        return self.parameters[0].device

    @property
    def dtype(self) -> torch.dtype:
        return self.parameters[0].dtype

    @property
    def unknowns(self) -> dict[str, Tensor]:
        """The trained coefficients by name."""
        return self.at.unknowns

    @property
    def layout(self) -> dict[str, slice]:
        return dict(zip(self.names, self.columns, strict=True))

    @property
    def output_layer(self) -> Tensor:
        last = {id(p) for p in getattr(self.model, "output_layer", ())}  # a plain module names no last layer
        return torch.cat([torch.full((p.numel(),), id(p) in last, device=p.device) for p in self.parameters])

    def is_at(self, batch: Batch) -> bool:
        """Whether these tensors are the points of this step."""
        return batch.keys() == self.batch.keys() and all(batch[name] is self.batch[name] for name in batch)

    @contextmanager
    def divided(self, ranks: Ranks) -> Iterator[None]:
        """Let several processes compute the views together, which all of them ask for in the same order.

        Each has its share of every set of points, and evaluates the residuals there. Values are put together from all
        shares; derivatives by the parameters are sums over them.
        """
        self.ranks = ranks
        try:
            yield
        finally:
            self.ranks = ALONE

    @property
    def _own(self) -> Batch:
        """The points of this process: all, or its share of every set that has one for it."""
        return self.batch if self.ranks.size == 1 else self._cut(self.ranks.share)

    def _cut(self, where: Callable[[int], slice]) -> Batch:
        """Some points of every set of this step; constraints that share their points still do."""
        cut = {id(X): X[where(len(X))] for X in self.batch.values()}
        return {name: cut[id(X)] for name, X in self.batch.items() if len(cut[id(X)])}

    def _joined(self, own: Batch) -> Batch:
        """Residuals (N,) at all points, from those at the points of this process: only they have a graph."""
        if self.ranks.size == 1:
            return own
        names = [name for name in self.constraints if name in self.batch]
        lengths = [len(self.batch[name]) for name in names]
        like = self.parameters[0].detach()
        places = {name: self.ranks.share(length) for name, length in zip(names, lengths, strict=True)}
        parts = [like.new_zeros(length) for length in lengths]
        for name, part in zip(names, parts, strict=True):
            if name in own:
                part[places[name]] = own[name].detach()
        r = dict(zip(names, self.ranks.whole(torch.cat(parts)).split(lengths), strict=True))
        for name in own:
            if own[name].requires_grad:
                r[name] = torch.cat([r[name][: places[name].start], own[name], r[name][places[name].stop :]])
        return r

    def begin(self, batch: Batch, factors: Batch | None = None, step: int = 0) -> None:
        others = self.at.begin(step)
        self.points_changed = not self.is_at(batch) or others
        if self.points_changed:
            self.at.kept.clear()
        self.batch, self.factors, self._weights = batch, self.at.spread(factors or {}), None
        self.begun, self.step = self.begun + 1, step

    def resume(
        self, batch: Batch, factors: Batch | None = None, step: int = 0, residuals: Batch | None = None
    ) -> None:
        """Take the points of the last step before a checkpoint with their factors, and the last residuals there.

        An optimizer need not have evaluated them last at the parameters that it has left. None: those of now.
        """
        self.at.begin(step)
        self.at.kept.clear()
        self.batch, self.factors, self._weights = batch, self.at.spread(factors or {}), None
        self.latest = {name: r.detach() for name, r in (residuals or self.residuals()).items()}

    def of(self, problem: Problem) -> "Objective":
        """That of the solution of `problem`: this one, or of a model of a family that of an instance."""
        with torch.no_grad():
            model = self.at.solution(problem)
        if model is self.model:
            return self
        alone = Objective(problem, model, self.engine, self.weighting, self.stated, self.units)
        alone.begin(self.batch)
        return alone

    # --- residuals ------------------------------------------------------------------------------------------------

    def residual(self, name: str, X: Tensor) -> Tensor:
        self.check()
        if self.ranks.size == 1 or torch.is_grad_enabled():
            return self.at.at((name,), X)[name]
        mine, r = self.ranks.share(len(X)), self.parameters[0].detach().new_zeros(len(X))
        if mine.stop > mine.start:
            r[mine] = self.at.at((name,), X[mine])[name]
        return self.ranks.whole(r)

    def residuals(self) -> Batch:
        return {name: self._shown(r) for name, r in self._residuals().items()}

    def _residuals(self) -> Batch:
        """The same with the graph of the points of this process."""
        self.check()
        return self._joined(self.at(self._own))

    def _shown(self, value: Tensor) -> Tensor:
        """A value as methods see it: its derivative would be that of the points of this process."""
        return value if self.ranks.size == 1 else cast(Tensor, _Partial.apply(value))

    def _mean_square(self, name: str, r: Tensor) -> Tensor:
        f = self.factors.get(name)
        return r.square().mean() if f is None else (f * r.square()).mean()

    def terms(self, name: str, X: Tensor) -> dict[str, float]:
        return self.at.terms(name, X, self.at.scales(X))

    def evaluate(self, symbols: Sequence[str], X: Tensor) -> dict[str, Tensor]:
        return self.at.evaluate(symbols, X)

    # --- the loss and its views -----------------------------------------------------------------------------------

    @property
    def weights(self) -> dict[str, float | Tensor]:
        if self._weights is None:
            if not getattr(self.weighting, "of_residuals", True):
                return self._weigh({})
            with torch.no_grad():
                return self._freeze(self.residuals())
        return self._weights

    def _freeze(self, residuals: Batch) -> dict[str, float | Tensor]:
        """The weights of this step, computed from its first residuals."""
        self.latest = {name: r.detach() for name, r in residuals.items()}
        return self._weigh(self.latest) if self._weights is None else self._weights

    def _weigh(self, residuals: Batch) -> dict[str, float | Tensor]:
        factors = self.weighting(self.at.spread(self.batch), residuals)
        weights = {name: self.base[name] * factors.get(name, 1.0) for name in self.constraints if name in self.batch}
        self._weights = weights | {name: f * weights[name] for name, f in self.factors.items()}
        return self._weights

    def losses(self) -> dict[str, Tensor]:
        return {name: self._mean_square(name, r) for name, r in self.latest.items()}

    def loss(self) -> Tensor:
        return self._shown(self._loss())

    def _loss(self) -> Tensor:
        """The same with the graph of the points of this process."""
        residuals = self._residuals()
        w = self._freeze(residuals)
        terms = [
            (w[name] * r.square()).mean() if isinstance(w[name], Tensor) else w[name] * r.square().mean()
            for name, r in residuals.items()
        ]
        return sum(terms[1:], terms[0])

    def differentiated(self) -> tuple[Tensor, list[Tensor]]:
        if not self._has_graph:
            loss = self._loss()
            return loss.detach(), self._gradient(loss)
        loss, gradient, self.latest = self._in_one_graph(None)
        return loss, gradient

    def descend(self, rule: Rule, numbers: Tensor, state: list[Tensor], ahead: Sequence[Batch] = ()) -> list[Tensor]:
        if self.steps_are_one_graph and self.at.rule == rule:
            try:
                return self._descend_compiled(numbers, state, ahead)
            except UncompiledError as error:  # before anything has moved
                self.at.give_up(error)
        losses = []
        for place, row in enumerate(numbers):
            if place:
                self.begin(ahead[place - 1], self.factors, self.step + 1)
            losses.append(self._descend_eager(rule, row, state))
        return losses

    @property
    def steps_are_one_graph(self) -> bool:
        """Whether a step, with the rule of the optimizer, is one compiled graph of this objective by itself."""
        return self.at.compiling is not None and self.shared is None and self.ranks.size == 1

    def _descend_compiled(self, numbers: Tensor, state: list[Tensor], ahead: Sequence[Batch]) -> list[Tensor]:
        self.check()
        step, firsts = self.at.compiled_step(self.batch)
        points = [[batch[name] for name in firsts] for batch in [self.batch, *ahead]]
        losses, latest = step.move(points, self._tensors(self.weights, self.batch), numbers, state)
        if ahead:
            self.begin(ahead[-1], self.factors, self.step + len(ahead))
        self.latest = latest
        return losses

    def _descend_eager(self, rule: Rule, numbers: Tensor, state: list[Tensor]) -> Tensor:
        with torch.enable_grad():
            loss, gradient = self.differentiated()
        with torch.no_grad():
            change, *new = rule(self.flat(gradient), numbers, *state)
            self.shift(change)
            for old, now in zip(state, new, strict=True):
                old.copy_(now)
        return loss

    @property
    def _has_graph(self) -> bool:
        """Whether a loss and its gradient are one graph, of this objective or of several."""
        return self.at.compiling is not None or self.shared is not None

    def weights_for(self, term: str | None) -> Weights:
        """The weights in force, or those that leave the mean square of one constraint."""
        if term is None:
            return self.weights
        return {name: self.factors.get(name, 1.0) * float(name == term) for name in self.batch}

    def _in_one_graph(self, term: str | None) -> Gradients:
        self.check()
        return self.alone(term) if self.shared is None else self.shared(self, term)

    def alone(self, term: str | None) -> Gradients:
        """sum_k mean(w_k r_k^2) with the weights for a term, its gradient and r: of this objective by itself."""
        if self.at.compiling is None:
            loss = self._loss() if term is None else self._mean_square(term, self._residuals()[term])
            return loss.detach(), self._gradient(loss), self.latest
        own = self._own
        w = self._tensors(self.weights_for(term), own)
        if self.ranks.size > 1:
            w = {name: self._own_part(name, of) for name, of in w.items()}
        try:
            gradient, loss, residuals = self.at.differentiated(own, w)
        except UncompiledError as error:
            self.at.give_up(error)
            return self.alone(term)
        loss, gradient = self._summed([loss, gradient])
        parts = [gradient[columns].view_as(p) for p, columns in zip(self.parameters, self.columns, strict=True)]
        return loss, parts, self._joined(residuals)

    def _own_part(self, name: str, w: Tensor) -> Tensor:
        """The weight with which a mean over the points of this process is its part of the mean over all points."""
        N = len(self.batch[name])
        mine = self.ranks.share(N)
        return (w[mine] if w.ndim else w) * ((mine.stop - mine.start) / N)

    def _tensors(self, weights: Weights, batch: Batch) -> Batch:
        """Weights of the constraints of a batch as arguments of a graph."""
        return {name: self._tensor(name, weights[name]) for name in batch}

    def _tensor(self, name: str, weight: float | Tensor) -> Tensor:
        """A weight as a tensor; of a number that has not changed, the same tensor as before."""
        if isinstance(weight, Tensor):
            return weight.to(self.device, self.dtype)
        if name not in self._numbers or self._numbers[name][0] != weight:
            self._numbers[name] = weight, torch.tensor(weight, dtype=self.dtype, device=self.device)
        return self._numbers[name][1]

    def _gradient(self, of: Tensor, retain: bool = False) -> list[Tensor]:
        if not of.requires_grad and self.ranks.size > 1:  # this process has no point of it
            return self._summed([torch.zeros_like(p) for p in self.parameters])
        parts = torch.autograd.grad(
            of, self.parameters, retain_graph=retain, allow_unused=True, materialize_grads=True
        )
        return self._summed(parts)

    def _summed(self, parts: Sequence[Tensor]) -> list[Tensor]:
        """The sums of some tensors over all processes, as one sum."""
        if self.ranks.size == 1:
            return list(parts)
        flat = self.ranks.sum(torch.cat([part.detach().flatten() for part in parts]))
        return [s.view_as(part) for s, part in zip(flat.split([p.numel() for p in parts]), parts, strict=True)]

    def vector(self) -> Tensor:
        return self._shown(torch.cat(list(self._scaled(self._residuals()).values())))

    def _scaled(self, residuals: Batch, piece: slice | None = None) -> Batch:
        """F by constraint, at all points of this step or at a piece of them."""
        w = self._freeze(residuals) if piece is None else self.weights
        out = {}
        for name, r in residuals.items():
            of = w[name]
            factor = (of[piece] if isinstance(of, Tensor) and of.ndim and piece else of) / len(self.batch[name])
            out[name] = torch.as_tensor(factor, dtype=r.dtype, device=r.device).sqrt() * r
        return out

    def gradients(self) -> dict[str, Tensor]:
        if not self._has_graph:
            r = self._residuals()
            means = {name: self._mean_square(name, each) for name, each in r.items()}
            return {name: self.flat(self._gradient(mean, retain=True)) for name, mean in means.items()}
        return {name: self.flat(self._in_one_graph(name)[1]) for name in self.batch}

    def linearise(self, at_once: int | None = None) -> Linearisation | DividedLinearisation:
        self.check()
        untaped = {name: self._untaped(name) for name in self.batch}
        if at_once is not None and max(map(len, self.batch.values())) > at_once:
            return self._linearise_pieces(at_once, untaped)
        taped, share = self._taped(), self.ranks.share
        F = self._scaled(taped.residuals)
        own = {name: f[share(len(f))] for name, f in F.items() if name in taped.tapes}

        def blocks() -> list[ConstraintRows]:
            self._kept = None  # the memory of this evaluation ends with its linearisation
            return [rows_of(f, taped.tapes[name], self.parameters, untaped[name]) for name, f in own.items()]

        linear = Linearisation(_flat(own), blocks, self.columns[-1].stop, self.check)
        return linear if self.ranks.size == 1 else DividedLinearisation(_flat(F), linear, self._places, self.ranks)

    @property
    def _places(self) -> list[slice]:
        """Which entries of F (M,) belong to the points of this process."""
        places, start = [], 0
        for name in (n for n in self.constraints if n in self.batch):
            N = len(self.batch[name])
            mine = self.ranks.share(N)
            places.append(slice(start + mine.start, start + mine.stop))
            start += N
        return places

    def _linearise_pieces(self, at_once: int, untaped: Mapping[str, list[int]]) -> Linearisation:
        with torch.no_grad():
            F = self.vector()

        def blocks() -> list[ConstraintRows]:
            rows: dict[str, list[ConstraintRows]] = {name: [] for name in self.constraints if name in self.batch}
            for start in range(0, max(map(len, self.batch.values())), at_once):
                self.check()
                piece = slice(start, start + at_once)
                residuals, tapes = self.at.taped(self._cut(lambda N, piece=piece: piece))  # type: ignore[misc]
                for name, f in self._scaled(residuals, piece).items():
                    rows[name].append(rows_of(f, tapes[name], self.parameters, untaped[name]))
            return [block for name in rows for block in rows[name]]

        return Linearisation(F, blocks, self.columns[-1].stop, self.check)

    def _taped(self) -> "Taped":
        """The residuals with their tapes: those kept from the last call if points and parameters are still the same."""
        theta = self.flat([p.detach() for p in self.parameters])
        if self._kept is None or not self._kept.still(theta, self.batch, self.ranks):
            self._kept = None  # its memory is free before the next evaluation
            residuals, tapes = self.at.taped(self._own)
            self._kept = Taped(theta, self.batch, self._joined(residuals), tapes, self.ranks)
        return self._kept

    def _untaped(self, name: str) -> list[int]:
        if name not in self.untaped and not self.engine.taped:
            self.untaped[name] = list(range(len(self.names)))
        if name not in self.untaped:
            X = self.batch[name][: jacobian.PROBE]
            self.untaped[name] = jacobian.untaped(lambda tapes: self.at.at((name,), X, tapes)[name], self.parameters)
        return self.untaped[name]

    # --- parameters -----------------------------------------------------------------------------------------------

    def flat(self, tensors: Sequence[Tensor | None]) -> Tensor:
        return jacobian.flat(tensors, self.parameters)

    @torch.no_grad()
    def shift(self, step: Tensor) -> None:
        for p, columns in zip(self.parameters, self.columns, strict=True):
            p.add_(step[columns].view_as(p))

    @torch.no_grad()
    def place(self, theta: Tensor) -> None:
        for p, columns in zip(self.parameters, self.columns, strict=True):
            p.copy_(theta[columns].view_as(p))


def _flat(F: Batch) -> Tensor:
    return torch.cat([f.detach() for f in F.values()])


def residuals_of(problem: Problem, model: nn.Module, engine: Engine) -> Residuals:
    """The residuals of a problem for a model, which says if they are those of a family."""
    if isinstance(model, FamilyModel):
        return FamilyResiduals(problem, model, engine)
    return Residuals(problem, model, engine)


def units_of(problem: Problem, scales: Mapping[str, Scale] | None, model: nn.Module) -> dict[str, float]:
    """The natural unit of every constraint of a problem whose fields have these scales; none for raw units.

    With the model of a whole family, units that serve all of its instances.
    """
    if scales is None:
        return {}
    of_all = isinstance(problem, Family) and isinstance(model, FamilyModel)
    return family_units(problem) if of_all else natural_units(problem, scales)
