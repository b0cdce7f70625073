"""Files that are whole at any moment: a reader, a kill or a full disk meets the one before or the new one."""

import errno
import os
from contextlib import suppress
from pathlib import Path

from pinn_cli.basics.errors import TrainingError

FULL = (errno.ENOSPC, errno.EDQUOT)


def write(path: str | Path, content: bytes | str, kept: str = "", then: str = "") -> None:
    """Write beside `path`, then take its place in one move.

    Raises TrainingError, with the old file in its place, where that cannot be done: `kept` says what is not lost, and
    `then` what to type once there is room.
    """
    path = Path(path)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")  # hidden, so that what a kill leaves of it is no content
    try:
        part.unlink(missing_ok=True)  # of a process of the same number; and in a folder from elsewhere it may be a link
        with open(part, "xb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
        with suppress(OSError):  # some file systems have no such thing for folders
            sync(path.parent)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise TrainingError(reason(path, error, kept, then)) from error


def sync(path: Path) -> None:
    """Force what has been written of a file, or the names in a folder, to the disk (Raises OSError)."""
    place = os.open(path, os.O_RDONLY)
    try:
        os.fsync(place)
    finally:
        os.close(place)


def reason(path: Path, error: OSError, kept: str = "", then: str = "") -> str:
    """One line on a file that cannot be written."""
    way = f"make room, then {then or 'type it again'}" if error.errno in FULL else ""
    return "; ".join(part for part in (f"cannot write {path} ({error.strerror})", kept, way) if part)


def clear(folder: Path) -> None:
    """Remove what killed writers have left in a folder; only for the one process that writes there."""
    for part in folder.glob(".*.part"):
        with suppress(OSError):  # a folder, for example, is none of them
            part.unlink()
