"""The launcher `slurm_array`: a sweep submitted as arrays of Slurm."""

import re
import shutil
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import ClassVar

from pinn_cli.basics import checkout
from pinn_cli.basics.errors import FINISHED, MachineError, UsageError
from pinn_cli.basics.text import in_shell
from pinn_cli.studies.launchers import pool
from pinn_cli.studies.launchers.base import Launcher
from pinn_cli.studies.launchers.slurm import commands as slurm
from pinn_cli.studies.launchers.slurm.commands import largest_array, submit
from pinn_cli.studies.launchers.slurm.script import options, text
from pinn_cli.studies.launchers.slurm.settings import Settings
from pinn_cli.studies.sweep import PlannedRun, Sweep, counted


@dataclass(frozen=True)
class SlurmArray(Settings, Launcher):
    """Submits a sweep as arrays of Slurm with these settings."""

    adds: ClassVar[Sequence[str]] = ("figures=off",)
    needs_copy: ClassVar[bool] = True

    def check(self) -> None:
        """Ask Slurm whether it takes such a job (Raises UsageError, and NotHereError where there is no Slurm)."""
        submit(["--test-only", "--array=0", *options(self)], "--wrap=true")

    def preview(self, sweep: Sweep, runs: Sequence[PlannedRun]) -> str:
        """The script, and its number of tasks."""
        return f"{text(self, sweep, sweep.folder / 'slurm')}\n{self._tasks(runs)}"

    def launch(self, sweep: Sweep, runs: Sequence[PlannedRun]) -> int:
        """Copy pinn's checkout, write the script, submit it and print the numbers of the jobs; the runs come later.

        Raises UsageError if Slurm takes none or only some of the arrays, MachineError if Slurm does not say whether it
        has taken one.
        """
        new = not (sweep.folder / "pinn").exists()
        script = self._write(sweep, runs)
        try:
            self._submit(sweep, script, self._arrays(len(runs)))
        except UsageError as error:
            if not isinstance(error, MachineError) and Sweep.read(sweep.folder).jobs == sweep.jobs:
                for made in (script.parent, *([sweep.folder / "pinn"] if new else [])):
                    shutil.rmtree(made, ignore_errors=True)
            raise
        print(f"pinn status {in_shell(sweep.folder)}")
        return FINISHED

    def queued(self, sweep: Sweep) -> dict[int, str] | None:
        """The state of each run whose task is in the queue: PENDING, RUNNING ...

        {} if nothing is in the queue, or where there is no Slurm; None if Slurm cannot say.
        """
        tasks = slurm.tasks(sweep.jobs)
        if tasks is None:
            return None
        pending_last = sorted(tasks, key=lambda task: task.state == "PENDING")
        return {number: task.state for task in pending_last for number in _numbers(sweep, task)}

    def cancel(self, sweep: Sweep) -> bool:
        """Take the jobs out of the queue; runs that are running save first. False if none is in the queue."""
        if slurm.is_here() and slurm.tasks(sweep.jobs) == []:
            return False
        slurm.cancel(sweep.jobs)
        return True

    def _submit(self, sweep: Sweep, script: Path, arrays: Sequence[tuple[int, int]]) -> None:
        before = len(sweep.jobs)
        for first, tasks in arrays:
            limit = f"%{self.tasks_at_once}" if self.tasks_at_once else ""
            try:
                job = submit([f"--array=0-{tasks - 1}{limit}"], script, str(first))
            except UsageError as error:
                if taken := sweep.jobs[before:]:
                    raise UsageError(f"{error}; submitted before it: {' '.join(taken)}, and once they have ended "
                                     f"pinn resume {in_shell(sweep.folder)} submits the rest") from error  # fmt: skip
                raise
            sweep = sweep.with_jobs([job])
            print(f"job {job}: {counted(tasks, 'task')}", flush=True)

    def _write(self, sweep: Sweep, runs: Sequence[PlannedRun]) -> Path:
        """Write the copy of the checkout and, in a folder of this submission, the runs and the script; the script."""
        folder = sweep.folder.absolute()
        for path in (folder, *(run.folder.absolute() for run in runs)):
            if not re.fullmatch(r"[\w./@+-]+", str(path)):
                raise UsageError(f"{path}: Slurm accepts no such character in the name of a log; type folder=ANOTHER")
        if not (folder / "pinn").exists():
            shutil.rmtree(part := folder / ".pinn.part", ignore_errors=True)
            checkout.copy(part)
            if part.exists():  # an installed pinn is not copied
                part.rename(folder / "pinn")
        place = next(p for n in count(1) if not (p := folder / (f"slurm-{n}" if n > 1 else "slurm")).exists())
        place.mkdir()
        commands = [replace(run, folder=run.folder.absolute()).command for run in runs]  # as one types them anywhere
        (place / "runs.txt").write_text("".join(f"{command}\n" for command in commands), encoding="utf-8")
        (place / "array.sh").write_text(text(self, sweep, place), encoding="utf-8")
        return place / "array.sh"

    def _arrays(self, runs: int) -> list[tuple[int, int]]:
        """For each array the line of its first run, counted from 1, and its number of tasks."""
        tasks, largest = -(-runs // self.runs_per_task), largest_array()
        return [(1 + first * self.runs_per_task, min(largest, tasks - first)) for first in range(0, tasks, largest)]

    def _tasks(self, runs: Sequence[PlannedRun]) -> str:
        arrays = self._arrays(len(runs))
        several = f", in {len(arrays)} arrays (Slurm accepts {largest_array()} at most)" if len(arrays) > 1 else ""
        each = f" of up to {self.runs_per_task} runs" if self.runs_per_task > 1 else ""
        return f"{counted(sum(tasks for _, tasks in arrays), 'task')}{each}{several}"


def _numbers(sweep: Sweep, task: slurm.Task) -> Collection[int]:
    """The runs that a task carries out, which are lines of its runs.txt; all runs if that cannot be read."""
    runs = {run.folder.resolve(): run.number for run in sweep.runs}
    try:
        script, first = task.command
        place, line = sweep.folder / Path(script).parent.name, int(first) - 1
        each = int(re.findall(r"^runs_per_task=(\d+)", (place / "array.sh").read_text("utf-8"), re.MULTILINE)[0])
        begin = line + int(task.number) * each
        lines = (place / "runs.txt").read_text("utf-8").splitlines()[begin : begin + each]
        return [runs[pool.parsed(line).folder.resolve()] for line in lines]
    except (OSError, ValueError, LookupError):
        return runs.values()
