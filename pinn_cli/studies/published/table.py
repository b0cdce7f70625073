"""A published table: rows x columns of runs, the numbers that were printed for them, and known differences.

It is a YAML below ``conf/published/``, and `pinn reproduce` runs it:

    # one line on what it is
    source: authors, year, which table          where the printed numbers are from
    number: mean of 10 initialisations          what a printed number is
    mean: true                                  means stand beside our medians, also where no paper prints means
    seeds: 3                                    how many seeds a cell has, from 0 on
    every: [...]                                overrides of every run; {row} and {column} stand for the names
    rows: {3x50: [architecture.depth=3]}        a name and its overrides; `columns` likewise
    cells: {3x50_m1: [...]}                     more overrides of single cells (row_column)
    without: [3x50_m1, "5x*_m3"]                cells that are not run; * fits anything
    quantities: {u: {title:, read: error/u, paper: {3x50: [0.1, null]}}}
    ratios: [[m1, m4]]                          columns whose quotient is shown for each row
    says: [...]                                 claims of the paper, in words
    stated: [dtype]                             settings that are named beside the results
    quick: {cells: [...], overrides: [...], seeds: 1}
    notes: [{text:, columns: [...], rows: [...]}]     what is special about these cells, or about all

A quantity is read from the results file of each run:

    title: its heading                          read: a dataset; with a *, the largest over all that fit
    attribute: of the dataset, in its place     take: last, max or min of an array (default: last);
                                                with min, the least over all that fit a *
    over: a dataset to divide by                rows: the rows that have it (default: all)
    paper: {row: [a number for each column]}    null where nothing was printed; none at all for a table of our own
    when: history/error/*, below: 1e-5          `read` is a history column, taken at its first row
                                                where all columns that fit `when` are at or below this value;
                                                in time marching both are those of the last window alone
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from pinn_cli.basics.errors import UsageError, nearest
from pinn_cli.configuration import catalogue
from pinn_cli.records.folder import OUTPUTS

NEEDED = ("source", "seeds", "every", "rows", "columns", "quantities", "quick")
OTHERS = ("number", "mean", "cells", "without", "ratios", "says", "stated", "notes")
MOST = 1000  # seeds
TAKES = ("last", "max", "min")


@dataclass(frozen=True)
class Cell:
    """One entry of the table; `words` follow `pinn train`, and a seed and a folder follow them."""

    name: str
    row: str
    column: str
    words: tuple[str, ...]


@dataclass(frozen=True)
class Quantity:
    """A number of a run, and by cell the number that was printed for it."""

    title: str
    read: str
    over: str | None = None
    attribute: str | None = None
    take: str = "last"
    when: str | None = None
    below: float | None = None
    paper: Mapping[str, float] = field(default_factory=dict)
    rows: tuple[str, ...] = ()


@dataclass(frozen=True)
class Note:
    """A remark, for example why our number and the printed one may differ, on the cells of some rows and columns."""

    text: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """A published table. The runs of a quick one are shorter, and its numbers are not comparable."""

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
    mean: bool = False
    quick: bool = False

    @property
    def folder(self) -> Path:
        """The folder of its sweep, whose runs are labelled with the names of their cells."""
        return OUTPUTS / "reproduce" / (f"{self.name}_quick" if self.quick else self.name)

    def shortened(self) -> "Table":
        """The quick table: few cells and short runs, in another folder."""
        cells = {name: replace(cell, words=(*cell.words, *self.shorter)) for name, cell in self.cells.items()
                 if name in self.few}  # fmt: skip
        rows = tuple(row for row in self.rows if any(c.row == row for c in cells.values()))
        return replace(self, cells=cells, rows=rows, seeds=self.quick_seeds, quick=True)

    def chosen(self, names: Sequence[str] | None) -> list[Cell]:
        """The cells with these names, rows or columns; all for None. Raises UsageError for an unknown name."""
        known = [*self.cells, *self.rows, *self.columns]
        for name in names or ():
            if name not in known:
                raise UsageError(f"{self.name} has no cell `{name}`; {nearest(name, known)}")
        return [c for c in self.cells.values() if names is None or {c.name, c.row, c.column} & set(names)]


def read_table(name: str) -> Table:
    """The table of this name, of the package or of the user. Raises UsageError for an unknown name, or a mistake."""
    known = catalogue.options(catalogue.PUBLISHED)
    if name not in known:
        raise UsageError(f"there is no published table `{name}`; {nearest(name, known)} (pinn reproduce lists them)")
    path = catalogue.file(catalogue.PUBLISHED, name)
    try:
        catalogue.check(catalogue.PUBLISHED, name)
        node = OmegaConf.to_container(OmegaConf.load(path))
        return _table(name, catalogue.descriptions(catalogue.PUBLISHED)[name], node)
    except (UsageError, OmegaConfBaseException, YAMLError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(f"{path}: {' '.join(str(error).split())}") from None


def _table(name: str, title: str, node: Any) -> Table:
    _check_keys(node, NEEDED, OTHERS)
    _check_keys(node["quick"], ("cells", "overrides", "seeds"))
    _check_counts(node["seeds"], node["quick"]["seeds"])
    rows, columns = ({str(key): words or [] for key, words in node[axis].items()} for axis in ("rows", "columns"))
    of_cells = {str(name): words for name, words in node.get("cells", {}).items()}
    cells = _cells(node["every"], rows, columns, of_cells, list(map(str, node.get("without", ()))))
    _check_names(node["quick"]["cells"], cells)
    _check_names([column for pair in node.get("ratios", ()) for column in pair], columns)
    return Table(
        name=name,
        title=title,
        source=str(node["source"]),
        number=str(node.get("number", "")),
        seeds=int(node["seeds"]),
        rows=tuple(rows),
        columns=tuple(columns),
        cells=cells,
        quantities={str(key): _quantity(own, list(rows), list(columns)) for key, own in node["quantities"].items()},
        ratios=tuple((str(above), str(below)) for above, below in node.get("ratios", ())),
        says=tuple(map(str, node.get("says", ()))),
        stated=tuple(node.get("stated", ())),
        notes=tuple(_note(note, rows, columns) for note in node.get("notes", ())),
        shorter=tuple(node["quick"]["overrides"]),
        few=tuple(node["quick"]["cells"]),
        quick_seeds=int(node["quick"]["seeds"]),
        mean=node.get("mean") is True,
    )


def _cells(
    every: list[Any], rows: dict[str, list[Any]], columns: dict[str, list[Any]], more: dict[str, list[Any]],
    without: list[str],
) -> dict[str, Cell]:
    """The cells by name: every row with every column, except those that fit a pattern in `without`."""
    words = {(row, column): [*every, *columns[column], *rows[row], *more.get(f"{row}_{column}", ())]
             for row in rows for column in columns}  # fmt: skip
    cells = [_cell(*place, own) for place, own in words.items()]
    for pattern in without:
        if not any(fnmatchcase(cell.name, pattern) for cell in cells):
            raise UsageError(f"no cell fits `{pattern}`; {nearest(pattern, [cell.name for cell in cells])}")
    kept = {cell.name: cell for cell in cells if not any(fnmatchcase(cell.name, pattern) for pattern in without)}
    _check_names(more, kept)
    return kept


def _cell(row: str, column: str, words: Iterable[str]) -> Cell:
    for name in (row, column):  # names of folders
        if "/" in name or name.startswith(".") or not name.isprintable():
            raise UsageError(f"the row or column `{name}`: expected a name without / and not beginning with .")
    filled = (str(word).replace("{row}", row).replace("{column}", column) for word in words)
    return Cell(f"{row}_{column}", row, column, tuple(filled))


def _quantity(node: dict[str, Any], rows: list[str], columns: list[str]) -> Quantity:
    _check_keys(node, ("title", "read"), ("over", "attribute", "take", "when", "below", "paper", "rows"))
    _check_texts(node, ("title", "read", "over", "attribute", "when"))
    if ("when" in node) != ("below" in node):
        raise UsageError("`when` and `below` belong together: the columns, and the value they are to reach")
    if node.get("take", "last") not in TAKES:
        raise UsageError(f"take: {node['take']}; expected one of {', '.join(TAKES)}")
    own = tuple(map(str, node.get("rows", rows)))
    _check_names(own, rows)
    printed = {str(row): values for row, values in (node.get("paper") or {}).items()}
    _check_names(printed, rows)
    paper: dict[str, float] = {}
    for row, values in printed.items():
        if len(values) != len(columns):
            raise UsageError(f"paper: {len(values)} values in row {row}; expected {len(columns)}, one for each column")
        paper |= {f"{row}_{c}": float(v) for c, v in zip(columns, values, strict=True) if v is not None}
    below = {"below": float(node["below"])} if "below" in node else {}
    return Quantity(**{**node, **below, "paper": paper, "rows": own})


def _note(node: dict[str, Any], rows: Iterable[str], columns: Iterable[str]) -> Note:
    _check_keys(node, ("text",), ("rows", "columns"))
    _check_texts(node, ("text",))
    of_rows, of_columns = (tuple(map(str, node.get(k, every))) for k, every in (("rows", rows), ("columns", columns)))
    _check_names(of_rows, rows)
    _check_names(of_columns, columns)
    return Note(node["text"], of_rows, of_columns)


def _check_texts(node: Mapping[str, Any], keys: Sequence[str]) -> None:
    for key in keys:
        if not isinstance(node.get(key, ""), str):
            raise UsageError(f"`{key}`: {node[key]}; expected a text")


def _check_keys(node: Mapping[str, Any], needed: Sequence[str], others: Sequence[str] = ()) -> None:
    for key in needed:
        if key not in node:
            raise UsageError(f"`{key}` is missing")
    _check_names(node, [*needed, *others])


def _check_counts(*counts: Any) -> None:
    for count in counts:
        if type(count) is not int or not 0 < count <= MOST:
            raise UsageError(f"seeds: {count}; expected a whole number from 1 to {MOST}")


def _check_names(names: Iterable[str], known: Iterable[str]) -> None:
    known = list(known)
    for name in names:
        if str(name) not in known:
            raise UsageError(f"unknown name `{name}`; {nearest(str(name), known)}")
