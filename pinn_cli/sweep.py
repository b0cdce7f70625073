"""A sweep is a folder: ``sweep.json`` says which runs there are, and each is an ordinary run in a folder of its own.

    outputs/sweeps/<time>-<short id>/
        sweep.json      the command, the launcher, the words of every run and why some were refused: written once,
                        before the first run starts; a cluster's job numbers are added
        0/ 1/ 2/ ...    run folders, as `pinn train WORDS folder=<sweep>/<number>` makes them by hand too
        3.refused       why run 3, although its words compose, was refused when it started
        4.failed        why run 4 failed when it was last started; both are gone when it begins anew

Nothing here reads a configuration or a results file: what state a run is in, its own folder says.
"""

import json
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from pinn_cli import atomic
from pinn_cli.errors import TrainingError, UsageError
from pinn_cli.formatting import printable
from pinn_cli.run_folder import OUTPUTS, RESULTS, check_writable, make, unique

FILE = "sweep.json"
FORMAT = 1
LATEST = "latest"
JOB = re.compile(r"[0-9]+(_[0-9]+)?")  # what Slurm takes for a job: a word would be one of its options
REFUSED, FAILED = "refused", "failed"  # what a note beside a run's folder says of its last start
NOTE = 4096  # characters of a note that are read


@dataclass(frozen=True)
class Planned:
    """One run of a sweep: its words behind `pinn train`, why they make no run (None: they do), and its folder."""

    number: int
    words: tuple[str, ...]
    senseless: str | None
    folder: Path

    @property
    def refused(self) -> str | None:
        """Why it is never to be run: its words make no run, or it said so when it started, and has no results."""
        begun = self.senseless is None and (self.folder / RESULTS).exists()
        return self.senseless if self.senseless is not None or begun else _noted(self.folder, REFUSED)

    @property
    def failed(self) -> str | None:
        """Why it failed when it was last started; its results file may not know."""
        return _noted(self.folder, FAILED)

    @property
    def command(self) -> str:
        """The run as one types it: it starts, goes on, or says that nothing is left to do."""
        return shlex.join(["pinn", "train", *self.full_words])

    @property
    def full_words(self) -> list[str]:
        """The words and the folder."""
        return [*(word for word in self.words if not word.startswith("folder=")), f"folder={quoted(self.folder)}"]


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
        if chosen is not None and (Path(chosen) / FILE).exists():
            return _again(Path(chosen), [tuple(words) for words, _ in runs])
        folder = unique(OUTPUTS / "sweeps") if chosen is None else make(Path(chosen), may_exist=True)
        sweep = cls.planned(folder, command, launcher, runs)
        sweep.write()
        return sweep

    @classmethod
    def planned(
        cls, folder: Path, command: str, launcher: str, runs: Sequence[tuple[Sequence[str], str | None]]
    ) -> "Sweep":
        """What a sweep would be, with nothing made."""
        try:
            for text in (command, os.getcwd(), *(word for words, _ in runs for word in words)):
                _line(text)
        except ValueError as error:  # no later command would read it back
            raise UsageError(f"{error}; type it without line breaks and other signs that cannot be seen") from None
        planned = tuple(_planned(folder, n, words, reason) for n, (words, reason) in enumerate(runs))
        created = datetime.now().astimezone().isoformat(timespec="seconds")
        return cls(folder, command, launcher, created, os.getcwd(), (), planned)

    @classmethod
    def read(cls, folder: str | Path) -> "Sweep":
        """The sweep in a folder (Raises UsageError if there is none, or if its manifest cannot be read)."""
        file = Path(folder) / FILE
        try:
            return _sweep(Path(folder), json.loads(file.read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise UsageError(f"there is no sweep in {folder} (expected {FILE}); type e.g. latest") from None
        except OSError as error:
            raise UsageError(f"{file} cannot be read ({error.strerror})") from None
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            reason = printable(" ".join(str(error).split())[:120])
            raise UsageError(f"{file} is damaged or no manifest ({reason}); the runs beside it are untouched") from None

    @property
    def wanted(self) -> tuple[Planned, ...]:
        """The runs that are not refused."""
        return tuple(run for run in self.runs if run.refused is None)

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
        keys = ("command", "created", "launcher", "cwd", "jobs")
        about = {"format": FORMAT} | {key: getattr(self, key) for key in keys}
        runs = [{"number": run.number, "words": run.words, "refused": run.senseless} for run in self.runs]
        lines = ",\n  ".join(map(json.dumps, runs))  # one run, one line
        text = f'{json.dumps(about, indent=1)[:-2]},\n "runs": [\n  {lines}\n ]\n}}\n'
        atomic.write(self.folder / FILE, text)


def find(name: str = LATEST, root: Path = OUTPUTS) -> Sweep:
    """The sweep that a path, a unique beginning of its folder's name or of its short id, or `latest` names.

    Raises UsageError if there is none, or if several begin like that.
    """
    there = every(root)
    latest = there[-1:] if name == LATEST else []  # where there are no links
    for folder in (root / "sweeps" / name, Path(name), *latest):
        if (folder / FILE).is_file():
            return Sweep.read(folder.parent / folder.readlink() if folder.is_symlink() else folder)
    matches = [folder for folder in there if name and _begins(folder, name)]
    if len(matches) == 1:
        return Sweep.read(matches[0])
    if matches:
        names = ", ".join(folder.name for folder in matches[:4]) + (" ..." if len(matches) > 4 else "")
        raise UsageError(f"`{name}` is the beginning of {len(matches)} sweeps ({names}); type more of one of them")
    known = f"the latest is {there[-1]}" if there else "there is none yet; start one: pinn train -m ... seed=0,1,2"
    raise UsageError(f"there is no sweep `{name}` in {root}/sweeps; {known}")


def every(root: Path = OUTPUTS) -> list[Path]:
    """The folders of all sweeps below `root`/sweeps, the one that was started last at the end."""
    return sorted(file.parent for file in (root / "sweeps").glob(f"*/{FILE}") if not file.parent.is_symlink())


def sweep_of(folder: Path) -> Path | None:
    """The folder of the sweep that a run is part of."""
    return folder.parent if folder.name.isdecimal() and (folder.parent / FILE).is_file() else None


def note(folder: Path, end: str, reason: str) -> None:
    """Note that the run of this folder, if it is one of a sweep's, was REFUSED when it started, or has FAILED."""
    if sweep_of(folder) is not None:
        with suppress(TrainingError):  # on a full disk the line on the screen must do
            atomic.write(_note(folder, end), f"{reason}\n")


def forget(folder: Path) -> None:
    """A run begins anew: what it was noted for before counts no more."""
    if sweep_of(folder) is not None:
        for end in (REFUSED, FAILED):
            with suppress(OSError):
                _note(folder, end).unlink(missing_ok=True)


def counted(number: int, thing: str) -> str:
    """`1 run`, `2 runs`."""
    return f"{number} {thing}" + ("" if number == 1 else "s")


def quoted(path: str | Path) -> str:
    """A path as the value of an override, where some signs mean something."""
    text = str(path)
    return text if re.fullmatch(r"[\w./@%+-]+", text) else "'" + text.replace("\\", r"\\").replace("'", r"\'") + "'"


def _sweep(folder: Path, about: Mapping[str, Any]) -> Sweep:
    if about["format"] != FORMAT:
        raise ValueError(f"format {about['format']}, expected {FORMAT}")
    texts = {key: _line(about[key]) for key in ("command", "launcher", "created", "cwd")}
    jobs = tuple(map(str, about["jobs"]))
    if wrong := [job for job in jobs if not JOB.fullmatch(job)]:
        raise ValueError(f"{wrong[0]!a} is no number of a job")
    shlex.split(texts["command"])  # what no shell has had raises
    runs = tuple(_planned(folder, n, *_checked(n, run["words"], run["refused"])) for n, run in enumerate(about["runs"]))
    return Sweep(folder=folder, jobs=jobs, runs=runs, **texts)


def _line(text: Any) -> str:
    """A text that can be printed and stays in its line. Raises ValueError for what could speak to a terminal."""
    if not isinstance(text, str) or not text.isprintable():
        raise ValueError(f"{ascii(text)[:80]} is no line of text")
    return text


def _checked(number: int, words: Any, refused: Any) -> tuple[list[str], str | None]:
    """What a manifest says of a run. Raises ValueError for what no run has: Hydra would build all it is told to."""
    if not isinstance(words, list) or not (refused is None or isinstance(refused, str)):
        raise ValueError(f"run {number} is {str(words)[:40]}, refused: {str(refused)[:40]}")
    for word in words:
        if not isinstance(word, str) or not word.isprintable() or re.match(r"[+~]*hydra\b|-", word):
            raise ValueError(f"run {number} has the word {ascii(word)[:60]}, which no run has")
    return words, refused


def _planned(sweep: Path, number: int, words: Sequence[str], senseless: str | None) -> Planned:
    """A run in its own folder, which its words may name."""
    chosen = [word.partition("=")[2] for word in words if word.startswith("folder=")]
    folder = Path(chosen[-1]) if chosen else sweep / str(number)
    reason = senseless if senseless is None else " ".join(printable(senseless).split())
    return Planned(number, tuple(map(str, words)), reason, folder)


def _note(folder: Path, end: str) -> Path:
    return folder.with_name(f"{folder.name}.{end}")


def _noted(folder: Path, end: str) -> str | None:
    """What a note says; None if there is none."""
    if not _note(folder, end).is_file():
        return None
    with open(_note(folder, end), encoding="utf-8", errors="replace") as file:
        return " ".join(printable(file.read(NOTE)).split())


def _again(folder: Path, words: list[tuple[str, ...]]) -> Sweep:
    """The sweep that is there already, if it is this very one."""
    sweep = Sweep.read(folder)
    if [run.words for run in sweep.runs] != words:
        raise UsageError(f"{folder} holds another sweep ({sweep.command}); type folder=ANOTHER")
    return sweep


def _begins(folder: Path, text: str) -> bool:
    return folder.name.startswith(text) or folder.name.rpartition("-")[2].startswith(text)
