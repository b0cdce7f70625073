"""A sweep as a person sees it: rows of text for any output, and the same as a live picture on a terminal."""

import shutil
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from math import inf
from typing import Any

import rich.console
from rich import box
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from pinn_cli.basics.text import duration, ranges, rate, scientific
from pinn_cli.records.status import COMPLETE, Status
from pinn_cli.reports.tables import Reasons

FEW = 30  # runs: of so many every one is shown, of more those that go on or that need attention
SURROUNDINGS = 8  # lines of a picture that are no runs
NONE = "–"
QUIET = (*COMPLETE, Status.QUEUED, Status.MISSING)  # states that need no attention, or, refused, not a line each
HEADINGS = ("run", "state", "step", "error", "steps/s", "eta", "time", "settings")
NUMERIC = (0, 2, 4, 5, 6)  # columns set to the right


def chosen(entries: Sequence[dict[str, Any]], most: float = FEW) -> list[dict[str, Any]]:
    """The runs to show one by one: where they are more than `most`, those that go on or need attention.

    Those that were refused have a line for each reason instead, unless everything is to be shown.
    """
    left_out = () if most == inf else (Status.REFUSED,) if len(entries) <= most else QUIET
    return [entry for entry in entries if entry["state"] not in left_out]


def rows(entries: Sequence[dict[str, Any]], most: float = FEW) -> tuple[list[list[str]], list[str]]:
    """A row under the headings for each run to show, and the lines below them: reasons, each once."""
    reasons, shown = Reasons(), chosen(entries, most)
    return [_cells(entry, reasons) for entry in shown], [*reasons.lines, *refusals(entries, most)]


def _cells(entry: dict[str, Any], reasons: Reasons) -> list[str]:
    """One run; a dash for what it cannot have."""
    missing = NONE if entry["state"] == Status.REFUSED else ""
    errors = "  ".join(f"{name} {scientific(value)}" for name, value in entry.get("errors", {}).items())
    total = f"/{entry['total']}" if entry.get("total") is not None else ""
    return [
        str(entry["number"]),
        reasons.mark(entry["state"], entry["note"]),
        f"{entry['steps']}{total}" if "steps" in entry else missing,
        errors or missing,
        rate(entry["rate"]) if entry.get("rate") else "",
        duration(entry["eta"]) if entry.get("eta") is not None else "",
        duration(entry["seconds"]) if "seconds" in entry else missing,
        entry["settings"],
    ]


def refusals(entries: Sequence[dict[str, Any]], most: float = FEW) -> list[str]:
    """A line for each reason why runs that are not shown were refused: ``– 12 refused (0-4 17): the reason``."""
    shown = [entry["number"] for entry in chosen(entries, most)]
    found: dict[str, list[int]] = {}
    for entry in entries:
        if entry["state"] == Status.REFUSED and entry["number"] not in shown:
            found.setdefault(entry["note"], []).append(entry["number"])
    return [f"{NONE} {len(numbers)} refused ({ranges(numbers)}): {note}" for note, numbers in found.items()]


def used(found: Sequence[Sequence[str]]) -> list[int]:
    """The columns in which something stands."""
    return [k for k in range(len(HEADINGS)) if any(row[k] for row in found)]


def tally(counts: dict[str, int], left: float | None) -> str:
    """``200 runs: 150 finished, 3 running, 47 queued; about 12:30 left``."""
    total = sum(counts.values())
    states = ", ".join(f"{number} {state}" for state, number in counts.items())
    return f"{total} run{'s' if total != 1 else ''}: {states}" + (f"; about {duration(left)} left" if left else "")


def picture(title: str, entries: Sequence[dict[str, Any]], counts: dict[str, int], left: float | None) -> Group:
    """Title, a bar with a piece for each state, the counts, and a table of the runs that need a look."""
    most = min(FEW, shutil.get_terminal_size().lines - SURROUNDINGS)
    table, (found, below) = Table(box=box.SIMPLE_HEAD, pad_edge=False), rows(entries, most)
    shown = used(found)
    for k in shown:
        side = "right" if k in NUMERIC else "left"
        table.add_column(HEADINGS[k], justify=side, header_style="dim", no_wrap=True)  # type: ignore[arg-type]
    for row in found:
        style = Status(row[1].partition(" [")[0]).colour
        table.add_row(*(Text(row[k], style if HEADINGS[k] == "state" else "") for k in shown))
    parts: list[Any] = [Text(title, "bold"), bar(counts), Text(tally(counts, left)), *([table] if found else [])]
    return Group(*parts, *(Text(line, "dim") for line in below))


def bar(counts: dict[str, int], width: int = 60) -> Text:
    """Every state's share of the runs, in its colour; at least one character for each state."""
    total, drawn = sum(counts.values()), Text()
    for state, number in counts.items():
        drawn.append("━" * max(1, round(width * number / max(total, 1))), Status(state).colour)
    return drawn


def watch(look: Callable[[], Group | str], goes_on: Callable[[], bool], interval: float) -> None:
    """Show what `look` finds again and again while something goes on; a Ctrl-C ends the watching only.

    On a terminal a picture stands in the place of the one before; elsewhere a line is printed where it has changed.
    """
    try:
        with Live(console=rich.console.Console(highlight=False), auto_refresh=False) if live() else nullcontext() as on:
            said: Group | str = ""
            while True:
                found = look()
                if on is not None:
                    on.update(found, refresh=True)
                elif found != said:
                    print(found, flush=True)
                said = found
                if not goes_on():
                    return
                time.sleep(interval)
    except KeyboardInterrupt:
        return


def live() -> bool:
    """Whether standard output is a terminal on which a picture can be drawn."""
    return sys.stdout.isatty() and not rich.console.Console().is_dumb_terminal
