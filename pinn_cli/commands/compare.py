"""Runs side by side: what differs between them, their errors over the seeds, and how long they took."""

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from pinn_cli.basics.errors import UsageError

KINDS = (".png", ".pdf", ".svg")
SHAPES = {"md": "a Markdown table", "latex": "a LaTeX table", "csv": "comma-separated values, in full", "json": "JSON"}


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
    from pinn_cli.studies import compare as gather
    from pinn_cli.studies import find as names

    if arguments.figure and arguments.figure.suffix not in KINDS:
        raise UsageError(f"--figure {arguments.figure}: expected a file that ends in {', '.join(KINDS)}")
    found = gather.compare(names.find_all(arguments.run))
    if arguments.sort:
        for kind in ("runs", "groups"):
            found[kind].sort(key=gather.rank)
    print(_shaped(found, arguments))
    if arguments.figure:
        _draw(found, arguments.figure)
    return 0


def _draw(found: dict[str, Any], path: Path) -> None:
    from pinn_cli.reports.figures.error_against_time import write_comparison
    from pinn_cli.studies import compare as gather
    from pinn_cli.studies import compare_tables

    best = sorted(found["groups"], key=gather.rank)
    try:
        drawn = write_comparison({compare_tables.label(group): group["folders"] for group in best}, path)
    except OSError as error:
        raise UsageError(f"cannot write {path} ({error.strerror}); type another --figure") from error
    print(path if drawn else "no errors have been recorded to be drawn", file=sys.stderr)


def _shaped(found: dict[str, Any], arguments: Namespace) -> str:
    from pinn_cli.basics.text import as_json
    from pinn_cli.reports import tables as typeset
    from pinn_cli.studies import compare_full, compare_tables

    grouped = not arguments.runs and any(len(group["runs"]) > 1 for group in found["groups"])
    if arguments.json:
        return as_json(found)
    if arguments.csv:
        return typeset.comma_separated(compare_full.of_groups(found) if grouped else compare_full.of_runs(found))
    shown = compare_tables.of_groups(found) if grouped else compare_tables.of_runs(found)
    if arguments.md:
        return "\n\n".join([typeset.markdown(*shown[:3]), *shown.below])
    if arguments.latex:
        return "\n".join([typeset.latex(*shown[:3]), *(rf"\par {typeset.in_latex(line)}" for line in shown.below)])
    return "\n".join([typeset.text(*shown[:2], shown.bold if sys.stdout.isatty() else ()), *shown.below])
