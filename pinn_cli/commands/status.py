"""The state of each run of a sweep, the progress of those that run, and why others failed or were refused."""

from argparse import ArgumentParser, Namespace
from math import inf

INTERVAL = 2.0  # seconds from one look to the next


def add(parser: ArgumentParser) -> None:
    """The arguments of `pinn status`."""
    parser.add_argument("sweep", nargs="?", default="latest", help="a sweep's folder or name (default: latest)")
    parser.add_argument("--all", action="store_true", help="every run, also of a large sweep")
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--watch", action="store_true", help="keep looking until no run is running or queued")
    shape.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: Namespace) -> int:
    """Print how many runs are in each state, and a row for each run that needs attention (Raises UsageError)."""
    from pinn_cli.basics.text import as_json
    from pinn_cli.studies.find import find_sweep
    from pinn_cli.studies.status import facts
    from pinn_cli.studies.status_view import FEW, page, watch_sweep

    sweep = find_sweep(arguments.sweep)
    if arguments.watch:
        watch_sweep(sweep, INTERVAL)
    else:
        print(as_json(facts(sweep)) if arguments.json else page(sweep, inf if arguments.all else FEW))
    return 0
