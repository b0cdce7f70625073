"""Compared runs as tables: rounded for a person, a block for each problem; or all of it in full, for a file."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from pinn_cli.basics.text import duration, ranges, scientific, shortest
from pinn_cli.records.status import Status
from pinn_cli.reports.tables import NONE, Reasons
from pinn_cli.studies.compare import KINDS, doubtful, why

OURS = (  # headings that are no settings
    "run", "time", "steps", "status", "seeds", "runs", "note", "mean", "problem", "source",
)  # fmt: skip
SPREAD = ("median", "mean", "least", "greatest", "deviation")
FULL = {  # headings in a file
    "errors": "error/{}", "estimated": "estimated error/{}", "metrics": "metric/{}", "unknowns": "unknown/{}",
    "standard_errors": "standard error/{}",
}  # fmt: skip
TOLD = 4  # settings that a legend has room for
MEDIANS = "medians over the seeds that have finished; mean and [min, max] of the errors beside them"

Rows = list[list[str]]
Entry = Mapping[str, Any]


class Block(NamedTuple):
    """The table of one problem: its rows, headings first, the columns set to the right, and the places in bold."""

    problem: str
    rows: Rows
    numeric: Sequence[int]
    bold: set[tuple[int, int]]


@dataclass(frozen=True)
class Column:
    """One column of a table: what it reads of a run or a group (None: nothing), and how that is written."""

    title: str
    read: Callable[[Entry], Any]
    written: Callable[[Any], str] = str
    numeric: bool = True
    best: bool = False  # its smallest number is bold


def blocks(comparison: Entry, grouped: bool) -> tuple[list[Block], list[str]]:
    """A table for each problem, with a row for each group of seeds or for each run, and the lines below them."""
    reasons, tables = Reasons(), []
    entries = comparison["groups" if grouped else "runs"]
    for problem in dict.fromkeys(one["problem"] for one in (*entries, *comparison["unstarted"])):
        started = [one for one in entries if one["problem"] == problem]
        own = [*started, *(one for one in comparison["unstarted"] if one["problem"] == problem)]
        columns = _of_groups(comparison, own, reasons) if grouped else _of_runs(comparison, own, reasons)
        rows = [[column.title for column in columns], *_rows(columns, own, NONE)]
        if grouped and not any(row[-1] for row in rows[1:]):
            columns, rows = columns[:-1], [row[:-1] for row in rows]
        numeric = [k for k, column in enumerate(columns) if column.numeric]
        tables.append(Block(str(problem), rows, numeric, _smallest(columns, own)))
    several = grouped and any(one["finished"] > 1 for one in entries)
    return tables, [*([MEDIANS] if several else []), *comparison["notes"], *reasons.lines]


def in_full(comparison: Entry, grouped: bool) -> Rows:
    """All problems in one table for a file: numbers unrounded, settings by their whole names."""
    entries = [*comparison["groups" if grouped else "runs"], *comparison["unstarted"]]
    keys = dict.fromkeys(key for one in entries for key in one["settings"])
    settings = [Column("problem", _item("problem")), *(Column(key, _setting(key)) for key in keys)]
    kinds = [(FULL[kind].format(name), kind, name) for kind in KINDS for name in names(entries, kind)]
    if grouped:
        kinds += [(name, "", name) for name in ("seconds", "steps")]
        columns = [Column(f"{title} {what}", _number(kind, name, what)) for title, kind, name in kinds
                   for what in SPREAD]  # fmt: skip
        ends = [Column("finished", lambda one: one.get("finished", 0)),
                Column("runs", lambda one: " ".join(_numbers(one))), Column("note", _note_in_full)]  # fmt: skip
        columns = [*settings, *columns, *ends]
    else:
        columns = [Column(title, _number(kind, name)) for title, kind, name in kinds]
        ends = [Column(name, _item(name)) for name in ("seconds", "steps", "status")]
        called = Column("run", lambda one: one.get("run") or " ".join(_numbers(one)))
        columns = [called, *settings, *columns, *ends, Column("note", _item("reason"))]
    return [[column.title for column in columns], *_rows(columns, entries, "")]


def legend(group: Entry) -> str:
    """The name of a group in a legend: its settings, or its first run where nothing or too much differs."""
    titles = headings(list(group["settings"]))
    values = [NONE if value is None else value for value in group["settings"].values()]
    told = [f"{title}={value}" for title, value in zip(titles, values, strict=True)]
    return ", ".join(told) if 0 < len(told) <= TOLD else group["runs"][0]


def names(entries: Iterable[Entry], kind: str) -> list[str]:
    """All errors, metrics or unknowns that any of the entries has, in the order in which they come."""
    return list(dict.fromkeys(name for one in entries for name in one.get(kind, ())))


def headings(keys: Sequence[str]) -> list[str]:
    """Settings by the shortest names that tell them apart, from each other and from our own headings."""
    return [key if short in OURS else short for key, short in zip(keys, shortest(keys), strict=True)]


def _of_runs(comparison: Entry, entries: Sequence[Entry], reasons: Reasons) -> list[Column]:
    """A run: its name, its settings, errors (or their estimates), metrics, unknowns, time, steps and status."""
    def status(one: Entry) -> str:
        ends_well = one["status"] in (Status.FINISHED, Status.RUNNING)
        return reasons.mark(one["status"], doubtful(one) if ends_well else one["reason"])

    return [
        Column("run", lambda one: _name(comparison, one), numeric=False),
        *_settings(entries),
        *(Column(f"error {name}", _number("errors", name), scientific, best=True) for name in names(entries, "errors")),
        *_estimated(entries, None),
        *_metrics_and_unknowns(entries, None),
        Column("time", _item("seconds"), duration),
        Column("steps", _item("steps")),
        Column("status", status, numeric=False),
    ]


def _of_groups(comparison: Entry, entries: Sequence[Entry], reasons: Reasons) -> list[Column]:
    """A group of seeds: median, mean and range of each error, and the medians of everything else."""
    fields = names(entries, "errors")
    own = " {}" if len(fields) > 1 else ""
    several = any(one.get("finished", 0) > 1 for one in entries)
    numbered = [Column("runs", lambda one: ranges(list(map(int, _numbers(one)))), numeric=False)]
    return [
        *(numbered if comparison["sweep"] is not None else []),
        *_settings(entries),
        *(column for name in fields for column in (
            Column(f"error {name}", _number("errors", name, "median"), scientific, best=True),
            *((Column(f"mean{own}".format(name), _number("errors", name, "mean"), scientific),
               Column(f"[min, max]{own}".format(name), _range(name))) if several else ()),
        )),
        *_estimated(entries, "median"),
        *_metrics_and_unknowns(entries, "median"),
        Column("time", _number("", "seconds", "median"), duration),
        Column("steps", _number("", "steps", "median"), lambda steps: f"{steps:.0f}"),
        Column("seeds", _count),
        Column("note", lambda one: _note(one, reasons), numeric=False),
    ]  # fmt: skip


def _settings(entries: Sequence[Entry]) -> list[Column]:
    keys = list(entries[0]["settings"])
    return [Column(title, _setting(key), numeric=False) for title, key in zip(headings(keys), keys, strict=True)]


def _estimated(entries: Sequence[Entry], what: str | None) -> list[Column]:
    """The estimated errors of fields that have no true one; a file has all of them."""
    fields = [name for name in names(entries, "estimated") if name not in names(entries, "errors")]
    return [Column(f"estimated {name}", _number("estimated", name, what), "{:.0e}".format) for name in fields]


def _metrics_and_unknowns(entries: Sequence[Entry], what: str | None) -> list[Column]:
    """Metrics, and unknown coefficients with their uncertainty."""
    metrics = [Column(name, _number("metrics", name, what), scientific) for name in names(entries, "metrics")]
    return metrics + [column for name in names(entries, "unknowns") for column in _unknown(entries, name, what)]


def _unknown(entries: Sequence[Entry], name: str, what: str | None) -> list[Column]:
    """A trained coefficient, its standard error by the noise, and in groups its standard deviation over the seeds."""
    columns = [Column(f"unknown {name}", _number("unknowns", name, what), "{:.6g}".format)]
    if name not in names(entries, "standard_errors"):
        return columns
    columns.append(Column(f"+- {name}", _number("standard_errors", name, what), "{:.1e}".format))
    if what and any(one.get("finished", 0) > 1 for one in entries):
        columns.append(Column(f"over seeds {name}", _number("unknowns", name, "deviation"), "{:.1e}".format))
    return columns


def _item(key: str) -> Callable[[Entry], Any]:
    return lambda one: one.get(key)


def _setting(key: str) -> Callable[[Entry], Any]:
    return lambda one: one["settings"].get(key)


def _number(kind: str, name: str, what: str | None = None) -> Callable[[Entry], Any]:
    """Reads a number of a run, or with `what` the median, mean ... of a group; a `kind` is a table of such numbers."""
    def read(one: Entry) -> Any:
        value = (one.get(kind, {}) if kind else one).get(name)
        return value if what is None or value is None else value.get(what)

    return read


def _range(field: str) -> Callable[[Entry], str | None]:
    def read(one: Entry) -> str | None:
        error = one.get("errors", {}).get(field, {})
        ends = [scientific(error[end]) for end in ("least", "greatest") if end in error]
        return f"[{', '.join(ends)}]" if ends else None

    return read


def _rows(columns: Sequence[Column], entries: Iterable[Entry], none: str) -> Rows:
    return [[none if (value := column.read(one)) is None else column.written(value) for column in columns]
            for one in entries]  # fmt: skip


def _smallest(columns: Sequence[Column], entries: Sequence[Entry]) -> set[tuple[int, int]]:
    """The places of the smallest number of each column with `best` that has more than one; none if sources differ."""
    places: set[tuple[int, int]] = set()
    if "source" in entries[0]["settings"]:  # errors against different solutions
        return places
    for k, column in enumerate(columns):
        values = {row: column.read(one) for row, one in enumerate(entries, 1)} if column.best else {}
        known = {row: value for row, value in values.items() if value is not None and value == value}
        if len(known) > 1:
            places |= {(row, k) for row, value in known.items() if value == min(known.values())}
    return places


def _numbers(one: Entry) -> list[str]:
    """The runs of an entry by their numbers in the sweep, or by their names."""
    return list(map(str, one["numbers"])) if "numbers" in one else [run.rpartition("/")[2] for run in one["runs"]]


def _name(comparison: Entry, one: Entry) -> str:
    """The name of a run: its number where only one sweep is shown."""
    if "numbers" in one:
        return ranges(one["numbers"])
    return str(one["run"].rpartition("/")[2] if comparison["sweep"] is not None else one["run"])


def _count(one: Entry) -> str | None:
    """How many seeds count, and of how many where some have not finished."""
    if "numbers" in one:
        return None
    finished, seeds = one["finished"], len(one["seeds"])
    return f"{finished} of {seeds}" if finished < seeds else str(finished)


def _note(one: Entry, reasons: Reasons) -> str:
    """The runs that have not finished or not started, or are not ok: ``13 failed [1], 14-16 running, 17 not ok [2]``"""
    if "numbers" in one:
        return reasons.mark(one["status"], one["reason"])
    together: dict[str, list[str]] = {}
    for run, text in [*one["others"].items(), *((run, f"not ok: {v}") for run, v in one["doubtful"].items())]:
        together.setdefault(text, []).append(run.rpartition("/")[2])
    parts = []
    for text, runs in together.items():
        status, _, reason = text.partition(": ")
        numbered = ranges(list(map(int, runs))) if all(map(str.isdecimal, runs)) else " ".join(runs)
        parts.append(f"{numbered} {reasons.mark(status, reason)}")
    return ", ".join(parts)


def _note_in_full(one: Entry) -> str:
    if "numbers" in one:
        return why(one)
    return "; ".join(f"{run.rpartition('/')[2]} {text}" for run, text in {**one["others"], **one["doubtful"]}.items())
