"""A pool of processes on this machine: several commands at a time, until all have ended or a signal asks to stop."""

import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import IO, Protocol

from pinn_cli.basics.signals import Interruption
from pinn_cli.configuration.project import path_without_project
from pinn_cli.records.folder import CHECKPOINT
from pinn_cli.studies.sweep import PlannedRun, Sweep

PAUSE = 0.05  # seconds between two looks at the processes
AGAIN = 5.0  # seconds between two requests to stop: a process may have missed one while Python started
DEVICES = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True)
class Command:
    """A command line, the folder of the run that it carries out, and the folder in which it is typed (None: here)."""

    words: tuple[str, ...]
    folder: Path
    place: Path | None = None


class Watcher(Protocol):
    """Is told what happens in the pool."""

    def begun(self, command: Command) -> None:
        """A command has been started."""

    def ended(self, command: Command, code: int, errors: str) -> None:
        """A command has ended with this exit code (negative: killed by a signal) and this text on standard error."""

    def stopping(self, reason: str, running: int) -> None:
        """The commands that run are asked to save and stop."""


def parsed(line: str) -> Command:
    """The command of a line of a script, ``pinn train WORDS folder=FOLDER``."""
    words = tuple(shlex.split(line))
    return Command(words, Path(words[-1].removeprefix("folder=").strip("'")))


def train(sweep: Sweep, run: PlannedRun) -> Command:
    """The command of a run, for this Python and this pinn, in the frozen copy of the sweep if there is one."""
    words = (sys.executable, "-m", "pinn_cli.cli", "train", *sweep.words_of(run))
    return Command(words, run.folder, sweep.code.absolute() if sweep.is_frozen else None)


def carry_out(
    commands: Sequence[Command], jobs: int, watcher: Watcher, shown: bool = False, leader: bool = False,
    stopped: str | None = None,
) -> str | None:  # fmt: skip
    """Carry out the commands, `jobs` at a time; the reason if a signal stopped them, else None.

    The GPUs of this machine are dealt to the places of the pool in turn. `shown`: the output of the commands is passed
    on. `leader`: the first run goes alone until its first step is saved, so that the others reuse what it has compiled.
    `stopped`: a signal that came before the call. After a second Ctrl-C the processes are killed.
    """
    waiting, running, asked = deque(commands), dict[int, Process](), -inf
    gpus = visible_gpus() if jobs > 1 else []
    with Interruption() as interruption:
        interruption.reason = interruption.reason or stopped
        try:
            while running or (waiting and not interruption):
                for place in range(jobs):
                    alone = leader and running and not (commands[0].folder / CHECKPOINT).exists()
                    if place not in running and waiting and not interruption and not alone:
                        own = {DEVICES: gpus[place % len(gpus)]} if gpus else {}
                        running[place] = Process(waiting.popleft(), own, shown)
                        watcher.begun(running[place].command)
                if interruption and time.monotonic() > asked + AGAIN:
                    if asked == -inf:
                        watcher.stopping(str(interruption.reason), len(running))
                    asked = time.monotonic()
                    for process in running.values():
                        process.stop(interruption.reason)
                for place, process in [(place, one) for place, one in running.items() if one.code is not None]:
                    del running[place]
                    leader = leader and process.command != commands[0]
                    watcher.ended(process.command, process.code or 0, process.errors())
                time.sleep(PAUSE)
        finally:
            for process in running.values():  # after a second Ctrl-C, or an error here
                process.kill()
                process.errors()
    return interruption.reason


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, by the names that CUDA_VISIBLE_DEVICES takes."""
    if (listed := os.environ.get(DEVICES)) is not None:
        return [name for name in listed.split(",") if name]
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]


class Process:
    """A command in a session of its own, so that a Ctrl-C at the terminal reaches it once, from the pool."""

    def __init__(
        self, command: Command, environment: Mapping[str, str], shown: bool = False, folder: str | None = None
    ):
        frozen = {} if command.place is None else {"PYTHONPATH": path_without_project()}
        self.command = command
        self._errors: IO[str] = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        self._process = subprocess.Popen(
            command.words,
            env={"OMP_NUM_THREADS": "1"} | os.environ | frozen | dict(environment),
            cwd=command.place or folder,
            stdin=subprocess.DEVNULL,
            stdout=None if shown else subprocess.DEVNULL,  # each run has its own log
            stderr=self._errors,
            start_new_session=True,
        )

    @property
    def code(self) -> int | None:
        """The exit code; None while it runs."""
        return self._process.poll()

    def stop(self, reason: str | None) -> None:
        """Ask it to finish its step, save and stop, by the signal that is the reason, or by SIGTERM."""
        self._process.send_signal(getattr(signal, str(reason), signal.SIGTERM))

    def kill(self) -> None:
        """End it at once; what it has recorded stays."""
        self._process.kill()
        self._process.wait()

    def errors(self) -> str:
        """What it has written to its standard error."""
        self._errors.seek(0)
        text = self._errors.read()
        self._errors.close()
        return text.strip()
