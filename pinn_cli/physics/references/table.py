"""Reference values or measurements from a file."""

from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

import h5py
import numpy as np
import torch
from torch import Tensor

from pinn_cli.basics.errors import MachineError, UsageError
from pinn_cli.physics.references.delimited import Text, read_delimited


class Columns(dict[str, Any]):
    """Arrays by column name, and the `path` of the file that holds them.

    A column of text that is not all numbers is a `Text`, which matters only if it is asked for. `lines` are the numbers
    of the lines of its rows.
    """

    def __init__(self, columns: Mapping[str, Any], path: str | Path, lines: Sequence[int] = ()) -> None:
        super().__init__(columns)
        self.path, self.lines = path, lines


class Table:
    """Columns of a CSV, NPZ or HDF5 file, one per coordinate and per known field, all of N values.

    Gridded data is understood as well: axes x (n,), t (m,) and a field (n, m), axes in the order of the coordinates.
    `error` is the relative error that the author of the table claims. The prediction is compared at the points of the
    table, `at` (N, D).

    Raises UsageError, naming the file, for a missing column, a shape that does not fit, a value that is no number.
    """

    def __init__(
        self, path: str | Path, coordinates: tuple[str, ...], fields: tuple[str, ...], error: float = float("nan")
    ) -> None:
        self.path, self.fields, self.error = path, fields, error
        columns = read_table(path)
        if missing := [name for name in (*coordinates, *fields) if name not in columns]:
            raise UsageError(f"{path}: no column {', '.join(missing)}; found {', '.join(columns)}.")
        refuse_text({name: columns[name] for name in (*coordinates, *fields)}, path)
        flat = self._flat({c: columns[c] for c in coordinates}, {f: columns[f] for f in fields})
        self.at: Tensor = torch.stack([flat[c] for c in coordinates], 1)
        self.values = {f: flat[f] for f in fields}

    def __call__(self, X: Tensor) -> dict[str, Tensor]:
        """The columns (N,) by field; X must be `at`, to single precision. Raises ValueError for other points."""
        if X.shape != self.at.shape or not torch.allclose(X.to(self.at), self.at, rtol=1e-6, atol=1e-6):
            raise ValueError(f"{self.path} is known at its own {len(self.at)} points only: ask at `reference.at`.")
        return {name: value.to(X) for name, value in self.values.items()}

    def _flat(self, axes: dict[str, np.ndarray], fields: dict[str, np.ndarray]) -> dict[str, Tensor]:
        """Every column (N,), float64, in the order of the points."""
        grid = tuple(axis.size for axis in axes.values())
        one_dimensional = all(axis.ndim == 1 for axis in axes.values())
        if len(axes) > 1 and one_dimensional and all(field.shape == grid for field in fields.values()):
            axes = dict(zip(axes, np.meshgrid(*axes.values(), indexing="ij"), strict=True))
        shapes = {array.shape for array in (axes | fields).values()}
        if len(shapes) > 1 or () in shapes:
            raise UsageError(
                f"{self.path}: shapes {sorted(shapes)}; expected equal columns, or fields on a grid {grid}."
            )
        refuse_non_numbers(axes | fields, self.path)
        return {name: torch.from_numpy(a.astype(np.float64).ravel()) for name, a in (axes | fields).items()}


def refuse_non_numbers(columns: Mapping[str, Any], where: object) -> None:
    """Refuse a column with a value that is no finite number, naming the first such row (UsageError).

    A masked value is none.
    """
    refuse_text(columns, where)
    for name, column in columns.items():
        values = np.ma.asarray(column).ravel()
        masked = np.ma.getmaskarray(values)
        for row, value in enumerate(values.data.tolist()):
            if not masked[row] and (not isinstance(value, int | float) or not isfinite(value)):
                raise UsageError(f"{where}: {place_of(columns, row)}: {name} is `{value}`; expected a finite number")


def refuse_text(columns: Mapping[str, Any], where: object) -> None:
    """Refuse a column of a text file that is not all numbers, naming the first such line (UsageError)."""
    for name, column in columns.items():
        if isinstance(column, Text):
            raise UsageError(f"{where}: {column.fault(name)}")


def place_of(columns: Mapping[str, Any], row: int) -> str:
    """Where a row, counted from 0, is: its line in a text file, or its number from 1 on."""
    lines = getattr(columns, "lines", ())
    return f"line {lines[row]}" if lines else f"row {row + 1}"


def read_table(path: str | Path) -> Columns:
    """Arrays by column name. Raises UsageError if the file is missing, unreadable, or of an unknown kind."""
    suffix = Path(path).suffix.lower()
    if suffix not in READERS:
        hint = "; in the spreadsheet choose Save As, CSV UTF-8" if suffix in (".xlsx", ".xls", ".ods") else ""
        raise UsageError(f"{path}: kind {suffix or 'unknown'}; expected one of {', '.join(READERS)}{hint}.")
    if not Path(path).is_file():
        raise MachineError(f"{path}: no such file (looked from {Path.cwd()}).")
    try:
        columns = READERS[suffix](Path(path))
    except Exception as error:  # each reader raises errors of its own
        raise UsageError(f"{path}: cannot be read as {suffix}: {error}") from error
    return Columns(columns, path, getattr(columns, "lines", ()))


def _text(path: Path) -> Columns:
    columns, lines = read_delimited(path)
    return Columns(columns, path, lines)


def _npz(path: Path) -> dict[str, np.ndarray]:
    if not is_zipfile(path):
        raise ValueError("it is no NPZ file; expected one of numpy.savez")
    with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
        return dict(file)


def _hdf5(path: Path) -> dict[str, np.ndarray]:
    with h5py.File(path, "r", locking=False) as file:
        return {name: item[()] for name, item in file.items() if isinstance(item, h5py.Dataset)}


def _parquet(path: Path) -> dict[str, np.ndarray]:
    try:
        import pandas
    except ImportError:
        raise ValueError("it needs pandas and pyarrow; type pip install pandas pyarrow, or save it as CSV") from None
    return {str(name): column.to_numpy() for name, column in pandas.read_parquet(path).items()}


READERS: dict[str, Callable[[Path], Mapping[str, Any]]] = {
    ".csv": _text,
    ".tsv": _text,
    ".txt": _text,
    ".npz": _npz,
    ".h5": _hdf5,
    ".hdf5": _hdf5,
    ".parquet": _parquet,
}
