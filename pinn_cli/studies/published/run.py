"""The runs of a published table, as one sweep: which are missing, and how they are carried out."""

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from typing import Any

from pinn_cli.basics.errors import MachineError, UsageError
from pinn_cli.basics.text import in_shell
from pinn_cli.configuration import project
from pinn_cli.records.folder import MANIFEST
from pinn_cli.records.status import UNDERWAY, Status
from pinn_cli.studies import launch
from pinn_cli.studies.launchers import choose
from pinn_cli.studies.published.measured import composed, seed_of
from pinn_cli.studies.published.table import Cell, Table
from pinn_cli.studies.status import goes_on, states
from pinn_cli.studies.sweep import PlannedRun, Sweep, counted


def sweep_of_table(table: Table, cells: Sequence[Cell], seeds: Sequence[int]) -> Sweep:
    """The sweep in the table's folder with the runs of these cells and seeds added to it; nothing is written.

    The runs are ordered by seed, so that every cell has a value early. Raises UsageError for a cell that makes no run.
    """
    there = Sweep.read(table.folder) if (table.folder / MANIFEST).exists() else None
    known = {(run.label, seed_of(run)): run.words for run in there.runs} if there else {}
    wanted = {(cell.name, seed): (*cell.words, f"seed={seed}") for seed in seeds for cell in cells}
    for cell in cells:
        composed(cell.words)
    both = {**known, **wanted}  # a cell of a changed table has its new words
    runs = [(words, None) for words in both.values()]
    sweep = Sweep.planned(table.folder, "", "", runs, [label for label, _ in both])
    return sweep if there is None else replace(there, runs=sweep.runs)


def missing(sweep: Sweep, cells: Iterable[Cell], seeds: Sequence[int]) -> tuple[list[PlannedRun], list[dict[str, Any]]]:
    """The runs of these cells and seeds to start, and the entries of those that are running or queued."""
    names = [cell.name for cell in cells]
    of_cells = {run.number: run for run in sweep.runs if run.label in names and seed_of(run) in seeds}
    entries = [entry for entry in states(sweep) if entry["number"] in of_cells and entry["state"] != Status.FINISHED]
    underway = [entry for entry in entries if entry["state"] in UNDERWAY]
    return [of_cells[entry["number"]] for entry in entries if entry not in underway], underway


def notices(sweep: Sweep, todo: Iterable[PlannedRun], underway: Sequence[dict[str, Any]]) -> list[str]:
    """A line for the runs that are running or queued, and one for each reason why others failed before."""
    jobs = f" (jobs {' '.join(sweep.jobs)})" if sweep.jobs else ""
    reasons = Counter(reason for run in todo if (reason := run.refused or run.failed) is not None)
    number, place = counted(len(underway), "run"), sweep.folder
    way = f"pinn status {in_shell(place)}"
    return [
        *([f"{number} queued or running in {place}{jobs}, not started twice; {way}"] if underway else []),
        *(f"{counted(number, 'run')} failed when last started: {reason}" for reason, number in reasons.items()),
    ]


def start(sweep: Sweep, todo: Sequence[PlannedRun], settings: Sequence[str], command: str, dry: bool = False) -> int:
    """Carry out these runs by the launcher that the settings name, or with `dry` show them; the exit code.

    What is printed of the sweep goes to the standard error: the standard output is the table. Raises UsageError.
    """
    project.enter()
    name, launcher = choose.named(settings)
    if name != sweep.launcher and goes_on(states(sweep)):
        way = f"type --launcher {sweep.launcher}, or wait"
        raise UsageError(f"{sweep.launcher} still has runs of {sweep.folder}; {way}")
    sweep = replace(sweep, launcher=name, command=command)
    if dry:
        return launch.show(sweep, launcher, todo)
    launcher.check()
    try:
        sweep.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MachineError(f"{sweep.folder} cannot be made ({error.strerror})") from None
    sweep.write()
    with redirect_stdout(sys.stderr):
        return launch.carry_out(sweep, launcher, todo)
