"""Columns by name from a CSV, NPZ or HDF5 file of somebody else's.

Beside ``results.py``, which owns the runs' own files, this is the only module that may import h5py: it reads foreign
data, never writes, and knows nothing of a run's layout.
"""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

from pinn_cli.basics.errors import UsageError


def read_table(path: str | Path) -> dict[str, np.ndarray]:
    """Arrays by column name. Errors: UsageError if the file is missing, unreadable, or of an unknown kind."""
    suffix = Path(path).suffix.lower()
    if suffix not in READERS:
        raise UsageError(f"{path}: kind {suffix or 'unknown'}; expected one of {', '.join(READERS)}.")
    if not Path(path).is_file():
        raise UsageError(f"{path}: no such file (looked from {Path.cwd()}).")
    try:
        return READERS[suffix](Path(path))
    except Exception as error:  # each reader has its own; the person needs one line
        raise UsageError(f"{path}: cannot be read as {suffix}: {error}") from error


def _csv(path: Path) -> dict[str, np.ndarray]:
    """First line the column names, comma-separated; lines that begin with # are comments."""
    lines = [line for line in path.read_text().splitlines() if line.strip() and not line.startswith("#")]
    names = [name.strip() for name in lines[0].split(",")]
    values = np.loadtxt(lines[1:], delimiter=",", ndmin=2)
    if values.shape[1] != len(names):
        raise ValueError(f"{len(names)} names for {values.shape[1]} columns")
    return dict(zip(names, values.T, strict=True))


def _npz(path: Path) -> dict[str, np.ndarray]:
    with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
        return dict(file)


def _hdf5(path: Path) -> dict[str, np.ndarray]:
    with h5py.File(path, "r", locking=False) as file:
        return {name: item[()] for name, item in file.items() if isinstance(item, h5py.Dataset)}


READERS: dict[str, Callable[[Path], dict[str, np.ndarray]]] = {
    ".csv": _csv,
    ".npz": _npz,
    ".h5": _hdf5,
    ".hdf5": _hdf5,
}
