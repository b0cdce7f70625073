"""Begin anew at a stall: new points, and if wanted an optimizer without memory, from the parameters as they are.

Uniform resampling at stalls is the baseline of Subramanian, Kirby, Mahoney & Gholami (2022, arXiv:2207.04084).
"""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pinn_cli.methods.contracts import NewModel, Objective, Report, Stage, Strategy
from pinn_cli.methods.stall import Stall
from pinn_cli.methods.wrapping import Wrapping
from pinn_cli.physics.problem import Problem

MEMORY = ("keep", "forget")
STALLED = "stalled"


@dataclass
class Restarts(Strategy):
    """Train `inner`; each of its stages ends at a stall and begins anew, at most `restarts` times.

    A sampler draws new points for every stage, unless its seed is fixed (`sampler.grid_subset.fixed_seed`). With
    memory=keep the optimizer goes on as it is, otherwise it begins anew. A stall: the loss has not fallen by more than
    `absolute` + `relative` x the best loss for `patience` steps.
    A stage that ends for another reason is not repeated. Raises ValueError for settings that are not possible.
    """

    inner: Strategy
    restarts: int = 1000
    memory: str = "keep"
    patience: int = 10
    absolute: float = 1e-7
    relative: float = 0.0

    def __call__(self, problem: Problem, new_model: NewModel) -> Iterator[Stage]:
        if self.restarts < 0 or self.memory not in MEMORY:
            found, expected = f"restarts={self.restarts} memory={self.memory}", f"memory {' or '.join(MEMORY)}"
            raise ValueError(f"strategy.restarts: found {found}; expected a number from 0 on, and {expected}")
        for stage in self.inner(problem, new_model):
            yield from self._repeated(stage)

    def _repeated(self, stage: Stage) -> Iterator[Stage]:
        optimizer = stage.optimizer
        for k in range(self.restarts + 1):
            used = optimizer if self.memory == "keep" else copy.deepcopy(optimizer)
            watched = Watched(used, Stall(self.patience, self.absolute, self.relative))
            name = stage.name if k == 0 else f"{stage.name}: restart {k}"
            part = replace(stage, name=name, optimizer=watched, report=Report())
            yield part
            if not part.reason.endswith(STALLED):  # a resumed run knows the reason, and not the report
                return


@dataclass
class Watched(Wrapping):
    """The steps of `inner`, until its loss stalls."""

    stall: Stall

    def step(self, objective: Objective) -> Report:
        """A step, and whether the loss stalls."""
        report = self.inner.step(objective)
        stalled = self.stall.look(float(report.values["loss/total"]))
        return Report(report.values, report.stop or (STALLED if stalled else None))

    def state_dict(self) -> dict[str, Any]:
        return {"inner": self.inner.state_dict(), "stall": self.stall.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a saved state."""
        self.inner.load_state_dict(state["inner"])
        self.stall.load_state_dict(state["stall"])
