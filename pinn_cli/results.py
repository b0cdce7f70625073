"""The results file, ``results.h5``: the only module that imports h5py and the only one that knows the layout.

    /                        attributes: format, pinn_version, problem, status, seed, device, dtype, started ...
    /config                  the resolved configuration (YAML)
    /source/<module>         text of the problem's file and of parts that are not the package's own; attribute sha256
    /stages                  (K,) names; /history/stage holds the index
    /history/<name>          (R,) one value per recorded row; NaN where a row has no such name
    /fields/points           (N, D); attribute coordinates
    /fields/prediction/<f>   (N,) by field and observable;   /fields/reference/<f> where one is known
    /residuals/<c>/points    (N, D);   /residuals/<c>/values (N,)
    /collocation/<c>         (N, D) the last training points
    /error/<field>           relative L2 error; attributes mean_absolute, max_absolute, reference_error
    /guard/verdict           a sentence;   /guard/ratio/<c>, /guard/relative/<c>
    /diagnostics/<name>/step        (R,) steps of its records; every other dataset (R, ...), one entry per record
    /timing/<phase>, /metrics/<name>, /unknowns/<name>, /network/<parameter>

How it is written. Rows are appended by *open, append, close*, uncompressed and without SWMR: whenever the process is
killed, the file opens and holds every row whose append has returned. Everything else (a new column, fields, the
network, an attribute, a cut) goes through an image in memory that takes the old file's place in one ``os.replace``.
Readers open without locks, so looking at a run can never stop it. An HDF5 library whose write failed can neither close
nor reopen its file: then one line is printed and the process leaves at once.
"""

import json
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import h5py
import numpy as np

from pinn_cli import atomic, plain_yaml, soundness
from pinn_cli.descriptions import describe
from pinn_cli.errors import TrainingError, UsageError

FORMAT, COLLECTION = "pinn-results 1", "pinn-collection 1"
WHOLE_NUMBERS = {"step", "stage"}  # history columns stored as int64 (-1: none); all others are float64 (NaN: none)
CHUNK = 1024  # rows: large enough that a column's index stays one node, hence one write, up to 65,536 rows
RESERVE = 64 * 1024  # bytes left free on top of what a write needs (the file's own bookkeeping)
ABOUT = ("problem", "seed", "device", "dtype", "status", "reason", "started", "finished")  # attributes in an overview
FINAL = ("error", "metrics", "timing/wall", "guard/verdict")  # groups in an overview
LAST = ("step", "time", "loss/total")  # columns in an overview
TAIL = 64  # rows in which the last number of a column is looked for first
NEEDED = ("problem", "status", "seed", "threads")  # attributes without which no run goes on
FOUND = ("network", "error", "metrics", "fields", "residuals", "collocation", "guard", "unknowns", "seams", "timing")
PATIENCE = 4  # attempts of a reader that meets a file in the middle of an append
HDF5_ERRORS = (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError, MemoryError, OverflowError)

Seen = TypeVar("Seen")


@dataclass(frozen=True)
class Noted:
    """A value with attributes of its own: ``Noted(1e-6, {"max_absolute": 3e-6})``."""

    value: Any
    attributes: Mapping[str, Any] = field(default_factory=dict)


class Results:
    """One results file: `create`, `append`, `cut`, `replace`, `attributes` for the writer, `read...` for anybody."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._known: set[str] | None = None  # history columns known to be there

    def create(self, attributes: Mapping[str, Any], config_yaml: str, sources: Mapping[str, str]) -> None:
        """A new file without rows. Raises UsageError if there is one: a run is never overwritten."""
        if self.path.exists():
            raise UsageError(f"{self.path} holds a run; expected a new folder, or `pinn resume {self.path.parent}`")
        with _image() as image:
            _note(image, {"format": FORMAT, **attributes})
            _write(image, "config", config_yaml)
            for module, text in sources.items():
                _write(image, f"source/{module}", Noted(text, {"sha256": sha256(text.encode()).hexdigest()}))
            image.create_group("history", track_order=True)
            self._put(_content(image))

    def append(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add rows of numbers by name. What a row lacks, and the earlier rows of a new name, are NaN.

        Raises TrainingError, with nothing written, when too little room is left on the disk.
        """
        if not rows:
            return
        numbers = [{name: float(value) for name, value in row.items()} for row in rows]
        names = {name for row in numbers for name in row}
        if self._known is None:
            self._known = set(self.read_history())
        if names <= self._known:
            self._require(8 * len(self._known) * (len(rows) + CHUNK))
            with self._appending() as file:
                _append(file["history"], numbers)
        else:
            self._known = self._rewrite(lambda file: _append(file["history"], numbers), more=8 * CHUNK * len(names))

    def cut(self, step: int) -> None:
        """Drop rows and records after `step`, and what an earlier end found: the run goes on from its checkpoint."""
        def change(file: h5py.File) -> None:
            _cut(soundness.columns(file["history"]), step)
            for records in file.get("diagnostics", {}).values():
                _cut_records(records, step)

        self._rewrite(change, without=FOUND)

    def replace(self, groups: Mapping[str, Any]) -> None:
        """Write top-level groups anew, whole: ``{"error": {"u": 1e-6}, "stages": ["adam"], "fields": {...}}``.

        Names nest by dicts or slashes. A value is a number, text, texts, array or tensor, or one of these `Noted`.
        """
        leaves = dict(_leaves(groups))
        size = sum(_plain(value).nbytes for value in leaves.values())

        def change(file: h5py.File) -> None:
            for name, value in leaves.items():
                _write(file, name, value)

        self._rewrite(change, without={name.split("/")[0] for name in leaves}, more=2 * size)

    def attributes(self, **values: Any) -> None:
        """Set attributes of the run, for example ``status="finished"``."""
        self._rewrite(lambda file: _note(file, values))

    def read(self, name: str = "/") -> dict[str, Any]:
        """Every dataset below a group, by its name relative to it; for a dataset {"": value}; {} if there is none."""
        return self._look(lambda file: {key: _value(data) for key, data in _datasets(file, name).items()})

    def read_history(self) -> dict[str, np.ndarray]:
        """The columns (R,), all of one length: a batch that a kill cut short is left out."""
        def look(file: h5py.File) -> dict[str, np.ndarray]:
            columns = soundness.columns(file["history"])
            rows = _rows(columns)
            return {name: column[:rows] for name, column in columns.items()}

        return self._look(look)

    def read_attributes(self, name: str = "/") -> dict[str, Any]:
        """The attributes of the run, or of one of its groups or datasets; {} if there is none of that name."""
        def look(file: h5py.File) -> dict[str, Any]:
            node = soundness.found(file, name)
            return {} if node is None else {key: _attribute(node, key) for key in node.attrs}

        return self._look(look)

    def read_config(self) -> str:
        """The resolved configuration, as YAML (Raises UsageError if it is none)."""
        return plain_yaml.check(str(self.read("config").get("", "")), f"the configuration in {self.path}")

    def examine(self) -> None:
        """Look at everything in the file, before a run goes on in it. Raises UsageError for what is no run's."""
        def look(file: h5py.File) -> None:
            _examine(file)
            for name in NEEDED:
                file.attrs[name]

        self._look(look)

    def overview(self) -> dict[str, dict[str, Any]]:
        """What a list of runs needs, from one short look: `about` (attributes), `last` (row), `error`, `metrics` ...

        Errors and metrics are the final ones, or the last recorded while the run goes on or where there are no others.
        """
        def look(file: h5py.File) -> dict[str, dict[str, Any]]:
            history = file["history"]
            about = {name: _attribute(file, name) for name in ABOUT if name in file.attrs}
            wanted = () if about.get("status") == "running" else FINAL  # what is there is of an earlier life
            final = {name: {key: _value(data) for key, data in _datasets(file, name).items()} for name in wanted}
            kinds = {"error": "error", "metrics": "metric"}
            recorded = {name: _ends(history, kind) for name, kind in kinds.items() if not final.get(name)}
            return {"about": about, "last": _ends(history, *LAST), **{key: {} for key in FINAL}, **final, **recorded}

        return self._look(look)

    # ---- how

    @contextmanager
    def _appending(self) -> Iterator[h5py.File]:
        """The file, open for one short write; a write that fails ends the process (see the top of this file)."""
        try:
            file = h5py.File(self.path, "r+", locking=False)
        except HDF5_ERRORS as error:
            raise TrainingError(self._lost(error)) from error
        try:
            yield file
            file.close()
        except HDF5_ERRORS as error:
            _leave(f"cannot write {self.path} ({_line(error)}); what was recorded before is kept; "
                   f"make room, then `pinn resume {self.path.parent}`")

    def _rewrite(self, change: Callable[[h5py.File], Any], without: Collection[str] = (), more: int = 0) -> set[str]:
        """Copy all but `without` to an image, change that, put it in the file's place; returns the column names."""
        with _image() as image:
            try:
                self._require(self.path.stat().st_size + more)
                with h5py.File(self.path, "r", locking=False) as old:
                    _examine(old)
                    for name in set(old) - set(without):
                        old.copy(name, image)
                    for name, value in old.attrs.items():
                        image.attrs[name] = value
            except HDF5_ERRORS as error:
                raise TrainingError(self._lost(error)) from error
            change(image)
            self._put(_content(image))
            return set(soundness.columns(image["history"]))

    def _lost(self, error: Exception) -> str:
        return f"{self.path} can no longer be read ({_line(error)}); has it been moved, or changed by another program?"

    def _put(self, content: bytes) -> None:
        """Take the file's place in one move: a reader, or a kill, meets the old one or the new one."""
        atomic.write(self.path, content, "what was recorded before is kept", f"`pinn resume {self.path.parent}`")

    def _require(self, size: int) -> None:
        """Raises TrainingError unless `size` bytes, and a reserve, are free where the file lies."""
        free = shutil.disk_usage(self.path.parent).free
        if free < size + RESERVE:
            raise TrainingError(f"the disk of {self.path.parent} has {free / 1e6:.2f} MB left, recording on takes "
                                f"{(size + RESERVE) / 1e6:.2f} MB; make room, then `pinn resume {self.path.parent}`")

    def _look(self, look: Callable[[h5py.File], Seen]) -> Seen:
        """Read without a lock, patient with a file that is being appended to. Raises UsageError if it is no run's."""
        if not self.path.is_file():
            raise UsageError(f"there is no results file {self.path}; expected a run folder (see `pinn list runs`)")
        for attempt in range(PATIENCE if h5py.is_hdf5(self.path) else 1):
            if attempt:  # a sleep of 0 s gives the processor away, which hundreds of looks would feel
                time.sleep(0.01 * attempt**2)
            try:
                with h5py.File(self.path, "r", locking=False) as file:
                    if file.attrs.get("format") != FORMAT:
                        found = file.attrs.get("format", "none")
                        raise UsageError(f"{self.path} is not a run of this version: format {found}, expected {FORMAT}")
                    return look(file)
            except HDF5_ERRORS as error:
                reason = _line(error)
        raise UsageError(f"{self.path} is damaged or no results file ({reason}); expected the results.h5 of a run")


def export(path: str | Path, arrays: Mapping[str, Any]) -> None:
    """Arrays by name into an HDF5 file of their own, which is no run's. Raises UsageError if it cannot be written."""
    with _image() as image:
        for name, value in arrays.items():
            _write(image, name, value)
        content = _content(image)
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
    with _image() as image:
        _note(image, {"format": COLLECTION, **attributes})
        for name, value in arrays.items():
            _write(image, name, value)
        for name, run in runs.items():
            try:
                run._look(partial(_copy, image=image, place=f"runs/{name}", groups=groups))
            except UsageError as error:
                left_out[name] = str(error)
                image.pop(f"runs/{name}", None)
        atomic.write(path, _content(image))
    return left_out


def _copy(file: h5py.File, image: h5py.File, place: str, groups: Collection[str]) -> None:
    """The attributes of a run and these groups; a history takes the room of its rows, and not of those to come."""
    image.pop(place, None)  # of an attempt that failed
    for name in file:
        soundness.found(file, name)
    there = {name: node for name in groups if isinstance(node := file.get(name), h5py.Group)}
    columns = soundness.columns(there.pop("history")) if "history" in there else {}
    for node in there.values():
        for _ in soundness.datasets(node):
            pass
    file.copy(file["/"], image, place, shallow=True)
    target = image[place]
    for name in list(target):
        if isinstance(target[name], h5py.Group) or name not in groups:
            del target[name]
    rows = _rows(columns)
    for name, data in columns.items():
        group, leaf = _place(target, f"history/{name}")
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
    with suppress(*HDF5_ERRORS), h5py.File(path, "r", locking=False) as file:
        if file.attrs.get("format") == COLLECTION:
            return
    raise UsageError(f"{path} holds something else than a collection; type another --out")


# ---- the history

def _rows(columns: Mapping[str, h5py.Dataset]) -> int:
    """Complete rows: new columns come with all their rows, so only an interrupted append makes lengths differ."""
    return min((len(column) for column in columns.values()), default=0)


def _ends(history: h5py.Group, *names: str) -> dict[str, Any]:
    """The last number of each of these columns, or of all columns of a group, where there is one."""
    columns = {key or name: data for name in names for key, data in _datasets(history, name).items()}
    found = {name: _numbers(data[-TAIL:]) or _numbers(data[:]) for name, data in columns.items()}
    return {name: numbers[-1] for name, numbers in found.items() if numbers}


def _numbers(values: np.ndarray) -> list[Any]:
    return list(values[values == values].tolist())


def _append(history: h5py.Group, rows: Sequence[Mapping[str, float]]) -> None:
    columns = soundness.columns(history)
    start = _rows(columns)
    for name in dict.fromkeys([*columns, *(name for row in rows for name in row)]):
        missing = -1 if name in WHOLE_NUMBERS else np.nan
        values = [row.get(name, missing) for row in rows]
        if name in columns:
            columns[name].resize((start + len(rows),))
            columns[name][start:] = values
        else:
            kind = np.int64 if name in WHOLE_NUMBERS else np.float64
            data = np.array([missing] * start + values, kind)
            group, leaf = _place(history, name)
            column = group.create_dataset(leaf, data=data, maxshape=(None,), chunks=(CHUNK,), fillvalue=missing)
            _note(column, describe(f"history/{name}"))
    history.file.flush()  # while the columns are open: a failed write is an error here, and a crash when they close


def _cut(columns: Mapping[str, h5py.Dataset], step: int) -> None:
    rows = _rows(columns)
    keep = int((columns["step"][:rows] <= step).sum()) if columns else 0
    for column in columns.values():
        column.resize((keep,))


def _cut_records(records: h5py.Group, step: int) -> None:
    """Keep the records up to `step` of one diagnostic; they are few, and come in order."""
    keep = int((records["step"][:] <= step).sum())
    for name, data in dict(soundness.datasets(records)).items():
        values, attributes = data[:keep], dict(data.attrs)
        del records[name]
        _note(records.create_dataset(name, data=values), attributes)


# ---- values and attributes

def _place(group: h5py.Group, name: str) -> tuple[h5py.Group, str]:
    """The group, made where missing, and the last part of a name; groups keep the order in which names came."""
    *parents, leaf = name.split("/")
    for parent in parents:
        group = group.get(parent) or group.create_group(parent, track_order=True)
    return group, leaf


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}/")
        else:
            yield prefix + name, value


def _write(file: h5py.File, name: str, value: Any) -> None:
    data = _plain(value)
    group, leaf = _place(file, name)
    dataset = group.create_dataset(leaf, data=data, dtype=h5py.string_dtype() if data.dtype.kind == "O" else None)
    _note(dataset, {**describe(name), **(value.attributes if isinstance(value, Noted) else {})})


def _note(node: h5py.HLObject, attributes: Mapping[str, Any]) -> None:
    for name, value in attributes.items():
        data = _plain(json.dumps(value) if isinstance(value, Mapping) else "" if value is None else value)
        node.attrs.create(name, data, dtype=h5py.string_dtype() if data.dtype.kind == "O" else None)


def _plain(value: Any) -> np.ndarray:
    """A number, text, array or tensor (on any device) as an array that HDF5 can hold."""
    value = value.value if isinstance(value, Noted) else value
    array = np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
    return array.astype(object) if array.dtype.kind == "U" else array


def _datasets(file: h5py.File, name: str) -> dict[str, h5py.Dataset]:
    node = soundness.found(file, name)
    return {} if node is None else {"": node} if isinstance(node, h5py.Dataset) else dict(soundness.datasets(node))


def _attribute(node: h5py.HLObject, name: str) -> Any:
    value = _python(node.attrs[name])
    value = soundness.printable(value) if isinstance(value, str) else value
    return soundness.attribute(name, value) if node.name == "/" else value


def _examine(file: h5py.File) -> None:
    """Raises ValueError, or another of `HDF5_ERRORS`, for anything that is not of the layout above."""
    for _ in soundness.datasets(file):
        pass
    for name in file.attrs:
        _attribute(file, name)


def _value(data: h5py.Dataset) -> Any:
    if not h5py.check_string_dtype(data.dtype):
        return _python(data[()])
    value = _python(data.asstr()[()])
    if data.name.startswith("/source/"):  # compared character by character, and never printed
        return value
    return [soundness.printable(text) for text in value] if isinstance(value, list) else soundness.printable(value)


def _python(value: Any) -> Any:
    """Scalars as Python numbers and text, lists of texts as lists, other arrays as they are."""
    if isinstance(value, np.ndarray):
        return value.tolist() if value.dtype.kind == "O" else value
    return value.item() if isinstance(value, np.generic) else value


# ---- files

@contextmanager
def _image() -> Iterator[h5py.File]:
    """An HDF5 file in memory: a disk that fills up is then an ordinary error, which HDF5 never sees."""
    with h5py.File("image", "w", driver="core", backing_store=False) as file:
        yield file


def _content(image: h5py.File) -> bytes:
    image.flush()
    return bytes(image.id.get_file_image())


def _leave(message: str) -> NoReturn:
    sys.stdout.flush()
    print(f"pinn: {message}", file=sys.stderr, flush=True)
    os._exit(1)


def _line(error: BaseException) -> str:
    """The system's reason inside one of HDF5's long messages ("No space left on device"), or its first line."""
    text = str(error.args[0] if error.args else error)
    reason = re.search(r"error message = '([^']*)'", text)
    return reason[1] if reason else text.split("\n")[0]
