"""The status of a run."""

from enum import StrEnum

from pinn_cli.basics import errors


class Status(StrEnum):
    """One word, and with it the exit code of the run's command (None: it has none yet) and the colour on a terminal.

    RUNNING, FINISHED, STOPPED and FAILED stand in a results file. The others follow from what lies beside it.
    """

    exit_code: int | None
    colour: str

    FINISHED = "finished", errors.FINISHED, "green"
    RUNNING = "running", None, "bold cyan"
    QUEUED = "queued", None, "dim"  # a run of a sweep without a results file, which somebody is going to start
    MISSING = "missing", None, "yellow"  # the same, but nobody is going to start it
    STOPPED = "stopped", errors.STOPPED, "yellow"  # by a signal, after saving: `pinn resume` continues it
    INTERRUPTED = "interrupted", None, "yellow"  # the file says running, and no process holds the folder
    FAILED = "failed", errors.FAILED, "bold red"
    DAMAGED = "damaged", None, "bold red"  # the results file cannot be read
    REFUSED = "refused", errors.USAGE, "magenta"  # its words make no run
    NOT_STARTED = "not started", None, "dim"  # no results file, where nobody asks whether it will be started

    def __new__(cls, word: str, exit_code: int | None = None, colour: str = "") -> "Status":
        member = str.__new__(cls, word)
        member._value_, member.exit_code, member.colour = word, exit_code, colour
        return member

    @classmethod
    def of_exit_code(cls, code: int) -> "Status":
        """The status of a run whose command ended with this code."""
        return next(status for status in cls if status.exit_code == code)


WRITTEN = (Status.RUNNING, Status.FINISHED, Status.STOPPED, Status.FAILED)  # what a results file may say
RESUMABLE = (Status.STOPPED, Status.INTERRUPTED)
UNDERWAY = (Status.RUNNING, Status.QUEUED)  # what a sweep still waits for
COMPLETE = (Status.FINISHED, Status.REFUSED)  # nothing is left to do
