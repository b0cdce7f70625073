"""When a stage or a run ends. Everything under `stop` applies to the whole run, over all its stages and resumes."""

from dataclasses import dataclass
from math import ceil, inf

from pinn_cli.basics.signals import Interruption
from pinn_cli.methods.contracts import SHARED, Stage
from pinn_cli.training.clock import Clock

STOPPED = "the optimizer stopped"  # so begins the reason of a stage that more steps do not change
RESUME = "pinn resume and the folder of the run"


@dataclass(frozen=True)
class Stop:
    """Why training ended; `ends_run` if no further stage follows, `resumable` if the run is not complete.

    `longer` is what to type for a longer training; "" if more steps change nothing. `anew`: another part of the stage
    follows.
    """

    reason: str
    ends_run: bool = False
    resumable: bool = False
    longer: str = ""
    anew: bool = False


@dataclass
class Progress:
    """Where a run is: steps of the run and of the stage, the latest loss and error, steps since the last progress."""

    step: int = 0
    stage: int = 0
    stage_step: int = 0
    loss: float = inf
    error: float = inf
    estimated: float = inf  # the largest estimated error, if it may be trusted
    best: float = inf
    idle: int = 0
    began: int = 0  # steps of the run when the stage began, or the first of those that it continues
    seconds: float = 0.0  # of training, then

    def advance(self, loss: float) -> None:
        """Count a step with this loss; a loss at least 0.1 % below the best so far is progress."""
        self.step, self.stage_step, self.loss = self.step + 1, self.stage_step + 1, loss
        self.idle = 0 if loss < 0.999 * self.best else self.idle + 1
        self.best = min(self.best, loss)

    @property
    def made(self) -> int:
        """Steps of the stage, and of those that it continues."""
        return self.step - self.began

    def next_stage(self) -> None:
        """End a stage: its losses and errors may belong to another problem than those of the next one."""
        self.stage, self.stage_step, self.idle = self.stage + 1, 0, 0
        self.loss = self.error = self.estimated = self.best = inf

    def count_from_here(self, seconds: float) -> None:
        """Begin a stage that does not continue the one before it, after these seconds of training."""
        self.began, self.seconds = self.step, seconds


@dataclass
class StopRules:
    """The settings under `stop`; the first rule that holds ends the stage or the run.

    Limits are checked before interruptions, so a run at its limit counts as finished. `total_seconds` limits the
    process rather than the run: the run is stopped, and can be resumed.
    """

    steps: int | None = None
    seconds: float | None = None
    total_seconds: float | None = None
    loss: float | None = None
    error: float | None = None
    estimated_error: float | None = None
    plateau: int | None = None

    def __call__(self, stage: Stage, progress: Progress, clock: Clock, interruption: Interruption) -> Stop | None:
        if self.seconds is not None and clock.seconds >= self.seconds:
            return Stop(f"stop.seconds={self.seconds:g} reached", ends_run=True, longer="a larger stop.seconds")
        if self.loss is not None and progress.loss <= self.loss:
            last = not stage.underway
            reason = f"stop.loss={self.loss:g} reached{_where(stage)}"
            return Stop(reason, ends_run=last, longer="a smaller stop.loss")
        if self.error is not None and progress.error <= self.error:
            last = not stage.underway
            reason = f"stop.error={self.error:g} reached{_where(stage)}"
            return Stop(reason, ends_run=last, longer="a smaller stop.error")
        if self.estimated_error is not None and progress.estimated <= self.estimated_error:
            reason = f"stop.estimated_error={self.estimated_error:g} reached"
            return Stop(reason, ends_run=not stage.underway, longer="a smaller stop.estimated_error")
        if self.steps is not None and progress.step >= self.steps:
            return Stop(f"stop.steps={self.steps} reached", ends_run=True, longer="a larger stop.steps")
        if stage.steps is not None and progress.made >= stage.steps:  # also where it stops at its last step
            return Stop(f"{stage.steps} steps made", longer=f"more steps for the stage {stage.name}")
        if stage.report.stop:
            return Stop(f"{STOPPED}: {stage.report.stop}", anew=stage.report.anew)
        if shared := self._share_is_used(stage, progress, clock):
            return Stop(shared, longer="a larger stop.steps or stop.seconds")
        if self.plateau is not None and progress.idle >= self.plateau:
            return Stop(f"plateau: no progress for {self.plateau} steps", longer="a larger stop.plateau")
        if interruption.reason:
            return Stop(f"interrupted ({interruption.reason})", ends_run=True, resumable=True, longer=RESUME)
        if self.total_seconds is not None and clock.total_seconds >= self.total_seconds:
            reason = f"stop.total_seconds={self.total_seconds:g} reached"
            return Stop(reason, ends_run=True, resumable=True, longer=RESUME)
        return None

    def _share_is_used(self, stage: Stage, progress: Progress, clock: Clock) -> str | None:
        """Which limit of the run a stage has its share of, and has used it; it may always take one step."""
        if stage.steps is not None or stage.share == 1 or not progress.stage_step:
            return None
        made = progress.made
        if self.steps is not None and made >= self._share_of_steps(stage, progress):
            return f"{SHARED} stop.steps={self.steps}: {made} steps made"
        spent = clock.seconds - progress.seconds
        if self.seconds is not None and spent >= stage.share * (self.seconds - progress.seconds):
            return f"{SHARED} stop.seconds={self.seconds:g}: {made} steps made"
        return None

    def steps_left(self, stage: Stage, progress: Progress) -> float:
        """Within how many steps no rule but those on time can hold; 1 where one looks at every loss."""
        if self.loss is not None or self.plateau is not None:
            return 1
        limits = [] if self.steps is None else [self.steps - progress.step]
        if stage.steps is not None:
            limits.append(stage.steps - progress.made)
        elif self.steps is not None and stage.share < 1:
            limits.append(ceil(self._share_of_steps(stage, progress)) - progress.made)
        return min(limits, default=inf)

    def _share_of_steps(self, stage: Stage, progress: Progress) -> float:
        """How many steps a stage has as its share of `stop.steps`."""
        assert self.steps is not None
        return stage.share * (self.steps - progress.began - stage.reserved)

    def seconds_left(self, clock: Clock) -> float | None:
        """Seconds until the first limit on time; None without one."""
        limits = ((self.seconds, clock.seconds), (self.total_seconds, clock.total_seconds))
        return min((max(0.0, limit - spent) for limit, spent in limits if limit is not None), default=None)


def _where(stage: Stage) -> str:
    """Where the loss and the error of a stage count, unless it is the whole problem."""
    return "" if stage.solution is None else " in this window of time alone"
