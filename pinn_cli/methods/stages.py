"""A stage: one problem, one model, one optimizer, until its stop rule holds. Strategies are generators of stages."""

from dataclasses import dataclass, field
from typing import Any

from torch import nn

from pinn_cli.methods.reports import Report


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
