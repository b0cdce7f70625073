"""Go on with a run that was stopped or killed, from its last checkpoint, or with the unfinished runs of a sweep."""

import os
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from pinn_cli.basics.errors import UsageError, nearest
from pinn_cli.basics.text import in_shell

# None of these changes what is trained.
CHANGEABLE = ("stop", "record", "device", "threads", "processes", "figures", "diagnostics")


def add(parser: ArgumentParser) -> None:
    """The arguments of `pinn resume`."""
    parser.add_argument("run", nargs="?", default="latest", help="a run, sweep or problem's name (default: latest)")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="of a run, e.g. stop.steps=9000")
    parser.add_argument("--changed", action="store_true", help="even if modules, data or coefficients have changed")


def run(arguments: Namespace) -> int:
    """Find the run or the sweep and go on with it; the exit code."""
    words = [arguments.run, *arguments.overrides]
    named = "=" not in words[0] or Path(words[0]).exists()
    changes = dict(_change(word) for word in (words[1:] if named else words))
    from pinn_cli.studies.find import find_sweep_or_run

    name = words[0] if named else "latest"
    named_folder = find_sweep_or_run(name)
    if not isinstance(named_folder, Path):
        if changes or arguments.changed:
            sweep = named_folder.folder
            raise UsageError(f"{sweep} is a sweep, whose runs go on as they are; type e.g. {name}/0 for one run")
        return _all(named_folder)
    from pinn_cli.runs.resume import resume
    from pinn_cli.studies.sweep import forget

    forget(named_folder)
    return resume(named_folder, changes, arguments.changed)


def _all(sweep: Any) -> int:
    """Go on with the unfinished runs of a sweep, from the folder where it was typed or its frozen copy."""
    from pinn_cli.configuration import project
    from pinn_cli.records.status import COMPLETE
    from pinn_cli.studies import launch
    from pinn_cli.studies.status import refuse_busy, states
    from pinn_cli.studies.sweep import Sweep

    if nothing := sweep.nothing:
        raise UsageError(nothing)
    if all(entry["state"] in COMPLETE for entry in states(sweep)):
        print(f"nothing is left to do in {sweep.folder}; pinn compare {in_shell(sweep.folder)}")
        return 0
    refuse_busy(sweep)
    if not sweep.code.is_dir():
        raise UsageError(f"{sweep.folder} was started from {sweep.code}, which is not there any more")
    folder = Path(os.path.abspath(sweep.folder))
    with project.working_in(sweep.code):
        return launch.go_on(Sweep.read(folder))


def _change(word: str) -> tuple[str, object]:
    from omegaconf import OmegaConf

    key, _, value = word.partition("=")
    if not value or key.split(".")[0] not in CHANGEABLE:
        raise UsageError(f"`{word}` cannot be changed on resume; {nearest(key, CHANGEABLE)}")
    return key, OmegaConf.select(OmegaConf.from_dotlist([word]), key)
