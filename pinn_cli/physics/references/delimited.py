"""Tables of text, as spreadsheets and programs write them.

The first line has the names of the columns. Cells are separated by tabs, semicolons, commas or spaces, and may be
quoted. Lines that begin with # are comments; the names may stand in one, as numpy writes them. `sep=;` and a line of
units below the names are skipped. The text is UTF-8 with or without a byte-order mark, UTF-16 with one, or else that of
Western Windows.
"""

import csv
import re
from collections.abc import Collection, Iterator, Sequence
from io import StringIO
from pathlib import Path

import numpy as np

EXCEL_ERRORS = ("#n/a", "#div/0!", "#value!", "#ref!", "#name?", "#num!", "#null!")
MISSING = ("", "na", "n/a", "nan", "null", "none", *EXCEL_ERRORS)
OTHER = {",": ".", ".": ","}  # the decimal marks
PLAIN = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
SPACES = re.compile(r"(?<=\d)[\u00a0\u202f '’](?=\d{3}(?!\d))")  # between thousands
GROUPS = {mark: re.compile(rf"[+-]?[1-9]\d{{0,2}}(\{other}\d{{3}})+(\{mark}\d*)?") for mark, other in OTHER.items()}
Row = tuple[int, list[str]]  # the number of the line in the file, and its cells


class Text(list[str]):
    """The cells of a column that are not all numbers: the line of each, and the decimal mark (None: not clear)."""

    def __init__(self, cells: Sequence[str], lines: Sequence[int], mark: str | None) -> None:
        super().__init__(cells)
        self.lines, self.mark = lines, mark

    def with_gaps(self) -> "np.ma.MaskedArray | Text":
        """The numbers, empty cells masked. If other cells are no numbers either, the column without its empty ones."""
        written = [(cell, line) for cell, line in zip(self, self.lines, strict=True) if cell]
        numbers = [_number(cell, self.mark) if cell and self.mark else None for cell in self]
        if numbers.count(None) > len(self) - len(written):
            return Text([cell for cell, _ in written], [line for _, line in written], self.mark)
        return np.ma.masked_invalid(np.array(numbers, dtype=np.float64))  # None becomes NaN

    def fault(self, name: str) -> str:
        """Which cell of the column `name` is no number, and why."""
        for cell, line in zip(self, self.lines, strict=True):
            marked = self.mark is None and any(mark in cell and _number(cell, mark) is not None for mark in OTHER)
            if cell.lower() in MISSING:
                reason = "is a missing value; fill it in, or delete the line"
            elif marked:
                reason = "can be read in two ways; write decimal points, and no separators of thousands"
            elif _number(cell, self.mark or ".") is None:
                reason = "is no number"
            else:
                continue
            return f"line {line}: {name} is `{cell}`, which {reason}"
        raise ValueError(f"every value of column {name} is a number")


def read_delimited(path: Path) -> tuple[dict[str, np.ndarray | Text], list[int]]:
    """The columns of a file by name, float64 (N,), or `Text` where a value is no number; the line of each row.

    Raises ValueError, with the line, for a file that is no table, and for two columns of one name.
    """
    rows, separator = _rows(_text(path.read_bytes()))
    names, rows = _named(rows)
    lines = [line for line, _ in rows]
    columns = list(zip(*(cells for _, cells in rows), strict=True))
    marks = {mark for mark in OTHER if any(_shows(cell, mark) for column in columns for cell in column)}
    return {name: _column(columns[k], lines, separator, marks) for k, name in enumerate(names) if name}, lines


def _text(raw: bytes) -> str:
    if raw.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise ValueError("it is a workbook, not text; in the spreadsheet choose Save As, CSV UTF-8")
    if raw.startswith(b"\x1f\x8b"):
        raise ValueError("it is compressed; unpack it with gunzip")
    for encoding in ("utf-16",) if raw.startswith((b"\xff\xfe", b"\xfe\xff")) else ("utf-8-sig", "cp1252"):
        try:
            text = raw.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text
    raise ValueError("it is no text; expected a table in UTF-8")


def _rows(text: str) -> tuple[list[Row], str]:
    """The rows that are neither empty nor comments, names first, and the separator of their cells."""
    lines = list(StringIO(text, newline=None))
    written = ["" if _is_comment(line) else line for line in lines]
    first = next((k for k, line in enumerate(written) if line.strip()), None)
    if first is None:
        raise ValueError("it is empty; expected a line with the names of the columns")
    if announced := re.fullmatch(r'"?sep=(.)"?', written[first].strip(), re.IGNORECASE):
        written[first] = ""
        first = next((k for k, line in enumerate(written) if line.strip()), first)
    outside = re.sub(r'"[^"]*"', "", written[first])
    separator = announced[1] if announced else next((s for s in "\t;," if s in outside), " ")
    rows = list(_split(written, separator))
    above = [(k + 1, line.strip(" #\t\n")) for k, line in enumerate(lines[:first]) if _is_comment(line)]
    if rows and above and _all_numbers(rows[0][1]):
        names = next(cells for _, cells in _split([above[-1][1]], separator))
        if len(names) == len(rows[0][1]) and not _all_numbers(names):
            rows.insert(0, (above[-1][0], names))
    return rows, separator


def _split(lines: Sequence[str], separator: str) -> Iterator[Row]:
    """The cells of each line that has some, with the number of the line."""
    reader = csv.reader(lines, delimiter=separator, skipinitialspace=True, strict=True)
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield reader.line_num, [cell.strip() for cell in cells]
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num}: {error}") from None


def _is_comment(line: str) -> bool:
    """Whether a line begins with #, and not with an error value of a spreadsheet."""
    begin = line.strip().lower()
    return begin.startswith("#") and not begin.startswith(EXCEL_ERRORS)


def _named(rows: list[Row]) -> tuple[list[str], list[Row]]:
    """The names of the columns, and the rows below, each with one cell for each name."""
    (line, names), *below = rows
    while not names[-1]:  # a separator at the end of each line
        names = names[:-1]
    if _all_numbers(names):
        raise ValueError(f"line {line}: found {', '.join(names)}; expected the names of the columns, e.g. x,t,u_data")
    if twice := [name for name in names if name and names.count(name) > 1]:
        raise ValueError(f"line {line}: two columns are named `{twice[0]}`; give each a name of its own")
    if len(below) > 1 and not any(_begins_a_value(cell) for cell in below[0][1]):
        below = below[1:]  # units
    if not below:
        raise ValueError("it has names of columns, and no row below them")
    for line, cells in below:
        if len(cells) < len(names) or any(cells[len(names) :]):
            raise ValueError(f"line {line} has {len(cells)} values; expected {len(names)}, one for each name")
    return names, [(line, cells[: len(names)]) for line, cells in below]


def _all_numbers(cells: Sequence[str]) -> bool:
    return all(_number(cell, ".") is not None or _number(cell, ",") is not None for cell in cells)


def _begins_a_value(cell: str) -> bool:
    """Whether a cell begins with a number or is a missing value; a unit does not."""
    return re.match(r"[+-]?[.,]?\d", cell) is not None or (bool(cell) and cell.lower() in MISSING)


def _column(cells: Sequence[str], lines: list[int], separator: str, marks: Collection[str]) -> np.ndarray | Text:
    """A column as numbers if all cells are; `marks` are the decimal marks that the file shows without doubt."""
    mark = _decimal_mark(cells, separator, marks)
    numbers = [_number(cell, mark) if mark else None for cell in cells]
    return Text(cells, lines, mark) if None in numbers else np.array(numbers, dtype=np.float64)


def _decimal_mark(cells: Sequence[str], separator: str, marks: Collection[str]) -> str | None:
    """The decimal mark of a column; None if its numbers mix both, or can be read in two ways (`1,234`)."""
    sure = [mark for mark in OTHER if any(_shows(cell, mark) for cell in cells)]
    shown = [mark for mark in OTHER if any(mark in cell and _number(cell, mark) is not None for cell in cells)]
    if sure:
        return sure[0] if len(sure) == 1 else None
    if len(shown) != 1:
        return None if shown else "."
    usual = marks or ({","} if separator == ";" and shown == [","] else {"."})
    return shown[0] if shown[0] in usual and len(usual) == 1 else None


def _shows(cell: str, mark: str) -> bool:
    """Whether a cell is a number with this decimal mark, and can be none with the other."""
    return mark in cell and _number(cell, mark) is not None and _number(cell, OTHER[mark]) is None


def _number(cell: str, mark: str) -> float | None:
    """A number with this decimal mark, perhaps with separators of thousands; None for anything else."""
    cell = SPACES.sub("", cell.replace("\u2212", "-"))  # the minus sign of typesetting
    cell = re.sub(r"(?<=[\d.,])[dD](?=[+-]?\d+$)", "e", cell)  # 1.5D-3, as Fortran writes
    if GROUPS[mark].fullmatch(cell):
        cell = cell.replace(OTHER[mark], "")
    elif OTHER[mark] in cell:
        return None
    cell = cell.replace(mark, ".")
    return float(cell) if PLAIN.fullmatch(cell) else None
