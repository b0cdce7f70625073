"""Plan a run, train it, and write its results: the same for a new run and one that goes on."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig

from pinn_cli.basics.errors import FINISHED, STOPPED, TrainingError, UsageError
from pinn_cli.basics.lockstep import Going, to_the_end
from pinn_cli.basics.ranks import ALONE, Ranks
from pinn_cli.basics.signals import Interruption
from pinn_cli.basics.text import in_shell
from pinn_cli.configuration import plan
from pinn_cli.configuration.assemble import Parts
from pinn_cli.configuration.contradictions import refuse_contradictions, refuse_unknown_error
from pinn_cli.configuration.settings import switch
from pinn_cli.configuration.sources import Sources
from pinn_cli.methods.contracts import Stage
from pinn_cli.physics.doubts import doubts
from pinn_cli.physics.family import Family
from pinn_cli.physics.references import coverage, reference_of
from pinn_cli.records.folder import CHECKPOINT, LOG, RESULTS
from pinn_cli.records.provenance import now
from pinn_cli.records.results import Results
from pinn_cli.records.status import Status
from pinn_cli.runs.advice import advice, resume
from pinn_cli.runs.processes import Processes, orders
from pinn_cli.training import compilation
from pinn_cli.training.clock import COMPILATION, Clock
from pinn_cli.training.console import Console, Summary
from pinn_cli.training.diagnostic_records import DiagnosticRecords
from pinn_cli.training.estimate_records import EstimateRecords
from pinn_cli.training.finish import conclude
from pinn_cli.training.loop import Observer, Run, training
from pinn_cli.training.objective import Objective
from pinn_cli.training.recorder import Recorder
from pinn_cli.training.shared_gradients import SharedGradients
from pinn_cli.training.stopping import Stop, StopRules
from pinn_cli.training.verdict import untrained_from

BLAS_THREADS = "OPENBLAS_NUM_THREADS"
APART = ("setup", COMPILATION)  # phases that are not part of the duration of a run
RAREST = 10  # times more rarely than a lone run do runs that are trained together write to their folders


@dataclass
class Together:
    """What runs that are trained together share."""

    runs: int  # that begin
    interruption: Interruption
    gradients: SharedGradients


@dataclass
class Job:
    """A run that is about to be trained, alone or `together` with others, by one or several `processes`."""

    config: DictConfig
    name: str
    parts: Parts
    code: Sources
    together: Together | None = None
    processes: Processes = field(default_factory=lambda: Processes(1, None))
    compiled: bool = field(init=False, default=False)
    doubts: list[str] = field(init=False, default_factory=list)  # of the problem, before it is trained

    def plan(self) -> str:
        """Evaluate every residual once, decide whether the step is compiled, and return the plan as text.

        Notes say what is doubtful about the problem.
        """
        objective, first = plan.preview(self.parts), plan.first_stage(self.parts)
        problem = self.parts.problem
        exact = reference_of(problem) if hasattr(problem, "exact") else None  # another reference may take minutes
        refuse_contradictions(self.config, self.parts, objective, exact)
        self.parts.notes.extend(coverage(exact, problem) if exact else [])
        steps = first.steps or int(first.share * (self.config.stop.steps or 0)) or None  # each stage compiles anew
        setting = switch(self.config.compile)
        gradients = not all(phase.optimizer().least_squares for phase in self.parts.schedule)
        self.compiled = objective.at.of_one_problem and gradients and compilation.decide(
            setting, first.optimizer, steps, self.parts.engine, self.parts.notes.append, self._runs
        )
        if self.together is not None:
            self.together.gradients.compiled = self.compiled
        if self.compiled:
            self.parts.notes.extend(plan.layer_by_layer(objective, self._runs))
        self.doubts = doubts(self.parts.problem, self.config.periodic)
        self.parts.notes.extend([*self.doubts, *plan.left_out(objective)])
        return plan.text(self.config, self.name, self.parts, objective, self.compiled)

    @property
    def _runs(self) -> int:
        return 1 if self.together is None else self.together.runs

    def training(self, folder: Path, clock: Clock, text: str, saved: dict[str, Any] | None = None) -> Going[int]:
        """Print the plan `text`, train, and write the results; the exit code, FINISHED or STOPPED.

        `saved` is the checkpoint to go on from. A run that fails says so in its file. Raises TrainingError.
        """
        results = Results(folder / RESULTS)
        together = self.together
        asked = Interruption() if together is None else nullcontext(together.interruption)
        with asked as interruption, Console(log=folder / LOG, shown=together is None) as screen:
            if together is None:
                interruption.say = screen.plan
            screen.plan(text)
            run = self._run(clock, interruption, saved)
            way = f"pinn resume {in_shell(folder)} continues from the last save"
            diagnostics = DiagnosticRecords(self.parts.diagnostics, results)
            recorder = Recorder(
                results,
                screen,
                folder / CHECKPOINT,
                every=self.config.record.every,
                diagnostics=diagnostics,
                estimates=self._estimates(),
                rarer=min(self._runs, RAREST),
            )
            try:
                with self.code.active():
                    self._look_at_reference(screen)
                self.code.update(results)  # the reference may have read a file
                with nullcontext() if saved is None else _checkpoint_fits(run, saved), self.processes.named(way):
                    run.ranks = self._ranks(None if saved is None else (folder / CHECKPOINT).read_bytes())
                    stage, objective, stop = yield from training(run, recorder)
                with self.code.active():
                    self._end(results, run, stage, objective, stop, screen)
            except KeyboardInterrupt:  # a second Ctrl-C
                raise TrainingError(f"interrupted at once; {way}") from None
            except Exception as error:
                if interruption.reason and compilation.advice(error):  # Ctrl-C reaches the compiler too, and ends it
                    reason = f"interrupted ({interruption.reason}) while the step was compiled"
                    results.attributes(status=Status.STOPPED, reason=reason, finished=now())
                    screen.plan(f"stopped  {reason}\nnext     pinn resume {in_shell(folder)}")
                    return STOPPED
                line = _line(error)
                with suppress(TrainingError):  # on a full disk only the screen shows the reason
                    recorder.flush(run)  # the rows that led to the error
                    results.attributes(status=Status.FAILED, reason=line, finished=now())
                if _is_expected(error):
                    raise TrainingError(line) from error
                raise
        return STOPPED if stop.resumable else FINISHED

    def followed(self, observer: Observer, ranks: Ranks, saved: dict[str, Any] | None) -> int:
        """Train as the first of several processes does, which writes; the exit code, FINISHED or STOPPED."""
        with Interruption() as interruption:
            run = self._run(Clock(), interruption, saved)
            run.ranks = ranks
            *_, stop = to_the_end(training(run, observer))
        return STOPPED if stop.resumable else FINISHED

    def _ranks(self, checkpoint: bytes | None) -> Ranks:
        """The processes of the run, which begin with this checkpoint."""
        if self.processes.size == 1:
            return ALONE
        told = orders(self.config, self.name, self.compiled, checkpoint)
        return self.processes.begin(told, self.parts.device)

    def _estimates(self) -> EstimateRecords | None:
        """The estimated errors of the history, if they are asked for."""
        every = self.config.record.get("estimated_error")
        asked = every is not None or self.config.stop.get("estimated_error") is not None
        return EstimateRecords(self.config.seed, every, self.doubts) if asked else None

    def _look_at_reference(self, screen: Console) -> None:
        """Compute the reference here, and not at the first row, as it may fail; say what a table does not cover."""
        reference = reference_of(self.parts.problem)
        refuse_unknown_error(self.config, reference is not None)
        for note in coverage(reference, self.parts.problem) if reference and reference.at is not None else []:
            screen.plan(f"note     {note}")

    def _run(self, clock: Clock, interruption: Interruption, saved: dict[str, Any] | None) -> Run:
        torch.manual_seed(self.config.seed)
        return Run(
            problem=self.parts.problem,
            strategy=self.parts.strategy,
            new_model=self.parts.new_models(),
            weighting=self.parts.weighting,
            engine=self.parts.engine,
            weights=self.parts.weights,
            scales=self.parts.scales,
            stop=StopRules(**self.config.stop),
            interruption=interruption,
            clock=clock,
            compiled=self.compiled and self.together is None,
            must_compile=switch(self.config.compile) == "on",
            saved=saved,
            shared=None if self.together is None else self.together.gradients,
        )

    def _end(
        self, results: Results, run: Run, stage: Stage, objective: Objective, stop: Stop, screen: Console
    ) -> None:
        """Write the results, draw the figures, and show the summary."""
        folder, status = results.path.parent, Status.STOPPED if stop.resumable else Status.FINISHED
        timing: dict[str, Any] = {}
        reason = f"{stop.reason}, on the way in {stage.name}" if stage.underway else stop.reason
        summary = Summary(status, reason, run.progress.step, run.clock.seconds, str(results.path))
        summary.next = f"pinn {'resume' if stop.resumable else 'show'} {in_shell(folder)}"
        if objective.batch:  # nothing was trained if the signal came before the first step
            unfinished = not stage.reason and (stage.underway or stop.resumable)
            objective, windows = run.whole(stage, objective, unfinished)
            earlier = [end["reason"] for end in run.finished]
            helps, go_on = advice(self.config, stop, earlier, stage), ""
            if (untrained := untrained_from(run.problem, objective, windows)) is not None:
                helps = advice(self.config, Stop(""), earlier, stage)
                go_on = resume(self.config, stop, untrained.share)
                summary.extrapolated = f"extrapolated from {untrained} on"
                summary.next = resume(self.config, stop, untrained.share, in_shell(folder))
            conclusion = conclude(
                results, run.problem, objective, run.clock, self.config.seed, windows, self.doubts, helps, go_on
            )
            timing = {"timing": run.clock.times}
            summary.errors = {name: error.relative_l2 for name, error in conclusion.measured.items()}
            summary.instances = conclusion.tested.spans
            of_many = isinstance(run.problem, Family) and not objective.at.of_one_problem
            whose = f"instance {getattr(run.problem, 'seed', 0)}: " if of_many else ""
            summary.estimated = [*(f"{whose}{line}" for line in conclusion.estimates()), *conclusion.notes]
            summary.metrics = conclusion.metrics
            summary.held_out, summary.verdict = conclusion.verdict.relative, str(conclusion.verdict)
            summary.unknowns = conclusion.values
            summary.uncertainty = conclusion.uncertainty
        summary.apart = {phase: run.clock.phases[phase] for phase in APART if phase in run.clock.phases}
        if switch(self.config.figures) == "on":
            summary.figures = _draw(folder, screen)
        self.code.update(results)
        done = {"status": status, "reason": reason, "steps": run.progress.step, "finished": now()}
        results.replace(timing, done)  # last: a finished run has all its files
        screen.finish(summary)


def _draw(folder: Path, screen: Console) -> list[str]:
    from pinn_cli.reports.figures import write  # imports matplotlib, which takes half a second

    try:
        return [str(path) for path in write(folder)]
    except (TrainingError, UsageError) as error:  # the results are written; `pinn plot` can draw them later
        screen.plan(f"no figures: {error}, or `pinn plot {in_shell(folder)}`")
        return []


@contextmanager
def alone(config: DictConfig, code: Sources, together: Together | None, processes: int = 1) -> Iterator[None]:
    """The surroundings and the own code of a lone run, from its beginning to its end, by so many processes here.

    Runs that are trained together take turns, so whoever trains them sets up what they have in common.
    """
    if together is not None:
        yield
        return
    with surroundings(config, processes), code.active():
        yield


@contextmanager
def surroundings(config: DictConfig, processes: int = 1) -> Iterator[None]:
    """Set the threads and isolate the random numbers of one run: a process may train several.

    Of so many processes on this machine each has its share of the threads.

    The BLAS of scipy takes the threads of the first run of a process: it reads their number when it is loaded.
    """
    threads = torch.get_num_threads()
    logging.getLogger("torch").setLevel(logging.ERROR)
    torch.set_num_threads(config.threads or max(1, threads // processes))
    before = os.environ.get(BLAS_THREADS)
    os.environ[BLAS_THREADS] = before or str(torch.get_num_threads())
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        torch.set_num_threads(threads)
        if before is None:
            del os.environ[BLAS_THREADS]


@contextmanager
def _checkpoint_fits(run: Run, saved: dict[str, Any]) -> Iterator[None]:
    """Report an unexpected error at or before the first step as one of the checkpoint (UsageError)."""
    try:
        yield
    except Exception as error:
        if isinstance(error, UsageError) or _is_expected(error) or run.progress.step > saved["progress"]["step"] + 1:
            raise
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        expected = "expected the one that the run has saved"
        raise UsageError(f"the checkpoint does not fit the run ({reason}); {expected}") from error


def _is_expected(error: Exception) -> bool:
    known = isinstance(error, TrainingError | torch.OutOfMemoryError) or "not enough memory" in str(error)
    return known or compilation.advice(error) is not None


def _line(error: Exception) -> str:
    """The error that ended a run, in one line."""
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    if isinstance(error, torch.OutOfMemoryError) or "not enough memory" in text:
        return f"out of memory ({text}); type fewer points, e.g. points.interior=512, or a smaller architecture.width"
    if isinstance(error, TrainingError):
        return text
    way = compilation.advice(error)
    return f"{type(error).__name__}: {text}" + (f"; {way}" if way else "")
