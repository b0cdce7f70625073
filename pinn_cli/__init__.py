"""pinn: a runner for physics-informed neural networks.

`pinn_cli.conf` and `pinn_cli.problems` are the folders `conf/` and `problems/` of the project. In a wheel they lie
inside this package; in a checkout they lie beside it, and the parent folder is searched too.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pinn_cli.runs.load import Prediction

__version__ = "0.1.0"
__all__ = ["__version__", "load"]

# HDF5 obeys this variable more than the caller who asks for no locks, and reads it once, when h5py is imported.
os.environ["HDF5_USE_FILE_LOCKING"] = "FALSE"

_here = Path(__file__).resolve().parent
if not (_here / "conf").is_dir():
    __path__.append(str(_here.parent))


def load(run: str | Path = "latest", trust_source: bool = False, device: str = "cpu") -> Prediction:
    """The network of a run as a function: ``u = load("helmholtz"); u(x=0.3, y=[0, 0.5], derivatives=["u", "u_x"])``.

    `run` is a path or any other name of a run: the unique beginning of its folder's name, ``latest``, ``SWEEP/17``.
    Raises UsageError if there is no such run, if its file is damaged, or if the problem's source has changed since
    (unless `trust_source`), showing the difference.
    """
    from pinn_cli.runs.load import load as load_folder  # imports torch
    from pinn_cli.studies.find import find

    return load_folder(find(str(run)), trust_source, device)
