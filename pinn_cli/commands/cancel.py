"""Stop a sweep: its runs save and can go on later, what has not started does not."""

import os
import signal
import socket
import time
from argparse import ArgumentParser, Namespace
from contextlib import suppress
from typing import Any

from pinn_cli.errors import TrainingError

PATIENCE = 300.0  # seconds for runs to finish their step and save
PAUSE = 0.1  # seconds between two looks


def add(parser: ArgumentParser) -> None:
    """The arguments of `pinn cancel`."""
    parser.add_argument("sweep", help="a sweep's folder or name, or latest")


def run(arguments: Namespace) -> int:
    """Take its jobs out of a cluster's queue and tell its processes here to save; return once they have ended.

    Raises UsageError, and TrainingError if runs go on after a while.
    """
    from pinn_cli import sweep
    from pinn_cli.cluster import slurm

    found = sweep.find(arguments.sweep)
    if found.jobs:
        slurm.cancel(found.jobs)
    elif not _writers(found):
        print(f"nothing of {found.folder} is running")
        return 0
    _tell(found)
    jobs = f" (jobs {' '.join(found.jobs)})" if found.jobs else ""
    print(f"{found.folder}{jobs} is cancelled; pinn resume {found.folder} goes on")
    return 0


def _tell(found: Any) -> None:
    """Ask every process of the sweep on this machine to save and leave, and wait until it has."""
    told: set[int] = set()
    end = time.monotonic() + PATIENCE
    while writers := _writers(found):
        here = {pid for pid, host in writers if host == socket.gethostname()}
        for pid in sorted(here - told):
            print(f"process {pid} is asked to save and leave", flush=True)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        told |= here
        if not here and found.jobs:
            return  # on other machines, by the cluster
        if not here or time.monotonic() > end:
            rest = ", ".join(f"process {pid} on {host}" for pid, host in sorted(writers))
            raise TrainingError(f"{found.folder} is still written to by {rest}; there type kill PROCESS, and it saves")
        time.sleep(PAUSE)


def _writers(found: Any) -> set[tuple[int, str]]:
    """Who starts the runs of the sweep, and who writes to them; a link leads to the run of something else."""
    from pinn_cli.lock import writer

    folders = [run.folder for run in found.runs if not run.folder.is_symlink()]
    writers = (writer(folder) for folder in (found.folder, *folders))
    return {one for one in writers if one is not None}
