"""Who works on a sweep, and how they are asked to save and stop."""

import os
import signal
import socket
import time
from collections.abc import Iterable
from contextlib import suppress

from pinn_cli.basics.errors import TrainingError
from pinn_cli.records.lock import writer
from pinn_cli.studies.launchers import choose
from pinn_cli.studies.launchers.base import Launcher, NotHereError
from pinn_cli.studies.launchers.pool import AGAIN
from pinn_cli.studies.sweep import Sweep

PATIENCE = 300.0  # seconds for runs to finish their step and save
PAUSE = 0.1  # seconds between two looks
QUEUE = 60.0  # seconds for a queue to drop what has ended


def cancel(sweep: Sweep) -> bool:
    """Take the jobs of a sweep out of the queue, ask its processes here to save, and wait until they have ended.

    False if nothing of it is running or queued. Raises UsageError, and TrainingError if runs go on after a while.
    """
    launcher = choose.of(sweep) if sweep.jobs else None
    if not _dequeued(sweep, launcher) and not writers(sweep):
        return False
    _stop_here(sweep)
    end = time.monotonic() + QUEUE
    while launcher is not None and launcher.queued(sweep) and time.monotonic() < end:
        time.sleep(10 * PAUSE)
    return True


def writers(sweep: Sweep) -> set[tuple[int, str]]:
    """Number and machine of the processes that start runs of this sweep, or write to them; links are skipped."""
    folders = [run.folder for run in sweep.runs if not run.folder.is_symlink()]
    return {one for folder in (sweep.folder, *folders) if (one := writer(folder)) is not None}


def _dequeued(sweep: Sweep, launcher: Launcher | None) -> bool:
    """Whether jobs were taken out of a queue; a queue that is not installed here is ignored if processes run here."""
    try:
        return launcher is not None and launcher.cancel(sweep)
    except NotHereError:
        if not _here(writers(sweep)):
            raise
        return False


def _stop_here(sweep: Sweep) -> None:
    """Ask every process of the sweep on this machine to save and stop, and wait until it has ended."""
    asked: dict[int, float] = {}  # when, by process
    end = time.monotonic() + PATIENCE
    while there := writers(sweep):
        now = time.monotonic()
        for pid in sorted(_here(there)):
            if pid not in asked:
                print(f"process {pid} is asked to save and stop", flush=True)
            if now >= asked.get(pid, 0.0) + AGAIN:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGTERM)
                asked[pid] = now
        if not _here(there) and sweep.jobs:
            return  # they are on other machines, where the cluster stops them
        if not _here(there) or now > end:
            rest = ", ".join(f"process {pid} on {host}" for pid, host in sorted(there))
            raise TrainingError(f"{sweep.folder} is still written to by {rest}; there type kill PROCESS, and it saves")
        time.sleep(PAUSE)


def _here(processes: Iterable[tuple[int, str]]) -> set[int]:
    """The processes among them that run on this machine."""
    return {pid for pid, host in processes if host == socket.gethostname()}
