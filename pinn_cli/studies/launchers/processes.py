"""Runs as processes of their own, so many at a time, until they have ended or somebody says stop."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Sequence
from typing import IO, Protocol

from pinn_cli.basics.signals import Interruption
from pinn_cli.studies.sweep import Planned

PAUSE = 0.05  # seconds between two looks at the processes


class Watcher(Protocol):
    """Who is told what happens."""

    def ended(self, run: Planned, code: int, last_words: str) -> None:
        """A run has ended with this exit code."""

    def stopping(self, reason: str, running: int) -> None:
        """The runs underway are being asked to save and leave."""


class Process:
    """`pinn train ...` in a session of its own: a Ctrl-C reaches it once, from here, and not from the terminal too."""

    def __init__(self, run: Planned):
        self.run = run
        self._errors: IO[str] = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, "-m", "pinn_cli.cli", "train", *run.full_words],
            env={"OMP_NUM_THREADS": "1"} | os.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # each run has its own log
            stderr=self._errors,
            start_new_session=True,
        )

    @property
    def code(self) -> int | None:
        """The exit code; None while it runs."""
        return self._process.poll()

    def stop(self) -> None:
        """Ask it to finish its step, save and leave."""
        self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once; what it has recorded stays."""
        self._process.kill()
        self._process.wait()

    def last_words(self) -> str:
        """The last line it has written to its standard error."""
        self._errors.seek(0)
        lines = [line.strip() for line in self._errors if line.strip()]
        self._errors.close()
        return lines[-1] if lines else ""


def carry_out(runs: Sequence[Planned], jobs: int, watcher: Watcher) -> str | None:
    """Carry the runs out, `jobs` at a time. Why it was stopped, or None."""
    waiting, running, told = deque(runs), list[Process](), False
    with Interruption() as interruption:
        try:
            while running or (waiting and not interruption):
                while waiting and len(running) < jobs and not interruption:
                    running.append(Process(waiting.popleft()))
                if interruption and not told:
                    told = True
                    watcher.stopping(str(interruption.reason), len(running))
                    for process in running:
                        process.stop()
                for process in [p for p in running if p.code is not None]:
                    running.remove(process)
                    watcher.ended(process.run, process.code or 0, process.last_words())
                time.sleep(PAUSE)
        finally:
            for process in running:  # only after a second Ctrl-C, or an error here
                process.kill()
    return interruption.reason
