"""What fits the memory that is free: asked before anything is made of it."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import torch

from pinn_cli.basics.errors import MachineError


def free_memory(device: torch.device) -> float | None:
    """Bytes that are free on a device; None if the system does not say."""
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(1024.0 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration, ValueError):
        return None


def refuse_too_many(points: int, values: int, device: torch.device, what: str) -> None:
    """Refuse points that do not fit the memory that is free, at `values` numbers of 8 bytes a point (MachineError)."""
    needed, free = 8.0 * points * values, free_memory(device)
    if free is not None and needed > 0.9 * free:
        sizes = f"{needed / 1e9:.2g} GB, and {free / 1e9:.2g} GB are free"
        raise MachineError(f"{points} points take at least {sizes}; {what}")


def refuse_too_wide(sizes: Sequence[int]) -> None:
    """Refuse layers of these sizes whose weights, of 8 bytes each, do not fit the free memory (MachineError)."""
    weights, free = sum(inputs * outputs for inputs, outputs in pairwise(sizes)), free_memory(torch.device("cpu"))
    if free is not None and 8.0 * weights > 0.9 * free:
        raise MachineError(
            f"the network's {weights} weights take {8e-9 * weights:.2g} GB, and {free / 1e9:.2g} GB are free; type a "
            "smaller architecture.width or architecture.depth"
        )
