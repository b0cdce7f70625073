"""Start a new run, or rehearse it."""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from pinn_cli.basics import files
from pinn_cli.basics.errors import FINISHED, UsageError
from pinn_cli.basics.lockstep import Going, to_the_end
from pinn_cli.basics.text import in_shell
from pinn_cli.configuration import project
from pinn_cli.configuration.assemble import assemble
from pinn_cli.configuration.compose import Request
from pinn_cli.configuration.sources import Sources, refuse_changed, trust
from pinn_cli.records import folder as run_folder
from pinn_cli.records import summary as runs
from pinn_cli.records.folder import RESULTS
from pinn_cli.records.lock import Lock
from pinn_cli.records.provenance import provenance
from pinn_cli.records.results import Results
from pinn_cli.records.status import Status
from pinn_cli.runs.follow import follow
from pinn_cli.runs.inputs import inputs_of
from pinn_cli.runs.job import Job, Together, alone, surroundings
from pinn_cli.runs.processes import Processes, place_of, together_on
from pinn_cli.runs.resume import resuming
from pinn_cli.training.clock import Clock


def start(request: Request) -> tuple[int, Path]:
    """Train the run of a request, ``read(words)``: its exit code, FINISHED or STOPPED, and its folder.

    A folder that holds this very run is used again: the run goes on. Raises UsageError, with nothing made
    on disk, for a run that cannot start, and TrainingError for one that cannot go on.
    """
    return to_the_end(starting(request))


def starting(request: Request, together: Together | None = None) -> Going[tuple[int, Path]]:
    """The same in parts, for runs that are trained `together`.

    A process that is not the first of its run follows the first one; its folder is the one that was typed, or ".".
    """
    config = request.config
    place = place_of(config.processes)
    if place is not None and place.number > 0:
        return follow(place, str(config.device)), Path(config.folder or ".")
    with together_on(config) as processes:
        return (yield from _beginning(request, together, processes))


def _beginning(request: Request, together: Together | None, processes: Processes) -> Going[tuple[int, Path]]:
    config, name = request.config, request.problem
    if config.folder is not None and (Path(config.folder) / RESULTS).exists():
        return (yield from _again(Path(config.folder), config, together, processes)), Path(config.folder)
    code = Sources()
    with alone(config, code, together, processes.here):
        with code.active():
            clock = Clock()
            run_folder.check_writable(config.folder)
            job = Job(config, name, assemble(config, request.typed, request.notes), code, together, processes)
            plan = job.plan()
        folder = run_folder.create(name, config.folder)
        with Lock(folder):
            if not (folder / RESULTS).exists():  # otherwise another process has started this run in the meantime
                files.clear(folder)
                yaml = OmegaConf.to_yaml(config, resolve=True)
                about = provenance(config, name, job.parts.device, request.words) | project.attributes(config)
                with code.active():
                    known = {"inputs": inputs_of(job.parts.problem)}
                Results(folder / RESULTS).create(about | known | {"source": code.hash}, yaml, code.groups())
                trust(code.texts)
                files.write(folder / "config.yaml", yaml)
                return (yield from job.training(folder, clock, f"{plan}\nfolder   {folder}")), folder
    return (yield from _again(folder, config, together, processes)), folder


def rehearse(request: Request) -> None:
    """Build everything and evaluate every residual once, as `start` does. Raises UsageError; makes nothing on disk."""
    config = request.config.copy()
    config.compile = "off"  # a rehearsal does not need a compiler
    code = Sources()
    with surroundings(config), code.active():
        Job(config, request.problem, assemble(config, request.typed, request.notes), code).plan()


def _again(folder: Path, config: DictConfig, together: Together | None, processes: Processes) -> Going[int]:
    """Go on with the run that a folder holds, if it is the run of this configuration. Raises UsageError otherwise.

    Also accepts the configuration that the run had before `pinn resume` changed it: a sweep types that one.
    """
    typed: Any = OmegaConf.to_container(config, resolve=True)
    if (differences := runs.differences(folder, typed)) and runs.differences(folder, typed, "begun"):
        raise UsageError(f"{folder} holds another run ({differences}); type folder=ANOTHER")
    refuse_changed(Results(folder / RESULTS), "put it back as it was, or type folder=ANOTHER")
    if _is_finished(folder):
        return FINISHED
    with Lock(folder):  # the process that held it before may have finished the run
        return FINISHED if _is_finished(folder) else (yield from resuming(folder, processes, together=together))


def _is_finished(folder: Path) -> bool:
    """Whether the run has finished; if so, print it."""
    finished = Results(folder / RESULTS).read_attributes()["status"] == Status.FINISHED
    if finished:
        print(f"{folder} holds this very run, finished; pinn show {in_shell(folder)}")
    return finished
