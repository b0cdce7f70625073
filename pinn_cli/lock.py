"""One writer per run folder, held by the operating system and therefore gone with the process, however it ends.

Some file systems refuse locks, and on others a lock does not reach other machines. So a writer also leaves his name in
the lock file and touches it every few seconds: on one machine the process is looked for, from another one its last sign
of life counts. Readers take no lock; they read who wrote his name into it.
"""

import fcntl
import json
import os
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from pinn_cli import atomic
from pinn_cli.errors import TrainingError, UsageError

NAME = ".lock"
BEAT = 10.0  # seconds between two signs of life
SILENCE = 90.0  # seconds without one after which a writer on another machine is gone (network mounts look back 60 s)
REQUEUED = 120.0  # seconds that a requeued job waits for the process before it, which may still be saving


class Lock:
    """``with Lock(folder): ...`` while a run writes there. Raises UsageError if another process does.

    `patience`: seconds to wait for the other one to leave; by default none, or `REQUEUED` in a job that was requeued.
    """

    def __init__(self, folder: str | Path, patience: float | None = None):
        self.path = Path(folder) / NAME
        self.patience = patience if patience is not None else REQUEUED if "SLURM_RESTART_COUNT" in os.environ else 0.0
        self._file: int | None = None
        self._left = threading.Event()
        self._beating = threading.Thread(target=self._beat, name="sign of life", daemon=True)

    def __enter__(self) -> "Lock":
        end = time.monotonic() + self.patience
        while not self._take():
            if time.monotonic() >= end:
                who = holder(self.path.parent) or "another process"
                raise UsageError(f"{self.path.parent} is being written by {who}; expected a run at rest (wait for it, "
                                 "or stop it: Ctrl-C or `kill PROCESS`, and it saves first)")  # fmt: skip
            time.sleep(0.1)
        self._beating.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._left.set()
            self._beating.join()
            os.ftruncate(self._file, 0)  # the file itself stays: removing it would let two writers lock two files
            os.close(self._file)
            self._file = None

    def _take(self) -> bool:
        """Lock the file and sign it; False if somebody else holds it. Raises TrainingError if it cannot be signed."""
        file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            if not _locked(file) or holder(self.path.parent) is not None:
                os.close(file)
                return False
            name = {"pid": os.getpid(), "host": socket.gethostname(), "born": _born(os.getpid())}
            os.ftruncate(file, 0)
            os.write(file, json.dumps(name).encode())
        except OSError as error:
            os.close(file)
            raise TrainingError(atomic.reason(self.path, error, "nothing has been touched")) from error
        self._file = file
        return True

    def _beat(self) -> None:
        while not self._left.wait(BEAT):
            with suppress(OSError):  # the next one may succeed
                os.utime(self.path)


def holder(folder: str | Path) -> str | None:
    """Who writes to the folder, as far as a reader can tell: "process 12 on host", or None when nobody does."""
    found = writer(folder)
    return None if found is None else f"process {found[0]} on {found[1]}"


def writer(folder: str | Path) -> tuple[int, str] | None:
    """The number and the machine of the process that writes to the folder, or None when nobody does."""
    path = Path(folder) / NAME
    try:
        owner, last = json.loads(path.read_text(encoding="utf-8")), path.stat().st_mtime
        pid, host, born = int(owner["pid"]), str(owner["host"]), str(owner["born"])
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
    here = host == socket.gethostname()
    lives = _alive(pid) and _born(pid) == born if here else time.time() - last < SILENCE
    return (pid, host) if lives else None


def _locked(file: int) -> bool:
    """Whether nobody else has locked the file, so far as the file system has locks."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # no locks on this file system: the name in the file is then the only protection
        return True
    return True


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
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
