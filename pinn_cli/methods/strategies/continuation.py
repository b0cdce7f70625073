"""From an easy problem to a hard one: one coefficient in steps, each network going on from the one before it.

Continuation in the Reynolds number for flows; the curriculum of Krishnapriyan, Gholami, Zhe, Kirby & Mahoney (2021,
arXiv:2109.01050) for convection and reaction.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import copysign, inf
from typing import Any

import torch
from torch import nn

from pinn_cli.methods.contracts import Stage

LEAST = 1 / 64  # of the first step: a smaller one is no longer tried
EXPECTED = "expected numbers, e.g. [100,400], or steps above 0 from another value, e.g. {start: 100, step: 50}"


@dataclass
class Continuation:
    """Train `inner` with `coefficient` at each of the values `through`, then on the problem as it stands.

    through   [100, 400]                          these values
              {start: 100, step: 50}              100, 150, 200 ... before the problem's own value, up or down
              {start: 100, step: 50, loss: 1e-4}  the first step; each that ends with a loss at or below this doubles
                                                  the next, each that does not is taken back and halved
    steps     of each stage of the way, at most (None: until it stops by itself)

    A network goes on from the last one of the value before on the same part of the domain (a window in time); the last
    of all attempts that adapt their step is at the problem's own value, and where a step has become too small the
    problem itself is trained from there. What is typed under `stop` of loss and error ends a stage on the way; the
    problem itself has the steps that are left. Raises ValueError, before its first stage, for a coefficient that the
    problem does not have or trains, and for values that are no numbers.
    """

    inner: Callable[..., Iterator[Stage]]
    coefficient: str
    through: Sequence[float] | Mapping[str, float]
    steps: int | None = None

    def __call__(self, problem: Any, new_model: Callable[[Any], nn.Module]) -> Iterator[Stage]:
        self._check(problem)
        before: dict[Any, Stage] = {}  # the last stage on each part of the domain, at the last value that was reached
        tried: dict[Any, Stage] = {}  # at the value in hand

        def going_on(target: Any) -> nn.Module:
            model = new_model(target)
            known = before.get(target.domain.extents, next(reversed(before.values()), None))
            return model if known is None else with_parameters(model, known.model)

        for value in self._values(problem, lambda: self._reached(tried.values())):
            tried.clear()
            for stage in self.inner(problem.with_(**{self.coefficient: value}), going_on):
                steps = self.steps if stage.steps is None else stage.steps
                yield replace(stage, name=f"{self.coefficient}={value:g}: {stage.name}", steps=steps, underway=True)
                tried[stage.problem.domain.extents] = stage
            if not before or self._reached(tried.values()):
                before = dict(tried)
        yield from self.inner(problem, going_on)

    def _values(self, problem: Any, reached: Callable[[], bool]) -> Iterator[float]:
        """The values of the way; `reached` says whether the last of them was."""
        if not isinstance(self.through, Mapping):
            return iter(self.through)
        goal, adapts = problem.coefficients[self.coefficient], self._loss is not None
        return steps_to(goal, self.through["start"], self.through["step"], reached if adapts else None)

    @property
    def _loss(self) -> float | None:
        return self.through.get("loss") if isinstance(self.through, Mapping) else None

    def _reached(self, stages: Iterable[Stage]) -> bool:
        """Whether the loss has become small enough on every part of the domain; one that is no number has not."""
        losses = [float(stage.report.values.get("loss/total", inf)) for stage in stages]
        return self._loss is None or all(loss <= self._loss for loss in losses)

    def _check(self, problem: Any) -> None:
        known = sorted(set(problem.coefficients) - set(problem.unknowns))
        if self.coefficient not in known:
            found, expected = f"continuation.coefficient={self.coefficient}", ", ".join(known) or "it has none"
            raise ValueError(f"strategy.{found}: expected a known coefficient of the problem ({expected})")
        if not (self._is_way(problem) if isinstance(self.through, Mapping) else _are_numbers(self.through)):
            raise ValueError(f"strategy.continuation.through={self.through}: {EXPECTED}")

    def _is_way(self, problem: Any) -> bool:
        way = dict(self.through)  # type: ignore[arg-type]
        known = {"start", "step"} <= way.keys() <= {"start", "step", "loss"} and _are_numbers(way.values())
        return known and way["step"] > 0 < way.get("loss", 1) and way["start"] != problem.coefficients[self.coefficient]


def steps_to(goal: float, start: float, step: float, reached: Callable[[], bool] | None = None) -> Iterator[float]:
    """Values from `start` towards `goal`, which is left out.

    With `reached`, asked after each value but the first, a step is doubled where it is true; where not, it is halved
    and taken again from the last value that was reached. The goal is then tried too.
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
    """The unknowns and the network of another model in this one, whose scaling and ansatz are its own problem's."""
    model.unknowns.load_state_dict(before.unknowns.state_dict())
    if network:
        model.network.load_state_dict(before.network.state_dict())  # its random frequencies too
    return model


def _are_numbers(values: Any) -> bool:
    return isinstance(values, Iterable) and all(isinstance(value, int | float) for value in values)
