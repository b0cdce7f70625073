"""Memory: what is free on a device, what a computation needs, and the refusal of what cannot fit."""

import weakref
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from math import inf
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from pinn_cli.basics.errors import MachineError

T = TypeVar("T")
USABLE = 0.8  # of the free memory: what a process frees does not all go back to the system at once


def free_memory(device: torch.device) -> float | None:
    """Bytes that are free on a device; None if the system does not say."""
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        available = next(1024.0 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
        return min([available, *_left_by_groups(Path("/proc/self/cgroup"), Path("/sys/fs/cgroup"))])
    except (OSError, StopIteration, ValueError):
        return None


def _left_by_groups(own: Path, root: Path) -> Iterator[float]:
    """Bytes left by each limit of the control groups (version 2) of this process: a container or batch job has one.

    Files that the system keeps in memory and can drop (`inactive_file`) do not count as used.
    """
    lines = own.read_text().splitlines() if own.exists() else []
    for path in (line.removeprefix("0::/") for line in lines if line.startswith("0::/")):
        for group in (root / path, *(root / path).parents):
            limit = group / "memory.max"
            if limit.exists() and (most := limit.read_text().strip()) != "max":
                stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
                used = int((group / "memory.current").read_text()) - int(stat.get("inactive_file", 0))
                yield float(max(0, int(most) - used))


def amount(size: float) -> str:
    """Bytes in the unit that suits them: ``64 kB``, ``3.5 MB``, ``327 GB``; two digits or more."""
    scale, unit = next(((scale, unit) for scale, unit in ((1e9, "GB"), (1e6, "MB")) if size >= scale), (1e3, "kB"))
    return f"{size / scale:.0f} {unit}" if size >= 9.95 * scale else f"{size / scale:.1f} {unit}"


class Tally(TorchDispatchMode):
    """Counts the bytes of all tensors that torch makes inside the context: alive `now`, and at the `peak`.

    A view shares the memory of its tensor and counts once. What a kernel allocates for itself alone is not seen.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._sizes: dict[int, int] = {}  # by storage

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """False: torch would import its compiler, which takes longer than a small run."""
        return False

    def __torch_dispatch__(self, func: Callable, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one operation and count what it returns."""
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor):
                self._count(tensor.untyped_storage())
        return out

    def _count(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key not in self._sizes:
            self._sizes[key] = storage.nbytes()
            self.now += storage.nbytes()
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._drop, key)

    def _drop(self, key: int) -> None:
        self.now -= self._sizes.pop(key)


def measured(compute: Callable[[], T]) -> tuple[int, int, T]:
    """Bytes at the peak of a computation, bytes that its result keeps, and the result."""
    with Tally() as tally:
        result = compute()
    return tally.peak, tally.now, result


def refuse_no_memory(gigabytes: float) -> None:
    """Refuse a setting `memory` that leaves room for nothing (ValueError)."""
    if not 0 < gigabytes < inf:
        raise ValueError(f"memory={gigabytes:g}: expected a number of gigabytes above 0, e.g. memory=1")


def refuse_too_many(points: int, values: int, device: torch.device, what: str) -> None:
    """Refuse points that do not fit into the free memory, with `values` numbers of 8 bytes each (MachineError)."""
    needed, free = 8.0 * points * values, free_memory(device)
    if free is not None and needed > USABLE * free:
        raise MachineError(f"{points} points take at least {amount(needed)}, {amount(free)} are free; {what}")


def refuse_too_wide(sizes: Sequence[int]) -> None:
    """Refuse layers of these sizes whose weights, of 8 bytes each, do not fit into the free memory (MachineError)."""
    weights, free = sum(inputs * outputs for inputs, outputs in pairwise(sizes)), free_memory(torch.device("cpu"))
    if free is not None and 8.0 * weights > USABLE * free:
        raise MachineError(
            f"the network's {weights} weights take {amount(8.0 * weights)}, {amount(free)} are free; type a "
            "smaller architecture.width or architecture.depth"
        )
