"""Begin anew at a stall: new points, and an optimizer with or without its memory, from the parameters as they are.

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

MEMORY: dict[str, bool | str | None] = {"keep": True, "keep_if_positive": "if_positive", "reset": None}
STALLED = "stalled"


@dataclass
class Restarts(Strategy):
    """Train `inner`; each of its stages ends at a stall and begins anew, at most `restarts` times.

    A sampler draws new points for every stage, unless its seed is fixed (`sampler.grid_subset.fixed_seed`).

    memory    `keep`: the optimizer goes on with all of its memory; `keep_if_positive`: a quasi-Newton method with what
              is positive definite at the new points too; `reset`: the optimizer begins anew

    A stall: the loss has not fallen by more than `absolute` + `relative` x the best loss for `patience` steps, or the
    optimizer cannot continue, as after a line search without success. The steps of a stage, and its share of the run,
    are those of all its parts together. A sampler that has other points at a stall (the guard, adaptive-R and -G) is
    asked first, and the stage then goes on. A stage is not repeated where its optimizer stops in the first step of a
    part, or where it ends for another reason. Raises ValueError for settings that are not possible.
    """

    inner: Strategy
    restarts: int = 1000
    memory: str = "keep"
    patience: int = 10
    absolute: float = 1e-7
    relative: float = 0.0

    def __post_init__(self) -> None:
        if self.restarts < 0:
            raise ValueError(f"found restarts={self.restarts}; expected a whole number from 0 on")
        if self.memory not in MEMORY:
            raise ValueError(f"found memory={self.memory}; expected one of {', '.join(MEMORY)}")
        Stall(self.patience, self.absolute, self.relative)

    def __call__(self, problem: Problem, new_model: NewModel) -> Iterator[Stage]:
        for stage in self.inner(problem, new_model):
            yield from self._repeated(stage)

    def _repeated(self, stage: Stage) -> Iterator[Stage]:
        keep = MEMORY[self.memory]
        for k in range(self.restarts + 1):
            used = copy.deepcopy(stage.optimizer) if keep is None else stage.optimizer
            stall = Stall(self.patience, self.absolute, self.relative)
            report = Report()
            watched = Watched(used, stall, report, keep if k else None, again=k < self.restarts)
            part = replace(stage, optimizer=watched, report=report)
            if k:
                part = replace(part, name=f"{stage.name}: restart {k}", continues=True)
            yield part
            stage.report.become(report)  # the strategies inside may read how it has ended
            stage.reason = report.reason
            if not report.reason.endswith(STALLED):  # a resumed run knows the reason, and not the stop
                return


@dataclass
class Watched(Wrapping):
    """The steps of `inner`, until its loss stalls; before the first it is told to `keep` its memory, unless None.

    `report` is that of the stage; `again`: a restart follows a stall.
    """

    stall: Stall
    report: Report
    keep: bool | str | None = None
    again: bool = False

    def step(self, objective: Objective) -> Report:
        """A step, and whether the loss stalls."""
        if self.keep is not None and not self.stall.looked:
            self.inner.carry(self.keep)
        if self.stall.reached:  # the stage went on, with other points of its sampler
            self.stall.reset()
        first, report = not self.stall.looked, self.inner.step(objective)
        self.stall.look(float(report.values["loss/total"]))
        if report.stop and not first:
            self.stall.declare()
        stalled = self.stall.reached
        return Report(report.values, STALLED if stalled else report.stop, anew=stalled and self.again)

    def state_dict(self) -> dict[str, Any]:
        ended = self.report.stop == STALLED  # a sampler may have gone on
        return {"inner": self.inner.state_dict(), "stall": self.stall.state_dict(), "ended": ended}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a saved state; a stage that was saved at its end takes no further step."""
        self.inner.load_state_dict(state["inner"])
        self.stall.load_state_dict(state["stall"])
        if state["ended"]:
            self.report.stop, self.report.anew = STALLED, self.again
