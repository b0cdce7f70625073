"""Provenance: the attributes of a results file that say what made it, where, when and how."""

import hashlib
import json
import platform
import shlex
from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pinn_cli import __version__
from pinn_cli.basics.checkout import commit
from pinn_cli.records.status import Status

if TYPE_CHECKING:
    import torch

LIBRARIES = ("torch", "numpy", "h5py", "hydra-core")


def provenance(
    config: Mapping[str, Any], problem: str, device: "torch.device", words: Sequence[str]
) -> dict[str, Any]:
    """Attributes of a new run of `pinn train WORDS`: what it is, its device, its versions, when it started."""
    return {
        "pinn_version": __version__,
        "problem": problem,
        "status": Status.RUNNING,
        "seed": config["seed"],
        "dtype": config["dtype"],
        **surroundings(device),
        "started": now(),
        "command": shlex.join(["pinn", "train", *words]),
    }


def surroundings(device: "torch.device") -> dict[str, Any]:
    """Where and with what a process trains: these attributes may differ after a resume."""
    import torch  # more than a second, which the submission of a sweep does not need

    gpu = f", {torch.cuda.get_device_name(device)}" if device.type == "cuda" else ""
    return {
        "device": str(device),
        "threads": torch.get_num_threads(),
        "machine": f"{platform.node()}, {_processor()}{gpu}",
        "versions": {"python": platform.python_version()} | {name: _version(name) for name in LIBRARIES},
        "commit": commit(),
    }


def short_hash(sources: Mapping[str, str], data: Mapping[str, str] | None = None) -> str:
    """The attribute `source`: eight hexadecimal digits for these texts by module and SHA-256 sums by data file."""
    content = json.dumps([sorted(sources.items()), sorted((data or {}).items())])
    return hashlib.sha256(content.encode()).hexdigest()[:8]


def inputs_hash(coefficients: Mapping[str, float], *arrays: "torch.Tensor") -> str:
    """The attribute `inputs`: eight hexadecimal digits for coefficients and arrays, in single precision.

    The arrays are measurements and the numbers that coefficient fields are made of.

    They may come from an environment variable or a random number, which neither settings nor files tell. Single
    precision, because the last digits of a computed number depend on the processor.
    """
    import torch

    known = torch.tensor(list(coefficients.values()), dtype=torch.float64, device="cpu").float().tolist()
    content = json.dumps(sorted(zip(coefficients, known, strict=True))).encode()
    content += b"".join(array.detach().cpu().float().numpy().tobytes() for array in arrays)
    return hashlib.sha256(content).hexdigest()[:8]


def now() -> str:
    """The time, to the second, with its zone."""
    return datetime.now().astimezone().isoformat(timespec="seconds")


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return "unknown"


def _processor() -> str:
    """The model of the CPU: a resume is bit for bit the same on the same model only."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
