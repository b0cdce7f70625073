"""What a task of an array carries out: some lines of runs.txt, by the pool of `hydra/launcher=local`.

The batch script (`script`) starts it as ``python -m pinn_cli.studies.launchers.slurm.task PLACE FIRST COUNT ...``.
"""

import os
import shlex
import signal
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from pinn_cli.basics.errors import FAILED, FINISHED, STOPPED, USAGE
from pinn_cli.records.folder import RESULTS
from pinn_cli.records.lock import PATIENCE
from pinn_cli.studies.launchers import pool
from pinn_cli.studies.status import last_line
from pinn_cli.studies.sweep import FAILED as FAILED_NOTE
from pinn_cli.studies.sweep import PlannedRun, note

RESTARTS = "SLURM_RESTART_COUNT"
WAIT = 120.0  # seconds that a requeued run waits for its earlier process, which may still be saving


class Task:
    """Watches the runs of a task, and writes down which have ended: a requeued task leaves those out."""

    def __init__(self, place: Path, first: int):
        self.file = place / f"ended.{first}"  # the exit code and the command of each run that has ended
        if RESTARTS not in os.environ or not self.file.exists():
            self.file.write_text("", encoding="utf-8")
        before = [line.partition(" ") for line in self.file.read_text(encoding="utf-8").splitlines()]
        self.ended_before = {line for _, _, line in before}
        self.failed = any(code not in (str(FINISHED), str(USAGE)) for code, _, _ in before)
        self.unfinished, self.reason = False, ""

    def begun(self, command: pool.Command) -> None:
        """Write the command into the log."""
        _say(shlex.join(command.words))

    def ended(self, command: pool.Command, code: int, errors: str) -> None:
        """Write down how a run has ended. One that was stopped or killed goes on when the task is requeued."""
        line = shlex.join(command.words)
        if code == STOPPED or code < 0 or (self.reason and code not in (FINISHED, USAGE)):
            self.unfinished = True
        else:
            self.failed |= code not in (FINISHED, USAGE)
            with open(self.file, "a", encoding="utf-8") as file:
                file.write(f"{code} {line}\n")
        if errors:
            print(errors, flush=True)
        if not self.reason and code not in (FINISHED, STOPPED) and not (command.folder / RESULTS).exists():
            how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
            _note(command.folder, ": ".join([how, *errors.splitlines()[-1:]]))
        _say(f"exit {code}: {line}")

    def stopping(self, reason: str, running: int) -> None:
        """What fails from now on is tried again."""
        self.reason = reason


def main(words: Sequence[str]) -> int:
    """Carry out a task; the exit code: 3 if a run is to go on, 1 if one has failed, else 0."""
    parser = ArgumentParser(prog="task")
    parser.add_argument("place", type=Path, help="the folder of runs.txt")
    for name in ("first", "count", "workers", "requeues"):
        parser.add_argument(name, type=int)
    parser.add_argument("--stopped", help="a signal that came during the set-up")
    parser.add_argument("--failed", help="the exit code of a set-up that has ended the task")
    given = parser.parse_args(words)
    lines = (given.place / "runs.txt").read_text(encoding="utf-8").splitlines()
    commands = [pool.parsed(line) for line in lines[given.first - 1 : given.first - 1 + given.count]]
    if given.failed is not None:
        for command in commands:
            _note(command.folder, f"setup ended with {given.failed}{_last_of_log(given.place)}")
        return int(given.failed)
    if RESTARTS in os.environ:
        os.environ[PATIENCE] = str(WAIT)
    task = Task(given.place, given.first)
    todo = [command for command in commands if shlex.join(command.words) not in task.ended_before]
    reason = pool.carry_out(todo, given.workers, task, shown=True, leader=True, stopped=given.stopped)
    if reason and (task.unfinished or len(task.file.read_text("utf-8").splitlines()) < len(commands)):
        _requeue(reason, given.requeues)
        return STOPPED
    return STOPPED if task.unfinished else FAILED if task.failed else FINISHED


def _requeue(reason: str, requeues: int) -> None:
    """Put the task back into the queue.

    Slurm itself requeues or cancels a task that it is ending. A task that it still calls running was only warned.
    """
    job = os.environ.get("SLURM_JOB_ID")
    if job is None:
        return
    if reason == "SIGTERM" and _ask("squeue", "-h", "-j", job, "-o", "%T").stdout.strip() != "RUNNING":
        _say("saved; Slurm decides whether it goes on")
    elif int(os.environ.get(RESTARTS, 0)) >= requeues:
        _say(f"saved; requeued {requeues} times already: pinn resume goes on")
    elif _ask("scontrol", "requeue", job).returncode == 0:
        _say("saved and requeued")
    else:
        _say("saved, but it could not be requeued: pinn resume goes on")


def _ask(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(words, stdout=subprocess.PIPE, text=True, check=False)


def _note(folder: Path, reason: str) -> None:
    """Note why a run has failed, unless it has noted that itself."""
    run = PlannedRun(0, (), None, folder)
    if run.failed is None and run.refused is None:
        note(folder, FAILED_NOTE, reason)


def _last_of_log(place: Path) -> str:
    """The last line of this task's log."""
    name = "_".join(os.environ.get(f"SLURM_ARRAY_{part}_ID", "") for part in ("JOB", "TASK"))
    line = last_line(place / f"{name}.log")
    return f": {line}" if line else ""


def _say(line: str) -> None:
    sys.stdout.write(f"[{datetime.now():%Y-%m-%d %H:%M:%S}] {line}\n")  # in one piece: runs write to the same log
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
