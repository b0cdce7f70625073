"""Records a run while it trains: rows of the history, records of diagnostics, lines on the screen, checkpoints.

Rows are written before the checkpoint of the same step, so that no row at or before a checkpoint is lost.
"""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from pinn_cli.basics.errors import TrainingError
from pinn_cli.methods.contracts import Batch, Stage, Weighting
from pinn_cli.physics.problem import Problem
from pinn_cli.physics.references import Reference, reference_of
from pinn_cli.records import checkpoint
from pinn_cli.records.results import Results
from pinn_cli.training.console import Console
from pinn_cli.training.diagnostic_records import DiagnosticRecords
from pinn_cli.training.estimate_records import EstimateRecords
from pinn_cli.training.loop import Run
from pinn_cli.training.metrics import Comparison, FamilyComparison, of_one, own_metrics
from pinn_cli.training.objective import Objective

FLUSH = 5.0  # seconds between batches of rows
SAVE = 10.0  # seconds between checkpoints


@dataclass
class Recorder:
    """Rows every `every` steps (None: as the optimizer suggests), the first and the last step of a stage always.

    One of many runs in a process writes them and its checkpoints that many times `rarer`.
    """

    results: Results
    console: Console
    checkpoint: Path
    every: int | None = None
    diagnostics: DiagnosticRecords | None = None
    estimates: EstimateRecords | None = None
    rows: list[dict[str, float]] = field(default_factory=list)
    rarer: float = 1.0

    def __post_init__(self) -> None:
        self._flushed, self._saved = time.monotonic(), -math.inf  # the first step is always saved
        steps = list(self.results.read_history().get("step", []))
        self._last_row = int(steps[-1]) if len(steps) else 0
        self._compared: tuple[Problem | None, Reference | None] = (None, None)  # a problem and its reference
        self._comparison: Comparison | FamilyComparison | None = None  # with it, or with those of a family
        self.stages: list[str] = [str(name) for name in self.results.read("stages").get("", [])]
        self._recorded = self.stages  # as they stand in the file

    def say(self, text: str) -> None:
        """Show a notice."""
        self.console.plan(text)

    def before_draw(self, run: Run, objective: Objective, points: Batch) -> None:
        """Take the records of diagnostics that look at the network right before its points change to these."""
        if self._diagnosing and objective.batch and not objective.is_at(points):
            assert self.diagnostics is not None
            with run.clock("diagnostics"):
                self.diagnostics.take_before_draw(objective, run.progress.step)

    def steps_left(self, run: Run, stage: Stage) -> float:
        """Within how many steps nothing is recorded but what is due by time."""
        step, begins = run.progress.step, run.progress.stage_step == 0 and not stage.continues
        if begins or self._diagnosing:
            return 1
        every = [self._every(stage), *([] if self.estimates is None else [self.estimates.cadence(stage)])]
        return min(n - step % n for n in every)

    def _every(self, stage: Stage) -> int:
        """Steps from row to row."""
        return stage.optimizer.cadence if self.every is None else self.every

    def after_step(self, run: Run, stage: Stage, objective: Objective, last: bool) -> None:
        """Record this step if it is due."""
        progress = run.progress
        if len(self.stages) <= progress.stage:
            self.stages = [*self.stages[: progress.stage], stage.name]
        ends = last or (progress.stage_step == 1 and not stage.continues)
        estimated = self.estimates is not None and progress.step % self.estimates.cadence(stage) == 0
        columns = self._diagnose(run, objective, ends)
        if progress.step != self._last_row and (ends or estimated or progress.step % self._every(stage) == 0):
            self._row(run, stage, objective, columns | (self._estimate(run, stage, objective) if estimated else {}))
        now = time.monotonic()
        due = now - self._saved >= SAVE * self.rarer
        if last or (due and not run.due(stage)):  # the last step is saved with its row
            self.save(run, stage, objective)
        elif now - self._flushed >= FLUSH * self.rarer:
            self.flush(run)

    def after_stage(self, run: Run, stage: Stage, objective: Objective) -> None:
        """Show why the stage ended."""
        self.say(f"stage {stage.name} ended: {stage.reason}")

    def save(self, run: Run, stage: Stage, objective: Objective) -> None:
        """Write the rows, then the checkpoint."""
        self.flush(run)
        if not all(p.isfinite().all() for p in stage.model.parameters()):
            raise TrainingError(
                f"parameters are not finite after step {run.progress.step}, since a gradient was not; the last good "
                "checkpoint is kept. Look for a square root, a division or a power at zero in the residuals"
            )
        with run.clock("writing"):
            checkpoint.save(self.checkpoint, run.state(stage, objective))
        self._saved = time.monotonic()

    def flush(self, run: Run) -> None:
        """Write the rows and records that are not yet written."""
        groups = {} if self._recorded == self.stages else {"stages": self.stages}
        with run.clock("writing"):
            if self.diagnostics is None:
                self.results.append(self.rows, groups)
            else:
                self.diagnostics.flush(self.rows, groups)
        self.rows, self._recorded, self._flushed = [], self.stages, time.monotonic()

    @property
    def _diagnosing(self) -> bool:
        return self.diagnostics is not None and bool(self.diagnostics.diagnostics)

    def _diagnose(self, run: Run, objective: Objective, ends: bool) -> dict[str, float]:
        """Take the records of the diagnostics that are due; return their columns of the history."""
        if not self._diagnosing:
            return {}
        assert self.diagnostics is not None
        with run.clock("diagnostics"):
            return self.diagnostics.take(objective, run.progress.step, ends)

    def _estimate(self, run: Run, stage: Stage, objective: Objective) -> dict[str, float]:
        """The columns of an estimated error."""
        assert self.estimates is not None
        with run.clock("estimate"):
            whole = stage.problem if stage.underway else run.problem
            return self.estimates.take(run, stage, objective, self._reference(whole), self.say)

    def _row(self, run: Run, stage: Stage, objective: Objective, columns: Mapping[str, float]) -> None:
        progress = run.progress
        self._last_row = progress.step
        with run.clock("evaluation"):
            comparison = self._comparison_with(stage.problem, objective)
            found = comparison.errors_of(objective) if comparison else {}
            metrics = own_metrics(stage.problem, objective)
        progress.error = max((e.judged for e in found.values()), default=math.inf)
        measured = {"error": {name: e.relative_l2 for name, e in found.items()}, "metric": metrics}
        named = {f"{kind}/{name}": value for kind, values in measured.items() for name, value in values.items()}
        values = row(stage, objective, run.weighting) | named
        place = {"step": progress.step, "time": run.clock.seconds}
        self.rows.append({**place, "stage": progress.stage, "underway": stage.underway, **values, **columns})
        shown = values | {name: value for name, value in columns.items() if name.startswith("estimate")}
        self.console.row(progress.step, run.stop.steps, shown, run.stop.seconds_left(run.clock))

    def _reference(self, problem: Problem) -> Reference | None:
        """The reference of the problem of this stage; computed once."""
        if self._compared[0] is not problem:
            self._compared, self._comparison = (problem, reference_of(problem)), None
        return self._compared[1]

    def _comparison_with(self, problem: Problem, objective: Objective) -> Comparison | FamilyComparison | None:
        """The reference at its own points or on a grid; computed once, so features at these points can be kept.

        Of a family, the references of the instances that it is measured on.
        """
        reference = self._reference(problem)
        if reference is not None and self._comparison is None:
            instances = objective.at.held_out("validation")
            self._comparison = FamilyComparison(instances, objective) if instances else of_one(reference, objective)
        return self._comparison


def row(stage: Stage, objective: Objective, weighting: Weighting) -> dict[str, float]:
    """The values of one step: loss, mean r^2, weights in force, unknowns, and the columns of the methods."""
    values: Mapping[str, Any] = stage.report.values
    losses = {f"loss/{name}": value for name, value in objective.losses().items()}
    weights = {f"weight/{name}": _mean(w) for name, w in objective.weights.items()}
    unknowns = {f"unknown/{name}": p.detach() for name, p in objective.unknowns.items()}
    own = {**stage.sampler.values(), **weighting.values(), **objective.at.values()}
    return {name: float(value) for name, value in {**values, **losses, **weights, **own, **unknowns}.items()}


def _mean(weight: float | Tensor) -> float | Tensor:
    return weight.mean() if isinstance(weight, Tensor) else weight
