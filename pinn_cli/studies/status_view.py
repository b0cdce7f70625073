"""The states of a sweep's runs for a person: a table of text, and a live picture on a terminal."""

import shutil
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from math import inf
from typing import Any

import rich.console
from rich.console import Group
from rich.live import Live
from rich.text import Text

from pinn_cli.basics import text
from pinn_cli.basics.text import duration, in_shell, ranges, rate, scientific, terminal_width
from pinn_cli.records.status import COMPLETE, Status
from pinn_cli.reports import tables as typeset
from pinn_cli.reports.tables import NONE, Reasons
from pinn_cli.studies.status import counts, goes_on, seconds_left, states
from pinn_cli.studies.sweep import Sweep, counted

FEW = 30  # a sweep of at most so many runs is shown whole, of a larger one the runs that go on or need attention
SURROUNDINGS = 8  # lines of a picture without a run
WIDTH = 60  # characters of the bar
QUIET = (*COMPLETE, Status.QUEUED, Status.MISSING)  # runs that are left out of a large sweep
HEADINGS = ("run", "state", "step", "error", "steps/s", "eta", "time", "settings")
NUMERIC = (0, 2, 4, 5, 6)  # columns set to the right


def chosen(entries: Sequence[dict[str, Any]], most: float = FEW) -> list[dict[str, Any]]:
    """The runs with a row of their own: all, or of more than `most` those that go on or need attention.

    Refused runs have a line for each reason instead, unless `most` is infinite.
    """
    left_out = () if most == inf else (Status.REFUSED,) if len(entries) <= most else QUIET
    return [entry for entry in entries if entry["state"] not in left_out]


def table(entries: Sequence[dict[str, Any]], most: float = FEW, width: int | None = None) -> tuple[str, list[str]]:
    """A table with a row for each run to show ("" without any), and the lines below it: each reason once."""
    reasons = Reasons()
    rows = [_cells(entry, reasons) for entry in chosen(entries, most)]
    used = [k for k in range(len(HEADINGS)) if any(row[k] for row in rows)]
    shown = [[row[k] for k in used] for row in (HEADINGS, *rows)]
    numeric = [i for i, k in enumerate(used) if k in NUMERIC]
    below = typeset.below([*reasons.lines, *_refusals(entries, most)], width)
    return typeset.text(shown, numeric, width=width) if rows else "", below


def _cells(entry: dict[str, Any], reasons: Reasons) -> list[str]:
    """One run; a dash for a value that a refused run cannot have."""
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


def _refusals(entries: Sequence[dict[str, Any]], most: float) -> list[str]:
    """A line for each reason why runs that are not shown were refused: ``– 12 refused (0-4 17): the reason``."""
    shown = [entry["number"] for entry in chosen(entries, most)]
    numbers: dict[str, list[int]] = {}
    for entry in entries:
        if entry["state"] == Status.REFUSED and entry["number"] not in shown:
            numbers.setdefault(entry["note"], []).append(entry["number"])
    return [f"{NONE} {len(own)} refused ({ranges(own)}): {note}" for note, own in numbers.items()]


def tally(entries: Sequence[dict[str, Any]]) -> str:
    """``200 runs: 150 finished, 3 running, 47 queued; about 12:30 left``."""
    states = ", ".join(f"{number} {state}" for state, number in counts(entries).items())
    left = seconds_left(entries)
    return f"{counted(len(entries), 'run')}: {states}" + (f"; about {duration(left)} left" if left else "")


def page(sweep: Sweep, most: float = FEW) -> str:
    """The sweep, its command, the counts, the table, and the command that most likely comes next."""
    entries, width = states(sweep), terminal_width()
    by = f"{sweep.launcher}, jobs {' '.join(sweep.jobs)}" if sweep.jobs else sweep.launcher
    about = [("sweep", f"{sweep.folder}  ({by})"), ("command", sweep.command), ("runs", tally(entries))]
    rows, below = table(entries, most, width)
    ending = []
    if not goes_on(entries):
        rest = any(entry["state"] not in COMPLETE for entry in entries)
        ending = ["", f"next     pinn {'resume' if rest else 'compare'} {in_shell(sweep.folder)}"]
    return "\n".join([text.page(about, width), *(["", rows] if rows else []), *below, *ending])


def picture(title: str, entries: Sequence[dict[str, Any]]) -> Group:
    """The title, a bar with a part for each state, the counts, and a table of the runs that need attention."""
    size = shutil.get_terminal_size()
    rows, below = table(entries, min(FEW, size.lines - SURROUNDINGS), size.columns)
    body = Text(rows)
    for state in Status:
        body.highlight_regex(rf"(?m)^ *\d+  {state}\b", state.colour)
    return Group(Text(title, "bold"), bar(entries), Text(tally(entries)), Text(), body,
                 *(Text(line, "dim") for line in below))  # fmt: skip


def bar(entries: Sequence[dict[str, Any]]) -> Text:
    """The share of each state in its colour, at least one character long."""
    drawn = Text()
    for state, number in counts(entries).items():
        drawn.append("━" * max(1, round(WIDTH * number / len(entries))), Status(state).colour)
    return drawn


def watch_sweep(sweep: Sweep, interval: float) -> None:
    """Show every `interval` seconds how the sweep stands, until no run is running or queued, or until Ctrl-C.

    On a terminal a picture replaces the one before; elsewhere a line is printed when it has changed.
    """
    seen: dict[int, dict[str, Any]] = {}
    before = ""
    try:
        with Live(console=rich.console.Console(highlight=False), auto_refresh=False) if live() else nullcontext() as on:
            while True:
                entries = states(Sweep.read(sweep.folder), seen)  # a run may be refused only when it starts
                line = tally(entries)
                if on is not None:
                    on.update(picture(str(sweep.folder), entries), refresh=True)
                elif line != before:
                    print(line, flush=True)
                before = line
                if not goes_on(entries):
                    return
                time.sleep(interval)
    except KeyboardInterrupt:
        return


def live() -> bool:
    """Whether standard output is a terminal on which a picture can be drawn."""
    return sys.stdout.isatty() and not rich.console.Console().is_dumb_terminal
