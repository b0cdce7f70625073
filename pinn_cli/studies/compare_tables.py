"""What was gathered of runs, as the rows of a table that a person reads."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from pinn_cli.basics.text import duration, ranges, scientific, shortest
from pinn_cli.records.status import Status
from pinn_cli.reports.tables import Reasons

NONE = "–"
OURS = ("run", "time", "steps", "status", "seeds", "runs", "note", "mean")  # headings that are no settings

Rows = list[list[str]]
Entry = Mapping[str, Any]


class Shown(NamedTuple):
    """A table: its rows, headings first, the columns set to the right, the places in bold, what `[1]` stands for."""

    rows: Rows
    numeric: Sequence[int]
    bold: set[tuple[int, int]]
    below: list[str]


def of_runs(found: Entry) -> Shown:
    """A row per run: its name, what differs, errors, metrics, time, steps, status; then what has not begun."""
    entries, reasons = found["runs"], Reasons()
    keys, fields, metrics = list(entries[0]["settings"]), names(entries, "errors"), names(entries, "metrics")
    rows = [["run", *_settings(keys), *(f"error {name}" for name in fields), *metrics, "time", "steps", "status"]]
    for one in entries:
        errors = [_number(one["errors"].get(name)) for name in fields]
        values = [_number(one["metrics"].get(name)) for name in metrics]
        reason = one["reason"] if one["status"] in (Status.FAILED, Status.STOPPED, Status.DAMAGED) else None
        end = [duration(one["seconds"]), str(one["steps"]), reasons.mark(one["status"], reason)]
        rows.append([_name(found, one["run"]), *_values(one, keys), *errors, *values, *end])
    for one in found["unstarted"]:
        dashes = [NONE] * (len(fields) + len(metrics) + 2)
        rows.append([ranges(one["numbers"]), *_values(one, keys), *dashes, reasons.mark(one["status"], one["reason"])])
    best = _best([one["errors"] for one in entries], fields, 1 + len(keys))
    return Shown(rows, range(1, len(rows[0]) - bool(reasons.marks)), best, reasons.lines)


def of_groups(found: Entry) -> Shown:
    """A row per group of seeds: median, mean and range of each error, medians of metrics, time and steps."""
    entries, one_sweep, reasons = found["groups"], found["sweep"] is not None, Reasons()
    keys, fields, metrics = list(entries[0]["settings"]), names(entries, "errors"), names(entries, "metrics")
    titles = ("error {}", "mean {}", "[min, max] {}") if len(fields) > 1 else ("error {}", "mean", "[min, max]")
    spread = [title.format(name) for name in fields for title in titles]
    rows = [[*_settings(keys), *spread, *metrics, "time", "steps", "seeds", *(["runs"] if one_sweep else []), "note"]]
    for one in entries:
        medians = [_number(one["metrics"].get(name, {}).get("median")) for name in metrics]
        ends = [_median(one, "seconds", duration), _median(one, "steps", lambda steps: f"{steps:.0f}"), _count(one)]
        named = [ranges([int(run.rpartition("/")[2]) for run in one["runs"]])] if one_sweep else []
        errors = [cell for name in fields for cell in _spread(one["errors"].get(name))]
        rows.append([*_values(one, keys), *errors, *medians, *ends, *named, _others(one["others"], reasons)])
    for one in found["unstarted"]:
        dashes = [NONE] * (3 * len(fields) + len(metrics) + 3)
        rows.append([*_values(one, keys), *dashes, ranges(one["numbers"]), reasons.mark(one["status"], one["reason"])])
    best = _best([{name: error["median"] for name, error in one["errors"].items()} for one in entries],
                 fields, len(keys), 3)  # fmt: skip
    noted = any(row[-1] for row in rows[1:])
    numeric = range(len(keys), len(rows[0]) - 1)
    return Shown(rows if noted else [row[:-1] for row in rows], numeric, best, reasons.lines)


def label(group: Entry) -> str:
    """A group as a legend calls it: its settings, or its one run where nothing differs."""
    keys = list(group["settings"])
    named = [f"{key}={value}" for key, value in zip(shortest(keys), _values(group, keys), strict=True)]
    return ", ".join(named) or group["runs"][0]


def names(entries: Iterable[Entry], kind: str) -> list[str]:
    """All errors, or metrics, that any of the entries has, in the order in which they come."""
    return list(dict.fromkeys(name for one in entries for name in one[kind]))


def _name(found: Entry, run: str) -> str:
    """Of a run of the one sweep that is shown its number is enough."""
    return run.rpartition("/")[2] if found["sweep"] is not None else run


def _settings(keys: Sequence[str]) -> list[str]:
    """The headings of settings: as short as can be, but none of ours."""
    return [key if short in OURS else short for key, short in zip(keys, shortest(keys), strict=True)]


def _values(one: Entry, keys: Sequence[str]) -> list[str]:
    return [NONE if one["settings"].get(key) is None else str(one["settings"][key]) for key in keys]


def _number(value: float | None) -> str:
    return NONE if value is None else scientific(value)


def _spread(error: Mapping[str, float] | None) -> list[str]:
    if error is None:
        return [NONE, NONE, NONE]
    bounds = f"[{scientific(error['least'])}, {scientific(error['greatest'])}]" if "deviation" in error else NONE
    return [scientific(error["median"]), scientific(error["mean"]), bounds]


def _median(one: Entry, name: str, shape: Callable[[float], str]) -> str:
    return shape(one[name]["median"]) if name in one else NONE


def _count(one: Entry) -> str:
    """How many seeds count, and of how many where some have not finished."""
    return f"{one['finished']} of {one['finished'] + len(one['others'])}" if one["others"] else str(one["finished"])


def _others(others: Mapping[str, str], reasons: Reasons) -> str:
    """How runs that have not finished stand: ``13 failed [1], 14-16 running``."""
    found: dict[str, list[str]] = {}
    for run, why in others.items():
        found.setdefault(why, []).append(run.rpartition("/")[2])
    parts = []
    for why, named in found.items():
        status, _, reason = why.partition(": ")
        numbered = ranges([int(name) for name in named]) if all(map(str.isdecimal, named)) else " ".join(named)
        parts.append(f"{numbered} {reasons.mark(status, reason)}")
    return ", ".join(parts)


def _best(
    errors: Sequence[Mapping[str, float]], fields: Sequence[str], first: int, step: int = 1
) -> set[tuple[int, int]]:
    """The places of the smallest error of each field, where there is more than one to choose from."""
    places = set()
    for k, name in enumerate(fields):
        known = {row: own[name] for row, own in enumerate(errors, 1) if name in own and own[name] == own[name]}
        if len(known) > 1:
            places |= {(row, first + k * step) for row, error in known.items() if error == min(known.values())}
    return places
