"""The loop."""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import torch
from torch import nn

from pinn_cli.basics.errors import TrainingError
from pinn_cli.methods.contracts import Stage
from pinn_cli.physics.piecewise import Piecewise
from pinn_cli.training.clock import Clock
from pinn_cli.training.objective import Batch, Engine, Objective
from pinn_cli.training.stopping import Progress, Stop, StopRules


class Recorder(Protocol):
    """Keeps what a run yields: rows of the history, checkpoints, lines on the screen."""

    def after_step(self, run: "Run", stage: Stage, objective: Objective, last: bool) -> None: ...
    def after_stage(self, run: "Run", stage: Stage, objective: Objective) -> None: ...
    def save(self, run: "Run", stage: Stage) -> None: ...


@dataclass
class Run:
    """All the parts of one run, and where it is."""

    problem: Any
    strategy: Callable
    new_model: Callable[[Any], nn.Module]
    weighting: Any
    engine: Engine
    weights: Mapping[str, float]
    stop: StopRules
    interruption: Any
    clock: Clock = field(default_factory=Clock)
    compiled: bool = False
    progress: Progress = field(default_factory=Progress)
    finished: list[dict[str, Any]] = field(default_factory=list)  # states of the stages that are done
    saved: dict[str, Any] | None = None  # the checkpoint to go on from

    def objective(self, stage: Stage) -> Objective:
        """The objective of a stage; what was trained in an earlier life is loaded."""
        compiled = self.compiled and not stage.optimizer.least_squares
        objective = Objective(stage.problem, stage.model, self.engine, self.weighting, self.weights, compiled)
        self.weighting.begin_stage(stage.problem)
        stage.sampler.begin_stage(stage.problem)
        if self.saved is not None:
            self._restore(stage, objective, self.saved)
        return objective

    def ended(self, stage: Stage) -> Stop | None:
        """Why this stage, or the run, ends here; None if it does not."""
        return self.stop(stage, self.progress, self.clock.seconds, self.interruption)

    def _restore(self, stage: Stage, objective: Objective, saved: dict[str, Any]) -> None:
        done = saved["finished"]
        if self.progress.stage < len(done):  # this stage is finished: its end is all that is needed
            state = done[self.progress.stage]
            stage.model.load_state_dict(state["model"])
            stage.report.values, stage.reason = dict(state["values"]), state["reason"]
            if "sampler" in state:  # its points, for what is said of the whole run at its end
                stage.sampler.load_state_dict(state["sampler"])
            return
        stage.model.load_state_dict(saved["model"])
        stage.report.values = dict(saved["values"])
        stage.optimizer.load_state_dict(saved["optimizer"])
        stage.sampler.load_state_dict(saved["sampler"])
        self.weighting.load_state_dict(saved["weighting"])
        self.progress = Progress(**saved["progress"])
        torch.set_rng_state(saved["generator"].cpu())
        objective.resume(stage.sampler.batch)
        self.saved = None

    def found(self, stage: Stage, objective: Objective) -> tuple[Objective, list[Objective]]:
        """What was found, on all times, and the conditions at the seams where the last stage is a window in time."""
        if stage.solution is None:
            return objective, []
        whole, seams = stage.solution, stage.solution.seams()
        return self._at(whole.points(), whole.problem, whole.model(), Piecewise(self.engine)), [
            self._at(points, piece.window, piece.model, self.engine) for piece, points in seams if points
        ]

    def _at(self, points: Batch, problem: Any, model: nn.Module, engine: Any) -> Objective:
        objective = Objective(problem, model, engine, self.weighting, self.weights)
        objective.begin(points)
        return objective

    def state(self, stage: Stage) -> dict[str, Any]:
        """Everything that going on bit for bit needs: tensors and primitives."""
        return {
            "progress": asdict(self.progress),
            "seconds": self.clock.seconds,
            "finished": self.finished,
            "model": stage.model.state_dict(),
            "solution": stage.solution.model().state_dict() if stage.solution else None,
            "values": _values(stage),
            "optimizer": stage.optimizer.state_dict(),
            "sampler": stage.sampler.state_dict(),
            "weighting": self.weighting.state_dict(),
            "generator": torch.get_rng_state(),
        }


def train(run: Run, recorder: Recorder) -> tuple[Stage, Objective, Stop]:
    """Train every stage of the strategy; the last one, its objective and why the run ended.

    Raises TrainingError for a loss that is not finite.
    """
    stop, clock = Stop("nothing to train", ends_run=True), run.clock
    trained: tuple[Stage, Objective] | None = None
    for stage in run.strategy(run.problem, run.new_model):
        objective = run.objective(stage)
        if stage.reason:  # finished in an earlier life
            run.progress.next_stage()
            run.finished.append(_end(stage))
            continue
        while not (found := run.ended(stage)):
            with clock("sampling"):
                objective.begin(stage.sampler.draw(run.progress.stage_step, stage.problem, objective))
            with clock("training"):
                run.weighting.update(run.progress.stage_step, objective)
                stage.report.become(stage.optimizer.step(objective))
                run.progress.advance(_finite(stage, objective, run.progress))
            recorder.after_step(run, stage, objective, last=False)
        trained = (stage, objective) if objective.batch else trained
        if found.resumable:  # no row: a run that nothing disturbs has none there
            recorder.save(run, stage)
        else:
            recorder.after_step(run, stage, objective, last=True)
            found = run.ended(stage) or found  # the last row may end the run
        stop = found
        if stop.ends_run:
            break
        stage.reason = stop.reason
        run.finished.append(_end(stage))
        recorder.after_stage(run, stage, objective)
        run.progress.next_stage()
    return *(trained or (stage, objective)), stop


def _end(stage: Stage) -> dict[str, Any]:
    model = {name: value.clone() for name, value in stage.model.state_dict().items()}
    return {"model": model, "values": _values(stage), "reason": stage.reason, "sampler": stage.sampler.state_dict()}


def _values(stage: Stage) -> dict[str, float]:
    return {name: float(value) for name, value in stage.report.values.items()}


def _finite(stage: Stage, objective: Objective, progress: Progress) -> float:
    """The loss of this step. Raises TrainingError, naming the constraint and the step, if it is not finite."""
    loss = float(stage.report.values["loss/total"])
    if math.isfinite(loss):
        return loss
    broken = [name for name, value in objective.losses().items() if not math.isfinite(float(value))]
    where = f"the residual of `{broken[0]}`" if broken else "a weight"
    raise TrainingError(
        f"the loss is {loss} at step {progress.step + 1}: {where} is not finite; the last good checkpoint is kept. "
        "Try a smaller optimizer step (optimizer.adam.lr=1e-4) or dtype=float64"
    )
