"""Run a published table as a sweep, and print the paper's numbers beside ours.

Without a name, list the tables. The sweep is the folder outputs/reproduce/NAME; the same command continues it, and
repeats no finished run. The table is saved beside the runs, as table.md and table.h5.
"""

import json
import shlex
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from typing import TYPE_CHECKING

from pinn_cli.basics.errors import FINISHED, STOPPED, UsageError
from pinn_cli.configuration import catalogue

if TYPE_CHECKING:
    from pinn_cli.studies.published.table import Table

HOW = "expected settings of the launcher, e.g. hydra.launcher.jobs=4"


def add(parser: ArgumentParser) -> None:
    """The arguments of `pinn reproduce`."""
    parser.add_argument("name", nargs="?", help="a published table, e.g. gradient_pathologies/helmholtz")
    parser.add_argument("settings", nargs="*", metavar="hydra.launcher.KEY=VALUE", help="settings of the launcher")
    parser.add_argument("--seeds", type=_count, metavar="N", help="seeds 0 to N-1 of each cell (default: the table's)")
    parser.add_argument("--only", nargs="+", metavar="CELL", help="these cells, rows or columns: 3x50_m4, 3x50, m4")
    parser.add_argument("--quick", action="store_true", help="few and short runs, not comparable with the whole table")
    parser.add_argument("--jobs", type=_count, metavar="N", help="runs at a time: hydra.launcher.jobs=N")
    parser.add_argument("--launcher", metavar="NAME", default="local", help="which launcher (default: local)")
    parser.add_argument("--dry-run", action="store_true", help="print the commands, run nothing")
    parser.add_argument("--show", action="store_true", help="print the table of the finished runs, run nothing")
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--md", action="store_true", help="print a Markdown table")
    shape.add_argument("--json", action="store_true", help="print JSON, every run included")


def run(arguments: Namespace) -> int:
    """List the tables, or carry out the missing runs of one and print it; the exit code (Raises UsageError)."""
    if arguments.name is None:
        print(_names(arguments.json))
        return FINISHED
    from pinn_cli.studies.published import measured
    from pinn_cli.studies.published import run as work
    from pinn_cli.studies.published.table import read_table

    _check_settings(arguments)
    table = read_table(arguments.name)
    table = table.shortened() if arguments.quick else table
    cells, seeds = table.chosen(arguments.only), arguments.seeds or table.seeds
    measured.refuse_others(table)
    if arguments.show:
        _show(table, seeds, arguments)
        return FINISHED
    sweep = work.sweep_of_table(table, cells, range(seeds))
    todo, underway = work.missing(sweep, cells, range(seeds))
    for line in work.notices(sweep, todo, underway):
        print(line, file=sys.stderr)
    if arguments.dry_run and not todo:
        print(f"nothing is missing: pinn reproduce {table.name} --show")
        return FINISHED
    if arguments.quick and todo:
        print(f"quick: {' '.join(table.shorter)}; not comparable with the whole table", file=sys.stderr)
    settings = [f"hydra/launcher={arguments.launcher}", *_settings(arguments)]
    code = work.start(sweep, todo, settings, shlex.join(_typed(arguments)), arguments.dry_run) if todo else FINISHED
    if arguments.dry_run:
        return code
    if underway or work.missing(work.sweep_of_table(table, cells, range(seeds)), cells, range(seeds))[1]:
        print("the same command shows the table when they have ended; --show shows what is finished", file=sys.stderr)
    else:
        _show(table, seeds, arguments)
    if code == STOPPED:
        print("pinn: stopped; the same command goes on from here", file=sys.stderr)
    return code


def _check_settings(arguments: Namespace) -> None:
    """Raise UsageError for a setting that is not the launcher's: the table sets everything else."""
    from pinn_cli.studies.launchers.choose import check_name

    check_name(arguments.launcher)
    for word in arguments.settings:
        if not word.startswith("hydra.launcher."):
            raise UsageError(f"`{word}` cannot be set: the table sets everything but the launcher; {HOW}")


def _settings(arguments: Namespace) -> list[str]:
    """The settings of the launcher."""
    return [*arguments.settings, *([] if arguments.jobs is None else [f"hydra.launcher.jobs={arguments.jobs}"])]


def _typed(arguments: Namespace) -> list[str]:
    """The command as one types it."""
    few = [] if arguments.seeds is None else ["--seeds", str(arguments.seeds)]
    few += ["--quick"] if arguments.quick else []
    few += ["--only", *arguments.only] if arguments.only else []
    return ["pinn", "reproduce", arguments.name, "--launcher", arguments.launcher, *_settings(arguments), *few]


def _show(table: "Table", seeds: int, arguments: Namespace) -> None:
    """Print the table in the requested format, and write it beside its runs."""
    from pinn_cli.basics.text import as_json, terminal_width
    from pinn_cli.records.results import export
    from pinn_cli.studies.published import measured, views
    from pinn_cli.studies.published.report import report

    numbers = report(table, measured.records(table), seeds)
    if table.folder.is_dir():
        (table.folder / "table.md").write_text(views.markdown(numbers), encoding="utf-8")
        export(table.folder / "table.h5", views.arrays(numbers))
    if arguments.json:
        print(as_json(numbers))
    else:
        print(views.markdown(numbers) if arguments.md else views.text(numbers, terminal_width()))


def _names(as_json: bool) -> str:
    from pinn_cli.basics.text import terminal_width
    from pinn_cli.reports import tables

    names = catalogue.descriptions(catalogue.PUBLISHED)
    return json.dumps(names, indent=2) if as_json else tables.text(list(names.items()), (), width=terminal_width())


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise ArgumentTypeError(f"{text}: expected a whole number above 0")
    return int(text)
