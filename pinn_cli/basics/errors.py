"""The errors that a user sees: one line that says what was found, what was expected and what to type."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from traceback import extract_tb

FINISHED, FAILED, USAGE, STOPPED = range(4)  # exit codes; a stopped run can go on


class UsageError(Exception):
    """A command that cannot be carried out as typed; the command line prints it and exits with 2."""


class MachineError(UsageError):
    """A command that this machine cannot carry out now: a device, memory or a folder is missing.

    The exit code is 2, as for other usage errors. A run of a sweep counts as failed, not as invalid, because it may
    work on another machine.
    """


class BusyError(MachineError):
    """Another process is writing to the folder. This is no failure of its run and is not recorded as one."""


class TrainingError(Exception):
    """A run that cannot continue (the loss is not finite, memory runs out); the command exits with 1."""


@contextmanager
def user_method(where: str) -> Iterator[None]:
    """Whatever a method of the user raises becomes a UsageError of one line, which names the method and the place."""
    try:
        yield
    except (UsageError, MachineError, TrainingError, OSError, MemoryError):
        raise
    except Exception as error:
        last = extract_tb(error.__traceback__)[-1]
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise UsageError(f"{where}: {reason} (line {last.lineno} of {last.filename})") from error


def nearest(unknown: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the most similar known name, or all of them."""
    known = list(known)
    lowered = {name.lower(): name for name in known}
    close = get_close_matches(unknown.lower(), lowered, n=1, cutoff=0.55)
    if close:
        return f"did you mean `{lowered[close[0]]}`?"
    return f"expected one of {', '.join(known)}" if known else "there is none"
