"""`hydra/launcher=local`: several runs at a time on this machine, each in a process of its own."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

from pinn_cli.basics.errors import UsageError
from pinn_cli.studies.launchers import pool
from pinn_cli.studies.launchers.base import Launcher
from pinn_cli.studies.launchers.progress import Progress
from pinn_cli.studies.sweep import PlannedRun, Sweep


@dataclass(frozen=True)
class Local(Launcher):
    """A pool of `jobs` processes; null: one for each GPU, or for each core where there is no GPU."""

    jobs: int | None = None

    def __post_init__(self) -> None:
        if self.jobs is not None and self.jobs < 1:
            raise UsageError(f"hydra.launcher.jobs={self.jobs}: expected a whole number above 0, or null")

    def launch(self, sweep: Sweep, runs: Sequence[PlannedRun]) -> int:
        """Carry out the runs and wait for them; the exit code."""
        progress = Progress(sweep, runs)
        jobs = self.jobs or len(pool.visible_gpus()) or os.cpu_count() or 1
        pool.carry_out([pool.train(sweep, run) for run in runs], jobs, progress)
        return progress.conclude()
