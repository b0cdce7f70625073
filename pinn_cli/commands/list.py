"""The choices of each group with a line on each, and the runs."""

import json
import os
from argparse import ArgumentParser, Namespace
from typing import Any

from pinn_cli.basics.errors import UsageError, nearest
from pinn_cli.configuration import catalogue

KINDS = {
    catalogue.plural(group): group
    for group in ("problem", "architecture", "weighting", "sampler", "optimizer", "strategy", "diagnostics", "recipe")
}


def add(parser: ArgumentParser) -> None:
    """The arguments of `pinn list`."""
    parser.add_argument("kind", nargs="?", help=f"{' | '.join(KINDS)} | runs (default: a count of each)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: Namespace) -> int:
    """Print the choices of a group, or the runs below ./outputs."""
    kind = arguments.kind
    if kind not in (None, "runs", *KINDS):
        raise UsageError(f"cannot list `{kind}`; {nearest(kind, [*KINDS, 'runs'])}")
    if kind == "runs":
        _list_runs(arguments.json)
        return 0
    choices: dict[str, Any] = (
        {name: len(catalogue.options(group)) for name, group in KINDS.items()}
        if kind is None else catalogue.descriptions(KINDS[kind])
    )  # fmt: skip
    print(json.dumps(choices, indent=2) if arguments.json else _table(choices) or f"no {kind} yet")
    return 0


def _list_runs(in_json: bool) -> None:
    """Every run below ./outputs by the name to type, with its status, steps, time and errors."""
    from pinn_cli.basics.text import as_json, terminal_width
    from pinn_cli.records.folder import OUTPUTS
    from pinn_cli.records.summary import cells, summary
    from pinn_cli.reports import tables
    from pinn_cli.studies.find import every

    summaries = [summary(folder) for folder in every(OUTPUTS)]
    if in_json:
        print(as_json(summaries))
    elif not summaries:
        print(f"no runs in {OUTPUTS}/ yet; start one: pinn train problem=helmholtz")
    else:
        rows = [[os.path.relpath(s["folder"], OUTPUTS), s["status"], *cells(s)] for s in summaries]
        headings = ["run", "status", "steps", "time", "relative L2 error"]
        print(tables.text([headings, *rows], (2, 3), width=terminal_width()))


def _table(rows: dict[str, Any]) -> str:
    from pinn_cli.basics.text import terminal_width
    from pinn_cli.reports import tables

    return tables.text([[name, str(text)] for name, text in rows.items()], (), width=terminal_width()) if rows else ""
