"""The log of a run: its plan, the lines it has printed, and how it ended."""

import time
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import IO

PAUSE = 0.3  # seconds between two looks at a log that grows


def add(parser: ArgumentParser) -> None:
    """The arguments of `pinn logs`."""
    parser.add_argument("run", nargs="?", default="latest", help="SWEEP/17, or any name of a run (default: latest)")
    parser.add_argument("--follow", action="store_true", help="keep printing until the run has ended")


def run(arguments: Namespace) -> int:
    """Print the log (Raises UsageError)."""
    from pinn_cli.basics.errors import UsageError
    from pinn_cli.basics.text import in_shell
    from pinn_cli.records.folder import LOG
    from pinn_cli.studies.find import find

    folder = find(arguments.run)
    if not (folder / LOG).is_file():  # a pipe would be waited for
        raise UsageError(f"{folder} has no run.log (yet); pinn show {in_shell(folder)}")
    try:
        with open(folder / LOG, encoding="utf-8", errors="replace") as log:
            _print(log, folder, arguments.follow)
    except KeyboardInterrupt:
        pass
    return 0


def _print(log: IO[str], folder: Path, follow: bool) -> None:
    from pinn_cli.basics.text import printable
    from pinn_cli.records.lock import holder

    goes_on = follow
    while True:
        print(printable(log.read()), end="", flush=True)
        if not goes_on:
            return
        time.sleep(PAUSE)
        goes_on = holder(folder) is not None  # what it writes before it ends is read once more
