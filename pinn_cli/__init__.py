"""pinn: a runner for physics-informed neural networks.

`pinn_cli.conf` and `pinn_cli.problems` are the folders `conf/` and `problems/` of the project. In a wheel they lie
inside this package; in a checkout they lie beside it, and the parent folder is searched too.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pinn_cli.runs.load import load as load

__version__ = "0.1.0"
__all__ = ["__version__", "load"]

# HDF5 obeys this variable more than the caller who asks for no locks, and reads it once, when h5py is imported.
os.environ["HDF5_USE_FILE_LOCKING"] = "FALSE"

_here = Path(__file__).resolve().parent
if not (_here / "conf").is_dir():
    __path__.append(str(_here.parent))


def __getattr__(name: str) -> Any:
    """Import `load` when it is asked for: `import pinn_cli` alone does not import torch."""
    if name == "load":
        from pinn_cli.runs.load import load

        return load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
