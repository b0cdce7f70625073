"""What was gathered of runs, as rows for a file: numbers unrounded, settings by their whole names."""

from collections.abc import Iterable
from typing import Any

from pinn_cli.studies.compare import why
from pinn_cli.studies.compare_tables import Entry, Rows, names

SPREAD = ("median", "mean", "least", "greatest", "deviation")


def of_runs(found: Entry) -> Rows:
    """Every run with its numbers unrounded, settings by their whole names."""
    entries = found["runs"]
    keys, fields, metrics = list(entries[0]["settings"]), names(entries, "errors"), names(entries, "metrics")
    kinds = [*(f"error/{name}" for name in fields), *(f"metric/{name}" for name in metrics)]
    rows = [["run", *keys, *kinds, "seconds", "steps", "status", "note"]]
    for one in entries:
        values = [one["errors"].get(name) for name in fields] + [one["metrics"].get(name) for name in metrics]
        own = [one["run"], *(one["settings"].get(key) for key in keys), *values, one["seconds"], one["steps"]]
        rows.append(_texts([*own, one["status"], one["reason"]]))
    for one in found["unstarted"]:
        empty = [None] * (len(kinds) + 2)
        called = " ".join(map(str, one["numbers"]))
        own = [called, *(one["settings"].get(key) for key in keys), *empty]
        rows.append(_texts([*own, one["status"], one["reason"]]))
    return rows


def of_groups(found: Entry) -> Rows:
    """Every group with all its numbers unrounded: ``error/u median``, ``error/u mean`` ..."""
    entries = found["groups"]
    keys, fields, metrics = list(entries[0]["settings"]), names(entries, "errors"), names(entries, "metrics")
    kinds = {f"error/{name}": ("errors", name) for name in fields} | {f"metric/{n}": ("metrics", n) for n in metrics}
    titles = [f"{title} {what}" for title in [*kinds, "seconds", "steps"] for what in SPREAD]
    rows = [[*keys, *titles, "finished", "runs", "note"]]
    for one in entries:
        spreads = [one[kind].get(name, {}) for kind, name in kinds.values()]
        spreads += [one.get("seconds", {}), one.get("steps", {})]
        own = [numbers.get(what) for numbers in spreads for what in SPREAD]
        called = " ".join(run.rpartition("/")[2] for run in one["runs"])
        rest = "; ".join(f"{run.rpartition('/')[2]} {why}" for run, why in one["others"].items())
        rows.append(_texts([*one["settings"].values(), *own, one["finished"], called, rest]))
    for one in found["unstarted"]:
        empty, called = [None] * len(titles), " ".join(map(str, one["numbers"]))
        settings = [one["settings"].get(key) for key in keys]
        rows.append(_texts([*settings, *empty, 0, called, why(one)]))
    return rows


def _texts(values: Iterable[Any]) -> list[str]:
    return ["" if value is None else repr(value) if isinstance(value, float) else str(value) for value in values]
