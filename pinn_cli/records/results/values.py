"""Conversion of values and attributes between HDF5 and Python, and HDF5 files in memory."""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import h5py
import numpy as np

from pinn_cli.basics.text import printable
from pinn_cli.records.results import validation
from pinn_cli.records.results.layout import describe

ERRORS = (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError, MemoryError, OverflowError)


@dataclass(frozen=True)
class Noted:
    """A value with attributes of its own: ``Noted(1e-6, {"max_absolute": 3e-6})``."""

    value: Any
    attributes: Mapping[str, Any] = field(default_factory=dict)


def placed(group: h5py.Group, name: str) -> tuple[h5py.Group, str]:
    """The group, created if missing, and the last part of a name; groups keep the order of creation."""
    *parents, leaf = name.split("/")
    for parent in parents:
        group = group.get(parent) or group.create_group(parent, track_order=True)
    return group, leaf


def unfolded(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The values of nested dicts, by names with slashes."""
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from unfolded(value, f"{prefix}{name}/")
        else:
            yield prefix + name, value


def write(file: h5py.File, name: str, value: Any) -> None:
    """Write a dataset with its description; missing groups are created."""
    data = array_of(value)
    group, leaf = placed(file, name)
    dataset = group.create_dataset(leaf, data=data, dtype=h5py.string_dtype() if data.dtype.kind == "O" else None)
    note(dataset, {**describe(name), **(value.attributes if isinstance(value, Noted) else {})})


def note(node: h5py.HLObject, attributes: Mapping[str, Any]) -> None:
    """Set attributes; a dict is stored as JSON."""
    for name, value in attributes.items():
        data = array_of(json.dumps(value) if isinstance(value, Mapping) else "" if value is None else value)
        node.attrs.create(name, data, dtype=h5py.string_dtype() if data.dtype.kind == "O" else None)


def array_of(value: Any) -> np.ndarray:
    """A number, text, array or tensor (on any device) as an array that HDF5 can hold."""
    value = value.value if isinstance(value, Noted) else value
    array = np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
    return array.astype(object) if array.dtype.kind == "U" else array


def datasets(file: h5py.File, name: str) -> dict[str, h5py.Dataset]:
    """The datasets below a group by their names there; a dataset itself under an empty name; {} for no such name."""
    node = validation.find(file, name)
    return {} if node is None else {"": node} if isinstance(node, h5py.Dataset) else dict(validation.datasets(node))


def attribute_of(node: h5py.HLObject, name: str) -> Any:
    """One attribute as a Python value; a text is safe to print."""
    value = python_of(validation.read_attribute(node, name))
    value = printable(value) if isinstance(value, str) else value
    return validation.attribute(name, value) if node.name == "/" else value


def examine(file: h5py.File) -> None:
    """Check every attribute and dataset against the layout. Raises ValueError, or another of `ERRORS`."""
    for node in (file, *(data for _, data in validation.datasets(file))):
        for name in node.attrs:
            attribute_of(node, name)


def value_of(data: h5py.Dataset) -> Any:
    """A dataset as a Python value: a number, text, list of texts, or array."""
    if not h5py.check_string_dtype(data.dtype):
        return python_of(data[()])
    value = python_of(data.asstr()[()])
    if data.name.startswith(("/source/", "/source_before/", "/data")):  # compared character by character
        return value
    return [printable(text) for text in value] if isinstance(value, list) else printable(value)


def python_of(value: Any) -> Any:
    """Scalars become Python numbers and texts, arrays of texts lists; other arrays stay."""
    if isinstance(value, np.ndarray):
        return value.tolist() if value.dtype.kind == "O" else value
    return value.item() if isinstance(value, np.generic) else value


@contextmanager
def new_image() -> Iterator[h5py.File]:
    """An HDF5 file in memory. Its content is written by ordinary Python, so a full disk raises an ordinary error."""
    with h5py.File("image", "w", driver="core", backing_store=False) as file:
        yield file


def content_of(image: h5py.File) -> bytes:
    """The bytes of the file."""
    image.flush()
    return bytes(image.id.get_file_image())


def one_line(error: BaseException) -> str:
    """The system's reason in a long message of HDF5 ("No space left on device"), or the first line of the message."""
    text = str(error.args[0] if error.args else error)
    reason = re.search(r"error message = '([^']*)'", text)
    return reason[1] if reason else text.split("\n")[0]
