"""Who works on a sweep, and how they are asked to save and leave."""

import os
import signal
import socket
from collections.abc import Iterable
from contextlib import suppress

from pinn_cli.lock import writer
from pinn_cli.sweep import Sweep

AGAIN = 5.0  # seconds after which they are asked again: one that was being set up may not have heard


def writers(sweep: Sweep) -> set[tuple[int, str]]:
    """Number and machine of the processes that start its runs, or write to them; a link is another's run."""
    folders = [run.folder for run in sweep.runs if not run.folder.is_symlink()]
    found = (writer(folder) for folder in (sweep.folder, *folders))
    return {one for one in found if one is not None}


def here(found: Iterable[tuple[int, str]]) -> set[int]:
    """The processes among them that run on this machine."""
    return {pid for pid, host in found if host == socket.gethostname()}


def ask(processes: Iterable[int]) -> None:
    """Ask processes of this machine to save and leave."""
    for pid in processes:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGTERM)
