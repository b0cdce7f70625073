"""The missing runs of a table, and how they are carried out: in a pool of processes, or as a sweep by a launcher.

A run has the same folder either way, and resumes what is already there.
"""

import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout

from pinn_cli.basics.errors import FAILED, FINISHED, STOPPED
from pinn_cli.basics.text import duration
from pinn_cli.configuration import project
from pinn_cli.records import summary as runs
from pinn_cli.records.folder import RESULTS
from pinn_cli.records.status import Status
from pinn_cli.studies.grid import Combination
from pinn_cli.studies.launchers import choose, pool
from pinn_cli.studies.published.measured import composed, refuse_busy
from pinn_cli.studies.published.table import Cell, Table
from pinn_cli.studies.status import Underway, underway
from pinn_cli.studies.sweep import Planned, counted


def missing(table: Table, cells: Iterable[Cell], seeds: Sequence[int]) -> tuple[list[Planned], Underway]:
    """The runs that are not finished: those to start, and those that are running or queued in a sweep.

    They are ordered by seed, so that every cell has a value early. Raises UsageError for a cell whose words make no
    run, and for a run outside any sweep that a process is writing.
    """
    places = [(cell, seed, table.run(cell.name, seed)) for seed in seeds for cell in cells]
    todo = [(cell, seed, folder) for cell, seed, folder in places if not runs.finished(folder)]
    going = underway(folder for _, _, folder in todo)
    todo = [one for one in todo if one[2] not in going]
    for cell, _, folder in todo:
        refuse_busy(folder)
        composed(cell.words)
    return [Planned(n, (*cell.words, f"seed={seed}"), None, place) for n, (cell, seed, place) in enumerate(todo)], going


def told(todo: Iterable[Planned], going: Underway) -> list[str]:
    """A line for each sweep that is carrying out runs of the table, and for each reason why others failed before."""
    numbers = Counter(sweep.folder for sweep, _ in going.values())
    jobs = {sweep.folder: f" (job {' '.join(sweep.jobs)})" if sweep.jobs else "" for sweep, _ in going.values()}
    reasons = Counter(reason for run in todo if (reason := run.refused or run.failed) is not None)
    return [
        *(f"{counted(number, 'run')} queued or running in {place}{jobs[place]}, not started twice; pinn status {place}"
          for place, number in numbers.items()),
        *(f"{counted(number, 'run')} failed when last started: {reason}" for reason, number in reasons.items()),
    ]  # fmt: skip


def train(table: Table, todo: Sequence[Planned], wanted: int, jobs: int) -> int:
    """Carry out the runs in a pool of `jobs` processes, with a line for each that ends; the exit code."""
    progress = TableProgress(table, len(todo), wanted, jobs)
    stopped = pool.carry_out([pool.train(run) for run in todo], jobs, progress)
    return STOPPED if stopped or progress.stopped else FAILED if progress.failed else FINISHED


def launch(todo: Sequence[Planned], settings: Sequence[str], command: Sequence[str], dry: bool = False) -> int:
    """Carry out the runs as one sweep, by the launcher that the settings name; the exit code. `dry` only shows it.

    The sweep prints to the standard error: the standard output is for the table. Raises UsageError.
    """
    from pinn_cli.studies import launch as multirun

    project.enter()
    combinations: list[Combination] = [([*run.words, f"folder={run.folder.absolute()}"], None) for run in todo]
    with nullcontext() if dry else _to_standard_error():
        return multirun.start(combinations, command, choose.named(settings), dry=dry)


@contextmanager
def _to_standard_error() -> Iterator[None]:
    """Redirect what this process and its workers print."""
    sys.stdout.flush()
    output = os.dup(1)
    os.dup2(2, 1)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(output, 1)
        os.close(output)


class TableProgress:
    """Prints a line on the standard error for each run that ends, with an estimate of the time left, and counts."""

    def __init__(self, table: Table, todo: int, wanted: int, jobs: int):
        self.todo = todo
        self.done, self.failed, self.stopped, self.started = 0, 0, 0, time.monotonic()
        quick = f" (quick: {' '.join(table.shorter)}; not comparable with the whole table)" if table.quick else ""
        what = f"{todo} of {wanted} runs to do, {min(jobs, todo)} at a time, in {table.folder}"
        print(f"{table.name}{quick}: {what}", file=sys.stderr, flush=True)

    def begun(self, run: pool.Command) -> None:
        """A run has been started."""

    def ended(self, run: pool.Command, code: int, errors: str) -> None:
        """A line for a run that has ended with this exit code."""
        self.done += 1
        there = (run.folder / RESULTS).exists()
        summary = runs.summary(run.folder) if there else {"status": Status.NOT_STARTED}
        status = summary["status"]
        ended_well = code in (Status.FINISHED.exit_code, Status.STOPPED.exit_code)
        self.failed += status == Status.FAILED or (status != Status.FINISHED and not ended_well)
        self.stopped += status == Status.STOPPED
        name = f"{run.folder.parent.name} {run.folder.name.replace('seed', 'seed ')}"
        line = f"[{self.done}/{self.todo}] {name}: {status}"
        line += f", {'  '.join(part for part in _values(summary) if part)}" if there else ""
        line += f"  ({errors.splitlines()[-1].strip()})" if code and errors else ""
        print(line + self._left(), file=sys.stderr, flush=True)

    def stopping(self, reason: str, running: int) -> None:
        """The running processes have been asked to save and stop."""
        line = f"{reason}: {running} runs finish their step and save; a second Ctrl-C ends them at once"
        print(line, file=sys.stderr, flush=True)

    def _left(self) -> str:
        """An estimate of the time left, from the runs that have ended."""
        rest = self.todo - self.done
        return f"; about {duration((time.monotonic() - self.started) / self.done * rest)} left" if rest else ""


def _values(summary: dict) -> list[str]:
    steps, time_, errors = runs.cells(summary)
    return [f"{steps} steps in {time_}", errors and f"relative L2 error {errors}"]
