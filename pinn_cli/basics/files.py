"""Atomic writing: a reader sees either the old file or the new one, also after a kill or on a full disk."""

import errno
import os
from contextlib import suppress
from pathlib import Path

from pinn_cli.basics.errors import TrainingError

FULL = (errno.ENOSPC, errno.EDQUOT)


def write(path: str | Path, content: bytes | str, kept: str = "", then: str = "") -> None:
    """Write a temporary file beside `path`, then rename it to `path`.

    Raises TrainingError if that fails; the old file is then unchanged. `kept` is the part of the message that says what
    is not lost, `then` what to type once there is room.
    """
    path = Path(path)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")  # hidden: what a kill leaves is not taken for a result
    try:
        part.unlink(missing_ok=True)  # left by an earlier process of the same number, or a link planted in the folder
        with open(part, "xb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
        with suppress(OSError):  # some file systems cannot sync a folder
            sync(path.parent)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise TrainingError(reason(path, error, kept, then)) from error


def cache(name: str) -> Path:
    """$XDG_CACHE_HOME/pinn/NAME, or ~/.cache/pinn/NAME (XDG Base Directory Specification)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pinn" / name


def sync(path: Path) -> None:
    """Force the content of a file, or the names in a folder, to the disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def reason(path: Path, error: OSError, kept: str = "", then: str = "") -> str:
    """The message for a file that cannot be written, in one line."""
    way = f"make room, then {then or 'type it again'}" if error.errno in FULL else ""
    return "; ".join(part for part in (f"cannot write {path} ({error.strerror})", kept, way) if part)


def clear(folder: Path) -> None:
    """Remove temporary files that killed processes have left. Only for the process that writes to the folder."""
    for part in folder.glob(".*.part"):
        with suppress(OSError):  # for example, a folder of that name
            part.unlink()
