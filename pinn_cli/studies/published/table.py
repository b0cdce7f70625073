"""A published table as values: cells, quantities, notes, and where its runs lie."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pinn_cli.basics.errors import UsageError, nearest
from pinn_cli.records.folder import OUTPUTS


@dataclass(frozen=True)
class Cell:
    """One entry of the table: `words` are what stands behind `pinn train`, but for seed and folder."""

    name: str
    row: str
    column: str
    words: tuple[str, ...]


@dataclass(frozen=True)
class Quantity:
    """A number of a run, and by cell what was printed for it."""

    title: str
    read: str
    over: str | None = None
    attribute: str | None = None
    take: str = "last"
    paper: Mapping[str, float] = field(default_factory=dict)
    rows: tuple[str, ...] = ()


@dataclass(frozen=True)
class Note:
    """A reason why our number and the printed one may differ, and the rows and columns it speaks of."""

    text: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """A published table. Of a quick one the runs are shorter, and their numbers are not comparable."""

    name: str
    title: str
    source: str
    number: str
    seeds: int
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: Mapping[str, Cell]
    quantities: Mapping[str, Quantity]
    ratios: tuple[tuple[str, str], ...]
    says: tuple[str, ...]
    stated: tuple[str, ...]
    notes: tuple[Note, ...]
    shorter: tuple[str, ...]  # overrides of the quick table
    few: tuple[str, ...]  # its cells
    quick_seeds: int
    quick: bool = False

    @property
    def folder(self) -> Path:
        """Where its runs lie: one folder per cell, one in it per seed."""
        return OUTPUTS / "reproduce" / self.name / ("quick" if self.quick else "")

    def run(self, cell: str, seed: int | str) -> Path:
        """The folder of one run."""
        return self.folder / cell / f"seed{seed}"

    def shortened(self) -> "Table":
        """The quick table: few cells, short runs, in a folder of their own."""
        cells = {name: replace(c, words=(*c.words, *self.shorter)) for name in self.few if (c := self.cells[name])}
        rows = tuple(row for row in self.rows if any(c.row == row for c in cells.values()))
        return replace(self, cells=cells, rows=rows, seeds=self.quick_seeds, quick=True)

    def chosen(self, names: Sequence[str] | None) -> list[Cell]:
        """The cells of these names, rows or columns; all of them for None. Raises UsageError for an unknown name."""
        known = [*self.cells, *self.rows, *self.columns]
        for name in names or ():
            if name not in known:
                raise UsageError(f"{self.name} has no cell `{name}`; {nearest(name, known)}")
        return [c for c in self.cells.values() if names is None or {c.name, c.row, c.column} & set(names)]
