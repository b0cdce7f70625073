"""The errors a person meets: one line that says what was found, what was expected and what to type."""

from collections.abc import Iterable
from difflib import get_close_matches

FINISHED, FAILED, USAGE, STOPPED = range(4)  # exit codes; a stopped run can go on


class UsageError(Exception):
    """A command that cannot be carried out as typed; the command line prints it and exits with 2."""


class MachineError(UsageError):
    """What this machine cannot do at the moment, and another may: a device, memory, a folder that are not there.

    A command ends with 2 for it as for the others; a run of a sweep has failed, and is not refused for good.
    """


class BusyError(MachineError):
    """A folder that another process is writing: of its run this says nothing, and it is noted nowhere."""


class TrainingError(Exception):
    """A run that cannot go on (a loss that is not finite, memory that does not suffice); exits with 1."""


def nearest(found: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the nearest known one, or all of them."""
    known = list(known)
    lowered = {name.lower(): name for name in known}
    close = get_close_matches(found.lower(), lowered, n=1, cutoff=0.55)
    if close:
        return f"did you mean `{lowered[close[0]]}`?"
    return f"expected one of {', '.join(known)}" if known else "there is none"
