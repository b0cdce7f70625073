"""One writer per run folder. Readers take no lock: they read the name of the writer.

The operating system holds the lock, so it ends with its process, however that ends; where a file system refuses locks,
a marker file takes its place (`filelock`). The lock file names the process that writes, which touches it every few
seconds. On this machine a name counts while its process lives and the file is locked, because the file may be old or
come from another person. On another machine it counts until the file has not been touched for a while.
"""

import errno
import fcntl
import json
import os
import socket
import stat
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from pinn_cli.basics import files
from pinn_cli.basics.errors import BusyError, TrainingError, UsageError

NAME = ".lock"
BEAT = 10.0  # seconds between two touches
SILENCE = 90.0  # seconds without a touch after which a writer on another machine is gone (a network mount caches 60 s)
PATIENCE = "PINN_PATIENCE"  # the variable with the seconds that a run waits for another writer; a launcher may set it
PROBE = 0.3  # seconds in which a reader that looks at the lock lets go of it
IN_PLACE = (NAME, "run.log", "figures")  # what a writer opens in place; it replaces all other files as a whole
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EINVAL)  # what a file system without locks answers


class Lock:
    """``with Lock(folder): ...`` while a run writes there.

    Raises BusyError if another process writes, TrainingError if the lock cannot be written, UsageError as `check_own`.
    """

    def __init__(self, folder: str | Path):
        self.path = Path(folder) / NAME
        self.patience = float(os.environ.get(PATIENCE, 0.0))
        self._lock: BaseFileLock = FileLock(self.path, thread_local=False, fallback_to_soft=False)
        self._left = threading.Event()
        self._beating = threading.Thread(target=self._beat, name="touches the lock", daemon=True)

    def __enter__(self) -> "Lock":
        check_own(self.path.parent)
        end = time.monotonic() + max(self.patience, PROBE)
        while not self._take():
            if time.monotonic() >= end:
                who = holder(self.path.parent) or "another process"
                raise BusyError(f"{self.path.parent} is being written by {who}; expected a run at rest (wait for it, "
                                "or stop it: Ctrl-C or `kill PROCESS`, and it saves first)")  # fmt: skip
            time.sleep(0.1)
        self._beating.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._beating.ident is not None and not self._left.is_set():
            self._left.set()
            self._beating.join()
            with suppress(OSError):
                _write(self.path, b"")  # the file itself stays: removing it would let two writers lock two files
            self._lock.release()

    def _take(self) -> bool:
        """Lock the folder and write our name; False if another process holds it. Raises TrainingError."""
        try:
            self._acquire()
            if (name := _name(self.path)) is not None and name.is_elsewhere and not name.is_silent:
                self._lock.release()  # on some file systems a lock does not reach other machines
                return False
            _write(self.path, _signature())
        except Timeout:
            return False
        except OSError as error:
            self._lock.release()
            raise TrainingError(files.reason(self.path, error, "nothing has been touched")) from error
        return True

    def _acquire(self) -> None:
        """Lock the file, or make the marker where locks are refused. Raises Timeout if another process has it."""
        try:
            self._lock.acquire(blocking=False)
        except OSError as error:
            if isinstance(self._lock, SoftFileLock):
                if (name := _name(self.path)) is not None and name.is_elsewhere and name.is_silent:
                    self._lock.break_lock()
                raise
            if error.errno not in NO_LOCKS:
                raise
            self._lock = SoftFileLock(f"{self.path}.soft", thread_local=False)
            self._lock.acquire(blocking=False)

    def _beat(self) -> None:
        while not self._left.wait(BEAT):
            with suppress(OSError):  # the next one may succeed
                os.utime(self.path)


def check_own(folder: Path) -> None:
    """Refuse a folder with links that would lead its writer elsewhere (Raises UsageError).

    The folder itself may be a link that a person has made, but not one with a number, as in a sweep.
    """
    for path in (*([folder] if folder.name.isdecimal() else []), *(folder / name for name in IN_PLACE)):
        kind = "folder" if path in (folder, folder / "figures") else "file"
        own = path.is_dir() if kind == "folder" else path.is_file()
        if path.is_symlink() or (path.exists() and not own):
            what = "leads elsewhere" if path.is_symlink() else f"is no {kind}"
            raise UsageError(f"{path} {what}; expected a {kind} of the run's own (remove what is there)")


def holder(folder: str | Path) -> str | None:
    """Who writes to the folder, as far as a reader can tell: "process 12 on host", or None when nobody does."""
    name = writer(folder)
    return None if name is None else f"process {name[0]} on {name[1]}"


def writer(folder: str | Path) -> tuple[int, str] | None:
    """The number and the machine of the process that writes to the folder, or None when nobody does."""
    path = Path(folder) / NAME
    name = _name(path)
    if name is None:
        return None
    writes = not name.is_silent if name.is_elsewhere else name.is_alive and _is_locked(path)
    return (name.pid, name.host) if writes else None


class _Name(NamedTuple):
    """What a lock file says: a process, its machine, its start (it tells apart processes of the same number)."""

    pid: int
    host: str
    born: str
    touched: float  # seconds since 1970

    @property
    def is_elsewhere(self) -> bool:
        return self.host != socket.gethostname()

    @property
    def is_silent(self) -> bool:
        """Whether nobody has touched the file for a while; also for a time in the future, as in a copied file."""
        return abs(time.time() - self.touched) >= SILENCE

    @property
    def is_alive(self) -> bool:
        """Whether the process runs on this machine, and is the one that wrote its name."""
        if self.pid <= 0:  # 0 and below are groups of processes
            return False
        try:
            os.kill(self.pid, 0)
        except PermissionError:
            pass  # it runs, as another user
        except (ProcessLookupError, OverflowError, ValueError):
            return False
        return _born(self.pid) == self.born


def _name(path: Path) -> _Name | None:
    """What a lock file says; None if it says nothing, or is no file."""
    try:
        status = path.lstat()
        name = json.loads(path.read_text(encoding="utf-8")) if stat.S_ISREG(status.st_mode) else {}
        return _Name(int(name["pid"]), str(name["host"]), str(name["born"]), status.st_mtime)
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None


def _signature() -> bytes:
    pid = os.getpid()
    return json.dumps({"pid": pid, "host": socket.gethostname(), "born": _born(pid)}).encode()


def _write(path: Path, content: bytes) -> None:
    file = os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    try:
        os.write(file, content)
    finally:
        os.close(file)


def _is_locked(path: Path) -> bool:
    """Whether a process has locked the file; True where the file system does not tell."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:  # BlockingIOError: it is locked
        return True
    finally:
        os.close(file)
    return False


def _born(pid: int) -> str:
    """When a process started (clock ticks since boot; "" if unknown)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
