"""Learning-rate schedules: the factor on the learning rate at step n = 0, 1, 2 ... of the optimizer.

All but `Plateau` are functions of n alone, so a resumed run needs only its step.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from math import cos, floor, inf, pi
from typing import Any

from torch import Tensor

from pinn_cli.basics.errors import UsageError


class Schedule(ABC):
    """A factor per step. A schedule that reacts to the loss also writes the other three methods."""

    by_loss: bool = False  # whether a factor depends on the losses before it

    def __init_subclass__(cls) -> None:
        """A class with an `observe` of its own looks at the losses."""
        cls.by_loss = cls.by_loss or "observe" in vars(cls)

    @abstractmethod
    def __call__(self, step: int) -> float:
        """The factor on the learning rate at this step."""

    def observe(self, loss: Tensor) -> None:  # noqa: B027  most schedules do not look at the loss
        """See the loss of the step just taken."""

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed run needs besides the step."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:  # noqa: B027
        """Restore a saved state."""


@dataclass
class Constant(Schedule):
    """1."""

    def __call__(self, step: int) -> float:
        return 1.0


@dataclass
class Exponential(Schedule):
    """factor^(n / every); with `staircase`, factor^floor(n / every)."""

    factor: float = 0.9
    every: int = 1000
    staircase: bool = False

    def __post_init__(self) -> None:
        _positive("factor", self.factor)
        _positive("every", self.every)

    def __call__(self, step: int) -> float:
        periods = step / self.every
        return self.factor ** (floor(periods) if self.staircase else periods)


@dataclass
class Cosine(Schedule):
    """last + (1 - last) [(1 + cos(pi n / steps)) / 2]^exponent, and `last` from n = steps on."""

    steps: int
    last: float = 0.0
    exponent: float = 1.0

    def __post_init__(self) -> None:
        _positive("steps", self.steps)

    def __call__(self, step: int) -> float:
        half_turn = (1 + cos(pi * min(step / self.steps, 1.0))) / 2
        return self.last + (1 - self.last) * half_turn**self.exponent


@dataclass
class WarmUp(Schedule):
    """(n + 1) / steps for the first `steps` steps, then the schedule `then`, counted from there."""

    steps: int = 1000
    then: Schedule = field(default_factory=Constant)

    def __post_init__(self) -> None:
        _positive("steps", self.steps)
        self.by_loss = self.then.by_loss

    def __call__(self, step: int) -> float:
        return (step + 1) / self.steps if step < self.steps else self.then(step - self.steps)

    def observe(self, loss: Tensor) -> None:
        self.then.observe(loss)

    def state_dict(self) -> dict[str, Any]:
        return self.then.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.then.load_state_dict(state)


@dataclass
class Plateau(Schedule):
    """Multiplied by `factor` after `patience` steps without a loss below (1 - threshold) times the best so far.

    The factor never falls below `last`. Reading the loss at every step slows a GPU down.
    """

    factor: float = 0.5
    patience: int = 1000
    threshold: float = 1e-4
    last: float = 1e-6

    def __post_init__(self) -> None:
        _positive("factor", self.factor)
        _positive("patience", self.patience)
        self.value, self.best, self.waited = 1.0, inf, 0

    def __call__(self, step: int) -> float:
        return self.value

    def observe(self, loss: Tensor) -> None:
        now = float(loss)
        better = now < self.best * (1 - self.threshold)
        self.best, self.waited = (now, 0) if better else (self.best, self.waited + 1)
        if self.waited >= self.patience:
            self.value, self.waited = max(self.value * self.factor, self.last), 0

    def state_dict(self) -> dict[str, Any]:
        return {"value": self.value, "best": self.best, "waited": self.waited}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.value, self.best, self.waited = float(state["value"]), float(state["best"]), int(state["waited"])


def _positive(name: str, value: float | None) -> None:
    if value is None or value <= 0:
        raise UsageError(f"schedule: found {name}={value}, expected a positive number; type e.g. "
                         f"optimizer.adam.schedule.{name}={0.9 if name == 'factor' else 1000}")
