"""A sweep is a folder: ``sweep.json`` names its runs, and each run is an ordinary run folder in it.

    outputs/sweeps/<time>-<short id>/
        sweep.json      the manifest: the command, the launcher, and of every run its words, its label and why it was
                        refused; it is written before the first run starts, and gets the numbers of a cluster's jobs
        0/ 1/ 2/ ...    run folders; `pinn train WORDS folder=<sweep>/<number>` makes the same ones
        3.refused       why run 3 was refused when it started, although its words compose
        4.failed        why run 4 failed when it was last started; both notes go when the run starts again

Nothing here reads a configuration or a results file: the state of a run is read from its own folder.
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

from pinn_cli.basics import files
from pinn_cli.basics.errors import TrainingError, UsageError
from pinn_cli.basics.text import printable
from pinn_cli.records.folder import MANIFEST, OUTPUTS, RESULTS, check_writable, make, unique

NEW = OUTPUTS / "sweeps" / "NEW"  # stands for the folder of a sweep that is only shown
REFUSED, FAILED = "refused", "failed"  # the notes beside a run
NOTE = 4096  # characters of a note that are read
FORMAT = 1
TEXTS = ("command", "launcher", "created", "cwd")
WORD = re.compile(r"[+~]*(?!hydra\b|folder=)[A-Za-z_]\w*([./@:-]\w+)*(=.*)?")  # of a run; others could make Hydra build
JOB = re.compile(r"[0-9]+(_[0-9]+)?")  # a number of a job: any other word would be an option of the cluster's commands


@dataclass(frozen=True)
class PlannedRun:
    """One run of a sweep: its words behind `pinn train`, why they make no run (None: they do), its folder and label."""

    number: int
    words: tuple[str, ...]
    invalid: str | None
    folder: Path
    label: str = ""

    @property
    def refused(self) -> str | None:
        """Why it will never run: its words make no run, or it was refused when it started and has no results."""
        begun = self.invalid is None and (self.folder / RESULTS).exists()
        return self.invalid if self.invalid is not None or begun else _noted(self.folder, REFUSED)

    @property
    def failed(self) -> str | None:
        """Why it failed when it was last started, also where it has no results file."""
        return _noted(self.folder, FAILED)

    @property
    def command(self) -> str:
        """The run as one types it: the command starts it, continues it, or says that nothing is left to do."""
        return shlex.join(["pinn", "train", *self.full_words])

    @property
    def full_words(self) -> list[str]:
        """The words and the folder."""
        return [*self.words, f"folder={quoted(self.folder)}"]


@dataclass(frozen=True)
class Sweep:
    """The content of a manifest: what was typed, by which launcher it is carried out, and its runs in order."""

    folder: Path
    command: str
    launcher: str
    created: str
    cwd: str
    jobs: tuple[str, ...]
    runs: tuple[PlannedRun, ...]

    @classmethod
    def create(
        cls, command: str, launcher: str, runs: Sequence[tuple[Sequence[str], str | None]],
        chosen: str | Path | None = None,
    ) -> "Sweep":  # fmt: skip
        """Make the folder (`chosen`, or a new one) and its manifest from words and reasons for refusal.

        A folder that holds a sweep of the very same runs is taken again. Raises UsageError for any other content.
        """
        check_writable(None if chosen is None else str(chosen))
        if chosen is not None and (Path(chosen) / MANIFEST).exists():
            sweep = replace(_again(Path(chosen), runs), command=command, launcher=launcher)
        else:
            planned = cls.planned(Path(chosen or NEW), command, launcher, runs)
            folder = unique(OUTPUTS / "sweeps") if chosen is None else make(Path(chosen), may_exist=True)
            moved = [replace(run, folder=folder / str(run.number)) for run in planned.runs]
            sweep = replace(planned, folder=folder, runs=tuple(moved))
        sweep.write()
        return sweep

    @classmethod
    def planned(
        cls, folder: Path, command: str, launcher: str, runs: Sequence[tuple[Sequence[str], str | None]],
        labels: Sequence[str] = (),
    ) -> "Sweep":  # fmt: skip
        """A sweep of which nothing is written. Raises UsageError for words that a manifest cannot hold."""
        named = [*labels, *[""] * (len(runs) - len(labels))]
        try:
            for text in (command, os.getcwd()):
                _line(text)
            known = [_run(folder, n, list(words), reason, named[n]) for n, (words, reason) in enumerate(runs)]
        except ValueError as error:  # no later command could read it back
            raise UsageError(f"{error}; type it without line breaks and other invisible characters") from None
        created = datetime.now().astimezone().isoformat(timespec="seconds")
        return cls(folder, command, launcher, created, os.getcwd(), (), tuple(known))

    @classmethod
    def read(cls, folder: str | Path) -> "Sweep":
        """The sweep in a folder. Raises UsageError if there is none, or if its manifest cannot be read."""
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
    def wanted(self) -> tuple[PlannedRun, ...]:
        """The runs that are not refused."""
        return tuple(run for run in self.runs if run.refused is None)

    @property
    def nothing(self) -> str:
        """Where all runs are refused, one line that says so, with the reason of the first; else ""."""
        if self.wanted or not self.runs:
            return ""
        what = f"all {len(self.runs)} runs are" if len(self.runs) > 1 else "the run is"
        return f"nothing can be trained: {what} refused (run {self.runs[0].number}: {self.runs[0].refused})"

    def counts(self) -> str:
        """`9 runs (and 1 refused)`."""
        wanted, refused = len(self.wanted), len(self.runs) - len(self.wanted)
        return counted(wanted, "run") + (f" (and {refused} refused)" if refused else "")

    @property
    def code(self) -> Path:
        """Where its runs are started: in the frozen copy of the user's code, or in the folder where it was typed."""
        return self.folder / "code" if self.is_frozen else Path(self.cwd)

    @property
    def is_frozen(self) -> bool:
        """Whether its folder holds a copy of the user's code (`studies/freeze.py`)."""
        return (self.folder / "code").is_dir()

    def words_of(self, run: PlannedRun) -> list[str]:
        """The words of a run behind `pinn train`, as one types them where the runs are started (`code`)."""
        return (replace(run, folder=run.folder.absolute()) if self.is_frozen else run).full_words

    def with_jobs(self, jobs: Sequence[str]) -> "Sweep":
        """The same sweep, with these numbers of a cluster's jobs added to its manifest."""
        sweep = replace(self, jobs=(*self.jobs, *jobs))
        sweep.write()
        return sweep

    def write(self) -> None:
        """Write the manifest, all of it or nothing (Raises TrainingError)."""
        about = {"format": FORMAT} | {key: getattr(self, key) for key in (*TEXTS, "jobs")}
        runs = [
            {"number": run.number, "words": run.words, "refused": run.invalid, "label": run.label} for run in self.runs
        ]
        lines = ",\n  ".join(map(json.dumps, runs))  # one run, one line
        text = f'{json.dumps(about, indent=1)[:-2]},\n "runs": [\n  {lines}\n ]\n}}\n'
        files.write(self.folder / MANIFEST, text)


def counted(number: int, thing: str) -> str:
    """`1 run`, `2 runs`."""
    return f"{number} {thing}" + ("" if number == 1 else "s")


def quoted(path: str | Path) -> str:
    """A path as the value of an override, in which some characters have a meaning."""
    text = str(path)
    if re.fullmatch(r"[\w./@%+-]+", text, re.ASCII):
        return text
    return "'" + text.replace("\\", r"\\").replace("'", r"\'") + "'"


# ---- notes: what a run said when it was last started, where its results file cannot say it


def sweep_of(folder: Path) -> Path | None:
    """The folder of the sweep that a run is part of; None for a lone run."""
    return folder.parent if folder.name.isdecimal() and (folder.parent / MANIFEST).is_file() else None


def note(folder: Path, end: str, reason: str) -> None:
    """Note that the run of this folder was REFUSED when it started, or has FAILED; nothing for a lone run."""
    if sweep_of(folder) is not None:
        with suppress(TrainingError):  # on a full disk only the screen shows the reason
            files.write(_note(folder, end), f"{reason}\n")


def forget(folder: Path) -> None:
    """Remove the notes of a run that starts again; nothing for a lone run."""
    if sweep_of(folder) is not None:
        for end in (REFUSED, FAILED):
            with suppress(OSError):
                _note(folder, end).unlink(missing_ok=True)


def _noted(folder: Path, end: str) -> str | None:
    """The text of a note; None if there is none that can be read."""
    if os.path.isfile(_note(folder, end)):  # reading a pipe would wait
        with suppress(OSError), open(_note(folder, end), encoding="utf-8", errors="replace") as file:
            return " ".join(printable(file.read(NOTE)).split())
    return None


def _note(folder: Path, end: str) -> Path:
    return folder.parent / f"{folder.name}.{end}"


# ---- the manifest: it may come from somebody else, or be damaged; each function raises ValueError


def _read(folder: Path, about: Mapping[str, Any]) -> Sweep:
    if about["format"] != FORMAT:
        raise ValueError(f"format {about['format']}, expected {FORMAT}")
    texts = {key: _line(about[key]) for key in TEXTS}
    shlex.split(texts["command"])  # raises for what no shell accepts
    jobs = tuple(map(str, about["jobs"]))
    if wrong := [job for job in jobs if not JOB.fullmatch(job)]:
        raise ValueError(f"{wrong[0]!a} is no number of a job")
    runs = [_run(folder, n, run["words"], run["refused"], run.get("label", "")) for n, run in enumerate(about["runs"])]
    return Sweep(folder=folder, jobs=jobs, runs=tuple(runs), **texts)


def _run(folder: Path, number: int, words: Any, refused: Any, label: Any) -> PlannedRun:
    if not isinstance(words, list) or not (refused is None or isinstance(refused, str)):
        raise ValueError(f"run {number} is {str(words)[:40]}, refused: {str(refused)[:40]}")
    for word in words:
        if not isinstance(word, str) or not word.isprintable() or not WORD.fullmatch(word):
            raise ValueError(f"run {number} has the word {ascii(word)[:60]}, which no run has")
    reason = refused if refused is None else " ".join(printable(refused).split())
    return PlannedRun(number, tuple(words), reason, folder / str(number), _line(label))


def _line(text: Any) -> str:
    """A text that can be printed and is one line: nothing else is sent to a terminal."""
    if not isinstance(text, str) or not text.isprintable():
        raise ValueError(f"{ascii(text)[:80]} is no line of text")
    return text


def _again(folder: Path, runs: Sequence[tuple[Sequence[str], str | None]]) -> Sweep:
    """The sweep that is in the folder, if it has these runs. Raises UsageError."""
    sweep = Sweep.read(folder)
    if [run.words for run in sweep.runs] != [tuple(words) for words, _ in runs]:
        raise UsageError(f"{folder} holds another sweep ({sweep.command}); type folder=ANOTHER")
    return sweep
