"""One run of a sweep, before it has begun and after."""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pinn_cli.basics.text import printable
from pinn_cli.records.folder import RESULTS
from pinn_cli.studies.sweep.notes import FAILED, REFUSED, noted


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
        return self.senseless if self.senseless is not None or begun else noted(self.folder, REFUSED)

    @property
    def failed(self) -> str | None:
        """Why it failed when it was last started; its results file may not know."""
        return noted(self.folder, FAILED)

    @property
    def command(self) -> str:
        """The run as one types it: it starts, goes on, or says that nothing is left to do."""
        return shlex.join(["pinn", "train", *self.full_words])

    @property
    def full_words(self) -> list[str]:
        """The words and the folder."""
        return [*(word for word in self.words if not word.startswith("folder=")), f"folder={quoted(self.folder)}"]


def planned(sweep: Path, number: int, words: Sequence[str], senseless: str | None) -> Planned:
    """A run in its own folder, which its words may name."""
    chosen = [word.partition("=")[2] for word in words if word.startswith("folder=")]
    folder = Path(chosen[-1]) if chosen else sweep / str(number)
    reason = senseless if senseless is None else " ".join(printable(senseless).split())
    return Planned(number, tuple(map(str, words)), reason, folder)


def quoted(path: str | Path) -> str:
    """A path as the value of an override, where some signs mean something."""
    text = str(path)
    return text if re.fullmatch(r"[\w./@%+-]+", text) else "'" + text.replace("\\", r"\\").replace("'", r"\'") + "'"
