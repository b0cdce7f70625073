"""A sweep through a launcher: its runs are known, checked and written down before the first one starts.

A run that fails or is refused does not end the others.
"""

import shlex
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path

from pinn_cli.basics.errors import FINISHED, USAGE, MachineError, UsageError
from pinn_cli.basics.text import in_shell
from pinn_cli.configuration.compose import read, spread, value_of
from pinn_cli.records.folder import MANIFEST
from pinn_cli.records.lock import NAME as LOCK
from pinn_cli.records.lock import Lock
from pinn_cli.records.summary import finished
from pinn_cli.studies import freeze
from pinn_cli.studies.grid import Combination, combinations
from pinn_cli.studies.launchers import choose
from pinn_cli.studies.launchers.base import Launcher, NotHereError
from pinn_cli.studies.launchers.basic import Basic
from pinn_cli.studies.status import refuse_busy
from pinn_cli.studies.sweep import NEW, PlannedRun, Sweep


def run(words: Sequence[str], command: Sequence[str], dry: bool = False) -> int:
    """Carry out the sweep of these words, or with `dry` only show it; the exit code. Raises UsageError."""
    settings = [word for word in words if choose.is_setting(word)]
    name, launcher = choose.named(settings)
    chosen, typed = _folder([word for word in words if word not in settings])
    keys, line = [word.partition("=")[0] for word in typed], shlex.join(command)
    runs = combinations([*typed, *(word for word in launcher.adds if word.partition("=")[0] not in keys)])
    if dry:
        sweep = Sweep.planned(Path(chosen or NEW), line, name, _rehearsed(runs))
        return show(sweep, launcher, sweep.runs)
    if nothing := Sweep.planned(Path(chosen or NEW), line, name, runs).nothing:
        raise UsageError(nothing)
    launcher.check()
    if chosen is not None and (Path(chosen) / MANIFEST).exists():
        refuse_busy(Sweep.read(chosen))
    sweep = Sweep.create(line, name, runs, chosen)
    return carry_out(sweep, launcher, sweep.wanted)


def go_on(sweep: Sweep) -> int:
    """Start the runs of a sweep that have not finished, by its own launcher; the exit code. Raises UsageError.

    Where the queue that a sweep was submitted to is not installed, its runs are carried out in this process.
    """
    launcher = choose.of(sweep)
    try:
        launcher.check()
    except NotHereError as error:
        if not sweep.jobs:
            raise
        print(f"{error}; here the runs go on one after the other")
        return carry_out(replace(sweep, launcher="basic"), Basic(), sweep.wanted)
    return carry_out(sweep, launcher, sweep.wanted)


def carry_out(sweep: Sweep, launcher: Launcher, chosen: Sequence[PlannedRun]) -> int:
    """Start the chosen runs that have not finished, as the only process at this sweep; the exit code.

    A new sweep that its launcher refuses is removed again. Raises UsageError, TrainingError.
    """
    try:
        with Lock(sweep.folder):
            if Sweep.read(sweep.folder).jobs != sweep.jobs:
                raise UsageError(f"{sweep.folder} has just been submitted; pinn status {in_shell(sweep.folder)}")
            runs = [run for run in chosen if not finished(run.folder)]
            if not runs:
                print(f"nothing is left to do in {sweep.folder}; pinn compare {in_shell(sweep.folder)}")
                return FINISHED
            _freeze(sweep, launcher)
            print(f"sweep {sweep.folder}: {sweep.counts()}, hydra/launcher={sweep.launcher}", flush=True)
            return launcher.launch(sweep, runs)
    except UsageError as error:
        submitted = isinstance(error, MachineError) or Sweep.read(sweep.folder).jobs  # or it may be
        if not submitted and not any(run.folder.exists() for run in sweep.runs):
            _unmake(sweep)
        raise


def _freeze(sweep: Sweep, launcher: Launcher) -> None:
    """Copy the user's code into the folder of a new sweep; refuse it if it has changed since (UsageError)."""
    if not sweep.is_frozen:
        freeze.keep(sweep.folder.absolute(), [word for run in sweep.runs for word in run.words], launcher.needs_copy)
    elif Path.cwd().resolve() != sweep.code.resolve():  # there `pinn resume` goes on
        freeze.refuse_changed(sweep.folder)


def _unmake(sweep: Sweep) -> None:
    """Remove the manifest and the copy of a sweep that was not launched, and its folder if nothing else is there."""
    shutil.rmtree(sweep.folder / freeze.CODE, ignore_errors=True)
    for name in (MANIFEST, LOCK):
        (sweep.folder / name).unlink(missing_ok=True)
    with suppress(OSError):
        sweep.folder.rmdir()


def _folder(words: list[str]) -> tuple[str | None, list[str]]:
    """The folder chosen for the sweep, and the other words. Raises UsageError for one that differs between runs."""
    typed = [word for word in words if word.lstrip("+").startswith("folder=")]
    if not typed:
        return None, words
    if "${" in typed[-1] or len(spread(typed[-1])) > 1:
        raise UsageError(f"`{typed[-1]}` differs between runs; the runs of a sweep lie in its folder: type folder=NAME")
    chosen = value_of(typed[-1])[1]
    if chosen == "":
        raise UsageError(f"`{typed[-1]}`: expected the name of a folder, or null")
    return None if chosen is None else str(chosen), [word for word in words if word not in typed]


def _rehearsed(runs: list[Combination]) -> list[Combination]:
    """The runs with what each would be refused for when it starts; seeds make no difference to that."""

    @cache
    def reason(words: tuple[str, ...]) -> str | None:
        from pinn_cli.runs.start import rehearse  # imports torch

        try:
            rehearse(read(words))
        except MachineError:  # it may well start where it is carried out
            return None
        except UsageError as error:
            return str(error)
        return None

    def same(words: list[str]) -> tuple[str, ...]:
        return tuple(word for word in words if not word.startswith("seed="))

    return [(words, refused or reason(same(words))) for words, refused in runs]


def show(sweep: Sweep, launcher: Launcher, chosen: Sequence[PlannedRun]) -> int:
    """Print the runs that would be started, and those that would be refused."""
    for run in chosen:
        text = f"-  {' '.join(run.words)}: refused, {run.refused}" if run.refused is not None else run.command
        print(f"{run.number:>4}  {text}")
    if text := launcher.preview(sweep, [run for run in chosen if run.refused is None]):
        print(f"\n{text}")
    wanted = replace(sweep, runs=tuple(chosen)).counts()
    print(f"\n{wanted}; with hydra/launcher={sweep.launcher}; nothing has been started")
    return USAGE if sweep.nothing else FINISHED
