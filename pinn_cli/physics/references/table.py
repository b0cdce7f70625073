"""Reference values from a file: somebody's solution, or measurements."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor

from pinn_cli.basics.errors import UsageError


class Table:
    """Columns of a CSV, NPZ or HDF5 file, one per coordinate and per field known, all of N values.

    Gridded data is understood as well: axes x (n,), t (m,) and a field (n, m), axes in the order of the coordinates.
    `error` is what the table's author claims for it; the prediction is compared at the table's own points `at` (N, D).

    Errors: UsageError, naming the file, for a missing column, a shape that does not fit, a value that is no number.
    """

    def __init__(
        self, path: str | Path, coordinates: tuple[str, ...], fields: tuple[str, ...], error: float = float("nan")
    ) -> None:
        self.path, self.fields, self.error = path, fields, error
        columns = read_table(path)
        if missing := [name for name in (*coordinates, *fields) if name not in columns]:
            raise UsageError(f"{path}: no column {', '.join(missing)}; found {', '.join(columns)}.")
        points, values = self._flat([columns[c] for c in coordinates], [columns[f] for f in fields])
        self.at: Tensor = torch.stack(points, 1)
        self.values = dict(zip(fields, values, strict=True))

    def __call__(self, X: Tensor) -> dict[str, Tensor]:
        """The columns (N,) by field; X must be `at`, to single precision. Errors: ValueError for other points."""
        if X.shape != self.at.shape or not torch.allclose(X.to(self.at), self.at, rtol=1e-6, atol=1e-6):
            raise ValueError(f"{self.path} is known at its own {len(self.at)} points only: ask at `reference.at`.")
        return {name: value.to(X) for name, value in self.values.items()}

    def _flat(self, axes: list[np.ndarray], fields: list[np.ndarray]) -> tuple[list[Tensor], list[Tensor]]:
        grid = tuple(axis.size for axis in axes)
        if len(axes) > 1 and all(axis.ndim == 1 for axis in axes) and all(field.shape == grid for field in fields):
            axes = list(np.meshgrid(*axes, indexing="ij"))
        shapes = {array.shape for array in (*axes, *fields)}
        if len(shapes) > 1 or () in shapes:
            raise UsageError(
                f"{self.path}: shapes {sorted(shapes)}; expected equal columns, or fields on a grid {grid}."
            )
        flat = [self._numbers(array) for array in (*axes, *fields)]
        return flat[: len(axes)], flat[len(axes) :]

    def _numbers(self, column: np.ndarray) -> Tensor:
        if not np.issubdtype(column.dtype, np.number) or not np.isfinite(column).all():
            raise UsageError(f"{self.path}: a column holds something that is not a finite number.")
        return torch.from_numpy(column.astype(np.float64).ravel())


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
