"""From an easy problem to a hard one: one coefficient in steps, each network starting from the one before it.

Continuation in the Reynolds number for flows; the curriculum of Krishnapriyan, Gholami, Zhe, Kirby & Mahoney (2021,
arXiv:2109.01050) for convection and reaction.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from math import copysign, inf
from typing import Any

import torch
from torch import nn

from pinn_cli.methods.contracts import NewModel, Stage, Strategy
from pinn_cli.methods.corrections import uncorrected
from pinn_cli.physics.problem import Problem

LEAST = 1 / 64  # of the first step: smaller steps are not tried
EXPECTED = "expected numbers, e.g. [100,400], or steps above 0 from another value, e.g. {start: 100, step: 50}"


@dataclass
class Continuation(Strategy):
    """Train `inner` with `coefficient` at each of the values `through`, then on the problem itself.

    through   [100, 400]                          these values
              {start: 100, step: 50}              100, 150, 200 ... before the problem's own value, up or down
              {start: 100, step: 50, loss: 1e-4}  adapted steps, the first of size 50: a value whose loss ends at or
                                                  below 1e-4 doubles the step; another is undone, and the step halved
    steps     at most of each stage on the way (None: until it stops by itself)

    A network starts from the last one of the value before, on the same part of the domain (a window in time). Adapted
    steps end with an attempt at the problem's own value; if a step becomes too small, the problem itself is trained
    from the last value reached. `stop.loss` and `stop.error` end a stage on the way, not the run. The problem itself
    gets the steps that are left. Raises ValueError, before its first stage, for a coefficient that the problem does not
    have or trains, and for values that are not numbers.
    """

    inner: Strategy
    coefficient: str
    through: Any  # numbers, or a table: `_check` says more about a wrong one than its type would
    steps: int | None = None

    def __call__(self, problem: Problem, new_model: NewModel) -> Iterator[Stage]:
        self._check(problem)
        before: dict[Any, Stage] = {}  # the last stage on each part of the domain, at the last value reached
        tried: dict[Any, Stage] = {}  # at the present value

        def continued(target: Problem) -> nn.Module:
            model = new_model(target)
            known = before.get(target.domain.extents, next(reversed(before.values()), None))
            return model if known is None else with_parameters(model, known.model)

        for value in self._values(problem, lambda: self._reached(tried.values())):
            tried.clear()
            for stage in self.inner(problem.with_(**{self.coefficient: value}), continued):
                steps = self.steps if stage.steps is None else stage.steps
                yield replace(stage, name=f"{self.coefficient}={value:g}: {stage.name}", steps=steps, underway=True)
                tried[stage.problem.domain.extents] = stage
            if not before or self._reached(tried.values()):
                before = dict(tried)
        yield from self.inner(problem, continued)

    def _values(self, problem: Problem, reached: Callable[[], bool]) -> Iterator[float]:
        """The values on the way; `reached` tells whether the last one was reached."""
        if not isinstance(self.through, Mapping):
            return iter(self.through)
        goal, adapts = problem.coefficients[self.coefficient], self._loss is not None
        return steps_to(goal, self.through["start"], self.through["step"], reached if adapts else None)

    @property
    def _loss(self) -> float | None:
        return self.through.get("loss") if isinstance(self.through, Mapping) else None

    def _reached(self, stages: Iterable[Stage]) -> bool:
        """Whether the loss is small enough on every part of the domain; NaN is not."""
        losses = [float(stage.report.values.get("loss/total", inf)) for stage in stages]
        return self._loss is None or all(loss <= self._loss for loss in losses)

    def _check(self, problem: Problem) -> None:
        known = sorted(set(problem.coefficients) - set(problem.unknowns))
        if self.coefficient not in known:
            found, expected = f"continuation.coefficient={self.coefficient}", ", ".join(known) or "it has none"
            raise ValueError(f"strategy.{found}: expected a known coefficient of the problem ({expected})")
        if not (self._is_way(problem) if isinstance(self.through, Mapping) else _are_numbers(self.through)):
            raise ValueError(f"strategy.continuation.through={self.through}: {EXPECTED}")

    def _is_way(self, problem: Problem) -> bool:
        way = dict(self.through)
        known = {"start", "step"} <= way.keys() <= {"start", "step", "loss"} and _are_numbers(way.values())
        return known and way["step"] > 0 < way.get("loss", 1) and way["start"] != problem.coefficients[self.coefficient]


def steps_to(goal: float, start: float, step: float, reached: Callable[[], bool] | None = None) -> Iterator[float]:
    """Values from `start` towards `goal`, without the goal itself.

    With `reached`, called after each value but the first, the step is doubled if it returns True; otherwise the step is
    halved and taken again from the last value reached. The goal is then tried too.
    """
    at, least = start, LEAST * step
    yield start
    while at != goal and step >= least:
        near = abs(goal - at) <= step * (1 + 1e-9)
        if near and reached is None:
            return
        value = goal if near else at + copysign(step, goal - at)
        yield value
        if reached is None:
            at = value
        else:
            at, step = (value, 2 * step) if reached() else (at, step / 2)


@torch.no_grad()
def with_parameters(model: Any, before: Any, network: bool = True) -> Any:
    """Copy the unknowns and the network of another model into this one, which keeps its own scaling and ansatz.

    Corrections of the other network stay behind: their features lie where its own residual was.
    """
    model.unknowns.load_state_dict(before.unknowns.state_dict())
    if network:
        model.network.load_state_dict(uncorrected(before.network).state_dict())  # its random frequencies too
    return model


def _are_numbers(values: Any) -> bool:
    return isinstance(values, Iterable) and all(isinstance(value, int | float) for value in values)
