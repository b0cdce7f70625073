"""How a run begins: new, rehearsed, or again in a folder that holds it."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from pinn_cli.basics import files as atomic
from pinn_cli.basics.errors import FINISHED, UsageError, nearest
from pinn_cli.configuration.assemble import assemble
from pinn_cli.configuration.compose import Request
from pinn_cli.configuration.settings import check_settings, read_back
from pinn_cli.configuration.sources import refuse_changed, sources
from pinn_cli.records import checkpoint
from pinn_cli.records import folder as run_folder
from pinn_cli.records import summary as runs
from pinn_cli.records.folder import CHECKPOINT, RESULTS
from pinn_cli.records.lock import Lock
from pinn_cli.records.provenance import provenance
from pinn_cli.records.results import Results
from pinn_cli.records.status import Status
from pinn_cli.runs.job import Job
from pinn_cli.training.clock import Clock


def start(request: Request, prefix: str = "") -> int:
    """Train the run of a request, ``read(words)``; the exit code, FINISHED or STOPPED.

    A folder that holds this very run is taken again: the run goes on. Every printed line begins with `prefix`. Raises
    UsageError, with nothing made on disk, for a run that cannot start, and TrainingError for one that cannot go on.
    """
    config, name = request.config, request.problem
    if config.folder is not None and (Path(config.folder) / RESULTS).exists():
        return _again(Path(config.folder), config, prefix)
    with _surroundings(config):
        clock = Clock()
        run_folder.check_writable(config.folder)
        job = Job(config, name, assemble(config, request.typed, request.notes))
        text = job.plan()
        folder = run_folder.create(name, config.folder)
        with Lock(folder):
            if not (folder / RESULTS).exists():  # else a process that was here before has made it meanwhile
                atomic.clear(folder)
                yaml = OmegaConf.to_yaml(config, resolve=True)
                about = provenance(config, name, job.parts.device, request.words)
                Results(folder / RESULTS).create(about, yaml, sources(config))
                atomic.write(folder / "config.yaml", yaml)
                return job.train(folder, clock, f"{text}\nfolder   {folder}", prefix=prefix)
    return _again(folder, config, prefix)


def rehearse(request: Request) -> None:
    """Build everything and evaluate every residual once, as `start` does. Raises UsageError; makes nothing on disk."""
    config = request.config
    config.compile = "off"  # whether a compiler works says nothing of the run
    with _surroundings(config):
        Job(config, request.problem, assemble(config, request.typed, request.notes)).plan()


def go_on(folder: Path, changes: Mapping[str, Any] | None = None, changed: bool = False) -> int:
    """Go on with a run that was stopped or killed; the exit code. `changed`: even if formulas have changed since."""
    if not (folder / RESULTS).exists():  # nothing is made there
        Results(folder / RESULTS).read_attributes()
    with Lock(folder):
        return _go_on(folder, changes or {}, changed)


def _go_on(folder: Path, changes: Mapping[str, Any], changed: bool, prefix: str = "") -> int:
    results = Results(folder / RESULTS)
    results.examine()
    about, config = results.read_attributes(), _changed(read_back(results.read_config(), results.path), changes)
    if about["status"] == Status.FINISHED and not any(key.startswith("stop.") for key in changes):
        reason = about.get("reason")
        raise UsageError(f"{folder} has finished ({reason}); to train it further add e.g. stop.steps=10000")
    if not changed:
        refuse_changed(results.read("source"), config)
    yaml = OmegaConf.to_yaml(config, resolve=True)  # before the threads, which nobody may have typed
    config.threads = about["threads"]  # with others, sums are taken in another order
    with _surroundings(config):
        job, path = Job(config, about["problem"], assemble(config)), folder / CHECKPOINT
        saved = checkpoint.load_run(path, job.parts.device) if path.exists() else None  # killed before its first step
        step, seconds = (saved["progress"]["step"], saved["seconds"]) if saved else (0, 0.0)
        _refuse_past(folder, changes, step, seconds)
        text = f"{job.plan()}\nresume   {folder} from step {step}"
        _cut_back(folder, step, yaml, bool(changes))
        return job.train(folder, Clock(seconds), text, saved, prefix)


def _changed(config: DictConfig, changes: Mapping[str, Any]) -> DictConfig:
    """The configuration that a run has kept, with the changes typed for its resume (Raises UsageError)."""
    for key, value in changes.items():
        if key not in (known := _flat(config)):
            raise UsageError(f"unknown key `{key}`; {nearest(key, known)}")
        OmegaConf.update(config, key, value)
    check_settings(config)
    return config


def _refuse_past(folder: Path, changes: Mapping[str, Any], step: int, seconds: float) -> None:
    """Raises UsageError for an end that the run has behind it."""
    for key, done in (("stop.steps", step), ("stop.seconds", seconds)):
        if changes.get(key) is not None and changes[key] <= done:
            raise UsageError(f"{key}={changes[key]}: {folder} is at {done:.6g} already, all its lives together")


def _cut_back(folder: Path, step: int, yaml: str, changed: bool) -> None:
    """The folder as it was when the checkpoint was saved, its configuration the one with which the run goes on."""
    results = Results(folder / RESULTS)
    for place in (folder, folder / "figures"):
        atomic.clear(place)
    results.cut(step)
    if changed:
        results.replace({"config": yaml, "begun": (results.read("begun") or results.read("config"))[""]})
    if changed or not (folder / "config.yaml").exists():  # a kill in the set-up comes before it
        atomic.write(folder / "config.yaml", yaml)
    results.attributes(status=Status.RUNNING, reason="")


def _again(folder: Path, config: DictConfig, prefix: str) -> int:
    """A folder that holds a run already: the same configuration goes on, another one is refused (UsageError).

    What a run began as counts too: a sweep types that, also where one of its runs has been changed by a resume.
    """
    plain: Any = OmegaConf.to_container(config, resolve=True)
    if (differences := runs.differences(folder, plain)) and runs.differences(folder, plain, "begun"):
        raise UsageError(f"{folder} holds another run ({differences}); type folder=ANOTHER")
    if _finished(folder):
        return FINISHED
    with Lock(folder):
        return FINISHED if _finished(folder) else _go_on(folder, {}, False, prefix)


def _finished(folder: Path) -> bool:
    """Whether the run has finished, which is said."""
    finished = Results(folder / RESULTS).read_attributes()["status"] == Status.FINISHED
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
