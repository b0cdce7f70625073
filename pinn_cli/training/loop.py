"""The loop that trains the stages of a run."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from math import inf, isfinite
from typing import Any, Protocol

import torch
from torch import nn

from pinn_cli.basics.errors import TrainingError
from pinn_cli.basics.lockstep import Going
from pinn_cli.basics.ranks import ALONE, LostError, Ranks
from pinn_cli.basics.signals import Interrupted, Interruption
from pinn_cli.basics.text import duration
from pinn_cli.methods.contracts import Batch, NewModel, Report, Stage, Strategy, Weighting
from pinn_cli.physics.piecewise import Piecewise
from pinn_cli.physics.problem import Problem
from pinn_cli.physics.scales import Scale
from pinn_cli.training.clock import COMPILATION, Clock
from pinn_cli.training.compiled_step import UncompiledError
from pinn_cli.training.finite import where_not_finite
from pinn_cli.training.objective import Objective, units_of
from pinn_cli.training.residuals import Engine, Residuals
from pinn_cli.training.shared_gradients import SharedGradients
from pinn_cli.training.stopping import Progress, Stop, StopRules

MOMENT, LONGEST = 0.1, 64  # seconds and steps, at most, in which nobody looks at a run


class Observer(Protocol):
    """What the loop calls to keep and show a run (`recorder.py`)."""

    def say(self, text: str) -> None: ...
    def before_draw(self, run: "Run", objective: Objective, points: Batch) -> None: ...
    def steps_left(self, run: "Run", stage: Stage) -> float: ...
    def after_step(self, run: "Run", stage: Stage, objective: Objective, last: bool) -> None: ...
    def after_stage(self, run: "Run", stage: Stage, objective: Objective) -> None: ...
    def save(self, run: "Run", stage: Stage, objective: Objective) -> None: ...


@dataclass
class Run:
    """All the parts of one run, and where it is."""

    problem: Problem
    strategy: Strategy
    new_model: NewModel
    weighting: Weighting
    engine: Engine
    weights: Mapping[str, float]
    scales: Mapping[str, Scale] | None  # of the fields; None: raw units
    stop: StopRules
    interruption: Interruption
    clock: Clock = field(default_factory=Clock)
    compiled: bool = False
    must_compile: bool = False  # else a run whose step cannot be compiled goes on without a compiler
    progress: Progress = field(default_factory=Progress)
    finished: list[dict[str, Any]] = field(default_factory=list)  # states of the finished stages
    saved: dict[str, Any] | None = None  # the checkpoint from which the run continues
    residuals: Residuals | None = None  # those of the stage before
    shared: SharedGradients | None = None  # of the runs that are trained together with this one
    ranks: Ranks = ALONE  # the processes that train this run
    pace: float = inf  # seconds of a step, as the last ones took

    def objective(self, stage: Stage, observer: Observer) -> Objective:
        """The objective of a stage; a stage that the checkpoint has trained is restored."""
        units = units_of(stage.problem, self.scales, stage.model)
        objective = Objective(stage.problem, stage.model, self.engine, self.weighting, self.weights, units)
        compiled, before = self.compiled and not stage.optimizer.least_squares, self.residuals
        if before and before.serves(stage.problem, stage.model, compiled):
            objective.at = before  # with the graph that is compiled already
        elif compiled:
            objective.at.compiling = lambda: self._compiling(observer)
            if not self.must_compile and self.ranks.size == 1:  # of several processes one alone could not go on
                objective.at.uncompiled = lambda error: self._uncompiled(observer, error)
        self.residuals = objective.at
        objective.at.rule = stage.optimizer.rule(objective)
        self.weighting.begin_stage(stage.problem)
        stage.sampler.begin_stage(stage.problem)
        if self.saved is None:
            if not stage.continues:
                self.progress.count_from_here(self.clock.seconds)
            return objective
        done = self.saved["finished"]
        if self.progress.stage < len(done):
            _restore_end(stage, done[self.progress.stage])
        else:
            self.restore(stage, objective, self.saved)
            self.saved = None
        return objective

    @contextmanager
    def _compiling(self, observer: Observer) -> Iterator[None]:
        observer.say("compiling the step, once: 10 to 30 seconds, more for long formulas")
        before = self.clock.phases[COMPILATION]
        with self.clock(COMPILATION):
            yield
        observer.say(f"compiled in {duration(self.clock.phases[COMPILATION] - before)}")

    def _uncompiled(self, observer: Observer, error: UncompiledError) -> None:
        self.compiled = False
        observer.say(f"the run is not compiled: {error}")

    @contextmanager
    def sharing(self, stage: Stage, objective: Objective) -> Iterator[None]:
        """Let the gradients of this objective be computed together with those of other runs."""
        if self.shared is None or not stage.optimizer.by_one_gradient or not objective.at.of_one_problem:
            yield
            return
        self.shared.join(objective, self.clock)
        try:
            yield
        finally:
            self.shared.leave(objective)

    def due(self, stage: Stage) -> Stop | None:
        """Why this stage, or the run, should end now, as this process sees it; None if it should continue."""
        return self.stop(stage, self.progress, self.clock, self.interruption)

    def ended(self, stage: Stage) -> Stop | None:
        """Why this stage, or the run, ends now; None if it continues. Of several processes the first decides."""
        stop, told = self.ranks.decided(self.due(stage), bool(self.interruption), stage.model.parameters())
        if told and not self.interruption:
            self.interruption.reason = "another process of the run was told to stop"  # all stop after the next step
        return stop

    def stride(self, stage: Stage, objective: Objective, observer: Observer) -> int:
        """How many steps, with the next one, differ in their points alone, so that nobody has to look between them.

        They take about a tenth of a second, so that a limit on time and an interruption are noticed.
        """
        if not stage.optimizer.many or not objective.steps_are_one_graph or not objective.at.of_one_problem:
            return 1
        least = min(
            self.weighting.unchanged(self.progress.stage_step), self.stop.steps_left(stage, self.progress),
            observer.steps_left(self, stage), MOMENT / self.pace if self.pace else LONGEST, LONGEST,
        )  # fmt: skip
        return max(1, int(least))

    def step_state(self, stage: Stage, objective: Objective) -> dict[str, Any]:
        """What one step changes: tensors and plain values. The parameters are live, not copies."""
        return {
            "progress": asdict(self.progress),
            "model": stage.model.state_dict(),
            "values": _values(stage),
            "optimizer": stage.optimizer.state_dict(),
            "sampler": stage.sampler.state_dict(),
            "weighting": self.weighting.state_dict(),
            "residuals": objective.latest,
            "generator": torch.get_rng_state(),
        }

    def state(self, stage: Stage, objective: Objective) -> dict[str, Any]:
        """What a resume needs to continue bit for bit: tensors and plain values."""
        solution = stage.solution.model().state_dict() if stage.solution else None
        return {
            **self.step_state(stage, objective), "seconds": self.clock.seconds, "phases": dict(self.clock.phases),
            "finished": self.finished, "solution": solution,
        }  # fmt: skip

    def restore(self, stage: Stage, objective: Objective, state: dict[str, Any]) -> None:
        """Return to a state of `state` or `step_state`."""
        stage.model.load_state_dict(state["model"])
        stage.report.become(Report(dict(state["values"])))
        stage.optimizer.load_state_dict(state["optimizer"])
        stage.sampler.load_state_dict(state["sampler"])
        self.weighting.load_state_dict(state["weighting"])
        self.progress = Progress(**state["progress"])
        torch.set_rng_state(state["generator"].cpu())
        batch, factors = stage.sampler.batch, stage.sampler.factors()
        objective.resume(batch, factors, max(0, self.progress.stage_step - 1), state["residuals"])

    @contextmanager
    def undone_if_interrupted(self, stage: Stage, objective: Objective) -> Iterator[None]:
        """Let an interruption end a step of an interruptible optimizer; undo the step, and raise Interrupted.

        A step in which another process is lost is undone too: that of other optimizers changes nothing but the
        parameters before its last sum.
        """
        if not stage.optimizer.interruptible and self.ranks.size == 1:
            yield
            return
        before = self.step_state(stage, objective)
        before["model"] = _copied(stage.model)
        if stage.optimizer.interruptible:
            objective.check = self.ranks.watch(self.interruption)
        try:
            yield
        except (Interrupted, LostError):
            objective.check = lambda: None
            self.restore(stage, objective, before)
            raise
        finally:
            objective.check = lambda: None

    def whole(
        self, stage: Stage, objective: Objective, unfinished: bool = False
    ) -> tuple[Objective, list[Objective]]:
        """The objective of the solution over all windows in time, and that of every window at its own points.

        Without windows the second is empty. The last window is left out where its training is `unfinished`.
        """
        if stage.solution is None:
            return objective, []
        whole = stage.solution
        return self._at(whole.points(), {}, whole.problem, whole.model(), Piecewise(self.engine)), [
            self._at(piece.sampler.batch, piece.sampler.factors(), piece.window, piece.model, self.engine)
            for piece in (whole.pieces[:-1] if unfinished else whole.pieces)
        ]

    def _at(self, points: Batch, factors: Batch, problem: Problem, model: nn.Module, engine: Engine) -> Objective:
        units = units_of(problem, self.scales, model)
        objective = Objective(problem, model, engine, self.weighting, self.weights, units)
        objective.begin(points, factors)
        return objective


def training(run: Run, observer: Observer) -> Going[tuple[Stage, Objective, Stop]]:
    """Train every stage of the strategy; return the last one, its objective, and why the run ended.

    `step` says where the parts of this end; the first one ends where the run has been set up. Raises TrainingError for
    a loss that is not finite.
    """
    yield
    stop = Stop("nothing to train", ends_run=True)
    trained: tuple[Stage, Objective] | None = None
    for stage in run.strategy(run.problem, run.new_model):
        if stage.continues:
            run.finished[-1] = _superseded(run.finished[-1])
        objective = run.objective(stage, observer)
        if stage.reason:  # finished before the resume
            run.progress.next_stage()
            run.finished.append(_end(stage))
            continue
        run.clock.begin()
        with run.sharing(stage, objective), _saved_if_lost(run, stage, objective, observer):
            while not (ended := run.ended(stage)):
                try:
                    with run.undone_if_interrupted(stage, objective), objective.divided(run.ranks):
                        yield from step(run, stage, objective, observer)
                except Interrupted:
                    continue
                observer.after_step(run, stage, objective, last=False)
        trained = (stage, objective) if objective.batch else trained
        if ended.resumable or not objective.batch:  # a row here would be missing in a run without an interruption
            observer.save(run, stage, objective)
        elif not ended.anew:
            observer.after_step(run, stage, objective, last=True)
            ended = run.ended(stage) or ended  # the error measured for the last row may end the run
        stop = ended
        if stop.ends_run:
            break
        stage.reason = stop.reason
        run.finished.append(_end(stage))
        if not ended.anew:
            observer.after_stage(run, stage, objective)
        run.progress.next_stage()
    run.clock.end()
    yield  # what is written at the end of one run does not count for others that end at the same step
    return *(trained or (stage, objective)), stop


@contextmanager
def _saved_if_lost(run: Run, stage: Stage, objective: Objective, observer: Observer) -> Iterator[None]:
    """Where another process of the run is lost, keep what has been trained so far."""
    try:
        yield
    except LostError:
        if objective.batch:
            observer.save(run, stage, objective)
        raise


def step(run: Run, stage: Stage, objective: Objective, observer: Observer) -> Going[None]:
    """One step: points, weights, parameters. Raises TrainingError for a loss that is not finite.

    It yields where runs that are trained together have all drawn their points, where all have their weights, and where
    all have moved: none begins another step while others need the gradients of this one.
    """
    number = run.progress.stage_step
    with run.clock("sampling"):
        points = stage.sampler.draw(number, stage.problem, objective)
    observer.before_draw(run, objective, points)
    objective.begin(points, stage.sampler.factors(), number)
    yield
    with run.clock("training"):
        run.weighting.update(number, objective)
    yield
    ahead = _ahead(run, stage, objective, observer)
    with run.clock("training"):
        begin = time.monotonic()
        stage.report.become(stage.optimizer.stride(objective, ahead) if ahead else stage.optimizer.step(objective))
        for loss in [*stage.report.before, stage.report.values["loss/total"]]:
            run.progress.advance(_finite(float(loss), stage, objective, run.progress))
        run.pace = (time.monotonic() - begin) / (1 + len(ahead))
    if stage.report.stop:
        with run.clock("sampling"):
            if stage.sampler.refine(stage.problem, objective):
                stage.report.stop = None  # the next step has more points
    yield


def _restore_end(stage: Stage, state: dict[str, Any]) -> None:
    """The end of a stage that was finished before the resume."""
    stage.report.values, stage.reason = dict(state["values"]), state["reason"]
    if "model" in state:
        stage.model.load_state_dict(state["model"])
    if "sampler" in state:  # its points are used for the verdict on the whole run
        stage.sampler.load_state_dict(state["sampler"])


def _end(stage: Stage) -> dict[str, Any]:
    state = {"values": _values(stage), "reason": stage.reason, "sampler": stage.sampler.state_dict()}
    return {"model": _copied(stage.model), **state}


def _superseded(end: dict[str, Any]) -> dict[str, Any]:
    """The end of a part of a stage without its parameters and points: the next part has taken them over."""
    return {"values": end["values"], "reason": end["reason"]}


def _copied(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def _values(stage: Stage) -> dict[str, float]:
    return {name: float(value) for name, value in stage.report.values.items()}


def _ahead(run: Run, stage: Stage, objective: Objective, observer: Observer) -> list[Batch]:
    """The points of the steps that are taken at once after the next one; mostly of none."""
    more = run.stride(stage, objective, observer) - 1
    if not more or objective.factors:
        return []
    with run.clock("sampling"):
        return stage.sampler.ahead(run.progress.stage_step, more)


def _finite(loss: float, stage: Stage, objective: Objective, progress: Progress) -> float:
    """This loss. Raises TrainingError, with constraint, points and advice, if it is not finite."""
    if isfinite(loss):
        return loss
    broken = [name for name, value in objective.losses().items() if not isfinite(float(value))]
    where = where_not_finite(objective, broken[0]) or f"the residual of `{broken[0]}` is not finite" if broken else (
        "a weight is not finite")  # fmt: skip
    ways = [stage.optimizer.remedy.format(phase=stage.name.rpartition(": ")[2])] if stage.optimizer.remedy else []
    ways += ["dtype=float64"] if objective.dtype == torch.float32 else []
    advice = f". Try {' or '.join(ways)}" if ways else ""
    step = progress.step + 1
    raise TrainingError(f"the loss is {loss} at step {step}: {where}; the last good checkpoint is kept{advice}")
