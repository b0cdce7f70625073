"""Who has signed a file: a process by its number, its machine and its birth, which keeps the file open meanwhile.

A signed file may come from somebody else, so a name counts on this machine only if its process has this very file open.
"""

import json
import os
import secrets
import socket
import stat
import time
from contextlib import suppress
from pathlib import Path

PROCESSES = Path("/proc")


def signature() -> bytes:
    """The name of this process, like no other one."""
    pid = os.getpid()
    name = {"pid": pid, "host": socket.gethostname(), "born": _born(pid), "mark": secrets.token_hex(4)}
    return json.dumps(name).encode()


def signatory(path: Path, silence: float) -> tuple[int, str] | None:
    """The number and the machine of the process that has signed a file and lives, or None.

    On another machine it lives unless the file has not been touched for `silence` seconds; from a later time than now
    it has been brought here.
    """
    try:
        status = path.lstat()
        name = json.loads(path.read_text(encoding="utf-8")) if stat.S_ISREG(status.st_mode) else {}
        pid, host, born = int(name["pid"]), str(name["host"]), str(name["born"])
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
    here = host == socket.gethostname()
    lives = _signs(pid, born, status) if here else abs(time.time() - status.st_mtime) < silence
    return (pid, host) if lives else None


def _signs(pid: int, born: str, file: os.stat_result) -> bool:
    """Whether a process of this machine lives, is the one that signed, and has the file open.

    Where the system does not tell, that it lives must do.
    """
    if pid <= 0 or not _alive(pid):  # 0 and below are groups of processes
        return False
    return not PROCESSES.is_dir() or (_born(pid) == born and _has_open(pid, file))


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError, ValueError):
        return False
    except PermissionError:
        return True
    return True


def _born(pid: int) -> str:
    """Start of a process (clock ticks since boot; "" if unknown): a process number may be in use again."""
    try:
        return (PROCESSES / f"{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def _has_open(pid: int, file: os.stat_result) -> bool:
    """Whether a file is among those of a process. Those of somebody else's process cannot be seen: then it is."""
    try:
        places = list((PROCESSES / f"{pid}/fd").iterdir())
    except OSError as error:
        return isinstance(error, PermissionError)
    for place in places:
        with suppress(OSError):  # closed meanwhile
            if os.path.samestat(place.stat(), file):
                return True
    return False
