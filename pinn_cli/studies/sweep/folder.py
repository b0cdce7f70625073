"""A sweep, as its folder's manifest has it."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from pinn_cli.basics import files as atomic
from pinn_cli.basics.errors import UsageError
from pinn_cli.basics.text import printable
from pinn_cli.records.folder import MANIFEST, OUTPUTS, check_writable, make, unique
from pinn_cli.studies.sweep import manifest
from pinn_cli.studies.sweep.notes import join
from pinn_cli.studies.sweep.planned import Planned, planned

NEW = OUTPUTS / "sweeps" / "NEW"  # in the place of a sweep that is not made yet


@dataclass(frozen=True)
class Sweep:
    """What was typed, how it is carried out, and its runs by number."""

    folder: Path
    command: str
    launcher: str
    created: str
    cwd: str
    jobs: tuple[str, ...]
    runs: tuple[Planned, ...]

    @classmethod
    def create(
        cls,
        command: str,
        launcher: str,
        runs: Sequence[tuple[Sequence[str], str | None]],
        chosen: str | Path | None = None,
    ) -> "Sweep":
        """Make the folder (`chosen`, or a new one) and its manifest from words and reasons for refusal.

        A folder that holds a sweep of the very same runs is taken again, to go on; UsageError for any other content.
        """
        check_writable(None if chosen is None else str(chosen))
        if chosen is not None and (Path(chosen) / MANIFEST).exists():
            there = _again(Path(chosen), [tuple(words) for words, _ in runs])
            sweep = replace(there, command=command, launcher=launcher)
            sweep.write()
            return sweep
        for run in cls.planned(Path(chosen or NEW), command, launcher, runs).elsewhere:
            check_writable(str(run.folder))
        folder = unique(OUTPUTS / "sweeps") if chosen is None else make(Path(chosen), may_exist=True)
        sweep = cls.planned(folder, command, launcher, runs)
        for run in sweep.elsewhere:
            join(run.folder, folder)
        sweep.write()
        return sweep

    @classmethod
    def planned(
        cls, folder: Path, command: str, launcher: str, runs: Sequence[tuple[Sequence[str], str | None]]
    ) -> "Sweep":
        """What a sweep would be, with nothing made."""
        try:
            for text in (command, os.getcwd()):
                manifest.line(text)
            for number, (words, reason) in enumerate(runs):
                manifest.run(number, list(words), reason)
        except ValueError as error:  # no later command would read it back
            raise UsageError(f"{error}; type it without line breaks and other signs that cannot be seen") from None
        known = tuple(planned(folder, n, words, reason) for n, (words, reason) in enumerate(runs))
        created = datetime.now().astimezone().isoformat(timespec="seconds")
        return cls(folder, command, launcher, created, os.getcwd(), (), known)

    @classmethod
    def read(cls, folder: str | Path) -> "Sweep":
        """The sweep in a folder (Raises UsageError if there is none, or if its manifest cannot be read)."""
        file = Path(folder) / MANIFEST
        try:
            return _read(Path(folder), json.loads(file.read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise UsageError(f"there is no sweep in {folder} (expected {MANIFEST}); type e.g. latest") from None
        except OSError as error:
            raise UsageError(f"{file} cannot be read ({error.strerror})") from None
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            reason = printable(" ".join(str(error).split())[:120])
            raise UsageError(f"{file} is damaged or no manifest ({reason}); the runs beside it are untouched") from None

    @property
    def wanted(self) -> tuple[Planned, ...]:
        """The runs that are not refused."""
        return tuple(run for run in self.runs if run.refused is None)

    @property
    def elsewhere(self) -> tuple[Planned, ...]:
        """The runs with folders of their own, outside that of the sweep."""
        return tuple(run for run in self.runs if run.senseless is None and run.folder != self.folder / str(run.number))

    @property
    def numbers(self) -> dict[Path, int]:
        """The number of a run by its resolved folder."""
        return {run.folder.resolve(): run.number for run in self.runs}

    def counts(self) -> str:
        """`9 runs (and 1 refused)`."""
        wanted, refused = len(self.wanted), len(self.runs) - len(self.wanted)
        return counted(wanted, "run") + (f" (and {refused} refused)" if refused else "")

    @property
    def code(self) -> Path:
        """Where its runs are started from: the frozen copy of the user's code, or the folder it was typed in."""
        frozen = self.folder / "code"
        return frozen if frozen.is_dir() else Path(self.cwd)

    def with_jobs(self, jobs: Sequence[str]) -> "Sweep":
        """The same sweep, its manifest rewritten with these numbers of a cluster's jobs behind the others."""
        sweep = replace(self, jobs=(*self.jobs, *jobs))
        sweep.write()
        return sweep

    def write(self) -> None:
        """Put the manifest in its place, whole: there is never half of one (Raises TrainingError)."""
        keys = (*manifest.TEXTS, "jobs")
        about = {"format": manifest.FORMAT} | {key: getattr(self, key) for key in keys}
        runs = [{"number": run.number, "words": run.words, "refused": run.senseless} for run in self.runs]
        lines = ",\n  ".join(map(json.dumps, runs))  # one run, one line
        text = f'{json.dumps(about, indent=1)[:-2]},\n "runs": [\n  {lines}\n ]\n}}\n'
        atomic.write(self.folder / MANIFEST, text)


def counted(number: int, thing: str) -> str:
    """`1 run`, `2 runs`."""
    return f"{number} {thing}" + ("" if number == 1 else "s")


def _read(folder: Path, about: Mapping[str, Any]) -> Sweep:
    texts, jobs = manifest.texts(about), manifest.jobs(about)
    found = (manifest.run(number, run["words"], run["refused"]) for number, run in enumerate(about["runs"]))
    runs = tuple(planned(folder, number, *one) for number, one in enumerate(found))
    return Sweep(folder=folder, jobs=jobs, runs=runs, **texts)


def _again(folder: Path, words: list[tuple[str, ...]]) -> Sweep:
    """The sweep that is there already, if it is this very one."""
    sweep = Sweep.read(folder)
    if [run.words for run in sweep.runs] != words:
        raise UsageError(f"{folder} holds another sweep ({sweep.command}); type folder=ANOTHER")
    return sweep
