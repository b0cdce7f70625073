"""What the methods promise each other and the loop."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

RATIO = 2.0  # of residuals at unseen points to those at training points, above which more points are needed


@dataclass
class Report:
    """Values by name (``loss/total``, ``learning_rate``, ``damping`` ...); `stop`: why it can go no further."""

    values: Mapping[str, float | Tensor] = field(default_factory=dict)
    stop: str | None = None

    def become(self, other: "Report") -> None:
        """Say what another says, to all who hold this one: the strategies around a stage share its report."""
        self.values, self.stop = other.values, other.stop


@dataclass
class Stage:
    """What the loop trains next. After training, `report` is the last step's and `reason` why it ended."""

    name: str
    problem: Any
    model: nn.Module
    optimizer: Any
    sampler: Any
    steps: int | None = None  # None: as many as the run has left
    underway: bool = False  # an easier problem on the way: reaching `stop.loss` or `stop.error` ends the stage alone
    solution: Any = None  # where the problem is a window in time: what has been found on all times (`solution.py`)
    report: Report = field(default_factory=Report)
    reason: str = ""
