"""`hydra/launcher=dask`: each run is a command on a worker of Dask, which starts workers on many kinds of clusters."""

import asyncio
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib.util import find_spec
from math import inf
from shutil import which
from typing import Any, ClassVar

from pinn_cli.basics.errors import FAILED, STOPPED, TrainingError, UsageError, nearest
from pinn_cli.basics.signals import Interruption
from pinn_cli.basics.text import in_shell
from pinn_cli.configuration.project import path_without_project
from pinn_cli.studies.launchers import pool
from pinn_cli.studies.launchers.base import Launcher, NotHereError
from pinn_cli.studies.launchers.progress import Progress
from pinn_cli.studies.sweep import PlannedRun, Sweep

LOCAL = "LocalCluster"
PAUSE = 0.2  # seconds between two looks at the runs
PATIENCE = "30s"  # for a scheduler that runs already to answer

processes: dict[str, list[pool.Process]] = {}  # of a worker, by the name of the sweep
stopped: set[str] = set()  # sweeps of which no further run begins on a worker


@dataclass(frozen=True)
class Dask(Launcher):
    """The keys of conf/hydra/launcher/dask.yaml, which says what each means."""

    cluster: str = LOCAL
    options: dict[str, Any] = field(default_factory=dict)
    jobs: int = 2
    scheduler: str | None = None

    adds: ClassVar[Sequence[str]] = ("figures=off",)

    def __post_init__(self) -> None:
        if self.jobs < 1:
            raise UsageError(f"hydra.launcher.jobs={self.jobs}: expected a whole number above 0")

    def check(self) -> None:
        """Raise UsageError for an unknown class or keyword, NotHereError if Dask or the queue is not installed."""
        self._script()
        if self.scheduler is None and self.cluster != LOCAL:
            submit = self._class().job_cls.submit_command.split()[0]
            if which(submit) is None:
                raise NotHereError(f"there is no `{submit}` here, which {self.cluster} submits with; "
                                   "type --dry-run to see the script, or another launcher")  # fmt: skip

    def preview(self, sweep: Sweep, runs: Sequence[PlannedRun]) -> str:
        """The job script of a worker, as dask-jobqueue writes it."""
        return self._script()

    def launch(self, sweep: Sweep, runs: Sequence[PlannedRun]) -> int:
        """Carry out the runs on the workers and wait for them; the exit code. Raises TrainingError if Dask breaks."""
        from distributed import Client

        progress = Progress(sweep, runs)
        with Interruption() as interruption, ExitStack() as stack:
            try:
                client = stack.enter_context(Client(self.scheduler or stack.enter_context(self._started()),
                                                    timeout=PATIENCE))  # fmt: skip
                _follow(client, sweep, runs, progress, interruption)
            except (OSError, RuntimeError, TypeError, ValueError) as error:
                line = " ".join(str(error).split())[:300]
                way = f"pinn resume {in_shell(sweep.folder)} goes on"
                raise TrainingError(f"Dask broke ({type(error).__name__}: {line}); {way}") from error
        return progress.conclude()

    def _class(self) -> Any:
        """The class of the cluster. Raises UsageError."""
        if find_spec("dask_jobqueue") is None or find_spec("distributed") is None:
            raise NotHereError("Dask is not installed here; type pip install 'pinn-cli[dask]'")
        import dask_jobqueue
        import distributed

        known = [name for name in vars(dask_jobqueue) if name.endswith("Cluster") and name != "JobQueueCluster"]
        if self.cluster not in (LOCAL, *known):
            raise UsageError(f"hydra.launcher.cluster={self.cluster}: {nearest(self.cluster, [LOCAL, *known])}")
        return distributed.LocalCluster if self.cluster == LOCAL else getattr(dask_jobqueue, self.cluster)

    def _started(self) -> Any:
        """The cluster, with its jobs asked for."""
        if self.cluster == LOCAL:
            keywords = {"n_workers": self.jobs, "threads_per_worker": 1, "dashboard_address": None}
            return self._class()(**keywords | self.options)
        cluster = self._class()(**self.options)
        cluster.scale(jobs=self.jobs)
        return cluster

    def _script(self) -> str:
        """The job script of a worker; "" where there is none. Raises UsageError for keywords that the class refuses."""
        cls = self._class()
        if self.scheduler is not None or self.cluster == LOCAL:
            return ""

        async def script() -> str:
            from distributed.core import Status

            cluster = cls(asynchronous=True, **self.options)  # it starts nothing until it is awaited
            cluster.status = Status.closed
            return str(cluster.job_script())

        try:
            return asyncio.run(script())
        except (TypeError, ValueError) as error:
            raise UsageError(f"hydra.launcher.options: {self.cluster}: {' '.join(str(error).split())}") from error


def _follow(
    client: Any, sweep: Sweep, runs: Sequence[PlannedRun], progress: Progress, interruption: Interruption
) -> None:
    """Hand the runs to the workers, and print a line for each that ends, until all have ended or are stopped."""
    name, asked = f"{sweep.folder.absolute()} {time.time()}", -inf
    surroundings = {"PYTHONPATH": path_without_project() if sweep.is_frozen else os.environ.get("PYTHONPATH", "")}
    commands = [pool.train(sweep, run) for run in runs]
    left = {client.submit(work, name, command, os.getcwd(), surroundings, pure=False): command for command in commands}
    try:
        while left:
            for future in [future for future in left if future.done()]:
                command = left.pop(future)
                if future.status == "finished":
                    progress.ended(command, *future.result())
                elif not future.cancelled():  # for example after its worker has died several times
                    progress.ended(command, FAILED, str(future.exception()))
            if interruption and time.monotonic() > asked + pool.AGAIN:
                started = {folder for folders in client.run(stop, name).values() for folder in folders}
                if asked == -inf:
                    progress.stopping(str(interruption.reason), len(started))
                asked = time.monotonic()
                client.cancel([future for future, command in left.items() if str(command.folder) not in started])
            time.sleep(PAUSE)
    except BaseException:  # a second Ctrl-C, or an error here
        client.run(kill, name)
        raise


def work(name: str, command: pool.Command, folder: str, environment: Mapping[str, str]) -> tuple[int, str]:
    """On a worker: carry out a command in the folder where the sweep was typed; its exit code and its errors."""
    if name in stopped:
        return STOPPED, ""
    process = pool.Process(command, environment, folder=folder)
    processes.setdefault(name, []).append(process)
    try:
        while (code := process.code) is None:
            time.sleep(PAUSE)
        return code, process.errors()
    finally:
        processes[name].remove(process)


def stop(name: str) -> list[str]:
    """On a worker: ask its runs of this sweep to save and stop; their folders. No other run begins."""
    stopped.add(name)
    for process in processes.get(name, ()):
        process.stop(None)
    return [str(process.command.folder) for process in processes.get(name, ())]


def kill(name: str) -> None:
    """On a worker: end its runs of this sweep at once."""
    stopped.add(name)
    for process in list(processes.get(name, ())):
        process.kill()
