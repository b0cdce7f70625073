"""What a results file says of where it comes from."""

import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from pinn_cli import __version__

LIBRARIES = ("torch", "numpy", "h5py", "hydra-core")


def provenance(config: Mapping[str, Any], problem: str, device: torch.device) -> dict[str, Any]:
    """Attributes of a new run: what it is, on what it runs, with which versions, started when and how."""
    return {
        "pinn_version": __version__,
        "problem": problem,
        "status": "running",
        "seed": config["seed"],
        "device": str(device),
        "dtype": config["dtype"],
        "threads": torch.get_num_threads(),
        "machine": f"{platform.node()}, {_processor()}",
        "versions": {"python": platform.python_version()} | {name: _version(name) for name in LIBRARIES},
        "commit": _commit(),
        "started": now(),
        "command": shlex.join(["pinn", "train", *sys.argv[1:]]),
    }


def now() -> str:
    """The time, to the second, with its zone."""
    return datetime.now().astimezone().isoformat(timespec="seconds")


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return "unknown"


def _processor() -> str:
    """The model of the CPU: bit-for-bit resume is promised for the same one."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _commit() -> str:
    """The commit of the checkout pinn runs from, `+` if it has been changed; empty for an installed package."""
    root = Path(__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return ""
    try:
        found = [_git(root, "rev-parse", "--short=12", "HEAD"), _git(root, "status", "--porcelain", "-uno")]
    except (OSError, subprocess.SubprocessError):
        return ""
    return found[0] + ("+" if found[1] else "")


def _git(root: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=True, timeout=5)
    return done.stdout.strip()
