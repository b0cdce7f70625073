"""One results file: a run writes it, and anybody reads it at any time."""

import os
import shutil
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import h5py
import numpy as np

from pinn_cli.basics import files as atomic
from pinn_cli.basics import safe_yaml
from pinn_cli.basics.errors import TrainingError, UsageError
from pinn_cli.basics.text import in_shell
from pinn_cli.records.results import validation
from pinn_cli.records.results.history import CHUNK, add_rows, complete_rows, cut_records, cut_rows, last_numbers
from pinn_cli.records.results.layout import FORMAT
from pinn_cli.records.results.values import (
    ERRORS,
    array_of,
    attribute_of,
    content_of,
    datasets,
    examine,
    new_image,
    note,
    one_line,
    unfolded,
    value_of,
    write,
)
from pinn_cli.records.status import Status

RESERVE = 64 * 1024  # bytes that must stay free beside a write, for the bookkeeping of HDF5
ABOUT = (  # attributes in an overview
    "problem", "seed", "device", "dtype", "status", "reason", "steps", "started", "finished", "source", "inputs",
    "threads",    "machine", "versions", "pinn_version", "commit",
)  # fmt: skip
FINAL = (  # groups in an overview
    "error", "metrics", "unknowns", "error_estimate/error", "error_estimate/explained", "timing/duration",
    "guard/verdict",
)  # fmt: skip
LAST = ("step", "time", "loss/total")  # columns in an overview
NEEDED = ("problem", "status", "seed", "threads")  # attributes that a resume needs
AT_THE_END = (
    "network", "error", "error_estimate", "metrics", "fields", "residuals", "measurements", "collocation", "guard",
    "unknowns", "unknown_fields", "uncertainty", "profiles", "windows", "seams", "timing",
)  # fmt: skip
CLOSE = "close it: file.close(), or open it by `with h5py.File(..., locking=False) as file:`"
PATIENCE = 4  # attempts of a reader whose file is being appended to

Value = TypeVar("Value")


class Results:
    """One results file. A writer calls `create`, `append`, `cut`, `replace`, `attributes`; readers call `read...`."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._known: set[str] | None = None  # names of the columns of the history
        self._left: tuple[int, ...] = ()  # the state of the file after the last write from here
        self._resume = f"`pinn resume {in_shell(self.path.parent)}`"

    def create(self, attributes: Mapping[str, Any], config_yaml: str, groups: Mapping[str, Any]) -> None:
        """Create the file with these groups (as in `replace`), without rows. Raises UsageError if it exists."""
        if self.path.exists():
            raise UsageError(f"{self.path} holds a run; expected a new folder, or {self._resume}")
        with new_image() as image:
            note(image, {"format": FORMAT, **attributes})
            write(image, "config", config_yaml)
            for name, value in unfolded(groups):
                write(image, name, value)
            image.create_group("history", track_order=True)
            self._put(content_of(image))

    def append(self, rows: Sequence[Mapping[str, Any]], groups: Mapping[str, Any] | None = None) -> None:
        """Add rows of numbers by name, and `replace` groups. A value that a row lacks is NaN, also before a new name.

        Raises TrainingError, with nothing written, if too little room is left on the disk.
        """
        if not rows:
            if groups:
                self.replace(groups)
            return
        numbers = [{name: float(value) for name, value in row.items()} for row in rows]
        names = {name for row in numbers for name in row}
        if self._known is None:
            self._known = set(self.read_history())
        if names <= self._known and not groups:
            self._require(8 * len(self._known) * (len(rows) + CHUNK))
            with self._appending() as file:
                add_rows(file["history"], numbers)
        else:
            more = 8 * CHUNK * len(names)
            self._known = self._replace(groups or {}, lambda file: add_rows(file["history"], numbers), more)

    def cut(self, step: int) -> None:
        """Drop rows and records after `step` and the results of an earlier end: the run continues from a checkpoint."""
        def change(file: h5py.File) -> None:
            cut_rows(validation.columns(file["history"]), step)
            for records in file.get("diagnostics", {}).values():
                cut_records(records, step)

        self._rewrite(change, without=AT_THE_END)

    def replace(self, groups: Mapping[str, Any], attributes: Mapping[str, Any] | None = None) -> None:
        """Replace whole top-level groups: ``{"error": {"u": 1e-6}, "stages": ["adam"], "fields": {...}}``.

        Nested names are dicts, or contain slashes. A value is a number, text, list of texts, array or tensor, or one of
        these in `Noted`. `attributes` of the run are set in the same move.
        """
        self._replace(groups, lambda file: note(file, attributes or {}))

    def attributes(self, **values: Any) -> None:
        """Set attributes of the run, for example ``status=Status.FINISHED``."""
        self.replace({}, values)

    def read(self, name: str = "/") -> dict[str, Any]:
        """Every dataset below a group, by its name relative to it; for a dataset {"": value}; {} if there is none."""
        return self.look(lambda file: {key: value_of(data) for key, data in datasets(file, name).items()})

    def read_history(self) -> dict[str, np.ndarray]:
        """The columns (R,), all of one length: the rows of an interrupted append are left out."""
        def read(file: h5py.File) -> dict[str, np.ndarray]:
            columns = validation.columns(file["history"])
            rows = complete_rows(columns)
            return {name: column[:rows] for name, column in columns.items()}

        return self.look(read)

    def read_attributes(self, name: str = "/") -> dict[str, Any]:
        """The attributes of the run, or of one of its groups or datasets; {} if there is none of that name."""
        def read(file: h5py.File) -> dict[str, Any]:
            node = validation.find(file, name)
            return {} if node is None else {key: attribute_of(node, key) for key in node.attrs}

        return self.look(read)

    def read_config(self, name: str = "config") -> str:
        """The resolved configuration, as YAML (Raises UsageError if it is none); `begun`: before it was changed."""
        return safe_yaml.check(str(self.read(name).get("", "")), f"the configuration in {self.path}")

    def examine(self) -> None:
        """Check the whole file before a run continues in it. Raises UsageError if it is not the file of a run."""
        def read(file: h5py.File) -> None:
            examine(file)
            for name in NEEDED:
                file.attrs[name]

        self.look(read)

    def overview(self) -> dict[str, dict[str, Any]]:
        """What a list of runs shows, read at once: `about` (attributes), `last` (row), `error`, `metrics` ...

        Errors, metrics and unknown coefficients are the final ones; while the run goes on, or where there are none, the
        last recorded.
        """
        def read(file: h5py.File) -> dict[str, dict[str, Any]]:
            history = file["history"]
            about = {name: attribute_of(file, name) for name in ABOUT if name in file.attrs}
            wanted = () if about.get("status") == Status.RUNNING else FINAL  # else they are those of an earlier end
            final = {name: {key: value_of(data) for key, data in datasets(file, name).items()} for name in wanted}
            kinds = {"error": "error", "metrics": "metric", "unknowns": "unknown"}
            recorded = {name: last_numbers(history, kind) for name, kind in kinds.items() if not final.get(name)}
            last = last_numbers(history, *LAST)
            errors = {key: attribute_of(data, "standard_error") for key, data in datasets(file, "unknowns").items()
                      if wanted and "standard_error" in data.attrs}  # fmt: skip
            named = {"standard_errors": errors}
            return {"about": about, "last": last, **{key: {} for key in FINAL}, **final, **recorded, **named}

        return self.look(read)

    @contextmanager
    def _appending(self) -> Iterator[h5py.File]:
        """The file, open for one short write. A failed write ends the process (the package's docstring says why)."""
        try:
            file = h5py.File(self.path, "r+", locking=False)
        except ERRORS as error:
            raise TrainingError(self._lost(error)) from error
        try:
            yield file
            file.close()
            atomic.sync(self.path)  # before the checkpoint that refers to these rows
            self._left = _state(self.path)
        except ERRORS as error:
            _leave(f"cannot write {self.path} ({one_line(error)}); what was recorded before is kept; "
                   f"make room, then {self._resume}")

    def _replace(self, groups: Mapping[str, Any], then: Callable[[h5py.File], Any], more: int = 0) -> set[str]:
        """Replace groups and change the file, in one move; returns the names of the columns."""
        leaves = dict(unfolded(groups))
        size = sum(array_of(value).nbytes for value in leaves.values())

        def change(file: h5py.File) -> None:
            for name, value in leaves.items():
                write(file, name, value)
            then(file)

        return self._rewrite(change, without={name.split("/")[0] for name in leaves}, more=2 * size + more)

    def _rewrite(self, change: Callable[[h5py.File], Any], without: Collection[str] = (), more: int = 0) -> set[str]:
        """Copy all but `without` to an image, change it, replace the file by it; returns the names of the columns.

        What has been written to the file elsewhere is examined first.
        """
        with new_image() as image:
            try:
                state = _state(self.path)
                self._require(self.path.stat().st_size + more)
                with h5py.File(self.path, "r", locking=False) as old:
                    if not state or state != self._left:
                        examine(old)
                    for name in set(old) - set(without):
                        old.copy(name, image)
                    for name, value in old.attrs.items():
                        image.attrs[name] = value
            except ERRORS as error:
                raise TrainingError(self._lost(error)) from error
            change(image)
            self._put(content_of(image))
            return set(validation.columns(image["history"]))

    def _is_open_here(self) -> bool:
        """Whether this process has opened the file, for example in a notebook."""
        here = (h5py.h5i.get_file_id(one).name for one in h5py.h5f.get_obj_ids(h5py.h5f.OBJ_ALL, h5py.h5f.OBJ_FILE))
        return any(os.path.exists(name) and os.path.samefile(name, self.path) for name in here)

    def _lost(self, error: Exception) -> str:
        reason = one_line(error)
        if self._is_open_here():
            return f"{self.path} is open in this process, which keeps pinn from writing to it; {CLOSE}"
        return f"{self.path} can no longer be read ({reason}); has it been moved, or changed by another program?"

    def _put(self, content: bytes) -> None:
        """Replace the file in one move: at any moment the old or the new one is there."""
        atomic.write(self.path, content, "what was recorded before is kept", self._resume)
        self._left = _state(self.path)

    def _require(self, size: int) -> None:
        """Raises TrainingError unless `size` bytes and a reserve are free on the disk of the file."""
        free = shutil.disk_usage(self.path.parent).free
        if free < size + RESERVE:
            raise TrainingError(f"the disk of {self.path.parent} has {free / 1e6:.2f} MB left, recording on takes "
                                f"{(size + RESERVE) / 1e6:.2f} MB; make room, then {self._resume}")

    def look(self, read: Callable[[h5py.File], Value]) -> Value:
        """Read without a lock, again if the file is being appended to. Raises UsageError if it is not a run's file."""
        if not self.path.is_file():
            raise UsageError(f"there is no results file {self.path}; expected a run folder (see `pinn list runs`)")
        for attempt in range(PATIENCE if h5py.is_hdf5(self.path) else 1):
            if attempt:  # the first attempt must not sleep: hundreds of files are read in a row
                time.sleep(0.01 * attempt**2)
            try:
                with h5py.File(self.path, "r", locking=False) as file:
                    written = attribute_of(file, "format") if "format" in file.attrs else "none"
                    if written != FORMAT:
                        raise UsageError(f"{self.path} has format {written}, expected {FORMAT}: it is no results file "
                                         "of this version of pinn; train the run again")
                    return read(file)
            except ERRORS as error:
                reason = one_line(error)
        if self._is_open_here():
            raise UsageError(f"{self.path} is open in this process; {CLOSE}")
        raise UsageError(f"{self.path} is damaged or no results file ({reason}); expected the results.h5 of a run")


def _state(path: Path) -> tuple[int, ...]:
    """What changes whenever the file is written; () if it is gone."""
    try:
        about = path.stat()
    except OSError:
        return ()
    return about.st_ino, about.st_size, about.st_mtime_ns


def _leave(message: str) -> NoReturn:
    sys.stdout.flush()
    print(f"pinn: {message}", file=sys.stderr, flush=True)
    os._exit(1)
