"""When training no longer improves: the sign for samplers and strategies that begin anew."""

from dataclasses import dataclass
from math import inf
from typing import Any


@dataclass
class Stall:
    """The loss has not fallen below its best by more than `absolute` + `relative` x best for `patience` looks in a row.

    Subramanian et al. (2022) have absolute = 1e-7 and relative = 0. Raises ValueError for impossible numbers.
    """

    patience: int = 10
    absolute: float = 1e-7
    relative: float = 0.0
    best: float = inf
    since: int = 0  # looks without an improvement

    def __post_init__(self) -> None:
        if self.patience < 1 or not self.absolute >= 0 or not 0 <= self.relative < 1:
            found = f"patience={self.patience} absolute={self.absolute:g} relative={self.relative:g}"
            raise ValueError(f"found {found}; expected patience=10 absolute=1e-7 relative=0, for example")

    def look(self, loss: float) -> bool:
        """Whether training stalls, with the loss of one more step."""
        if loss < self.best - self.absolute - self.relative * abs(self.best) or self.best == inf:
            self.best, self.since = loss, 0
        else:
            self.since += 1
        return self.reached

    @property
    def reached(self) -> bool:
        """Whether training stalled at the last look."""
        return self.since >= self.patience

    def declare(self) -> None:
        """Training stalls now, whatever the loss: the optimizer finds no better parameters."""
        self.since = self.patience

    @property
    def looked(self) -> bool:
        """Whether there was a look since the beginning."""
        return self.best != inf

    def reset(self) -> None:
        """Begin anew: the next loss is the best one."""
        self.best, self.since = inf, 0

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed run needs."""
        return {"best": self.best, "since": self.since}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a saved state."""
        self.best, self.since = state["best"], state["since"]
