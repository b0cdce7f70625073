"""What a run shows, in two places at once: on the screen, and as plain lines in its run.log."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pinn_cli.training.console import Console


class Screens:
    """Speaks like a `Console`, to several of them."""

    def __init__(self, *consoles: Console):
        self.consoles = consoles

    def plan(self, *arguments: Any) -> None:
        """Show the plan, or a notice."""
        for console in self.consoles:
            console.plan(*arguments)

    def row(self, *arguments: Any) -> None:
        """Show a row if it is time to."""
        for console in self.consoles:
            console.row(*arguments)

    def finish(self, *arguments: Any) -> None:
        """Show the end of the run."""
        for console in self.consoles:
            console.finish(*arguments)


@contextmanager
def screens(log: Path, prefix: str = "") -> Iterator[Screens]:
    """The screen and the log; the lines of one worker among many begin with `prefix`."""
    try:
        file = open(log, "a", encoding="utf-8")  # noqa: SIM115  to close it may fail, on a full disk, and must not matter
    except OSError:  # the screen says the same
        file = open(os.devnull, "a", encoding="utf-8")  # noqa: SIM115
    try:
        with Console(prefix) as screen, Console(stream=file) as lines:
            yield Screens(screen, lines)
    finally:
        with suppress(OSError):
            file.close()
