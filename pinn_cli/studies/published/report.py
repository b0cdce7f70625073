"""Our numbers beside those of the paper: medians, ranges, ratios, verdicts. All plain values, so it can be JSON."""

from collections.abc import Mapping, Sequence
from math import inf
from statistics import median
from typing import Any

from pinn_cli.records.status import Status
from pinn_cli.studies.published.measured import Record
from pinn_cli.studies.published.table import Cell, Table

AGREES, DIFFERS, ONE, QUICK = "agrees", "differs", "one seed", "quick"


def report(table: Table, records: Mapping[str, Mapping[int, Record]], seeds: int) -> dict[str, Any]:
    """Everything that the views show; `seeds` is how many seeds a complete cell has."""
    cells = {cell.name: _cell(table, cell, records.get(cell.name, {})) for cell in table.cells.values()}
    return {
        "name": table.name,
        "title": table.title,
        "source": table.source,
        "number": table.number,
        "mean": table.mean,
        "quick": " ".join(table.shorter) if table.quick else "",
        "rows": list(table.rows),
        "columns": list(table.columns),
        "seeds": seeds,
        "quantities": {name: q.title for name, q in table.quantities.items()},
        "cells": cells,
        "ratios": _ratios(table, cells),
        "says": list(table.says),
        "stated": _stated(records),
        "notes": {chr(97 + i): note.text for i, note in enumerate(table.notes)},
    }


def result(paper: float | None, values: Sequence[float]) -> dict[str, Any]:
    """Median, range and ratio to the paper's number, which agrees if it lies within the range of our seeds.

    A value that was never reached is infinite, and None in the result.
    """
    if not values:
        return {"paper": paper, "median": None, "low": None, "high": None, "ratio": None, "verdict": ""}
    middle, low, high = (None if value == inf else value for value in (median(values), min(values), max(values)))
    ratio = middle / paper if paper and middle is not None else None
    return {"paper": paper, "median": middle, "low": low, "high": high, "ratio": ratio,
            "verdict": verdict(paper, min(values), max(values), len(values))}  # fmt: skip


def verdict(paper: float | None, low: float, high: float, count: int) -> str:
    """Whether the paper's value lies within the range of our seeds. One seed that differs is no verdict."""
    if paper is None:
        return ""
    if low <= paper <= high:
        return AGREES
    return DIFFERS if count > 1 else ONE


def _cell(table: Table, cell: Cell, records: Mapping[int, Record]) -> dict[str, Any]:
    done = {seed: record for seed, record in records.items() if record["status"] == Status.FINISHED}
    results = {}
    for name, quantity in table.quantities.items():
        if cell.row not in quantity.rows:
            continue
        never = None if quantity.below is None else inf  # a value that was not reached is later than any other
        read = {seed: record["values"].get(name) for seed, record in done.items()}
        values = {s: v for s, known in read.items() if (v := never if known is None else known) is not None}
        rest = {str(s): "has no value" if s in done else r["status"] for s, r in records.items() if s not in values}
        results[name] = result(quantity.paper.get(cell.name), [*values.values()]) | {"count": len(values), "rest": rest}
        if table.quick and values:
            results[name] |= {"ratio": None, "verdict": QUICK}
    own = [cell.row in note.rows and cell.column in note.columns for note in table.notes]
    return {
        "row": cell.row,
        "column": cell.column,
        "results": results,
        "notes": [chr(97 + i) for i, is_own in enumerate(own) if is_own],
        "runs": {str(seed): record for seed, record in records.items()},
    }


def _ratios(table: Table, cells: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The quotients of two columns for each row: of the paper's numbers, and of our medians."""
    return [
        {"quantity": name, "row": row, "of": f"{above} / {below}",
         "paper": _quotient(pair, name, "paper"), "ours": _quotient(pair, name, "median")}
        for name, q in table.quantities.items() for above, below in table.ratios for row in q.rows
        if len(pair := [cells[c] for c in (f"{row}_{above}", f"{row}_{below}") if c in cells]) == 2
    ]  # fmt: skip


def _quotient(pair: Sequence[Any], quantity: str, key: str) -> float | None:
    above, below = (cell["results"][quantity][key] for cell in pair)
    return None if above is None or not below else float(above / below)


def _stated(records: Mapping[str, Mapping[int, Record]]) -> dict[str, list[str]]:
    """The values, over all runs, of the settings that the table names."""
    stated: dict[str, dict[str, None]] = {}
    for record in (record for of_cell in records.values() for record in of_cell.values()):
        for key, value in record["stated"].items():
            stated.setdefault(key, {})[str(value)] = None
    return {key: list(values) for key, values in stated.items()}
