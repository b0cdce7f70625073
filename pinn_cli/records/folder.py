"""The folder of a new run or sweep: one that nobody else has, found again as `latest`."""

import contextlib
import os
import secrets
from datetime import datetime
from pathlib import Path

from pinn_cli.basics.errors import MachineError, UsageError

OUTPUTS = Path("outputs")
RESULTS, LOG, CHECKPOINT = "results.h5", "run.log", "checkpoint.pt"  # what a run has in its folder
MANIFEST = "sweep.json"  # what makes a folder that of a sweep


def create(problem: str, chosen: str | None = None) -> Path:
    """Make `outputs/<problem>/<time>-<id>`, or the folder the user has chosen, which must not hold anything yet.

    Another process may have begun a run there since one has looked: its folder is taken too, and its lock tells whether
    it is there still. Raises UsageError where no folder can be made; what already exists is never touched.
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
    """Make `<place>/<time>-<short id>`, which nobody else has, and let `latest` point there (Raises UsageError)."""
    while True:
        name = f"{datetime.now():%Y-%m-%d_%H-%M-%S}-{secrets.token_hex(2)}"
        with contextlib.suppress(FileExistsError):  # two of one second and one short id: take another
            folder = make(place / name)
            _point(place / "latest", name)
            return folder


def check_writable(chosen: str | None) -> None:
    """Refuse, before anything is made, a place where the run folder could not be made (UsageError, MachineError)."""
    place = (OUTPUTS if chosen is None else Path(chosen)).absolute()
    while not place.exists():
        place = place.parent
    if not place.is_dir():
        raise UsageError(f"{place} is a file, and the run needs a folder there; type folder=ANOTHER")
    if not os.access(place, os.W_OK | os.X_OK):
        raise MachineError(f"{place} cannot be written; type folder=ANOTHER")


def make(folder: Path, may_exist: bool = False) -> Path:
    """Make a folder; one that exists must hold nothing (Raises UsageError, MachineError)."""
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
    """Let `latest` point to the folder, in one step: never absent, never half made."""
    temporary = link.with_name(f".latest-{name}")
    with contextlib.suppress(OSError):  # a file system without links: the folder's name says its age as well
        temporary.symlink_to(name)
        os.replace(temporary, link)
