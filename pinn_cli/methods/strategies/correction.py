"""Defect correction: freeze a trained network, add local features, solve for their output layer; again while it helps.

    u <- u + C phi        C = argmin of the loss (Newton's method)        phi: `methods/corrections.py`

(Defect correction: Stetter 1978, Numer. Math. 29; as stages of networks: Wang & Lai 2024, J. Comput. Phys. 504.)
"""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import inf
from typing import Any

import torch

from pinn_cli.methods.contracts import NewModel, Objective, Optimizer, Report, Stage, Strategy
from pinn_cli.methods.corrections import Corrected, lead_to_defect
from pinn_cli.methods.seeds import seed_for
from pinn_cli.methods.strategies.direct import Direct
from pinn_cli.methods.strategies.pseudo_time import Step
from pinn_cli.methods.wrapping import Wrapping
from pinn_cli.physics.points import fresh_points
from pinn_cli.physics.problem import Problem

UNSEEN = {"interior": 4096, "face": 1024}  # points on which a round is judged
FALLS = 0.5  # share of the residual above which no further round follows
LEFT = "unexplained"  # column of the history


@dataclass
class Correction(Strategy):
    """Train `inner`; before a phase whose optimizer trains the output layer alone, add `features` to the network.

    The phase is repeated with new features, up to `rounds` times, while it at least halves the residual at points that
    it has not seen. A step after which this residual is larger is undone. The column `unexplained` of the history has
    the share of the first residual, at these points, that is left. Raises ValueError, before the first stage, if the
    last phase trains more than the output layer, if it is the only one, and around time marching or in pseudo-time.
    """

    inner: Strategy
    features: int = 1500
    rounds: int = 2
    seed: int = 0

    def __call__(self, problem: Problem, new_model: NewModel) -> Iterator[Stage]:
        self._check(problem)
        if problem.unknown_fields:
            raise ValueError("strategy=correction: it adds features to the solution alone, and a field is unknown; "
                             "type strategy=[]")  # fmt: skip
        for stage in self.inner(problem, new_model):
            if stage.solution is not None:
                raise ValueError("strategy=[correction,time_marching]: type strategy=[time_marching,correction]")
            if stage.optimizer.output_layer_alone and not stage.underway:
                yield from self._rounds(stage)
            else:
                yield stage

    def _rounds(self, stage: Stage) -> Iterator[Stage]:
        model: Any = stage.model
        outputs, left = len(stage.problem.fields), 1.0
        for k in range(self.rounds):
            frozen = model.network
            model.network = Corrected(frozen, outputs, model.features.outputs, self.features)
            judged = Judged(copy.deepcopy(stage.optimizer), left, seed_for(self.seed, "correction", stage.name, k))
            name = f"{stage.name}: correction {k + 1}"
            part = replace(stage, name=name, optimizer=judged, sampler=copy.deepcopy(stage.sampler), report=Report())
            yield part
            before, left = left, float(part.report.values.get(LEFT, inf))
            if not left < before:
                model.network = frozen
            if not left <= FALLS * before:
                return

    def model_for(self, optimizer: Optimizer, stage: Stage) -> Any:
        """With new features beside a copy of the network, where the output layer alone is trained."""
        model: Any = self.inner.model_for(optimizer, stage)
        if optimizer.output_layer_alone:
            model = copy.deepcopy(model)
            outputs = len(stage.problem.fields)
            model.network = Corrected(model.network, outputs, model.features.outputs, self.features)
        return model

    def _check(self, problem: Problem) -> None:
        for name, value in (("features", self.features), ("rounds", self.rounds)):
            if value < 1:
                raise ValueError(f"strategy.correction.{name}={value}: expected a whole number above 0")
        if isinstance(problem, Step):
            raise ValueError("strategy=[pseudo_time,correction]: type strategy=[correction,pseudo_time]")
        phases = _innermost(self.inner).schedule
        alone = [phase.optimizer().output_layer_alone for phase in phases]
        if not alone[-1] or all(alone):
            names, expected = ",".join(phase.name for phase in phases), "optimizer=[levenberg_marquardt,newton]"
            raise ValueError(
                f"strategy=correction with optimizer=[{names}]: expected one that trains the network, then one that "
                f"trains the output layer alone: type {expected}"
            )


def _innermost(strategy: Strategy) -> Direct:
    while not isinstance(strategy, Direct):
        strategy = strategy.inner  # type: ignore[attr-defined]
    return strategy


@dataclass
class Judged(Wrapping):
    """Places the features at its first step, takes the steps of `inner`, and undoes one that fails at unseen points.

    `left` is the share of the first residual that earlier rounds have left.
    """

    left: float
    seed: int
    first: float | None = None  # |F| at the unseen points before the first step
    best: float = inf

    def step(self, objective: Objective) -> Report:
        """One step, or none and the share of the residual that cannot be explained."""
        if self.first is None:
            lead_to_defect(objective.model.network, objective, self._generator("features"))  # type: ignore[arg-type]
            self.first = self.best = self._unseen(objective)
        theta = objective.flat(objective.parameters).detach().clone()
        report = self.inner.step(objective)
        residual = self._unseen(objective)
        if residual < self.best:
            self.best = residual
            return Report({**report.values, LEFT: self._left}, report.stop and f"{report.stop}, {self._words}")
        objective.place(theta)
        with torch.no_grad():
            values = {**report.values, "loss/total": float(objective.loss()), LEFT: self._left}
        return Report(values, f"a step that made the residual at unseen points larger is undone, {self._words}")

    @property
    def _left(self) -> float:
        return self.left * (self.best / self.first if self.first else 1.0)

    @property
    def _words(self) -> str:
        return f"{100 * self._left:.2g} % of the residual there is unexplained"

    @torch.no_grad()
    def _unseen(self, objective: Objective) -> float:
        """|F| at points that are not trained on; measurements have none such, and count as they are."""
        generator, like, squares = self._generator("unseen"), objective.parameters[0].detach(), 0.0
        for name, c in objective.constraints.items():
            if c.kind != "data":
                X = fresh_points(objective.problem, c.region, UNSEEN[c.kind], generator, like)
            elif name in objective.batch:
                X = objective.batch[name]
            else:
                continue
            squares += objective.base[name] * float(objective.residual(name, X).square().mean())
        return squares**0.5

    def _generator(self, purpose: str) -> torch.Generator:
        return torch.Generator("cpu").manual_seed(seed_for(self.seed, purpose))

    def state_dict(self) -> dict[str, Any]:
        return {"inner": self.inner.state_dict(), "first": self.first, "best": self.best}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a saved state."""
        self.inner.load_state_dict(state["inner"])
        self.first, self.best = state["first"], state["best"]
