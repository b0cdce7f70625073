"""Run a published table as a sweep, going on where it stopped, and print the paper's numbers beside ours.

Without a name: the tables that there are. Each run is an ordinary `pinn train` in
outputs/reproduce/NAME/CELL/seedK; finished ones are not repeated. The table is kept beside them, as table.md and
table.h5.
"""

import json
import os
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from typing import TYPE_CHECKING, Any

from pinn_cli import catalogue
from pinn_cli.errors import FAILED, FINISHED, STOPPED, UsageError

if TYPE_CHECKING:
    from pinn_cli.reproduction.table import Table
    from pinn_cli.reproduction.work import Task

HOW = "expected e.g. --launcher submitit_slurm hydra.launcher.timeout_min=60"


def add(parser: ArgumentParser) -> None:
    """The arguments of `pinn reproduce`."""
    parser.add_argument("name", nargs="?", help="a published table, e.g. gradient_pathologies/helmholtz")
    parser.add_argument("settings", nargs="*", metavar="hydra.launcher.KEY=VALUE", help="settings of the launcher")
    parser.add_argument("--seeds", type=_count, metavar="N", help="seeds 0 to N-1 of each cell (default: the table's)")
    parser.add_argument("--only", nargs="+", metavar="CELL", help="these cells, rows or columns: 3x50_m4, 3x50, m4")
    parser.add_argument("--quick", action="store_true", help="few and short runs, not comparable with the paper's")
    parser.add_argument("--jobs", type=_count, default=os.cpu_count() or 1, metavar="N",
                        help="runs at a time, one thread each (default: one per core)")  # fmt: skip
    parser.add_argument("--launcher", metavar="NAME", help="a launcher of Hydra's: each cell is a sweep over its seeds")
    parser.add_argument("--dry-run", action="store_true", help="print the commands, run nothing")
    parser.add_argument("--show", action="store_true", help="print the table as it stands, run nothing")
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--md", action="store_true", help="print a Markdown table")
    shape.add_argument("--json", action="store_true", help="print JSON, every run included")


def run(arguments: Namespace) -> int:
    """List the tables, or carry out what is missing of one and print it; the exit code (Raises UsageError)."""
    if arguments.name is None:
        print(_names(arguments.json))
        return FINISHED
    from pinn_cli.reproduction import kept, published, work

    _check_settings(arguments)
    table = published.read(arguments.name)
    table = table.shortened() if arguments.quick else table
    cells, seeds = table.chosen(arguments.only), arguments.seeds or table.seeds
    kept.refuse_others(table, table.cells.values())
    todo = [] if arguments.show else work.missing(table, cells, range(seeds))
    tasks = work.tasks(table, todo, arguments.launcher, arguments.settings)
    if arguments.dry_run:
        print("\n".join(task.command for task in tasks) or f"nothing is missing: pinn reproduce {table.name} --show")
        return FINISHED
    code = _carry_out(table, tasks, len(cells) * seeds, arguments.jobs)
    _show(table, seeds, arguments)
    if code == STOPPED:
        print("pinn: stopped; the same command goes on from here", file=sys.stderr)
    return code


def _check_settings(arguments: Namespace) -> None:
    """The table says what is run: only what belongs to the launcher may be set."""
    for word in arguments.settings:
        if not (arguments.launcher and word.startswith("hydra.launcher.")):
            raise UsageError(f"`{word}` cannot be set: the table says what is run; {HOW}")


def _carry_out(table: "Table", tasks: "list[Task]", wanted: int, jobs: int) -> int:
    """Run the tasks, a line for each run that ends; the exit code."""
    if not tasks:
        return FINISHED
    from pinn_cli.reproduction.processes import carry_out
    from pinn_cli.reproduction.progress import Progress

    progress = Progress(table, tasks, wanted, jobs)
    stopped = carry_out(tasks, jobs, progress)
    return STOPPED if stopped or progress.stopped else FAILED if progress.failed else FINISHED


def _show(table: "Table", seeds: int, arguments: Namespace) -> None:
    """Print the table in the shape asked for; keep it beside its runs."""
    from pinn_cli.reproduction import kept, views
    from pinn_cli.reproduction.report import report
    from pinn_cli.results import export

    found = report(table, kept.records(table), seeds)
    if table.folder.is_dir():
        (table.folder / "table.md").write_text(views.markdown(found), encoding="utf-8")
        export(table.folder / "table.h5", views.arrays(found))
    if arguments.json:
        print(json.dumps(found, indent=1))
    else:
        print(views.markdown(found) if arguments.md else views.text(found))


def _names(as_json: bool) -> str:
    found: dict[str, Any] = catalogue.descriptions(catalogue.PUBLISHED)
    width = max(map(len, found))
    return json.dumps(found, indent=2) if as_json else "\n".join(f"{n:<{width}}  {text}" for n, text in found.items())


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise ArgumentTypeError(f"{text}: expected a whole number above 0")
    return int(text)
