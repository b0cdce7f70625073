"""What `hydra/launcher=slurm_array` names: the settings of a cluster, and a sweep submitted with them."""

import re
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

from pinn_cli.basics.errors import MachineError, UsageError
from pinn_cli.records.lock import Lock
from pinn_cli.records.summary import finished
from pinn_cli.studies.launchers.slurm.commands import largest_array, submit
from pinn_cli.studies.launchers.slurm.freeze import keep
from pinn_cli.studies.launchers.slurm.script import options, text
from pinn_cli.studies.launchers.slurm.settings import Settings
from pinn_cli.studies.sweep import Planned, Sweep, counted, leave

MADE = ("sweep.json", "pinn", "code", ".pinn.part", ".code.part", "slurm", ".lock")  # by a submission, in a new folder


@dataclass(frozen=True)
class SlurmArray(Settings):
    """A sweep submitted as arrays of Slurm with these settings."""

    adds = ("figures=off",)

    def check(self) -> None:
        """Ask Slurm whether it would take such a job (Raises UsageError)."""
        submit(["--test-only", "--array=0", *options(self)], "--wrap=true")

    def preview(self, sweep: Sweep) -> str:
        """The script, and how many tasks it is for."""
        return f"{text(self, sweep, sweep.folder / 'slurm')}\n{self._tasks(sweep.wanted)}"

    def launch(self, sweep: Sweep) -> int:
        """Freeze the code, write the script, submit it, print the numbers of the jobs; the runs themselves come later.

        Raises UsageError if Slurm takes none of it, with nothing left of a new sweep, or if it takes only some arrays,
        or if another process is at it; MachineError if Slurm does not say whether it has taken it.
        """
        runs = [run for run in sweep.wanted if not finished(run.folder)]
        if not runs:
            print(f"nothing is left to do in {sweep.folder}; pinn compare {sweep.folder}")
            return 0
        with Lock(sweep.folder):
            if Sweep.read(sweep.folder).jobs != sweep.jobs:
                raise UsageError(f"{sweep.folder} has just been submitted; pinn status {sweep.folder}")
            try:
                self._submit(sweep, self._write(sweep, runs), self._arrays(len(runs)))
            except Exception as error:
                in_queue = isinstance(error, MachineError) or Sweep.read(sweep.folder).jobs  # or it may be
                if not in_queue and not any(run.folder.exists() for run in sweep.runs):
                    _unmake(sweep)
                raise
        print(f"sweep {sweep.folder}: {sweep.counts()}, hydra/launcher={sweep.launcher}; pinn status {sweep.folder}")
        return 0

    def _submit(self, sweep: Sweep, script: Path, arrays: Sequence[tuple[int, int]]) -> None:
        before = len(sweep.jobs)
        for first, tasks in arrays:
            limit = f"%{self.tasks_at_once}" if self.tasks_at_once else ""
            try:
                job = submit([f"--array=0-{tasks - 1}{limit}"], script, str(first))
            except UsageError as error:
                if taken := sweep.jobs[before:]:
                    raise UsageError(f"{error}; submitted before it: {' '.join(taken)}, and once they have ended "
                                     f"pinn resume {sweep.folder} submits the rest") from error  # fmt: skip
                raise
            sweep = sweep.with_jobs([job])
            print(f"job {job}: {counted(tasks, 'task')}", flush=True)

    def _write(self, sweep: Sweep, runs: Sequence[Planned]) -> Path:
        """The frozen code and, in a folder of this submission, the runs and the script."""
        folder = sweep.folder.absolute()
        for path in (folder, *(run.folder.absolute() for run in runs)):
            if not re.fullmatch(r"[\w./@+-]+", str(path)):
                raise UsageError(f"{path}: Slurm takes no such sign in the name of a log; type folder=ANOTHER")
        if not (folder / "code").exists():
            keep(folder, [word for run in runs for word in run.words])
        place = next(p for n in count(1) if not (p := folder / (f"slurm-{n}" if n > 1 else "slurm")).exists())
        place.mkdir()
        (place / "runs.txt").write_text("".join(f"{_command(run)}\n" for run in runs), encoding="utf-8")
        (place / "array.sh").write_text(text(self, sweep, place), encoding="utf-8")
        return place / "array.sh"

    def _arrays(self, runs: int) -> list[tuple[int, int]]:
        """For every array the line of its first run, counted from 1, and its number of tasks."""
        tasks, largest = -(-runs // self.runs_per_task), largest_array()
        return [(1 + first * self.runs_per_task, min(largest, tasks - first)) for first in range(0, tasks, largest)]

    def _tasks(self, runs: Sequence[Planned]) -> str:
        arrays = self._arrays(len(runs))
        several = f", in {len(arrays)} arrays, since Slurm takes {largest_array()} at most" if len(arrays) > 1 else ""
        each = f" of up to {self.runs_per_task} runs" if self.runs_per_task > 1 else ""
        return f"{counted(sum(tasks for _, tasks in arrays), 'task')}{each}{several}"


def _unmake(sweep: Sweep) -> None:
    """Remove what was made for a sweep that comes to nothing, and its folder if nothing else is there."""
    for run in sweep.elsewhere:
        leave(run.folder)
    for path in [sweep.folder / name for name in MADE]:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    with suppress(OSError):
        sweep.folder.rmdir()


def _command(run: Planned) -> str:
    """The run as one types it, from anywhere."""
    return replace(run, folder=run.folder.absolute()).command
