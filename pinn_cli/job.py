"""One run, from its configuration to its results: the same road for a new run and for one that goes on."""

import logging
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from pinn_cli import atomic, checkpoint, compiler, plan, run_folder, runs, sweep
from pinn_cli.assembly import Parts, assemble
from pinn_cli.clock import Clock
from pinn_cli.composition import drop_leftovers
from pinn_cli.console import Summary
from pinn_cli.diagnosis import Diagnosis
from pinn_cli.errors import FINISHED, STOPPED, TrainingError, UsageError, nearest
from pinn_cli.finish import conclude, found_unknowns
from pinn_cli.interruption import Interruption
from pinn_cli.lock import Lock
from pinn_cli.objective import Objective
from pinn_cli.provenance import now, provenance
from pinn_cli.recorder import Recorder
from pinn_cli.references import reference_of
from pinn_cli.results import Results
from pinn_cli.run_folder import CHECKPOINT, LOG, RESULTS
from pinn_cli.screens import Screens, screens
from pinn_cli.settings import check_settings, read_back, switch
from pinn_cli.sources import refuse_changed, sources
from pinn_cli.stages import Stage
from pinn_cli.stopping import Stop, StopRules
from pinn_cli.train import Run, train


def start(config: DictConfig, name: str, typed: Collection[str] = (), prefix: str = "") -> int:
    """Train a new run of the problem called `name`; the exit code. Raises UsageError with nothing made on disk."""
    if config.folder is not None:
        sweep.forget(Path(config.folder))
        if (Path(config.folder) / RESULTS).exists():
            return _again(Path(config.folder), config)
    with _surroundings(config):
        clock = Clock()
        run_folder.check_writable(config.folder)
        job = Job(config, name, assemble(config, typed))
        text = job.plan()
        folder = run_folder.create(name, config.folder)
        with Lock(folder):
            if not (folder / RESULTS).exists():  # else a process that was here before has made it meanwhile
                atomic.clear(folder)
                yaml = OmegaConf.to_yaml(config, resolve=True)
                Results(folder / RESULTS).create(provenance(config, name, job.parts.device), yaml, sources(config))
                atomic.write(folder / "config.yaml", yaml)
                return job.train(folder, clock, f"{text}\nfolder   {folder}", prefix=prefix)
    return _again(folder, config)


def rehearse(config: DictConfig, typed: Collection[str] = ()) -> None:
    """Build everything and evaluate every residual once, as a start would. Raises UsageError; makes nothing."""
    config.compile = "off"  # whether a compiler works says nothing of the run
    with _surroundings(config):
        Job(config, "", assemble(config, typed)).plan()


def go_on(folder: Path, changes: Mapping[str, Any] | None = None, changed: bool = False) -> int:
    """Go on with a run that was stopped or killed; the exit code. `changed`: even if formulas have changed since."""
    if not (folder / RESULTS).exists():  # nothing is made there
        Results(folder / RESULTS).read_attributes()
    sweep.forget(folder)
    with Lock(folder):
        return _go_on(folder, changes or {}, changed)


def _go_on(folder: Path, changes: Mapping[str, Any], changed: bool) -> int:
    results = Results(folder / RESULTS)
    results.examine()
    about = results.read_attributes()
    config = read_back(results.read_config(), results.path)
    for key, value in changes.items():
        if key not in (known := _flat(config)):
            raise UsageError(f"unknown key `{key}`; {nearest(key, known)}")
        OmegaConf.update(config, key, value)
    check_settings(config)
    if about["status"] == "finished" and not any(key.startswith("stop.") for key in changes):
        reason = about.get("reason")
        raise UsageError(f"{folder} has finished ({reason}); to train it further add e.g. stop.steps=10000")
    if not changed:
        refuse_changed(results.read("source"), config)
    config.threads = about["threads"]  # with others, sums are taken in another order
    with _surroundings(config):
        job = Job(config, about["problem"], assemble(config))
        path = folder / CHECKPOINT
        saved = checkpoint.load_run(path, job.parts.device) if path.exists() else None  # killed before its first step
        step, seconds = (saved["progress"]["step"], saved["seconds"]) if saved else (0, 0.0)
        for key, done in (("stop.steps", step), ("stop.seconds", seconds)):
            if changes.get(key) is not None and changes[key] <= done:
                raise UsageError(f"{key}={changes[key]}: {folder} is at {done:.6g} already, all its lives together")
        text = f"{job.plan()}\nresume   {folder} from step {step}"
        atomic.clear(folder)
        results.cut(step)
        yaml = OmegaConf.to_yaml(config, resolve=True)
        if changes:
            results.replace({"config": yaml})
        if changes or not (folder / "config.yaml").exists():  # a kill in the set-up comes before it
            atomic.write(folder / "config.yaml", yaml)
        results.attributes(status="running")
        return job.train(folder, Clock(seconds), text, saved)


@dataclass
class Job:
    """A run that is about to be trained."""

    config: DictConfig
    name: str
    parts: Parts
    compiled: bool = field(init=False, default=False)

    def plan(self) -> str:
        """The plan, after every residual has been evaluated once; decides whether the step is compiled."""
        objective, first = plan.preview(self.parts), plan.first_stage(self.parts)
        setting, steps = switch(self.config.compile), first.steps or self.config.stop.steps  # every stage is compiled
        self.compiled = compiler.decide(setting, first.optimizer, steps, self.parts.engine, self.parts.notes.append)
        return plan.text(self.config, self.name, self.parts, objective, self.compiled)

    def train(
        self, folder: Path, clock: Clock, text: str, saved: dict[str, Any] | None = None, prefix: str = ""
    ) -> int:
        """The loop, with signals, screen, log and results around it; the exit code. Raises TrainingError."""
        results = Results(folder / RESULTS)
        with Interruption() as interruption, screens(folder / LOG, prefix) as screen:
            screen.plan(text)
            run = self._run(clock, interruption, saved)
            diagnosis = Diagnosis(self.parts.diagnostics, results)
            every = self.config.record.every
            recorder = Recorder(results, screen, folder / CHECKPOINT, every=every, diagnosis=diagnosis)
            try:
                reference_of(self.parts.problem)  # what it refuses, it refuses before the first step
                stage, objective, stop = train(run, recorder)
                self._end(folder, run, stage, objective, stop, screen)
            except Exception as error:
                line = _line(error)
                with suppress(TrainingError):  # where nothing can be written, the line on the screen must do
                    recorder.flush(run)  # what led there is what one wants to see
                    results.attributes(status="failed", reason=line, finished=now())
                if _is_expected(error):
                    raise TrainingError(line) from error
                raise
        return STOPPED if stop.resumable else FINISHED

    def _run(self, clock: Clock, interruption: Interruption, saved: dict[str, Any] | None) -> Run:
        torch.manual_seed(self.config.seed)
        return Run(
            problem=self.parts.problem,
            strategy=self.parts.strategy,
            new_model=self.parts.new_model,
            weighting=self.parts.weighting,
            engine=self.parts.engine,
            weights=self.parts.weights,
            stop=StopRules(**self.config.stop),
            interruption=interruption,
            clock=clock,
            compiled=self.compiled,
            saved=saved,
        )

    def _end(self, folder: Path, run: Run, stage: Stage, objective: Objective, stop: Stop, screen: Screens) -> None:
        """Results, figures, and the summary on the screen."""
        results, status = Results(folder / RESULTS), "stopped" if stop.resumable else "finished"
        reason = f"{stop.reason}, on the way in {stage.name}" if stage.underway else stop.reason
        summary = Summary(status, reason, run.progress.step, run.clock.seconds, str(folder / RESULTS))
        if objective.batch:  # nothing was trained if the signal came before the first step
            objective, seams = run.found(stage, objective)
            found = conclude(results, run.problem, objective, run.clock, self.config.seed, seams)
            summary.errors = {name: error.relative_l2 for name, error in found.errors.items()}
            summary.metrics = found.metrics
            summary.held_out, summary.verdict = found.verdict.relative, str(found.verdict)
            summary.unknowns = found_unknowns(objective)
        if switch(self.config.figures) == "on":
            summary.figures = _draw(folder, screen)
        results.attributes(status=status, reason=reason, finished=now())  # last: what is finished has all its files
        summary.next = f"pinn {'resume' if stop.resumable else 'show'} {folder}"
        summary.seconds = run.clock.seconds
        screen.finish(summary)


def _draw(folder: Path, screen: Screens) -> list[str]:
    from pinn_cli.plots import write  # matplotlib takes half a second that the first step must not wait for

    try:
        return [str(path) for path in write(folder)]
    except (TrainingError, UsageError) as error:  # the results are there; figures can be drawn at any time
        screen.plan(f"no figures: {error}, or `pinn plot {folder}`")
        return []


def _again(folder: Path, config: DictConfig) -> int:
    """A folder that holds a run already: the same configuration goes on, another one is refused (UsageError)."""
    drop_leftovers(config)
    if differences := runs.differences(folder, config):
        raise UsageError(f"{folder} holds another run ({differences}); type folder=ANOTHER")
    if _finished(folder):
        return FINISHED
    with Lock(folder):
        return FINISHED if _finished(folder) else _go_on(folder, {}, changed=False)


def _finished(folder: Path) -> bool:
    """Whether the run has finished, which is said."""
    finished = Results(folder / RESULTS).read_attributes()["status"] == "finished"
    if finished:
        print(f"{folder} holds this very run, finished; pinn show {folder}")
    return finished


def _flat(node: Any, prefix: str = "") -> dict[str, Any]:
    node = OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node
    if not isinstance(node, dict) or not node:
        return {prefix.removesuffix("."): node}
    return {key: value for name, inner in node.items() for key, value in _flat(inner, f"{prefix}{name}.").items()}


@contextmanager
def _surroundings(config: DictConfig) -> Iterator[None]:
    """Threads and random numbers of this job alone; a sweep runs many in one process."""
    threads = torch.get_num_threads()
    logging.getLogger("torch").setLevel(logging.ERROR)
    torch.set_num_threads(config.threads or threads)
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        torch.set_num_threads(threads)


def _is_expected(error: Exception) -> bool:
    return isinstance(error, TrainingError | torch.OutOfMemoryError) or "not enough memory" in str(error)


def _line(error: Exception) -> str:
    """One line on what ended a run; memory is what most often does."""
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    if isinstance(error, torch.OutOfMemoryError) or "not enough memory" in text:
        return f"out of memory ({text}); type fewer points, e.g. points.interior=512, or a smaller architecture.width"
    return text if isinstance(error, TrainingError) else f"{type(error).__name__}: {text}"
