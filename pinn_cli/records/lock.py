"""One writer per run folder, held by the operating system and therefore gone with the process, however it ends.

Some file systems refuse locks, and on others a lock does not reach other machines. So a writer also leaves his name in
the lock file and touches it every few seconds: on one machine the process is looked for, from another one its last sign
of life counts (`signature`). Readers take no lock; they read who wrote his name into it.
"""

import fcntl
import os
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from pinn_cli.basics import files as atomic
from pinn_cli.basics.errors import BusyError, TrainingError, UsageError
from pinn_cli.records.signature import signatory, signature

NAME = ".lock"
BEAT = 10.0  # seconds between two signs of life
SILENCE = 90.0  # seconds without one after which a writer on another machine is gone (network mounts look back 60 s)
REQUEUED = 120.0  # seconds that a requeued job waits for the process before it, which may still be saving
SETTLING = 0.5  # seconds in which all who saw no name have signed, where there are no locks
IN_PLACE = (NAME, "run.log", "figures")  # what a writer opens where it lies; all other files are replaced as a whole


class Lock:
    """``with Lock(folder): ...`` while a run writes there. Raises BusyError if another one does, or as `check_own`.

    `patience`: seconds to wait for the other one to leave; by default none, or `REQUEUED` in a job that was requeued.
    """

    def __init__(self, folder: str | Path, patience: float | None = None):
        self.path = Path(folder) / NAME
        self.patience = patience if patience is not None else REQUEUED if "SLURM_RESTART_COUNT" in os.environ else 0.0
        self._file: int | None = None
        self._left = threading.Event()
        self._beating = threading.Thread(target=self._beat, name="sign of life", daemon=True)

    def __enter__(self) -> "Lock":
        check_own(self.path.parent)
        end = time.monotonic() + self.patience
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
        if self._file is not None:
            self._left.set()
            self._beating.join()
            os.ftruncate(self._file, 0)  # the file itself stays: removing it would let two writers lock two files
            os.close(self._file)
            self._file = None

    def _take(self) -> bool:
        """Lock the file and sign it; False if somebody else holds it. Raises TrainingError if it cannot be signed."""
        file = None
        try:
            file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            locked = _locked(file)
            if locked is False or holder(self.path.parent) is not None or not self._signed(file, bool(locked)):
                os.close(file)
                return False
        except OSError as error:
            if file is not None:
                os.close(file)
            raise TrainingError(atomic.reason(self.path, error, "nothing has been touched")) from error
        self._file = file
        return True

    def _signed(self, file: int, locked: bool) -> bool:
        """Write our name. Without a lock several may have seen none and do so: the last one counts, for all of them."""
        name = signature()
        os.ftruncate(file, 0)
        os.write(file, name)
        if locked:
            return True
        time.sleep(SETTLING)
        return self.path.read_bytes() == name

    def _beat(self) -> None:
        while not self._left.wait(BEAT):
            with suppress(OSError):  # the next one may succeed
                os.utime(self.path)


def check_own(folder: Path) -> None:
    """Refuse a folder that would lead its writer elsewhere: it may come from somebody else (Raises UsageError).

    The folder itself may be a link that a person has made, but not one with a number, as in a sweep.
    """
    for path in (*([folder] if folder.name.isdecimal() else []), *(folder / name for name in IN_PLACE)):
        kind = "folder" if path in (folder, folder / "figures") else "file"
        own = path.is_dir() if kind == "folder" else path.is_file()
        if path.is_symlink() or (path.exists() and not own):
            found = "leads elsewhere" if path.is_symlink() else f"is no {kind}"
            raise UsageError(f"{path} {found}; expected a {kind} of the run's own (remove what is there)")


def holder(folder: str | Path) -> str | None:
    """Who writes to the folder, as far as a reader can tell: "process 12 on host", or None when nobody does."""
    found = writer(folder)
    return None if found is None else f"process {found[0]} on {found[1]}"


def writer(folder: str | Path) -> tuple[int, str] | None:
    """The number and the machine of the process that writes to the folder, or None when nobody does."""
    return signatory(Path(folder) / NAME, SILENCE)


def _locked(file: int) -> bool | None:
    """Whether nobody else had locked the file, which now is; None where the file system has no locks."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True
