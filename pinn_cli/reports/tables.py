"""A table of texts, the first row its headings, in the shapes that people take away: text, Markdown, LaTeX, CSV.

`numeric` are the columns set to the right, `bold` the places (row, column) that are to be seen first.
"""

import csv
import io
import re
from collections.abc import Collection, Sequence

Rows = Sequence[Sequence[str]]
Places = Collection[tuple[int, int]]
ON, OFF = "\033[1m", "\033[0m"  # bold on a terminal
POWER = re.compile(r"(-?\d+(?:\.\d+)?)e([+-])0*(\d+)")
SPECIAL = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"} | {
    sign: f"\\{sign}" for sign in "&%$#_{}"
}


class Reasons:
    """Long reasons as marks in a table and lines below it, the same reason once."""

    def __init__(self) -> None:
        self.marks: dict[str, str] = {}

    def mark(self, text: str, reason: str | None) -> str:
        """The text with the mark of its reason, where it has one."""
        return f"{text} {self.marks.setdefault(reason, f'[{len(self.marks) + 1}]')}" if reason else text

    @property
    def lines(self) -> list[str]:
        """The marks and what they stand for."""
        return [f"{mark} {reason}" for reason, mark in self.marks.items()]


def text(rows: Rows, numeric: Collection[int], bold: Places = ()) -> str:
    """Aligned columns; `bold` by the signs of a terminal, so only for one."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = []
    for i, row in enumerate(rows):
        sides = [">" if k in numeric else "<" for k in range(len(row))]
        cells = [f"{cell:{side}{width}}" for cell, side, width in zip(row, sides, widths, strict=True)]
        cells[-1] = cells[-1].rstrip()
        lines.append("  ".join(f"{ON}{cell}{OFF}" if (i, k) in bold else cell for k, cell in enumerate(cells)).rstrip())
    return "\n".join(lines)


def markdown(rows: Rows, numeric: Collection[int], bold: Places = ()) -> str:
    """A table of GitHub's Markdown."""
    rule = ["---:" if k in numeric else "---" for k in range(len(rows[0]))]
    lines = [[_in_markdown(cell, (i, k) in bold) for k, cell in enumerate(row)] for i, row in enumerate(rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in [lines[0], rule, *lines[1:]])


def latex(rows: Rows, numeric: Collection[int], bold: Places = ()) -> str:
    """A `tabular` with the rules of the package booktabs; powers of ten as formulas."""
    columns = "".join("r" if k in numeric else "l" for k in range(len(rows[0])))
    lines = [
        " & ".join(in_latex(cell, (i, k) in bold) for k, cell in enumerate(row)) + r" \\" for i, row in enumerate(rows)
    ]
    body = [r"\toprule", lines[0], r"\midrule", *lines[1:], r"\bottomrule"]
    return "\n".join([r"% \usepackage{booktabs}", rf"\begin{{tabular}}{{{columns}}}", *body, r"\end{tabular}"])


def in_latex(cell: str, bold: bool = False) -> str:
    """Texts with their special signs escaped; ``1.23e-04`` as a number times a power of ten."""
    pieces, end = [], 0
    for found in POWER.finditer(cell):
        sign = "-" if found[2] == "-" else ""
        formula = rf"{found[1]}\times 10^{{{sign}{found[3]}}}"
        pieces += [_escaped(cell[end : found.start()]), rf"$\mathbf{{{formula}}}$" if bold else f"${formula}$"]
        end = found.end()
    rest = _escaped(cell[end:])
    return "".join(pieces) + rest if pieces or not bold else rf"\textbf{{{rest}}}"


def comma_separated(rows: Rows) -> str:
    """CSV as spreadsheets and pandas read it."""
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(rows)
    return stream.getvalue().rstrip("\n")


def _in_markdown(cell: str, bold: bool) -> str:
    plain = " ".join(cell.split()).replace("|", r"\|")
    return f"**{plain}**" if bold else plain


def _escaped(text: str) -> str:
    return "".join(SPECIAL.get(sign, sign) for sign in text).replace("–", "--")
