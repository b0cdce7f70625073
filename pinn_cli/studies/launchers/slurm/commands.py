"""What is asked of Slurm: a script's number, the largest array it takes, the tasks in its queue."""

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from shutil import which
from typing import NamedTuple

from pinn_cli.basics.errors import MachineError, UsageError
from pinn_cli.studies.launchers.base import NotHereError

ARRAY = 1001  # Slurm's own MaxArraySize, where it cannot be asked
PATIENCE = 60  # seconds for a controller that is busy


class Task(NamedTuple):
    """A task in the queue: PENDING, RUNNING ..., its number in its array, and the script with its arguments."""

    state: str
    number: str
    command: list[str]


def largest_array() -> int:
    """The number of tasks that one array may have (indices stay below MaxArraySize)."""
    if which("scontrol") is None:
        return ARRAY
    done = _ask(["scontrol", "show", "config"])
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", done.stdout, re.MULTILINE)
    return max(1, int(found[1])) if found else ARRAY


def submit(options: Sequence[str], script: str | Path, *arguments: str) -> str:
    """The number that Slurm gives to a job ("" in a test).

    Raises UsageError, with its reason, if it takes none, and MachineError if it does not say whether it does.
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
    """The tasks of these jobs that are still in the queue; [] where there is no Slurm, None if it cannot say."""
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
    """Take the jobs out of the queue; what runs saves first. Raises UsageError with Slurm's own reason if it cannot."""
    if which("scancel") is None:
        raise NotHereError(f"there is no Slurm here (no `scancel`); on the cluster type scancel {' '.join(jobs)}")
    done = _ask(["scancel", *jobs])
    if done.returncode and "Invalid job id" not in done.stderr:
        raise UsageError(f"scancel: {' '.join(done.stderr.replace('scancel: error:', '').split())}")


def _ask(words: Sequence[str], environment: Mapping[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
    """What a command of Slurm's answers (Raises MachineError if it does not)."""
    try:
        return subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, check=False, env=environment)
    except subprocess.TimeoutExpired:
        way = "is the cluster up (sinfo), and is anything in its queue now (squeue --me)?"
        raise MachineError(f"{words[0]} has not answered for {PATIENCE} s; {way}") from None


def _environment() -> dict[str, str]:
    """The environment without the working directory among Python's folders: tasks take the frozen code."""
    here = str(Path.cwd())
    places = [place for place in os.environ.get("PYTHONPATH", "").split(os.pathsep) if place and place != here]
    others = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return others | ({"PYTHONPATH": os.pathsep.join(places)} if places else {})
