"""`hydra/launcher=batched`: runs that differ only in numbers are trained together, their gradients as one computation.

Runs that cannot be trained together go one after the other, as with `basic`, and a line says why.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pinn_cli.basics.errors import STOPPED, UsageError
from pinn_cli.basics.lockstep import in_turn
from pinn_cli.basics.signals import asked_to_stop
from pinn_cli.configuration.compose import Request, read
from pinn_cli.studies.launchers.base import Launcher
from pinn_cli.studies.launchers.basic import at_home, carrying_out, one_by_one, stoppable
from pinn_cli.studies.launchers.pool import Command
from pinn_cli.studies.launchers.progress import Progress
from pinn_cli.studies.sweep import PlannedRun, Sweep, counted


@dataclass(frozen=True)
class Batched(Launcher):
    """In this process, `at_once` runs in one computation; null: 8 on a CPU, and all on a GPU."""

    at_once: int | None = None

    def __post_init__(self) -> None:
        if self.at_once is not None and self.at_once < 1:
            raise UsageError(f"hydra.launcher.at_once={self.at_once}: expected a whole number above 0, or null")

    def launch(self, sweep: Sweep, runs: Sequence[PlannedRun]) -> int:
        """Carry out the runs, one batch after the other; the exit code. After a Ctrl-C all of a batch save and stop."""
        if sweep.is_frozen:  # they are started in another folder
            runs = [replace(run, folder=run.folder.absolute()) for run in runs]
        progress = Progress(sweep, runs)
        with stoppable():
            for batch in _batches(sweep, runs):
                if asked_to_stop.is_set():
                    break
                if reason := batch.obstacle:
                    print(f"\n{counted(len(batch.runs), 'run')} one by one, because {reason}", flush=True)
                    one_by_one(sweep, batch.runs, progress)
                else:
                    self._together(sweep, batch, progress)
        return progress.conclude()

    def _together(self, sweep: Sweep, batch: "Batch", progress: Progress) -> None:
        from pinn_cli.runs.together import together  # imports torch

        print(f"\n{len(batch.runs)} runs together, the first is {progress.name(batch.runs[0])}", flush=True)
        runs, words = {run.number: run for run in batch.runs}, {run.number: sweep.words_of(run) for run in batch.runs}
        with at_home(sweep), together(batch.request.config, len(runs), self.at_once, _say) as shared:
            going = {number: carrying_out(own, f"run {number}: ", shared) for number, own in words.items()}
            for number, code in in_turn(going):
                progress.ended(Command((), runs[number].folder), code, "")
                if code == STOPPED:
                    asked_to_stop.set()


@dataclass
class Batch:
    """Runs that differ only in numbers, and why they cannot be trained together ("": they can)."""

    request: Request  # of the first
    runs: list[PlannedRun]
    obstacle: str = ""


def _batches(sweep: Sweep, runs: Sequence[PlannedRun]) -> list[Batch]:
    """The runs in batches; those that go one by one come last, all of one reason together."""
    from pinn_cli.runs.together import likeness, obstacle  # imports torch

    alike: dict[str, Batch] = {}
    apart: dict[str, Batch] = {}
    with at_home(sweep):
        for run in runs:
            request = read(sweep.words_of(run))
            alike.setdefault(likeness(request.config), Batch(request, [])).runs.append(run)
        for key, batch in list(alike.items()):
            alone = "no other run of the sweep differs from it only in numbers" if len(batch.runs) == 1 else None
            if reason := obstacle(batch.request.config) or alone:
                apart.setdefault(reason, Batch(batch.request, [], reason)).runs.extend(alike.pop(key).runs)
    return [*alike.values(), *apart.values()]


def _say(line: str) -> None:
    print(line, flush=True)
