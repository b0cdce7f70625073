"""Which runs of a sweep are still in the queue of Slurm."""

import re
import shlex
from collections.abc import Collection
from pathlib import Path

from pinn_cli.studies.launchers.slurm import commands as slurm
from pinn_cli.studies.sweep import Sweep


def states(sweep: Sweep) -> dict[int, str] | None:
    """By the number of a run how the task stands that is to carry it out: PENDING, RUNNING ...

    {} if nothing is in the queue, or where there is no Slurm; None if Slurm cannot say.
    """
    tasks = slurm.tasks(sweep.jobs)
    if tasks is None:
        return None
    waiting_last = sorted(tasks, key=lambda task: task.state == "PENDING")
    return {number: task.state for task in waiting_last for number in _numbers(sweep, task)}


def _numbers(sweep: Sweep, task: slurm.Task) -> Collection[int]:
    """The runs that a task is to carry out: lines of its runs.txt. Where that cannot be told, it may be any."""
    runs = sweep.numbers
    try:
        script, first = task.command
        place, line = sweep.folder / Path(script).parent.name, int(first) - 1
        each = int(re.findall(r"^runs_per_task=(\d+)", (place / "array.sh").read_text("utf-8"), re.MULTILINE)[0])
        begin = line + int(task.number) * each
        lines = (place / "runs.txt").read_text("utf-8").splitlines()[begin : begin + each]
        return [runs[_folder(line)] for line in lines]
    except (OSError, ValueError, LookupError):
        return runs.values()


def _folder(command: str) -> Path:
    return Path(shlex.split(command)[-1].removeprefix("folder=").strip("'")).resolve()
