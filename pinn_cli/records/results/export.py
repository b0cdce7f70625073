"""HDF5 files that are not the file of one run: arrays by name, and several runs in one file."""

from collections.abc import Collection, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from pinn_cli.basics import files as atomic
from pinn_cli.basics.errors import UsageError
from pinn_cli.records.results import validation
from pinn_cli.records.results.file import Results
from pinn_cli.records.results.history import complete_rows
from pinn_cli.records.results.values import ERRORS, content_of, new_image, note, placed, write

COLLECTION = "pinn-collection 1"


def export(path: str | Path, arrays: Mapping[str, Any]) -> None:
    """Write arrays by name to an HDF5 file of their own. Raises UsageError if it cannot be written."""
    with new_image() as image:
        for name, value in arrays.items():
            write(image, name, value)
        content = content_of(image)
    try:
        Path(path).write_bytes(content)
    except OSError as error:
        raise UsageError(f"cannot write {path} ({error.strerror}); type another --out") from error


def collect(
    path: Path, attributes: Mapping[str, Any], arrays: Mapping[str, Any],
    runs: Mapping[str, Results], groups: Collection[str],
) -> dict[str, str]:
    """Write one file with `arrays` and, below runs/<name>, these groups of each run.

    Returns by name why runs were left out. Raises UsageError if `path` exists and is not a collection, and
    TrainingError if it cannot be written.
    """
    _refuse_other(path)
    left_out = {}
    with new_image() as image:
        note(image, {"format": COLLECTION, **attributes})
        for name, value in arrays.items():
            write(image, name, value)
        for name, run in runs.items():
            try:
                run.look(partial(_copy, image=image, place=f"runs/{name}", groups=groups))
            except UsageError as error:
                left_out[name] = str(error)
                image.pop(f"runs/{name}", None)
        atomic.write(path, content_of(image))
    return left_out


def _copy(file: h5py.File, image: h5py.File, place: str, groups: Collection[str]) -> None:
    """Copy the attributes of a run and these groups; the copy of the history has no room for further rows."""
    image.pop(place, None)  # from a failed attempt
    for name in file:
        validation.find(file, name)
    there = {name: node for name in groups if isinstance(node := file.get(name), h5py.Group)}
    columns = validation.columns(there.pop("history")) if "history" in there else {}
    for node in there.values():
        for _ in validation.datasets(node):
            pass
    file.copy(file["/"], image, place, shallow=True)
    target = image[place]
    for name in list(target):
        if isinstance(target[name], h5py.Group) or name not in groups:
            del target[name]
    rows = complete_rows(columns)
    for name, data in columns.items():
        group, leaf = placed(target, f"history/{name}")
        _copy_attributes(data, group.create_dataset(leaf, data=data[:rows]))
    for name, node in there.items():
        file.copy(node, target, name)


def _copy_attributes(source: h5py.Dataset, target: h5py.Dataset) -> None:
    """Copy attributes as they are stored; converting thousands of them to Python takes seconds."""
    for name in source.attrs:
        old = h5py.h5a.open(source.id, name.encode())
        value = np.empty(old.shape, old.dtype)
        old.read(value)
        h5py.h5a.create(target.id, name.encode(), old.get_type(), old.get_space()).write(value)


def _refuse_other(path: Path) -> None:
    """Raises UsageError if `path` exists and is not a collection: nothing else is overwritten."""
    if not path.exists():
        return
    if path.is_file():  # opening a pipe would block
        with suppress(*ERRORS), h5py.File(path, "r", locking=False) as file:
            if file.attrs.get("format") == COLLECTION:
                return
    raise UsageError(f"{path} is not a collection of runs; type another --out")
