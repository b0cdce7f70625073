"""One stage per optimizer of the schedule, on the whole problem: what every other strategy wraps in the end."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from torch import nn

from pinn_cli.methods.contracts import Stage


@dataclass
class Phase:
    """One entry of an optimizer schedule: how to make its optimizer and its sampler, and its share of the steps."""

    name: str
    optimizer: Callable[[], Any]
    sampler: Callable[[], Any]
    steps: int | None = None
    points: int = 0  # asked for, each face and the like once


@dataclass
class Direct:
    """Train one model through the schedule, each phase going on from where the one before it ended."""

    schedule: list[Phase]

    def __call__(self, problem: Any, new_model: Callable[[Any], nn.Module]) -> Iterator[Stage]:
        model = new_model(problem)
        for phase in self.schedule:
            yield Stage(phase.name, problem, model, phase.optimizer(), phase.sampler(), phase.steps)
