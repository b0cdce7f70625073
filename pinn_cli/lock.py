"""One writer per run folder, held by the operating system and therefore gone with the process, however it ends.

Readers never take the lock; they only read who wrote his name into it.
"""

import fcntl
import json
import os
import socket
from pathlib import Path
from types import TracebackType
from typing import IO

from pinn_cli.errors import UsageError

NAME = ".lock"


class Lock:
    """``with Lock(folder): ...`` while a run writes there. Raises UsageError if another process does."""

    def __init__(self, folder: str | Path):
        self.path = Path(folder) / NAME
        self._file: IO[str] | None = None

    def __enter__(self) -> "Lock":
        file = open(self.path, "a+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise UsageError(f"{self.path.parent} is being written by {holder(self.path.parent) or 'another process'}; "
                             "expected a run at rest (wait for it, or stop it with Ctrl-C)") from None
        except OSError:
            pass  # a file system without locks (some network mounts): the unique run folder is then the only protection
        file.truncate(0)
        file.write(json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "born": _born(os.getpid())}))
        file.flush()
        self._file = file
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.truncate(0)  # the file itself stays: removing it would let two writers lock two files
            self._file.close()
            self._file = None


def holder(folder: str | Path) -> str | None:
    """Who writes to the folder, as far as a reader can tell: "process 12 on host", or None when nobody does."""
    try:
        owner = json.loads((Path(folder) / NAME).read_text(encoding="utf-8"))
        pid, host, born = owner["pid"], owner["host"], owner["born"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    gone = host == socket.gethostname() and (not _alive(pid) or _born(pid) != born)
    return None if gone else f"process {pid} on {host}"


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _born(pid: int) -> str:
    """Start of a process (clock ticks since boot; "" if unknown): a process number may be in use again."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
