"""How the processes of a run come together: started here, by torchrun, or as the tasks of a step of Slurm.

    pinn train problem=helmholtz processes=2                                  this process starts the others
    torchrun --nproc-per-node 2 -m pinn_cli.cli train problem=helmholtz       torchrun has started them
    srun --ntasks=2 pinn train problem=helmholtz processes=2                  Slurm has started them

The first process checks, prints and writes everything, as for a run of one. It sends the others their `Orders`: what to
train, or with which exit code to end (`follow.py`).
"""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import distributed

from pinn_cli.basics.errors import FAILED, FINISHED, USAGE, MachineError, TrainingError, UsageError
from pinn_cli.basics.ranks import ALONE, Group, LostError, Ranks

TORCHRUN = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
JOIN = timedelta(minutes=10)  # until all processes must have begun
PORTS = 20_000, 10_000  # the first port for a step of Slurm, and how many there are
GRACE = 10.0  # seconds that processes started here have to end by themselves


@dataclass(frozen=True)
class Orders:
    """What the first process lets the others train: the settings, and the file of a checkpoint to go on from."""

    config: dict[str, Any]
    problem: str
    compiled: bool
    checkpoint: bytes | None


@dataclass(frozen=True)
class Place:
    """The place of this process among `size`, `local` among those of its machine, and where they meet."""

    number: int
    size: int
    local: int
    meeting: str  # a URL of torch

    def join(self, device: torch.device) -> Group:
        """Wait for the others."""
        try:
            store, _, _ = next(distributed.rendezvous(self.meeting, self.number, self.size, timeout=JOIN))
        except (RuntimeError, ValueError, OSError) as error:
            raise MachineError(f"{self.size} processes do not find each other: {_line(error)}") from error
        store.set(f"here/{self.number}", "1")
        return Group(self.number, self.size, store, device)


def place_of(processes: int) -> Place | None:
    """The place that torchrun or Slurm have given to this process; None if it shall start others itself, or none.

    Raises UsageError where they have started another number than `processes`.
    """
    if all(name in os.environ for name in TORCHRUN):
        number, size, local = (_number(name) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
        if processes not in (1, size):
            raise UsageError(f"processes={processes}: torchrun has started {size}; leave it out, or type torchrun "
                             f"--nproc-per-node {processes}")  # fmt: skip
        return Place(number, size, local, "env://") if size > 1 else None
    tasks = _number("SLURM_STEP_NUM_TASKS")
    if processes == 1 or tasks < 2:
        return None
    if tasks != processes:
        raise UsageError(f"processes={processes}: this step of Slurm has {tasks} tasks; type processes={tasks}, or "
                         f"srun --ntasks={processes}")  # fmt: skip
    return Place(_number("SLURM_PROCID"), tasks, _number("SLURM_LOCALID"), _meeting_of_step())


class Processes:
    """The processes of one run, as its first process sees them; `place` is None where it starts the others."""

    def __init__(self, size: int, place: Place | None) -> None:
        self.size, self.place = size, place
        self.ranks: Ranks = ALONE
        self.ordered = False
        self.workers: list[subprocess.Popen[bytes]] = []

    @property
    def here(self) -> int:
        """How many of them share the processors that this process may use."""
        return self.size if self.place is None else 1

    def begin(self, orders: Orders, device: torch.device) -> Ranks:
        """Start the others if need be, tell all what to train, and wait until they have set it up."""
        if self.size == 1:
            return ALONE
        self.ordered = True
        group = self.join(device)
        group.tell(orders)
        group.wait()
        return group

    def join(self, device: torch.device) -> Group:
        """The group of all processes."""
        if not isinstance(self.ranks, Group):
            self.ranks = self._started(device) if self.place is None else self.place.join(device)
        return self.ranks

    @contextmanager
    def named(self, way: str) -> Iterator[None]:
        """Say which process is lost, if one is, and what to type."""
        try:
            yield
        except LostError as error:
            found = self._lost() if self.workers else ""
            raise LostError(f"{found or error}; {way}") from error

    def end(self, code: int) -> None:
        """Let the others end, those that have no orders with this exit code, and leave nothing behind."""
        if self.place is not None and not self.ordered and isinstance(self.ranks, Group):
            with suppress(LostError):
                self.ranks.tell(code)
        if isinstance(self.ranks, Group):
            self.ranks.leave(after_the_others=code == FINISHED)
        self.ranks = ALONE
        deadline = time.monotonic() + (GRACE if code in (FINISHED, USAGE) else 1.0)
        for worker in self.workers:
            try:
                worker.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()

    def _started(self, device: torch.device) -> Group:
        """Start the other processes on this machine, and wait until all are there."""
        store = distributed.TCPStore("localhost", 0, self.size, is_master=True, wait_for_workers=False, timeout=JOIN)
        place = {"WORLD_SIZE": str(self.size), "MASTER_ADDR": "localhost", "MASTER_PORT": str(store.port)}
        command = [sys.executable, "-m", "pinn_cli.runs.follow", device.type]
        for number in range(1, self.size):
            own = {"RANK": str(number), "LOCAL_RANK": str(number)}
            # A session of its own: Ctrl-C reaches this process alone, which tells the others.
            self.workers.append(subprocess.Popen(
                command, env=os.environ | place | own, stdin=subprocess.DEVNULL, start_new_session=True
            ))  # fmt: skip
        while not store.check([f"here/{number}" for number in range(1, self.size)]):
            if ended := self._ended():
                raise TrainingError(f"{ended} before the first step")
            time.sleep(0.02)
        return Group(0, self.size, store, device)

    def _lost(self) -> str:
        """Which process has ended, "" if none has; it may take a moment until the system knows."""
        for _ in range(50):
            if ended := self._ended():
                return ended
            time.sleep(0.02)
        return ""

    def _ended(self) -> str:
        for number, worker in enumerate(self.workers, 1):
            code = worker.poll()
            if code is not None:
                how = f"exit code {code}" if code >= 0 else signal.Signals(-code).name
                out = ", perhaps for lack of memory" if code == -9 else ""
                return f"process {number} of {self.size}, counted from 0, has ended ({how}{out})"
        return ""


@contextmanager
def together_on(config: DictConfig) -> Iterator[Processes]:
    """The processes of a run with these settings, which get their number; all end with the block.

    Raises UsageError for a number that contradicts torchrun or Slurm, and MachineError for one that cannot be.
    """
    place = place_of(config.processes)
    if place is not None:
        config.processes = place.size
    size = config.processes
    _refuse(size, place, str(config.device))
    processes, code = Processes(size, place), FAILED
    try:
        if place is not None:
            processes.join(device_of(str(config.device), place.local))
        yield processes
        code = FINISHED
    except UsageError:
        code = USAGE
        raise
    finally:
        processes.end(code)


def device_of(setting: str, local: int) -> torch.device:
    """The device of the process that is number `local` of its machine."""
    on_gpu = torch.cuda.is_available() and setting.partition(":")[0] in ("auto", "cuda")
    return torch.device(f"cuda:{local}" if on_gpu else "cpu")


def orders(config: DictConfig, problem: str, compiled: bool, checkpoint: bytes | None) -> Orders:
    """Those of a run that is about to begin: all processes have as many threads as this one."""
    settings: Any = OmegaConf.to_container(config, resolve=True)
    return Orders(settings | {"threads": torch.get_num_threads()}, problem, compiled, checkpoint)


def _refuse(size: int, place: Place | None, device: str) -> None:
    """Refuse several processes where torch or the device does not offer them (UsageError)."""
    if size == 1:
        return
    where = f"processes={size}"
    if not distributed.is_available() or not distributed.is_gloo_available():
        raise MachineError(f"{where}: this torch has no backend for several processes (gloo); type processes=1")
    kind, _, index = device.partition(":")
    if kind not in ("auto", "cpu", "cuda"):
        raise UsageError(f"{where}: device={device} has no backend for several processes; type device=cpu")
    if index:
        raise UsageError(f"{where}: device={device} would be that of all; type device=cuda, and each takes its own")
    if device_of(device, 0).type != "cuda":
        return
    if not distributed.is_nccl_available():
        raise MachineError(f"{where}: this torch has no backend for several GPUs (nccl); type device=cpu")
    count = torch.cuda.device_count()
    if (size if place is None else place.local + 1) > count:
        raise MachineError(f"{where}: each needs a GPU, and this machine has {count}; type processes={count}, or "
                           "device=cpu")  # fmt: skip


def _meeting_of_step() -> str:
    """Where the tasks of a step of Slurm meet: on its first node, at a port that follows from the job and the step.

    MASTER_ADDR and MASTER_PORT count more.
    """
    first, count = PORTS
    port = first + (97 * _number("SLURM_JOB_ID") + _number("SLURM_STEP_ID")) % count
    alone = _number("SLURM_STEP_NUM_NODES") == 1
    host = "localhost" if alone else _first_node(os.environ.get("SLURM_STEP_NODELIST", ""))
    return f"tcp://{os.environ.get('MASTER_ADDR', host)}:{os.environ.get('MASTER_PORT', port)}"


def _first_node(names: str) -> str:
    """The first of the nodes that Slurm lists as ``gpu[07-09,12],cpu3``."""
    name, bracket, rest = re.match(r"([^,\[]*)(\[?)([^\]]*)", names).groups()  # type: ignore[union-attr]
    return name + (re.split("[-,]", rest)[0] if bracket else "")


def _number(name: str) -> int:
    """A whole number of the environment; 0 if there is none. Raises UsageError for a text."""
    text = os.environ.get(name, "0")
    if not text.isdecimal():
        raise UsageError(f"the environment has {name}={text}; expected a whole number")
    return int(text)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:160]
