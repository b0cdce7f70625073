"""What a launcher is: the class that carries out the runs of a sweep."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Protocol

from pinn_cli.basics.errors import UsageError
from pinn_cli.studies.sweep import PlannedRun, Sweep


class NotHereError(UsageError):
    """A launcher needs something that is not installed on this machine."""


class Launcher(Protocol):
    """Carries out the runs of a sweep; each is the ordinary command `pinn train WORDS folder=SWEEP/NUMBER`.

    A YAML in conf/hydra/launcher names the class as `_target_`; its other keys are the keywords of the class. Derive
    from this class and write `launch`. The other four verbs suit a launcher that waits for its runs on this machine.
    """

    adds: ClassVar[Sequence[str]] = ()  # words of every run, unless the command line sets the same key

    needs_copy: ClassVar[bool] = False  # whether the runs need a `code` folder, even if nothing there is the user's own

    def check(self) -> None:
        """Raise UsageError if nothing can be launched here, and NotHereError if an installation is missing.

        It is called before anything is written.
        """
        return

    @abstractmethod
    def launch(self, sweep: Sweep, runs: Sequence[PlannedRun]) -> int:
        """Start these runs; the exit code: FINISHED (0), FAILED (1), USAGE (2: all are refused) or STOPPED (3).

        The caller holds the lock of the sweep's folder. A launcher that submits jobs adds their numbers to the manifest
        (`sweep.with_jobs`) and returns; one that waits returns when the last run has ended.
        """

    def preview(self, sweep: Sweep, runs: Sequence[PlannedRun]) -> str:
        """What `--dry-run` prints below the runs, for example a job script; nothing is written."""
        return ""

    def queued(self, sweep: Sweep) -> dict[int, str] | None:
        """The state of each run in the queue by its number, such as "PENDING" or "RUNNING"; None if nobody can say."""
        return {}

    def cancel(self, sweep: Sweep) -> bool:
        """Take the jobs of a sweep out of the queue; whether there were any."""
        return False
