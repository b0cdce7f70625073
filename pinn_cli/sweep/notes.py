"""Notes beside the runs of a sweep: what a run said when it was last started, where its results file cannot say it."""

from contextlib import suppress
from pathlib import Path

from pinn_cli import atomic
from pinn_cli.errors import TrainingError
from pinn_cli.formatting import printable

MANIFEST = "sweep.json"  # what makes a folder that of a sweep
REFUSED, FAILED = "refused", "failed"  # what a note says of the last start
NOTE = 4096  # characters of a note that are read


def sweep_of(folder: Path) -> Path | None:
    """The folder of the sweep that a run is part of."""
    return folder.parent if folder.name.isdecimal() and (folder.parent / MANIFEST).is_file() else None


def note(folder: Path, end: str, reason: str) -> None:
    """Note that the run of this folder, if it is one of a sweep's, was REFUSED when it started, or has FAILED."""
    if sweep_of(folder) is not None:
        with suppress(TrainingError):  # on a full disk the line on the screen must do
            atomic.write(_note(folder, end), f"{reason}\n")


def forget(folder: Path) -> None:
    """A run begins anew: what it was noted for before counts no more."""
    if sweep_of(folder) is not None:
        for end in (REFUSED, FAILED):
            with suppress(OSError):
                _note(folder, end).unlink(missing_ok=True)


def noted(folder: Path, end: str) -> str | None:
    """What a note says; None if there is none."""
    if not _note(folder, end).is_file():
        return None
    with open(_note(folder, end), encoding="utf-8", errors="replace") as file:
        return " ".join(printable(file.read(NOTE)).split())


def _note(folder: Path, end: str) -> Path:
    return folder.with_name(f"{folder.name}.{end}")
