"""Questions to Slurm: the number of a submitted script, the size of the largest array, the tasks in the queue."""

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from shutil import which
from typing import NamedTuple

from pinn_cli.basics.errors import MachineError, UsageError
from pinn_cli.configuration.project import path_without_project
from pinn_cli.studies.launchers.base import NotHereError

ARRAY = 1001  # the default MaxArraySize of Slurm, for a machine where it cannot be asked
PATIENCE = 60  # seconds for a busy controller


class Task(NamedTuple):
    """A task in the queue: its state (PENDING, RUNNING ...), its number in its array, the script and its arguments."""

    state: str
    number: str
    command: list[str]


def largest_array() -> int:
    """The number of tasks that one array may have (indices stay below MaxArraySize)."""
    if which("scontrol") is None:
        return ARRAY
    done = _ask(["scontrol", "show", "config"])
    size = re.search(r"^MaxArraySize\s*=\s*(\d+)", done.stdout, re.MULTILINE)
    return max(1, int(size[1])) if size else ARRAY


def submit(options: Sequence[str], script: str | Path, *arguments: str) -> str:
    """Submit a script; the number of the job ("" in a test).

    Raises UsageError with Slurm's reason if it refuses, and MachineError if it does not answer.
    """
    if which("sbatch") is None:
        raise NotHereError("there is no Slurm here (no `sbatch`); --dry-run shows the script; or take another launcher")
    done = _ask(["sbatch", "--parsable", *options, str(script), *arguments], _environment())
    if done.returncode:
        reason = " ".join(done.stderr.replace("sbatch: error:", "").split())
        raise UsageError(f"sbatch refused the array ({reason}); see hydra.launcher.partition, account, time ...")
    number = re.search(r"^[0-9]+(?=;|$)", done.stdout, re.MULTILINE)  # some clusters' sbatch says more
    if number is None and "--test-only" not in options:
        raise UsageError(f"sbatch gave no number of a job ({ascii(done.stdout)[:80]}); see squeue --me")
    return number[0] if number else ""


def is_here() -> bool:
    """Whether jobs can be submitted from this machine."""
    return which("sbatch") is not None


def tasks(jobs: Sequence[str]) -> list[Task] | None:
    """The tasks of these jobs that are in the queue; [] if there is no Slurm here, None if it does not answer."""
    if not is_here():
        return []
    if which("squeue") is None:
        return None
    try:
        done = _ask(["squeue", "--noheader", "--array", f"--jobs={','.join(jobs)}", "--format=%T %K %o"])
    except MachineError:
        return None
    if done.returncode and "Invalid job id" not in done.stderr:  # that is a job which ended long ago
        return None
    lines = [line.split() for line in done.stdout.splitlines() if line.strip()]
    return [Task(state, number, command) for state, number, *command in lines]


def cancel(jobs: Sequence[str]) -> None:
    """Take the jobs out of the queue; running runs save first. Raises UsageError with Slurm's reason if it refuses."""
    if which("scancel") is None:
        raise NotHereError(f"there is no Slurm here (no `scancel`); on the cluster type scancel {' '.join(jobs)}")
    done = _ask(["scancel", *jobs])
    if done.returncode and "Invalid job id" not in done.stderr:
        raise UsageError(f"scancel: {' '.join(done.stderr.replace('scancel: error:', '').split())}")


def _ask(words: Sequence[str], environment: Mapping[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
    """The answer of a command of Slurm. Raises MachineError if there is none."""
    try:
        return subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, check=False, env=environment)
    except subprocess.TimeoutExpired:
        way = "is the cluster up (sinfo), and is anything in its queue now (squeue --me)?"
        raise MachineError(f"{words[0]} has not answered for {PATIENCE} s; {way}") from None


def _environment() -> dict[str, str]:
    """The environment without the working directory in PYTHONPATH: tasks use the frozen code."""
    others = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return others | ({"PYTHONPATH": path} if (path := path_without_project()) else {})
