"""Who works on a sweep, and how they are asked to save and leave."""

import os
import signal
import socket
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from pinn_cli.records.lock import writer
from pinn_cli.studies.sweep import Sweep, sweep_of

AGAIN = 5.0  # seconds after which they are asked again: one that was being set up may not have heard


def writers(sweep: Sweep) -> set[tuple[int, str]]:
    """Number and machine of the processes that start its runs, or write to them.

    A link, and a folder that is not known as a run of this sweep, is another's.
    """
    folders = [run.folder for run in sweep.runs if not run.folder.is_symlink() and _is_part(run.folder, sweep.folder)]
    found = (writer(folder) for folder in (sweep.folder, *folders))
    return {one for one in found if one is not None}


def _is_part(folder: Path, sweep: Path) -> bool:
    place = sweep_of(folder)
    return place is not None and place.resolve() == sweep.resolve()


def here(found: Iterable[tuple[int, str]]) -> set[int]:
    """The processes among them that run on this machine."""
    return {pid for pid, host in found if host == socket.gethostname()}


def ask(processes: Iterable[int]) -> None:
    """Ask processes of this machine to save and leave."""
    for pid in processes:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGTERM)
