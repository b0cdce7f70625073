"""Go on with a run that was stopped or killed."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from pinn_cli.basics import files
from pinn_cli.basics.errors import UsageError, nearest
from pinn_cli.basics.lockstep import Going, to_the_end
from pinn_cli.basics.text import in_shell
from pinn_cli.configuration import project
from pinn_cli.configuration.assemble import assemble
from pinn_cli.configuration.settings import check_settings, read_back
from pinn_cli.configuration.sources import Sources, refuse_changed, trust
from pinn_cli.records import checkpoint, provenance
from pinn_cli.records.folder import CHECKPOINT, RESULTS
from pinn_cli.records.lock import Lock
from pinn_cli.records.provenance import now
from pinn_cli.records.results import Results
from pinn_cli.records.status import Status
from pinn_cli.records.summary import flat
from pinn_cli.runs.follow import follow
from pinn_cli.runs.inputs import inputs_of, refuse_other_inputs
from pinn_cli.runs.job import Job, Together, alone
from pinn_cli.runs.processes import Processes, place_of, together_on
from pinn_cli.training.clock import Clock
from pinn_cli.training.stopping import STOPPED
from pinn_cli.training.verdict import NO_USE

ROUNDING = "the last bits of the numbers may differ from those of a run that was not stopped"


def resume(folder: Path, changes: Mapping[str, Any] | None = None, changed: bool = False) -> int:
    """Go on with the run in a folder, from its last checkpoint; the exit code, FINISHED or STOPPED.

    `changes` are new values of settings by their keys; `changed`: also if a module or a data file has changed since.
    Raises UsageError, with nothing changed on disk, for a run that cannot go on as asked, and TrainingError.
    """
    results = Results(folder / RESULTS)
    about = results.read_attributes()  # refuses a folder without a run before a lock is made there
    config = read_back(results.read_config(), results.path)
    home = project.of_run(about, config, folder)
    folder = folder if home == Path.cwd() else folder.absolute()
    config = _changed(config, changes or {})
    place = place_of(config.processes)
    if place is not None and place.number > 0:
        with project.working_in(home):
            return follow(place, str(config.device))
    with project.working_in(home), together_on(config) as processes, Lock(folder):
        return to_the_end(resuming(folder, processes, changes, changed))


def resuming(
    folder: Path, processes: Processes, changes: Mapping[str, Any] | None = None, changed: bool = False,
    together: Together | None = None,
) -> Going[int]:  # fmt: skip
    """The same in parts, in a folder whose lock this process holds, in the run's project folder."""
    clock, changes, results = Clock(), changes or {}, Results(folder / RESULTS)
    results.examine()
    about, config = results.read_attributes(), read_back(results.read_config(), results.path)
    notes = []
    if processes.size != config.processes:
        changes = {**changes, "processes": processes.size}
        notes.append(f"processes={processes.size} instead of {config.processes}: {ROUNDING}")
    config = _changed(config, changes)
    if about["status"] == Status.FINISHED and not any(key.startswith("stop.") for key in changes):
        reason = str(about.get("reason"))
        ended = reason.startswith(STOPPED)
        way = f"{NO_USE}; `pinn show {in_shell(folder)}` has its verdict"
        raise UsageError(f"{folder} has finished ({reason}); "
                         f"{way if ended else 'to train it further add e.g. stop.steps=10000'}")
    if not changed:
        refuse_changed(results)
    yaml = OmegaConf.to_yaml(config, resolve=True)  # without the number of threads below, if nobody has typed it
    if "threads" not in changes:
        config.threads = about["threads"]  # another number would add the terms of sums in another order
    code = Sources()
    with alone(config, code, together, processes.here):
        with code.active():
            threads = torch.get_num_threads()
            if threads != about["threads"]:
                notes.append(f"threads={threads} instead of {about['threads']}: {ROUNDING}")
            parts = assemble(config, notes=notes)
            job, path = Job(config, about["problem"], parts, code, together, processes), folder / CHECKPOINT
            code.go_on_from(results, changed)
            if not changed:
                refuse_other_inputs(about, job.parts.problem, folder)
            saved = checkpoint.load_run(path, job.parts.device) if path.exists() else None  # None: killed before a step
            step, seconds = (saved["progress"]["step"], saved["seconds"]) if saved else (0, 0.0)
            _refuse_limits_passed(folder, changes, step, seconds)
            plan = f"{job.plan()}\nresume   {folder} from step {step}"
            _return_to_checkpoint(folder, step, yaml if changes else None)
            life = {"started": now(), "step": step, **provenance.surroundings(job.parts.device)}
            lives = {"resumed": [*results.read("resumed").get("", []), json.dumps(life)]}
            inputs = inputs_of(job.parts.problem)
            results.replace(lives, {"status": Status.RUNNING, "reason": "", "threads": threads, "inputs": inputs})
            code.update(results)
            trust(code.texts)
            clock.go_on(seconds, saved["phases"] if saved else {})
        return (yield from job.training(folder, clock, plan, saved))


def _changed(config: DictConfig, changes: Mapping[str, Any]) -> DictConfig:
    """The configuration with the changes typed for the resume (Raises UsageError)."""
    for key, value in changes.items():
        if key not in (known := flat(OmegaConf.to_container(config, resolve=True))):
            raise UsageError(f"unknown key `{key}`; {nearest(key, known)}")
        OmegaConf.update(config, key, value)
    check_settings(config)
    return config


def _refuse_limits_passed(folder: Path, changes: Mapping[str, Any], step: int, seconds: float) -> None:
    """Refuse a new limit that the run has already reached (UsageError)."""
    for key, done in (("stop.steps", step), ("stop.seconds", seconds)):
        if changes.get(key) is not None and changes[key] <= done:
            raise UsageError(f"{key}={changes[key]}: {folder} is at {done:.6g} already, all resumes counted")


def _return_to_checkpoint(folder: Path, step: int, new_configuration: str | None) -> None:
    """Cut the history back to the checkpoint's step, and keep the configuration with which the run goes on."""
    results = Results(folder / RESULTS)
    for place in (folder, folder / "figures"):
        files.clear(place)
    results.cut(step)
    if new_configuration is not None:
        begun = (results.read("begun") or results.read("config"))[""]
        results.replace({"config": new_configuration, "begun": begun})
    if new_configuration is not None or not (folder / "config.yaml").exists():  # missing after a kill in the set-up
        files.write(folder / "config.yaml", new_configuration or results.read_config())
