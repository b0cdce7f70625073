"""Runs side by side, problem by problem: what differs between them, their errors over the seeds, and their times."""

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from pinn_cli.basics.errors import UsageError

KINDS = (".png", ".pdf", ".svg")
SHAPES = {"md": "Markdown tables", "latex": "LaTeX tables", "csv": "comma-separated values, in full", "json": "JSON"}


def add(parser: ArgumentParser) -> None:
    """The arguments of `pinn compare`."""
    parser.add_argument("run", nargs="*", default=["latest"],
                        help="sweeps, runs, beginnings of names, folders of runs (default: latest)")  # fmt: skip
    parser.add_argument("--runs", action="store_true", help="a row for every run, also where seeds make groups")
    parser.add_argument("--sort", action="store_true", help="the most accurate first")
    parser.add_argument("--figure", type=Path, metavar="FILE", help="draw the error against seconds too")
    shape = parser.add_mutually_exclusive_group()
    for name, what in SHAPES.items():
        shape.add_argument(f"--{name}", action="store_true", help=f"print {what}")


def run(arguments: Namespace) -> int:
    """Print a row per group of seeds, or per run where none has several; the best in bold (Raises UsageError)."""
    from pinn_cli.studies.compare import compare, rank
    from pinn_cli.studies.find import find_all

    if arguments.figure and arguments.figure.suffix not in KINDS:
        raise UsageError(f"--figure {arguments.figure}: expected a file that ends in {', '.join(KINDS)}")
    comparison = compare(find_all(arguments.run))
    if arguments.sort:
        order = list(dict.fromkeys(one["problem"] for one in comparison["runs"]))
        for kind in ("runs", "groups"):
            comparison[kind].sort(key=lambda one: (order.index(one["problem"]), rank(one)))
    print(_shaped(comparison, arguments))
    if arguments.figure:
        _draw(comparison, arguments.figure)
    return 0


def _draw(comparison: dict[str, Any], path: Path) -> None:
    from pinn_cli.reports.figures.error_against_time import write_comparison
    from pinn_cli.studies.compare import rank
    from pinn_cli.studies.compare_tables import legend

    curves: dict[str, dict[str, list[str]]] = {str(group["problem"]): {} for group in comparison["groups"]}
    for group in sorted(comparison["groups"], key=rank):
        curves[str(group["problem"])][legend(group)] = group["folders"]
    try:
        drawn = write_comparison(curves, path)
    except OSError as error:
        raise UsageError(f"cannot write {path} ({error.strerror}); type another --figure") from error
    print(path if drawn else "no errors have been recorded to be drawn", file=sys.stderr)


def _shaped(comparison: dict[str, Any], arguments: Namespace) -> str:
    from pinn_cli.basics.text import as_json, terminal_width
    from pinn_cli.reports import tables as typeset
    from pinn_cli.studies.compare_tables import blocks, in_full

    if arguments.json:
        return as_json(comparison)
    grouped = not arguments.runs and any(len(group["seeds"]) > 1 for group in comparison["groups"])
    if arguments.csv:
        return typeset.comma_separated(in_full(comparison, grouped))
    shown, below = blocks(comparison, grouped)
    titles, gap = [block.problem for block in shown], "\n"
    if arguments.md:
        titles, gap = [f"**{title}**" for title in titles], "\n\n"
        tables = [typeset.markdown(block.rows, block.numeric, block.bold) for block in shown]
    elif arguments.latex:
        titles, below = ([rf"\par {typeset.in_latex(line)}" for line in lines] for lines in (titles, below))
        tables = [typeset.latex(block.rows, block.numeric, block.bold) for block in shown]
    else:
        bold, width = sys.stdout.isatty(), terminal_width()
        tables = [typeset.text(block.rows, block.numeric, block.bold if bold else (), width) for block in shown]
        below = typeset.below(below, width)
    if len(shown) > 1:
        tables = [f"{title}{gap}{table}" for title, table in zip(titles, tables, strict=True)]
    return gap.join(["\n\n".join(tables), *below])
