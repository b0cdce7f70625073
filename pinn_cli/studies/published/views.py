"""A report as text, as Markdown, and as arrays for an HDF5 file."""

import re
from collections.abc import Iterator
from statistics import fmean
from typing import Any

import numpy as np

from pinn_cli.basics.text import scientific
from pinn_cli.records.status import Status
from pinn_cli.reports import tables as typeset
from pinn_cli.reports.tables import NONE
from pinn_cli.studies.published.report import AGREES, DIFFERS, ONE

HEAD = ["cell", "paper", "ours", "mean", "[min, max]", "seeds", "ratio", ""]
COMPARABLE = "paper: {number}; ours: median{mean} [least, greatest] over the seeds; ratio: ours / paper"
OURS = "median{mean} [least, greatest] over the seeds"
QUICK = "quick ({quick}): these numbers show that it runs; they are not comparable with those of the whole table"

Rows = list[list[str]]


def text(report: dict[str, Any], width: int | None = None) -> str:
    """For a terminal of this width; a cell without runs is a dash."""
    head = [f"{report['name']}: {report['title']}", report["source"], _caption(report)]
    parts = typeset.below(head, width)
    for name, title in report["quantities"].items():
        parts += ["", title, typeset.text(shown := rows(report, name), _numbers(shown), width=width)]
        if quotients := ratios(report, name):
            parts += ["", typeset.text(quotients, range(1, len(quotients[0])), width=width)]
    return "\n".join([*parts, "", *typeset.below(_below(report), width)])


def markdown(report: dict[str, Any], empty: bool = True) -> str:
    """As Markdown; without `empty`, only cells that have runs."""
    caption = _caption(report)
    above = f"{report['source']}. {caption[0].upper()}{caption[1:]}."
    below = "\n".join(f"* {line.strip()}" for line in _below(report))
    return f"{above}\n\n{tables(report, empty)}\n\n{below}\n"


def tables(report: dict[str, Any], empty: bool = True) -> str:
    """The numbers alone, as Markdown; with `empty` also cells and quantities without runs."""
    parts = []
    for name, title in report["quantities"].items():
        shown = rows(report, name, empty)
        if not shown[1:]:
            continue
        parts += [typeset.markdown([[title, *shown[0][1:]], *shown[1:]], _numbers(shown))]
        if quotients := ratios(report, name, empty):
            parts += [typeset.markdown(quotients, range(1, len(quotients[0])))]
    return "\n\n".join(parts)


def rows(report: dict[str, Any], quantity: str, empty: bool = True) -> Rows:
    """Headings, then a row per cell; means stand beside medians where the paper prints means."""
    cells = [(name, cell) for name, cell in report["cells"].items() if quantity in cell["results"]]
    left_out = (set() if _of_means(report) else {"mean"}) | ({"paper", "ratio"} if _is_ours(report) else set())
    kept = [k for k, title in enumerate(HEAD) if title not in left_out]
    head = ["median" if title == "ours" and _is_ours(report) else title for title in HEAD]
    lines = [_row(report, quantity, *one) for one in cells if empty or one[1]["results"][quantity]["count"]]
    return [[row[k] for k in kept] for row in (head, *lines)]


def ratios(report: dict[str, Any], quantity: str, empty: bool = True) -> Rows:
    """Quotients of two columns, by row; [] if the table has none."""
    kept = [q for q in report["ratios"] if q["quantity"] == quantity and (empty or q["ours"] is not None)]
    of = {"ours": "of the medians"} if _is_ours(report) else {"paper": "paper", "ours": "ours"}
    lines = [[f"{q['row']} {q['of']}", *(_quotient(q[key]) for key in of)] for q in kept]
    return [["quotient", *of.values()], *lines] if lines else []


def arrays(report: dict[str, Any]) -> dict[str, Any]:
    """By quantity: paper, median, mean, low, high, ratio (rows, columns), values (..., seeds); NaN: no value."""
    seeds = sorted({int(seed) for cell in report["cells"].values() for seed in cell["runs"]})
    shape = (len(report["rows"]), len(report["columns"]))
    content: dict[str, Any] = {key: report[key] for key in ("name", "title", "source", "number", "quick")}
    content |= {"rows": report["rows"], "columns": report["columns"], "seeds": np.array(seeds, int)}
    for name in report["quantities"]:
        own = {key: np.full(shape, np.nan) for key in ("paper", "median", "mean", "low", "high", "ratio")}
        own["values"] = np.full((*shape, len(seeds)), np.nan)
        for cell in [c for c in report["cells"].values() if name in c["results"]]:
            at = report["rows"].index(cell["row"]), report["columns"].index(cell["column"])
            for key in ("paper", "median", "low", "high", "ratio"):
                own[key][at] = np.nan if (number := cell["results"][name][key]) is None else number
            for seed, value in _values(cell, name).items():
                own["values"][(*at, seeds.index(int(seed)))] = value
            own["mean"][at] = np.nan if (mean := _mean(cell, name)) is None else mean
        content |= {f"{name}/{key}": array for key, array in own.items()}
    return content


def _row(report: dict[str, Any], quantity: str, name: str, cell: dict[str, Any]) -> list[str]:
    result = cell["results"][quantity]
    remarked = result["verdict"] in (DIFFERS, ONE) or _is_ours(report)
    reasons = "".join(f" {letter}" for letter in cell["notes"]) if remarked else ""
    rest = "".join(f", seed {seed} {status}" for seed, status in result["rest"].items())
    enough = result["count"] >= report["seeds"]
    return [
        name,
        _number(result["paper"]),
        _number(result["median"]),
        _number(_mean(cell, quantity)),
        f"[{_number(result['low'])}, {_number(result['high'])}]" if result["count"] > 1 else NONE,
        NONE if not result["count"] else str(result["count"]) if enough else f"{result['count']} of {report['seeds']}",
        NONE if result["ratio"] is None else f"{result['ratio']:.2g}",
        f"{result['verdict']}{reasons}{rest}".removeprefix(", ").strip() or NONE,
    ]


def _caption(report: dict[str, Any]) -> str:
    caption = QUICK if report["quick"] else OURS if _is_ours(report) else COMPARABLE
    return caption.format(**report | {"mean": ", mean and" if _of_means(report) else ""})


def _is_ours(report: dict[str, Any]) -> bool:
    """Whether nobody has published numbers for this table."""
    return not report["number"]


def _of_means(report: dict[str, Any]) -> bool:
    """Whether the paper prints means, or a table of ours asks for them."""
    return bool(report.get("mean")) or re.search(r"\bmeans?\b", report["number"]) is not None


def _values(cell: dict[str, Any], name: str) -> dict[str, float]:
    """The values of a quantity in the finished runs of a cell, by seed."""
    runs = {seed: run for seed, run in cell["runs"].items() if run["status"] == Status.FINISHED}
    return {seed: value for seed, run in runs.items() if (value := run["values"].get(name)) is not None}


def _mean(cell: dict[str, Any], name: str) -> float | None:
    values = _values(cell, name).values()
    return fmean(values) if values else None


def _below(report: dict[str, Any]) -> Iterator[str]:
    """The lines below: how many cells agree, known differences, settings, machines."""
    results = [result for cell in report["cells"].values() for result in cell["results"].values()]
    verdicts = [result["verdict"] for result in results]
    filled = sum(any(result["count"] for result in cell["results"].values()) for cell in report["cells"].values())
    counts = f"{filled} of {len(report['cells'])} cells have finished runs"
    if AGREES in verdicts or DIFFERS in verdicts:
        counts += f"; {verdicts.count(AGREES)} agree (the paper's number lies within the range of our seeds)"
        counts += f", {verdicts.count(DIFFERS)} differ"
    yield counts
    yield from (f"the paper says: {claim}" for claim in report["says"])
    given = [(c["notes"], r["verdict"]) for c in report["cells"].values() for r in c["results"].values()]
    remarked = [notes for notes, verdict in given if verdict in (DIFFERS, ONE) or _is_ours(report)]
    if letters := sorted({letter for notes in remarked for letter in notes}):
        if not _is_ours(report):
            yield "known to differ, in the order of the letters (that one of them is the reason has not been shown):"
        yield from (f"  {letter}  {report['notes'][letter]}" for letter in letters)
    if stated := "; ".join(f"{key} {' or '.join(values)}" for key, values in report["stated"].items()):
        yield f"settings: {stated}"
    machines = dict.fromkeys(run["machine"] for cell in report["cells"].values() for run in cell["runs"].values())
    if machines:
        yield f"machine: {'; '.join(machines)}"


def _numbers(shown: Rows) -> range:
    """The columns aligned to the right: all but the first and the last."""
    return range(1, len(shown[0]) - 1)


def _number(value: float | None) -> str:
    return NONE if value is None else scientific(value)


def _quotient(value: float | None) -> str:
    return NONE if value is None else f"{value:.3g}"
