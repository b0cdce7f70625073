"""What a launcher that waits prints: a line for each run that ends, and at the end how the sweep stands."""

import time
from collections.abc import Sequence

from pinn_cli.basics.errors import FAILED, FINISHED, STOPPED, USAGE
from pinn_cli.basics.text import duration, in_shell, printable
from pinn_cli.records import summary as runs
from pinn_cli.records.folder import RESULTS
from pinn_cli.records.status import Status
from pinn_cli.studies.grid import labels
from pinn_cli.studies.launchers.pool import Command
from pinn_cli.studies.sweep import PlannedRun, Sweep, counted


class Progress:
    """Watches the runs of a sweep, by their folders."""

    def __init__(self, sweep: Sweep, todo: Sequence[PlannedRun]):
        self.sweep, self.todo, self.started = sweep, {run.folder: run for run in todo}, time.monotonic()
        self.settings = labels(sweep.runs)
        self.codes: dict[int, int] = {}  # by the number of a run

    def begun(self, command: Command) -> None:
        """A run has been started."""

    def ended(self, command: Command, code: int, errors: str) -> None:
        """Print a line for a run that has ended with this exit code."""
        run = self.todo[command.folder]
        if code < 0 and (run.folder / RESULTS).exists():  # a repeated signal may reach a process that has saved
            written = runs.summary(run.folder)["status"]
            code = code if written.exit_code is None else written.exit_code
        self.codes[run.number] = code if code in (FINISHED, USAGE, STOPPED) else FAILED
        line = f"[{len(self.codes)}/{len(self.todo)}] {self.name(run)}: {self._end(run)}"
        line += f"  ({printable(errors.splitlines()[-1].strip())})" if code and errors else ""
        print(line + self._left(), flush=True)

    def stopping(self, reason: str, running: int) -> None:
        """The runs that are running are asked to save and stop."""
        print(f"{reason}: waiting for {counted(running, 'run')} to save; Ctrl-C again ends all at once", flush=True)

    def conclude(self) -> int:
        """Print how every run that did not finish stands, and what to type next; the exit code."""
        codes = {run.number: self.codes.get(run.number, STOPPED) for run in self.todo.values()}
        lines = []
        for run in self.sweep.runs:
            refused = run.refused
            status = Status.of_exit_code(USAGE if refused is not None else codes.get(run.number, FINISHED))
            if status != Status.FINISHED:
                reason = "" if refused is None else f"  ({refused})"
                lines.append(f"run {run.number}  {status:<8}  {self.settings[run.number]}{reason}".rstrip())
        code = next((code for code in (STOPPED, FAILED) if code in codes.values()), FINISHED)
        if nothing := self.sweep.nothing:
            print("\n".join(["", *lines, nothing]), flush=True)
            return USAGE
        command = "resume" if code else "compare"
        print("\n".join(["", *lines, f"next   pinn {command} {in_shell(self.sweep.folder)}"]), flush=True)
        return code

    def name(self, run: PlannedRun) -> str:
        """A run as a line names it: its number, and the settings that the sweep varies."""
        return f"run {run.number}  {self.settings[run.number]}".rstrip()

    def _end(self, run: PlannedRun) -> str:
        """The status of a run that has ended, its steps, time and errors."""
        if not (run.folder / RESULTS).exists():
            return Status.of_exit_code(self.codes[run.number])
        summary = runs.summary(run.folder)
        steps, seconds, errors = runs.cells(summary)
        end = f"{summary['status']}, {steps} steps in {seconds}" if steps else str(summary["status"])
        return end + (f", relative L2 error {errors}" if errors else "")

    def _left(self) -> str:
        """About how long the rest takes, by the runs that have ended."""
        done = len(self.codes)
        rest = len(self.todo) - done
        return f"; about {duration((time.monotonic() - self.started) / done * rest)} left" if rest else ""
