"""Notes beside the runs of a sweep: what a run said when it was last started, where its results file cannot say it.

A run with a folder elsewhere has one more: which sweep it is part of, as a path from where it lies.
"""

import os
from contextlib import suppress
from pathlib import Path

from pinn_cli.basics import files as atomic
from pinn_cli.basics.errors import MachineError, TrainingError
from pinn_cli.basics.text import printable
from pinn_cli.records.folder import MANIFEST
from pinn_cli.records.status import Status

REFUSED, FAILED = Status.REFUSED, Status.FAILED  # what a note says of the last start
PART_OF = "sweep"  # the note beside a run that does not lie in the folder of its sweep
NOTE = 4096  # characters of a note that are read


def sweep_of(folder: Path) -> Path | None:
    """The folder of the sweep that a run is part of: it lies there as a number, or a note beside it says so."""
    if folder.name.isdecimal() and (folder.parent / MANIFEST).is_file():
        return folder.parent
    said = noted(folder, PART_OF)
    place = Path(os.path.normpath(folder.parent / said)) if said else None
    return place if place is not None and os.path.isfile(place / MANIFEST) else None  # it may be no path at all


def join(folder: Path, place: Path) -> None:
    """Note that the run of this folder is one of the sweep at `place`; what was noted of it before counts no more.

    Raises MachineError or TrainingError where that cannot be written.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MachineError(f"{folder.parent} cannot be made ({error.strerror}); type folder=ANOTHER") from None
    atomic.write(_note(folder, PART_OF), f"{os.path.relpath(place, folder.parent)}\n")
    _remove(folder, REFUSED, FAILED)


def leave(folder: Path) -> None:
    """The sweep of this run comes to nothing: the note that it has one is gone, and a folder made for it alone."""
    _remove(folder, PART_OF)
    with suppress(OSError):
        folder.parent.rmdir()


def note(folder: Path, end: str, reason: str) -> None:
    """Note that the run of this folder, if it is one of a sweep's, was REFUSED when it started, or has FAILED."""
    if sweep_of(folder) is not None:
        with suppress(TrainingError):  # on a full disk the line on the screen must do
            atomic.write(_note(folder, end), f"{reason}\n")


def forget(folder: Path) -> None:
    """A run begins anew: what it was noted for before counts no more."""
    if sweep_of(folder) is not None:
        _remove(folder, REFUSED, FAILED)


def noted(folder: Path, end: str) -> str | None:
    """What a note says; None if there is none that can be read."""
    if os.path.isfile(_note(folder, end)):  # a pipe would be waited for
        with suppress(OSError), open(_note(folder, end), encoding="utf-8", errors="replace") as file:
            return " ".join(printable(file.read(NOTE)).split())
    return None


def _remove(folder: Path, *kinds: str) -> None:
    for kind in kinds:
        with suppress(OSError):
            _note(folder, kind).unlink(missing_ok=True)


def _note(folder: Path, end: str) -> Path:
    return folder.parent / f"{folder.name}.{end}"
