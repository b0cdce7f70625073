"""The processes that train one run: each has its share of the points, and all know the sums over all points.

    sum over the points = sum over the processes of the sum over their points

All hold the same parameters, draw the same points and take the same steps. What comes out of a sum is the same number
in each of them, so that line searches, dampings and stops agree without further talk. What only one can know, the time
and the measured error, is decided by the first process for all.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor
from torch import distributed as torch_distributed

from pinn_cli.basics.errors import TrainingError
from pinn_cli.basics.signals import Interrupted, Interruption

PATIENCE = timedelta(days=1)  # of those that wait while the first one measures
GRACE = timedelta(seconds=10)  # that the first one waits until the others have left
BITS = {2: torch.int16, 4: torch.int32, 8: torch.int64}  # integers as long as a number of so many bytes


class LostError(TrainingError):
    """Another process of the run has ended, or cannot be reached."""


class Ranks:
    """The processes of a run, of which this is `number`, counted from 0, among `size`. By default it is alone."""

    def __init__(self, number: int = 0, size: int = 1) -> None:
        self.number, self.size = number, size

    def share(self, length: int) -> slice:
        """Which of so many points, rows or columns belong to this process: as many as to any other, or one more."""
        return slice(length * self.number // self.size, length * (self.number + 1) // self.size)

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum over the processes, in place; in all of them the same bits. The tensor is contiguous."""
        return tensor

    def whole(self, own: Tensor) -> Tensor:
        """A tensor (n,) with the entries of all processes; `own` (n,) has those of this one, and 0 elsewhere."""
        return own

    def decided(self, decision: Any, told: bool, parameters: Iterable[Tensor]) -> tuple[Any, bool]:
        """The decision of the first process, None or a plain value, and whether any process was told to stop.

        Raises TrainingError if the parameters are not the same in all of them.
        """
        return decision, told

    def watch(self, interruption: Interruption) -> Callable[[], None]:
        """What raises Interrupted once the run was told to stop: in all processes at the same call, or in none."""
        return interruption.check


ALONE = Ranks()


class Group(Ranks):
    """Several processes, joined by torch: tensors on the CPU go by gloo, and if `device` is a GPU, those there by nccl.

    Every method is called by all of them, in the same order. Raises LostError where one of them has ended: a killed
    process is noticed at once, as its connection closes.
    """

    def __init__(self, number: int, size: int, store: Any, device: torch.device) -> None:
        super().__init__(number, size)
        self._store = store
        self._told: Callable[[], bool] | None = None
        self._stopping = False  # whether one was told to stop, as all know since the same sum
        backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
        if device.type == "cuda":
            torch.cuda.set_device(device)
        with _talking():
            torch_distributed.init_process_group(backend, store=store, rank=number, world_size=size)
            self._talk = torch_distributed.new_group(backend="gloo", timeout=PATIENCE)

    def leave(self, after_the_others: bool = False) -> None:
        """End the connection to the others; may be called when one of them is lost.

        The first process leaves `after_the_others` where all is well, because gloo may abort one that is still there.
        """
        if after_the_others:
            with suppress(RuntimeError):
                self._store.wait([f"left/{number}" for number in range(self.size) if number != self.number], GRACE)
        torch_distributed.destroy_process_group()
        if not after_the_others:
            with suppress(RuntimeError):
                self._store.set(f"left/{self.number}", "1")

    def sum(self, tensor: Tensor) -> Tensor:
        with _talking():
            torch_distributed.all_reduce(tensor)
        return tensor

    def whole(self, own: Tensor) -> Tensor:
        if self._told is None:
            return self.sum(own)
        sent = self.sum(torch.cat([own, own.new_full((1,), float(self._told()))]))
        self._stopping = self._stopping or bool(sent[-1] > 0)
        return sent[:-1]

    def wait(self) -> None:
        """Wait until all have come so far."""
        self.sum(torch.zeros(1, device="cpu"))

    def tell(self, message: Any = None) -> Any:
        """The message of the first process, to all: plain values and tensors on the CPU."""
        said = [message]
        with _talking():
            torch_distributed.broadcast_object_list(said, src=0, group=self._talk)
        return said[0]

    def decided(self, decision: Any, told: bool, parameters: Iterable[Tensor]) -> tuple[Any, bool]:
        own = torch.tensor([decision is not None, told, _digest(parameters)], dtype=torch.int64, device="cpu")
        votes = [torch.empty_like(own) for _ in range(self.size)]
        with _talking():
            torch_distributed.all_gather(votes, own, group=self._talk)
        if len({int(vote[2]) for vote in votes}) > 1:
            raise TrainingError(
                f"the {self.size} processes have come to different parameters; let all run on machines of one kind, "
                "with the same versions and number of threads"
            )
        ends = bool(votes[0][0])
        return self.tell(decision) if ends else None, any(bool(vote[1]) for vote in votes)

    def watch(self, interruption: Interruption) -> Callable[[], None]:
        def check() -> None:
            if self._stopping:
                raise Interrupted("one of the processes was told to stop")

        self._told, self._stopping = lambda: bool(interruption), False
        return check


def _digest(parameters: Iterable[Tensor]) -> int:
    """A whole number that nearly always differs where parameters differ in a bit."""
    bits = [p.detach().view(BITS[p.element_size()]).sum(dtype=torch.int64) for p in parameters]
    return int(torch.stack(bits).sum())


@contextmanager
def _talking() -> Iterator[None]:
    """Whatever torch says where a process is not there any more becomes a LostError."""
    try:
        yield
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:120]
        raise LostError(f"another process of this run has ended, or cannot be reached ({reason})") from error
