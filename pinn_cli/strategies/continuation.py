"""From an easy problem to a hard one: one coefficient in steps, each network going on from the one before it.

Continuation in the Reynolds number for flows; the curriculum of Krishnapriyan, Gholami, Zhe, Kirby & Mahoney (2021,
arXiv:2109.01050) for convection and reaction.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from pinn_cli.stages import Stage


@dataclass
class Continuation:
    """Train `inner` with `coefficient` at each of the values `through`, then on the problem as it stands.

    A network goes on from the last one of the value before on the same part of the domain (a window in time).
    A stage of the way has at most `steps` steps (None: until it stops by itself), and what is typed under `stop` of
    loss and error ends the stage; the problem itself has the steps that are left. Raises ValueError, before its first
    stage, for a coefficient that the problem does not have or trains, and for values that are no numbers.
    """

    inner: Callable[..., Iterator[Stage]]
    coefficient: str
    through: Sequence[float]
    steps: int | None = None

    def __call__(self, problem: Any, new_model: Callable[[Any], nn.Module]) -> Iterator[Stage]:
        self._check(problem)
        before: dict[Any, nn.Module] = {}  # the last network on each part of the domain

        def going_on(target: Any) -> nn.Module:
            model = new_model(target)
            known = before.get(_sides(target), next(reversed(before.values()), None))
            return model if known is None else with_parameters(model, known)

        for value in self.through:
            trained: dict[Any, nn.Module] = {}
            for stage in self.inner(problem.with_(**{self.coefficient: value}), going_on):
                steps = self.steps if stage.steps is None else stage.steps
                yield replace(stage, name=f"{self.coefficient}={value:g}: {stage.name}", steps=steps, underway=True)
                trained[_sides(stage.problem)] = stage.model
            before = trained
        yield from self.inner(problem, going_on)

    def _check(self, problem: Any) -> None:
        known = sorted(set(problem.coefficients) - set(problem.unknowns))
        if self.coefficient not in known:
            found, expected = f"continuation.coefficient={self.coefficient}", ", ".join(known) or "it has none"
            raise ValueError(f"strategy.{found}: expected a known coefficient of the problem ({expected})")
        several = isinstance(self.through, Iterable) and not isinstance(self.through, str)
        if not several or not all(isinstance(value, int | float) for value in self.through):
            raise ValueError(f"strategy.continuation.through={self.through}: expected numbers, e.g. [100,400]")


@torch.no_grad()
def with_parameters(model: Any, before: Any, network: bool = True) -> Any:
    """The unknowns and the network of another model in this one, whose scaling and ansatz are its own problem's."""
    model.unknowns.load_state_dict(before.unknowns.state_dict())
    if network:
        model.network.load_state_dict(before.network.state_dict())  # its random frequencies too
    return model


def _sides(problem: Any) -> tuple[tuple[float, ...], tuple[float, ...]]:
    return problem.domain.lower, problem.domain.upper
