"""What a person sees while the runs of a table are carried out: a line for each that ends."""

import sys
import time

from pinn_cli.basics.text import duration
from pinn_cli.records import summary as runs
from pinn_cli.records.folder import RESULTS
from pinn_cli.records.status import Status
from pinn_cli.studies.published.table import Table
from pinn_cli.studies.sweep import Planned


class Progress:
    """Counts, and says what came of each run and about how long the rest will take, on the standard error."""

    def __init__(self, table: Table, todo: int, wanted: int, jobs: int):
        self.todo = todo
        self.done, self.failed, self.stopped, self.begun = 0, 0, 0, time.monotonic()
        quick = f" (quick: {' '.join(table.shorter)}; not comparable with the paper's)" if table.quick else ""
        what = f"{todo} of {wanted} runs to do, {min(jobs, todo)} at a time, in {table.folder}"
        print(f"{table.name}{quick}: {what}", file=sys.stderr, flush=True)

    def ended(self, run: Planned, code: int, last_words: str) -> None:
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
        line += f"  ({last_words})" if code and last_words else ""
        print(line + self._left(), file=sys.stderr, flush=True)

    def stopping(self, reason: str, running: int) -> None:
        """The runs underway are being asked to save and leave."""
        line = f"{reason}: {running} runs finish their step and save; a second Ctrl-C ends them at once"
        print(line, file=sys.stderr, flush=True)

    def _left(self) -> str:
        """About how long the rest takes, by the runs that have ended."""
        rest = self.todo - self.done
        return f"; about {duration((time.monotonic() - self.begun) / self.done * rest)} left" if rest else ""


def _values(summary: dict) -> list[str]:
    steps, time_, errors = runs.cells(summary)
    return [f"{steps} steps in {time_}", errors and f"relative L2 error {errors}"]
