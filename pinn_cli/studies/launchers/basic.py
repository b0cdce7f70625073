"""`hydra/launcher=basic`: one run after the other, in this process, which imports torch once for all of them."""

import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pinn_cli.basics.errors import FAILED, STOPPED, USAGE, BusyError, MachineError, TrainingError, UsageError
from pinn_cli.basics.lockstep import Going, to_the_end
from pinn_cli.basics.signals import asked_to_stop, stop_waits
from pinn_cli.configuration import project
from pinn_cli.configuration.compose import read
from pinn_cli.records.folder import RESULTS
from pinn_cli.studies import sweep as sweeps
from pinn_cli.studies.launchers.base import Launcher
from pinn_cli.studies.launchers.progress import Progress
from pinn_cli.studies.sweep import PlannedRun, Sweep

if TYPE_CHECKING:
    from pinn_cli.runs.job import Together


@dataclass(frozen=True)
class Basic(Launcher):
    """The launcher that needs nothing and has no settings."""

    def launch(self, sweep: Sweep, runs: Sequence[PlannedRun]) -> int:
        """Carry out the runs; the exit code. After a Ctrl-C or SIGTERM the run saves and stops, and no other begins."""
        progress = Progress(sweep, runs)
        with stoppable():
            one_by_one(sweep, runs, progress)
        return progress.conclude()


@contextmanager
def stoppable() -> Iterator[None]:
    """A Ctrl-C or SIGTERM between two runs sets `asked_to_stop`, which is not set before and after."""
    asked_to_stop.clear()
    try:
        with stop_waits(_say):
            yield
    finally:
        asked_to_stop.clear()


def one_by_one(sweep: Sweep, runs: Sequence[PlannedRun], progress: Progress) -> None:
    """Carry out the runs, until one is asked to stop."""
    words = {run.number: sweep.words_of(run) for run in runs}
    for place, run in enumerate(runs, 1):
        if asked_to_stop.is_set():
            break
        print(f"\n({place} of {len(runs)}) {progress.name(run)}", flush=True)
        with at_home(sweep):
            progress.codes[run.number] = to_the_end(carrying_out(words[run.number], f"run {run.number}: "))
        if progress.codes[run.number] == STOPPED:  # the signal came to the run
            asked_to_stop.set()


def at_home(sweep: Sweep) -> AbstractContextManager[None]:
    """Where the runs of a sweep are started."""
    return project.working_in(sweep.code) if sweep.is_frozen else nullcontext()


def _say(number: int) -> None:
    if number == signal.SIGINT:
        print("\nCtrl-C: the run saves and stops; Ctrl-C again ends it at once", file=sys.stderr, flush=True)


def carry_out(words: Sequence[str]) -> int:
    """Train the run of these words of `pinn train`; the exit code, never an exception."""
    return to_the_end(carrying_out(words))


def carrying_out(words: Sequence[str], name: str = "", together: "Together | None" = None) -> Going[int]:
    """The same in parts, for runs that are trained `together`.

    An error is printed as one line that begins with the `name` of a run of a sweep. Such a run also gets a note beside
    its folder, because it may have no results file.
    """
    folder: Path | None = None
    try:
        request = read(words)
        folder = Path(request.config.folder) if request.config.folder is not None else None
        from pinn_cli.runs.start import starting  # imports torch

        if folder is not None:
            sweeps.forget(folder)
        return (yield from starting(request, together))[0]
    except Exception as error:
        code, expected = _code(error, name, folder), isinstance(error, UsageError | TrainingError)
        line = str(error) if expected else f"{type(error).__name__}: {error}".splitlines()[0]
        if folder is not None and not isinstance(error, BusyError):
            sweeps.note(folder, sweeps.REFUSED if code == USAGE else sweeps.FAILED, line)
        print(f"pinn: {name}{line if expected else traceback.format_exc().rstrip()}", file=sys.stderr, flush=True)
        return code


def _code(error: Exception, name: str, folder: Path | None) -> int:
    """The exit code for an error. A run of a sweep is refused only for its words, and only before it has results."""
    if not isinstance(error, UsageError):
        return FAILED
    if folder is None or not (name or sweeps.sweep_of(folder)):
        return USAGE
    return FAILED if isinstance(error, MachineError) or (folder / RESULTS).exists() else USAGE
