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
        before: nn.Module | None = None

        def going_on(target: Any) -> nn.Module:
            model = new_model(target)
            return model if before is None else _with_parameters(model, before)

        for value in self.through:
            for stage in self.inner(problem.with_(**{self.coefficient: value}), going_on):
                steps = self.steps if stage.steps is None else stage.steps
                yield replace(stage, name=f"{self.coefficient}={value:g}: {stage.name}", steps=steps, underway=True)
                before = stage.model
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
def _with_parameters(model: nn.Module, before: nn.Module) -> nn.Module:
    """The parameters of another network in this one, whose scaling and ansatz are its own problem's."""
    for p, found in zip(model.parameters(), before.parameters(), strict=True):
        p.copy_(found)
    return model
