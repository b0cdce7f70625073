"""Checks of a results file before it is used: it may be damaged, or come from another person.

A link, or data that lie in another file, are refused: a row appended there would be written elsewhere. Values must be
of the kind and the number of axes that the layout says, and not larger than the file. Every function raises ValueError
that says what is wrong.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

import h5py

from pinn_cli.records.results import layout
from pinn_cli.records.status import WRITTEN

SPARE = 1 << 20  # bytes that may be missing: columns are made longer before they are filled
LONGEST = 1 << 16  # characters of an attribute
PLAIN = (h5py.h5t.TypeStringID, h5py.h5t.TypeIntegerID, h5py.h5t.TypeFloatID, h5py.h5t.TypeEnumID)
KINDS = {layout.TEXT: "O", layout.INTEGER: "iu", layout.NUMBER: "biuf"}  # as numpy calls them
ACCEPTS: dict[str, Callable[[Any], bool]] = {  # by the kind of an attribute
    layout.TEXT: lambda value: isinstance(value, str),
    layout.INTEGER: lambda value: isinstance(value, int),
    layout.STATUS: lambda value: value in WRITTEN,
    layout.JSON: lambda value: isinstance(json.loads(value), dict),
    layout.THREADS: lambda value: isinstance(value, int) and 0 < value <= 4096,
}


def datasets(group: h5py.Group, prefix: str = "") -> Iterator[tuple[str, h5py.Dataset]]:
    """Every dataset below a group with its name relative to it, each one checked."""
    for name in group:
        node = _member(group, name)
        if isinstance(node, h5py.Dataset):
            yield prefix + name, checked(node)
        else:
            yield from datasets(node, f"{prefix}{name}/")


def find(group: h5py.Group, name: str) -> h5py.Group | h5py.Dataset | None:
    """The group or dataset of a name like ``history/loss/pde``, checked, or None."""
    node: Any = group
    for part in name.strip("/").split("/") if name.strip("/") else ():
        if not isinstance(node, h5py.Group) or part not in node:
            return None
        node = _member(node, part)
    return checked(node) if isinstance(node, h5py.Dataset) else node


def checked(data: h5py.Dataset) -> h5py.Dataset:
    """A dataset whose values may be read, and appended to."""
    name, plan = data.name.strip("/"), data.id.get_create_plist()
    if plan.get_external_count() or plan.get_layout() == h5py.h5d.VIRTUAL:
        raise ValueError(f"{name} lies in another file")
    if data.shape is None:
        raise ValueError(f"{name} is empty")
    if data.nbytes > data.file.id.get_filesize() + SPARE:
        raise ValueError(f"{name} of shape {data.shape} is larger than the file")
    expected = layout.entry(name)
    kind = "O" if h5py.check_string_dtype(data.dtype) else data.dtype.kind.replace("O", "")
    if expected is not None and not (kind and kind in KINDS[expected.kind] and _has_axes(data.shape, expected.axes)):
        raise ValueError(f"{name} is of type {data.dtype} and shape {data.shape}")
    return data


def read_attribute(node: h5py.HLObject, name: str) -> Any:
    """An attribute as h5py has it, if it is a text or numbers and its name can be printed."""
    if not name.isprintable() or not isinstance(h5py.h5a.open(node.id, name.encode()).get_type(), PLAIN):
        raise ValueError(f"attribute {name!r} of {node.name} is neither text nor number")
    return node.attrs[name]


def attribute(name: str, value: Any) -> Any:
    """An attribute of the file, if its value is of the kind that the layout says, and no text of several lines."""
    kind, _ = layout.ATTRIBUTES.get(name, (None, ""))
    too_long = isinstance(value, str) and len(value) > LONGEST
    if too_long or (kind is not None and not ACCEPTS[kind](value)) or (name == "problem" and not value.isprintable()):
        raise ValueError(f"attribute {name} is {str(value)[:40]!r}")
    return value


def columns(history: h5py.Group) -> dict[str, h5py.Dataset]:
    """The columns of a history by name; if there are any, one of them counts steps."""
    columns = dict(datasets(history))
    if columns and "step" not in columns:
        raise ValueError("history/step is missing")
    return columns


def _has_axes(shape: tuple[int, ...], axes: tuple[str, ...]) -> bool:
    return len(shape) >= len(axes) - 1 if axes[-1:] == ("...",) else len(shape) == len(axes)


def _member(group: h5py.Group, name: str) -> h5py.Group | h5py.Dataset:
    """What a group itself, and not a link, holds under a name that can be printed."""
    if not name.isprintable():
        raise ValueError(f"{group.name.strip('/')} holds the name {name!r}, which cannot be printed")
    if group.id.links.get_info(name.encode()).type != h5py.h5l.TYPE_HARD:
        raise ValueError(f"{group.name.strip('/')}/{name} is a link to elsewhere")
    node = group[name]
    if not isinstance(node, h5py.Group | h5py.Dataset):
        raise ValueError(f"{group.name.strip('/')}/{name} is neither a dataset nor a group")
    return node
