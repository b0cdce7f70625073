"""What a run needs of the machine: its device, and a folder for compiled code."""

import os
import re

import torch

from pinn_cli.basics.errors import MachineError, UsageError

CACHE = "TORCHINDUCTOR_CACHE_DIR"  # torch reads it


def choose(name: str, dtype: torch.dtype) -> torch.device:
    """The device called `auto`, `cpu`, `cuda`, `cuda:1` ...

    Raises MachineError if there is no such device here, and UsageError if it cannot compute in `dtype`.
    """
    kind = name.partition(":")[0]
    if kind == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    if kind != "cpu":
        _require(name, kind, torch.device(name).index or 0)
    if kind == "mps" and dtype == torch.float64:
        raise UsageError(f"device={name} has no float64; add dtype=float32, or type device=cpu")
    return torch.device("cuda:0" if name == "cuda" else name)


def describe(device: torch.device) -> str:
    """The device as the plan shows it, with its name or its number of threads."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    threads = torch.get_num_threads()
    return f"{device} ({threads} thread{'s' if threads > 1 else ''})" if device.type == "cpu" else str(device)


def notes(device: torch.device, dtype: torch.dtype) -> list[str]:
    """A warning of float64 on a GPU that is likely to be slow in it."""
    if device.type != "cuda" or dtype != torch.float64:
        return []
    name = torch.cuda.get_device_name(device)
    if re.search(r"\b(GH|[ABHPV])\d00", name):  # half as many float64 as float32 operations, or more
        return []
    return [f"{name} is likely to be many times slower in float64 than in float32 (dtype=float32)"]


def _require(name: str, kind: str, index: int) -> None:
    backend = getattr(torch, kind)
    if not backend.is_available():
        raise MachineError(f"device={name}: torch {torch.__version__} finds no such device here; type device=cpu")
    if index >= backend.device_count():
        raise MachineError(f"device={name}: there are {backend.device_count()}, counted from 0; type device={kind}:0")


def check_cache() -> None:
    """Refuse a folder for compiled code that cannot be made: torch makes it at its first use (MachineError)."""
    place = os.environ.get(CACHE)
    try:
        os.makedirs(place or ".", exist_ok=True)
    except OSError as error:
        raise MachineError(f"{CACHE}={place} cannot be written ({error.strerror}); type unset {CACHE}") from None
