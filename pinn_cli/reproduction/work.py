"""Tasks: command lines of `pinn train` that together make the runs a table lacks.

Without a launcher a task is one run. With one, a task is a cell, as a Hydra sweep over its seeds: how its runs are
carried out (in turn, in worker processes, by a scheduler) is then the launcher's business. Either way each run has its
own folder, and a task that finds an unfinished run in it goes on with that run.
"""

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pinn_cli import runs
from pinn_cli.composition import check_launcher
from pinn_cli.reproduction.kept import composed, refuse_busy
from pinn_cli.reproduction.table import Cell, Table


@dataclass(frozen=True)
class Task:
    """The words behind `pinn train`, and the runs that they make: cells and seeds."""

    words: tuple[str, ...]
    runs: tuple[tuple[str, int], ...]

    @property
    def command(self) -> str:
        """As one types it."""
        return shlex.join(["pinn", "train", *self.words])


def missing(table: Table, cells: Iterable[Cell], seeds: Sequence[int]) -> list[tuple[Cell, int]]:
    """The runs that are not finished, seed by seed, so that every cell has a value early. Raises UsageError."""
    wanted = [(cell, seed) for seed in seeds for cell in cells]
    todo = [(cell, seed) for cell, seed in wanted if not finished(table, cell.name, seed)]
    for cell, seed in todo:
        refuse_busy(table, cell, seed)
    return todo


def finished(table: Table, cell: str, seed: int) -> bool:
    """Whether the run is there and came to its end."""
    return runs.finished(table.run(cell, seed))


def tasks(
    table: Table, todo: Sequence[tuple[Cell, int]], launcher: str | None = None, settings: Sequence[str] = ()
) -> list[Task]:
    """The command lines for these runs, each looked at (Raises UsageError); `settings` are the launcher's."""
    if launcher is None:
        made = [_run(table, cell, seed) for cell, seed in todo]
    else:
        check_launcher(launcher)
        cells = {cell.name: cell for cell, _ in todo}
        how = (f"hydra/launcher={launcher}", *settings)
        made = [_sweep(table, cell, [s for c, s in todo if c is cell], how) for cell in cells.values()]
    for cell, _ in todo:
        composed(cell.words)
    return made


def _run(table: Table, cell: Cell, seed: int) -> Task:
    return Task((*cell.words, f"seed={seed}", f"folder={table.run(cell.name, seed)}"), ((cell.name, seed),))


def _sweep(table: Table, cell: Cell, seeds: Sequence[int], how: Sequence[str]) -> Task:
    several, folder = f"seed={','.join(map(str, seeds))}", f"folder={table.run(cell.name, '${seed}')}"
    return Task(("-m", *cell.words, several, folder, *how), tuple((cell.name, seed) for seed in seeds))
