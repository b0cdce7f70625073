"""``python -m pinn_cli.records.results docs/results_file.md`` writes the tables of that page from the layout."""

import sys
from pathlib import Path

from pinn_cli.records.results.layout import tables

BEGIN, END = "<!-- begin: layout -->\n", "<!-- end: layout -->\n"


def rewritten(page: str) -> str:
    """The page with the tables of the layout between its two marks."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}{tables()}\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    page = Path(sys.argv[1])
    page.write_text(rewritten(page.read_text(encoding="utf-8")), encoding="utf-8")
