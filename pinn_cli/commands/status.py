"""How a sweep stands: its runs by state, how far those that run have come, and why others failed or were refused."""

from argparse import ArgumentParser, Namespace
from math import inf
from typing import Any

INTERVAL = 2.0  # seconds from one look to the next


def add(parser: ArgumentParser) -> None:
    """The arguments of `pinn status`."""
    parser.add_argument("sweep", nargs="?", default="latest", help="a sweep's folder or name (default: latest)")
    parser.add_argument("--all", action="store_true", help="every run, also of a large sweep those that need no look")
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--watch", action="store_true", help="keep looking until no run is running or queued")
    shape.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: Namespace) -> int:
    """Print the state of every run that needs a look, and how many there are of each (Raises UsageError)."""
    from pinn_cli.basics.text import as_json
    from pinn_cli.studies.find import find_sweep

    found = find_sweep(arguments.sweep)
    if arguments.watch:
        _watch(found)
    elif arguments.json:
        print(as_json(_facts(found)))
    else:
        print(_page(found, arguments.all))
    return 0


def _facts(found: Any) -> dict[str, Any]:
    from pinn_cli.studies.status import counts, seconds_left, states

    about = {key: getattr(found, key) for key in ("command", "launcher", "created", "cwd", "jobs")}
    entries = states(found)
    return {"folder": str(found.folder), **about, "counts": counts(entries), "seconds_left": seconds_left(entries),
            "runs": entries}  # fmt: skip


def _page(found: Any, every: bool) -> str:
    from pinn_cli.basics.text import page, terminal_width
    from pinn_cli.reports import tables as typeset
    from pinn_cli.studies.status import counts, seconds_left, states
    from pinn_cli.studies.status_view import FEW, HEADINGS, NUMERIC, rows, tally, used

    entries = states(found)
    by = f"{found.launcher}, jobs {' '.join(found.jobs)}" if found.jobs else found.launcher
    width = terminal_width()
    about = [("sweep", f"{found.folder}  ({by})"), ("command", found.command)]
    lines = [page([*about, ("runs", tally(counts(entries), seconds_left(entries)))], width)]
    table, below = rows(entries, inf if every else FEW)
    if table:
        shown = used(table)
        picked = [[row[k] for k in shown] for row in [HEADINGS, *table]]
        lines += ["", typeset.text(picked, [i for i, k in enumerate(shown) if k in NUMERIC], width=width)]
    return "\n".join([*lines, *typeset.below(below, width), *_next(found, counts(entries))])


def _next(found: Any, there: dict[str, int]) -> list[str]:
    """The command that most likely comes next, once nothing goes on."""
    from pinn_cli.records.status import COMPLETE, UNDERWAY

    if any(state in there for state in UNDERWAY):
        return []
    rest = any(state not in COMPLETE for state in there)
    return ["", f"next     pinn {'resume' if rest else 'compare'} {found.folder}"]


def _watch(found: Any) -> None:
    from pinn_cli.records.status import UNDERWAY
    from pinn_cli.studies.status import counts, seconds_left, states
    from pinn_cli.studies.status_view import live, picture, tally, watch
    from pinn_cli.studies.sweep import Sweep

    seen: dict[int, dict[str, Any]] = {}
    there: dict[str, int] = {}

    def look() -> Any:
        entries = states(Sweep.read(found.folder), seen)  # what a run is refused for may be found when it starts
        there.clear()
        there.update(counts(entries))
        about = there, seconds_left(entries)
        return picture(str(found.folder), entries, *about) if live() else tally(*about)

    watch(look, lambda: any(state in there for state in UNDERWAY), INTERVAL)
