"""A sweep in one HDF5 file: the contents of each run's results file, and a table of all runs.

    /                    attributes: format, pinn_version, sweep, command, launcher, created
    /table/<column>      (N,) with an entry per run of the sweep: number, state, note, steps, seconds, source,
                         settings/<key>, error/<field>, metric/<name>, unknown/<name>
    /runs/<number>       attributes and groups of the results file of each run that has started
"""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pinn_cli import __version__
from pinn_cli.records.folder import RESULTS
from pinn_cli.records.results import Results, collect
from pinn_cli.studies.compare import typed_settings
from pinn_cli.studies.status import counts, states
from pinn_cli.studies.sweep import Sweep


def write(sweep: Sweep, path: Path, groups: Collection[str]) -> dict[str, Any]:
    """Write the file; its contents in plain values. Raises UsageError, TrainingError if that cannot be done."""
    entries = states(sweep)
    files = {str(run.number): run.folder / RESULTS for run in sweep.runs}
    started = {number: Results(file) for number, file in files.items() if file.exists()}
    about = {"pinn_version": __version__, "sweep": str(sweep.folder)}
    about |= {key: getattr(sweep, key) for key in ("command", "launcher", "created")}
    left_out = collect(path, about, table(sweep, entries), started, groups)
    return {"file": str(path), "runs": len(started) - len(left_out), "bytes": path.stat().st_size,
            "states": counts(entries), "groups": list(groups), "left_out": left_out}  # fmt: skip


def table(sweep: Sweep, entries: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The columns of /table by name, (N,) each; numbers as numbers, everything else as text."""
    settings = list(typed_settings(sweep.runs).values())
    columns: dict[str, Any] = {
        "number": np.array([entry["number"] for entry in entries], int),
        "state": [entry["state"] for entry in entries],
        "note": [entry["note"] for entry in entries],
        "steps": np.array([entry.get("steps", -1) for entry in entries], int),
        "seconds": np.array([entry.get("seconds", np.nan) for entry in entries], float),
        "source": [entry.get("source") or "" for entry in entries],
    }
    keys = settings[0] if settings else {}
    columns |= {f"settings/{key}": _column([own.get(key) for own in settings]) for key in keys}
    for kind, name in (("errors", "error"), ("metrics", "metric"), ("unknowns", "unknown")):
        known = dict.fromkeys(key for entry in entries for key in entry.get(kind, {}))
        for key in known:
            values = [entry.get(kind, {}).get(key, np.nan) for entry in entries]
            columns[f"{name}/{key}"] = np.array(values, float)
    return {f"table/{_place(name)}": column for name, column in columns.items()}


def _place(name: str) -> str:
    """The name of a column, with dots for its own slashes: HDF5 cannot hold `a` of one run beside `a/b` of another."""
    kind, slash, own = name.partition("/")
    return kind + slash + own.replace("/", ".")


def _column(values: Sequence[str | None]) -> Any:
    """Numbers if all values are numbers, else texts."""
    try:
        return np.array([float(str(value)) for value in values], float)
    except ValueError:
        return ["" if value is None else value for value in values]
