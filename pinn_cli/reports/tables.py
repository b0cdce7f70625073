"""Tables of texts, with headings in the first row, as text for a given width, Markdown, LaTeX and CSV.

`numeric`: the columns aligned to the right. `bold`: the places (row, column) of bold cells.
"""

import csv
import io
import re
from collections.abc import Collection, Iterable, Sequence
from itertools import zip_longest

from pinn_cli.basics.text import words, wrap

Rows = Sequence[Sequence[str]]
Places = Collection[tuple[int, int]]
NONE = "–"  # in the place of a value that is missing
ON, OFF = "\033[1m", "\033[0m"  # bold on a terminal
POWER = re.compile(r"(-?\d+(?:\.\d+)?)e([+-])0*(\d+)")
SPECIAL = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"} | {
    sign: f"\\{sign}" for sign in "&%$#_{}"
}


class Reasons:
    """Long reasons: a short mark in the table, and below it one line for each different reason."""

    def __init__(self) -> None:
        self.marks: dict[str, str] = {}

    def mark(self, text: str, reason: str | None) -> str:
        """The text, followed by the mark of its reason if it has one."""
        return f"{text} {self.marks.setdefault(reason, f'[{len(self.marks) + 1}]')}" if reason else text

    @property
    def lines(self) -> list[str]:
        """One line per mark: the mark and its reason."""
        return [f"{mark} {reason}" for reason, mark in self.marks.items()]


def text(rows: Rows, numeric: Collection[int], bold: Places = (), width: int | None = None) -> str:
    """Aligned columns; `bold` by the control sequences of a terminal, so only for one.

    A table wider than `width` is narrowed in this order. Cells and headings wrap at double spaces, then at single
    ones, always in the widest column. If that does not suffice, the last columns follow below as a second table, whose
    first column is that of the whole. A word is never broken: one that is longer than the width goes beyond it.
    """
    columns = list(zip(*rows, strict=True))
    widths = _narrowed(columns, width)
    if width is None or len(columns) < 3 or _total(widths) <= width:
        return _aligned(rows, widths, numeric, bold)
    fitting = next((k for k in range(len(columns) - 1, 2, -1) if _total(_narrowed(columns[:k], width)) <= width), 2)
    parts = [list(range(fitting)), [0, *range(fitting, len(columns))]]
    return "\n\n".join(
        text([[row[k] for k in part] for row in rows], {i for i, k in enumerate(part) if k in numeric},
             {(i, part.index(k)) for i, k in bold if k in part}, width)
        for part in parts
    )  # fmt: skip


def below(lines: Iterable[str], width: int | None = None) -> list[str]:
    """Lines below a table, wrapped; continuation lines are indented."""
    return ["\n    ".join(wrap(line, width and max(1, width - 4))) for line in lines]


def _narrowed(columns: Sequence[Sequence[str]], width: int | None) -> list[int]:
    """The width of each column: that of its longest cell, or less where the table would be too wide."""
    widths = [max(map(len, column)) for column in columns]
    for split in (lambda cell: cell.split("  "), words):
        least = [max(len(part) for cell in column for part in split(cell)) for column in columns]
        while width is not None and _total(widths) > width:
            wide = [k for k in range(len(widths)) if widths[k] > least[k]]
            if not wide:
                break
            widths[max(wide, key=lambda k: widths[k])] -= 1
    return widths


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + 2 * (len(widths) - 1)


def _aligned(rows: Rows, widths: Sequence[int], numeric: Collection[int], bold: Places) -> str:
    lines = []
    for i, row in enumerate(rows):
        cells = [wrap(cell, width) for cell, width in zip(row, widths, strict=True)]
        for pieces in zip_longest(*cells, fillvalue=""):
            shown = [f"{piece:{'>' if k in numeric else '<'}{widths[k]}}" for k, piece in enumerate(pieces)]
            shown[-1] = shown[-1].rstrip()
            marked = [f"{ON}{cell}{OFF}" if (i, k) in bold and cell.strip() else cell for k, cell in enumerate(shown)]
            lines.append("  ".join(marked).rstrip())
    return "\n".join(lines)


def markdown(rows: Rows, numeric: Collection[int], bold: Places = ()) -> str:
    """A table of GitHub's Markdown."""
    rule = ["---:" if k in numeric else "---" for k in range(len(rows[0]))]
    lines = [[_in_markdown(cell, (i, k) in bold) for k, cell in enumerate(row)] for i, row in enumerate(rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in [lines[0], rule, *lines[1:]])


def latex(rows: Rows, numeric: Collection[int], bold: Places = ()) -> str:
    """A `tabular` for the package booktabs; powers of ten are formulas."""
    columns = "".join("r" if k in numeric else "l" for k in range(len(rows[0])))
    lines = [
        " & ".join(in_latex(cell, (i, k) in bold) for k, cell in enumerate(row)) + r" \\" for i, row in enumerate(rows)
    ]
    body = [r"\toprule", lines[0], r"\midrule", *lines[1:], r"\bottomrule"]
    return "\n".join([r"% \usepackage{booktabs}", rf"\begin{{tabular}}{{{columns}}}", *body, r"\end{tabular}"])


def in_latex(cell: str, bold: bool = False) -> str:
    """A cell in LaTeX: special characters are escaped; ``1.23e-04`` is a number times a power of ten."""
    pieces, end = [], 0
    for power in POWER.finditer(cell):
        sign = "-" if power[2] == "-" else ""
        formula = rf"{power[1]}\times 10^{{{sign}{power[3]}}}"
        pieces += [_escaped(cell[end : power.start()]), rf"$\mathbf{{{formula}}}$" if bold else f"${formula}$"]
        end = power.end()
    rest = _escaped(cell[end:])
    return "".join(pieces) + rest if pieces or not bold else rf"\textbf{{{rest}}}"


def comma_separated(rows: Rows) -> str:
    """CSV for spreadsheets and pandas."""
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(rows)
    return stream.getvalue().rstrip("\n")


def _in_markdown(cell: str, bold: bool) -> str:
    plain = " ".join(cell.split()).replace("|", r"\|")
    return f"**{plain}**" if bold else plain


def _escaped(text: str) -> str:
    return "".join(SPECIAL.get(sign, sign) for sign in text).replace("–", "--")
