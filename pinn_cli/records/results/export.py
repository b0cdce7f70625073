"""Files that hold no run of their own: arrays by name, and several runs together."""

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
    """Arrays by name into an HDF5 file of their own, which is no run's. Raises UsageError if it cannot be written."""
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
    """One file with `arrays` and, below runs/<name>, these groups of several runs as they lie in their own files.

    Returns why runs were left out, by name. Raises UsageError if `path` holds something
    else than an earlier collection, and TrainingError if it cannot be written.
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
    """The attributes of a run and these groups; a history takes the room of its rows, and not of those to come."""
    image.pop(place, None)  # of an attempt that failed
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
    """As they are stored: thousands of them would take seconds the long way."""
    for name in source.attrs:
        old = h5py.h5a.open(source.id, name.encode())
        value = np.empty(old.shape, old.dtype)
        old.read(value)
        h5py.h5a.create(target.id, name.encode(), old.get_type(), old.get_space()).write(value)


def _refuse_other(path: Path) -> None:
    """Raises UsageError if there is a file that is no collection: nothing else is ever overwritten."""
    if not path.exists():
        return
    if path.is_file():  # a pipe would be waited for
        with suppress(*ERRORS), h5py.File(path, "r", locking=False) as file:
            if file.attrs.get("format") == COLLECTION:
                return
    raise UsageError(f"{path} holds something else than a collection; type another --out")
