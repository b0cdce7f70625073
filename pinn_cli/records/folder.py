"""Create the folder of a run or a sweep, and let `latest` point to it."""

import contextlib
import os
import secrets
from datetime import datetime
from pathlib import Path

from pinn_cli.basics.errors import MachineError, UsageError

OUTPUTS = Path("outputs")
RESULTS, LOG, CHECKPOINT = "results.h5", "run.log", "checkpoint.pt"  # files in the folder of a run
MANIFEST = "sweep.json"  # the file that makes a folder a sweep


def create(problem: str, chosen: str | None = None) -> Path:
    """Create `outputs/<problem>/<time>-<id>`, or the chosen folder, which must be empty.

    A folder in which another process has just started a run is returned too: its lock tells whether that process still
    runs. Raises UsageError if no folder can be created; existing files are never changed.
    """
    if chosen is None:
        return unique(OUTPUTS / problem)
    try:
        return make(Path(chosen), may_exist=True)
    except UsageError:
        if not (Path(chosen) / RESULTS).exists():
            raise
        return Path(chosen)


def unique(place: Path) -> Path:
    """Create `<place>/<time>-<short id>`, a new folder, and let `latest` point to it (Raises UsageError)."""
    while True:
        name = f"{datetime.now():%Y-%m-%d_%H-%M-%S}-{secrets.token_hex(2)}"
        with contextlib.suppress(FileExistsError):  # the same second and the same id: try another id
            folder = make(place / name)
            _point(place / "latest", name)
            return folder


def check_writable(chosen: str | None) -> None:
    """Refuse a place where the run folder cannot be created (UsageError, MachineError); creates nothing."""
    place = (OUTPUTS if chosen is None else Path(chosen)).absolute()
    while not place.exists():
        place = place.parent
    if not place.is_dir():
        raise UsageError(f"{place} is a file, and the run needs a folder there; type folder=ANOTHER")
    if not os.access(place, os.W_OK | os.X_OK):
        raise MachineError(f"{place} cannot be written; type folder=ANOTHER")


def make(folder: Path, may_exist: bool = False) -> Path:
    """Create a folder; one that exists must be empty, but for hidden files (Raises UsageError, MachineError)."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(exist_ok=may_exist)
    except FileExistsError:
        if may_exist:
            raise UsageError(f"{folder} is a file; type folder=ANOTHER") from None
        raise
    except OSError as error:
        raise MachineError(f"{folder} cannot be made ({error.strerror}); type folder=ANOTHER") from None
    others = [path.name for path in folder.iterdir() if not path.name.startswith(".")]
    if others:
        what = "the runs of a sweep" if MANIFEST in others else f"{others[0]}, which is not pinn's"
        raise UsageError(f"{folder} holds {what}; type folder=ANOTHER")
    return folder


def _point(link: Path, name: str) -> None:
    """Let `latest` point to the folder, in one step."""
    temporary = link.with_name(f".latest-{name}")
    with contextlib.suppress(OSError):  # a file system without links: `pinn` also finds the newest folder by its name
        temporary.symlink_to(name)
        os.replace(temporary, link)
