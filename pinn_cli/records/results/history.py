"""Columns of the history and records of diagnostics: append, cut back, read the last number."""

from collections.abc import Mapping, Sequence
from typing import Any

import h5py
import numpy as np

from pinn_cli.records.results import validation
from pinn_cli.records.results.layout import describe
from pinn_cli.records.results.values import datasets, note, placed

WHOLE_NUMBERS = {"step", "stage", "underway"}  # columns stored as int64 (-1: none); all others are float64 (NaN: none)
CHUNK = 1024  # rows: large enough that a column's index stays one node, hence one write, up to 65,536 rows
TAIL = 64  # rows at the end of a column in which its last number is searched first


def complete_rows(columns: Mapping[str, h5py.Dataset]) -> int:
    """The number of complete rows. Only an interrupted append makes the lengths of columns differ."""
    return min((len(column) for column in columns.values()), default=0)


def last_numbers(history: h5py.Group, *names: str) -> dict[str, Any]:
    """The last number of each of these columns, or of all columns of a group; columns without a number are left out."""
    columns = {key or name: data for name in names for key, data in datasets(history, name).items()}
    known = {name: _numbers(data[-TAIL:]) or _numbers(data[:]) for name, data in columns.items()}
    return {name: numbers[-1] for name, numbers in known.items() if numbers}


def _numbers(values: np.ndarray) -> list[Any]:
    return list(values[values == values].tolist())


def add_rows(history: h5py.Group, rows: Sequence[Mapping[str, float]]) -> None:
    """Append rows. A value that a row lacks is NaN, or -1 in whole numbers, also in the rows before a new name."""
    columns = validation.columns(history)
    start = complete_rows(columns)
    for name in dict.fromkeys([*columns, *(name for row in rows for name in row)]):
        missing = -1 if name in WHOLE_NUMBERS else np.nan
        values = [row.get(name, missing) for row in rows]
        if name in columns:
            columns[name].resize((start + len(rows),))
            columns[name][start:] = values
        else:
            kind = np.int64 if name in WHOLE_NUMBERS else np.float64
            data = np.array([missing] * start + values, kind)
            group, leaf = placed(history, name)
            column = group.create_dataset(leaf, data=data, maxshape=(None,), chunks=(CHUNK,), fillvalue=missing)
            note(column, describe(f"history/{name}"))
    history.file.flush()  # while the columns are open: a failed write is an error here, and a crash when they close


def cut_rows(columns: Mapping[str, h5py.Dataset], step: int) -> None:
    """Keep the rows up to `step`."""
    rows = complete_rows(columns)
    keep = int((columns["step"][:rows] <= step).sum()) if columns else 0
    for column in columns.values():
        column.resize((keep,))


def cut_records(records: h5py.Group, step: int) -> None:
    """Keep the records of one diagnostic up to `step`; they are in order."""
    keep = int((records["step"][:] <= step).sum())
    for name, data in dict(validation.datasets(records)).items():
        values, attributes = data[:keep], dict(data.attrs)
        del records[name]
        note(records.create_dataset(name, data=values), attributes)
