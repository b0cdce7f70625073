"""What a results file may hold. It may come from somebody else, or be damaged, so it is looked at before it is used.

Refused is what lies elsewhere (links and data in other files: to append a row would write there), what is said to be
larger than what is stored (it would fill the memory: ours is not compressed), what is of another kind than the
layout in `results.py`, and what HDF5 itself does not look at and would crash of, or never come to an end with.
Every function raises ValueError, saying what is wrong.
"""

import json
import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Any

import h5py

from pinn_cli.records.status import WRITTEN

SPARE = 1 << 20  # bytes that may be missing: columns are made longer before they are filled
LONGEST = 1 << 16  # characters of an attribute
TEXT, NUMBER = "O", "biuf"  # kinds of arrays
BEGINNING = b"\x89HDF\r\n\x1a\n"
HEAP, HEADER = b"GCOL\x01\0\0\0", 16  # how a heap of texts begins; bytes before its first text, and before each text
PLAIN = (h5py.h5t.TypeStringID, h5py.h5t.TypeIntegerID, h5py.h5t.TypeFloatID, h5py.h5t.TypeEnumID)
LAYOUT = [  # what a name may hold: kinds of values, and axes
    (re.compile(r"config|begun|source/.+|guard/verdict"), TEXT, (0,)),
    (re.compile(r"stages"), TEXT, (1,)),
    (re.compile(r"(error|metrics|timing|unknowns|guard)/.+"), NUMBER, (0,)),
    (re.compile(r"history/(step|stage)"), "iu", (1,)),
    (re.compile(r"history/.+|seams/.+|fields/(prediction|reference)/.+|residuals/.+/values"), NUMBER, (1,)),
    (re.compile(r"fields/points|residuals/.+/points|collocation/.+"), NUMBER, (2,)),
    (re.compile(r"diagnostics/.+"), NUMBER, range(1, 9)),
    (re.compile(r".+"), TEXT + NUMBER, range(9)),
]
ATTRIBUTES: dict[str, Callable[[Any], bool]] = {  # of the run; others are texts or numbers of no consequence
    "status": lambda value: value in WRITTEN,
    "problem": lambda value: isinstance(value, str) and value.isprintable(),
    "threads": lambda value: isinstance(value, int) and 0 < value <= 4096,
    "seed": lambda value: isinstance(value, int),
    "steps": lambda value: isinstance(value, int),
    "versions": lambda value: isinstance(json.loads(value), dict),
    **dict.fromkeys(("started", "finished", "reason", "command", "device", "dtype", "machine", "commit"),
                    lambda value: isinstance(value, str)),
}  # fmt: skip


@lru_cache(maxsize=1024)
def check_bytes(path: Path, version: int) -> None:
    """Look at what HDF5 takes on trust: that one can walk through every heap of texts. Once for a `version` (time)."""
    content = path.read_bytes()  # a map of it would end the process where the file is cut short meanwhile
    widths = content[13:15] if content[8:9] < b"\2" else content[9:11]
    if not content.startswith(BEGINNING) or widths != b"\x08\x08":
        raise ValueError("it does not begin as an HDF5 file of ours")
    for number, _ in enumerate(_texts(content)):
        if number * HEADER > len(content):
            raise ValueError("heaps of texts inside each other")


def _texts(content: bytes) -> Iterator[int]:
    """Where the texts of all heaps begin. HDF5 walks through them too, and room of no size would keep it there."""
    at = content.find(HEAP)
    while at >= 0:
        place, end = at + HEADER, at + int.from_bytes(content[at + 8 : at + 16], "little")
        while place + HEADER <= min(end, len(content)):
            yield place
            size = int.from_bytes(content[place + 8 : place + 16], "little")
            is_text = content[place : place + 2] != b"\0\0"  # else it is the room that is left, its header included
            if not is_text and size < HEADER:
                raise ValueError("a heap of texts that has no end")
            place += HEADER + -(-size // 8) * 8 if is_text else size
        at = content.find(HEAP, at + 1)


def datasets(group: h5py.Group) -> Iterator[tuple[str, h5py.Dataset]]:
    """Every dataset below a group with its name relative to it, each looked at, and all of them together."""
    room = group.file.id.get_filesize() + SPARE
    for name, data in _every(group):
        room -= data.nbytes
        if room < 0:
            raise ValueError(f"{group.name} is said to be larger than the whole file")
        yield name, data


def found(group: h5py.Group, name: str) -> h5py.Group | h5py.Dataset | None:
    """The group or dataset of a name like ``history/loss/pde``, or None; every part of the way is looked at."""
    node: Any = group
    for part in name.strip("/").split("/") if name.strip("/") else ():
        if not isinstance(node, h5py.Group) or part not in node:
            return None
        node = _held(node, part)
    return checked(node) if isinstance(node, h5py.Dataset) else node


def checked(data: h5py.Dataset) -> h5py.Dataset:
    """A dataset whose values may be read, and appended to."""
    name, plan = data.name.strip("/"), data.id.get_create_plist()
    if plan.get_external_count() or plan.get_layout() == h5py.h5d.VIRTUAL:
        raise ValueError(f"{name} lies in another file")
    if data.shape is None:
        raise ValueError(f"{name} is empty")
    stored = data.id.get_storage_size()
    if plan.get_nfilters():
        raise ValueError(f"{name} is compressed, which no run's is")
    if data.nbytes > stored + SPARE:
        raise ValueError(f"{name} is said to be of shape {data.shape}, and has {stored} bytes")
    if data.chunks and data.id.chunk_iter(lambda chunk: chunk.size != prod(data.chunks) * data.dtype.itemsize or None):
        raise ValueError(f"{name} is stored in pieces of another size than they are said to have")
    kinds, axes = next((kinds, axes) for pattern, kinds, axes in LAYOUT if pattern.fullmatch(name))
    kind = "O" if h5py.check_string_dtype(data.dtype) else data.dtype.kind.replace("O", "")
    if len(data.shape) not in axes or not kind or kind not in kinds:
        raise ValueError(f"{name} is of type {data.dtype} and shape {data.shape}")
    return data


def read_attribute(node: h5py.HLObject, name: str) -> Any:
    """An attribute as h5py has it, if it is a text or numbers and its name can be shown."""
    if not name.isprintable() or not isinstance(h5py.h5a.open(node.id, name.encode()).get_type(), PLAIN):
        raise ValueError(f"attribute {name!r} of {node.name} is neither text nor number")
    return node.attrs[name]


def attribute(name: str, value: Any) -> Any:
    """An attribute of the run, if its value is one of those that it can have."""
    accepts = ATTRIBUTES.get(name)
    if (isinstance(value, str) and len(value) > LONGEST) or (accepts is not None and not accepts(value)):
        raise ValueError(f"attribute {name} is {str(value)[:40]!r}")
    return value


def columns(history: h5py.Group) -> dict[str, h5py.Dataset]:
    """The columns of a history by name; if there are any, one of them counts steps."""
    columns = dict(datasets(history))
    if columns and "step" not in columns:
        raise ValueError("history/step is missing")
    return columns


def _every(group: h5py.Group, prefix: str = "") -> Iterator[tuple[str, h5py.Dataset]]:
    for name in group:
        node = _held(group, name)
        if isinstance(node, h5py.Dataset):
            yield prefix + name, checked(node)
        else:
            yield from _every(node, f"{prefix}{name}/")


def _held(group: h5py.Group, name: str) -> h5py.Group | h5py.Dataset:
    """What a group itself holds under a name that can be shown, in one place only."""
    if not name.isprintable():
        raise ValueError(f"{group.name.strip('/')} holds the name {name!r}, which cannot be printed")
    if group.id.links.get_info(name.encode()).type != h5py.h5l.TYPE_HARD:
        raise ValueError(f"{group.name.strip('/')}/{name} is a link to elsewhere")
    node = group[name]
    if h5py.h5o.get_info(node.id).rc > 1 or not isinstance(node, h5py.Group | h5py.Dataset):
        raise ValueError(f"{group.name.strip('/')}/{name} is no dataset or group of its own")
    return node
