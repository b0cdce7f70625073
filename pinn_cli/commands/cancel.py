"""Stop a sweep: its runs save and can go on later, what has not started does not."""

import time
from argparse import ArgumentParser, Namespace
from typing import Any

from pinn_cli.basics.errors import TrainingError

PATIENCE = 300.0  # seconds for runs to finish their step and save
PAUSE = 0.1  # seconds between two looks
QUEUE = 60.0  # seconds for a cluster to clear its queue of what has ended


def add(parser: ArgumentParser) -> None:
    """The arguments of `pinn cancel`."""
    parser.add_argument("sweep", help="a sweep's folder or name, or latest")


def run(arguments: Namespace) -> int:
    """Take its jobs out of a cluster's queue and tell its processes here to save; return once they have ended.

    Raises UsageError, and TrainingError if runs go on after a while.
    """
    from pinn_cli.studies.find import find_sweep
    from pinn_cli.studies.launchers.slurm import commands as slurm
    from pinn_cli.studies.stop import here, writers

    found = find_sweep(arguments.sweep)
    if _is_over(found):
        print(f"nothing of {found.folder} is running")
        return 0
    if found.jobs and (slurm.is_here() or not here(writers(found))):  # without Slurm it may have gone on here
        slurm.cancel(found.jobs)
    _tell(found)
    end = time.monotonic() + QUEUE
    while found.jobs and slurm.tasks(found.jobs) and time.monotonic() < end:
        time.sleep(10 * PAUSE)
    jobs = f" (jobs {' '.join(found.jobs)})" if found.jobs else ""
    print(f"{found.folder}{jobs} is cancelled; pinn resume {found.folder} goes on")
    return 0


def _is_over(found: Any) -> bool:
    """Whether no process is at the sweep, and none of its jobs is in a queue that can be asked."""
    from pinn_cli.studies.launchers.slurm import commands as slurm
    from pinn_cli.studies.stop import writers

    return not writers(found) and (not found.jobs or (slurm.is_here() and slurm.tasks(found.jobs) == []))


def _tell(found: Any) -> None:
    """Ask every process of the sweep on this machine to save and leave, and wait until it has."""
    from pinn_cli.studies.stop import AGAIN, ask, here, writers

    told: dict[int, float] = {}  # when, by process
    end = time.monotonic() + PATIENCE
    while there := writers(found):
        now = time.monotonic()
        for pid in sorted(here(there)):
            if pid not in told:
                print(f"process {pid} is asked to save and leave", flush=True)
            if now >= told.get(pid, 0.0) + AGAIN:
                ask([pid])
                told[pid] = now
        if not here(there) and found.jobs:
            return  # on other machines, by the cluster
        if not here(there) or now > end:
            rest = ", ".join(f"process {pid} on {host}" for pid, host in sorted(there))
            raise TrainingError(f"{found.folder} is still written to by {rest}; there type kill PROCESS, and it saves")
        time.sleep(PAUSE)
