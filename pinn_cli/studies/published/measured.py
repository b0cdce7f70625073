"""The measured values of a table's runs, read from their results files."""

import json
import shlex
from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf

from pinn_cli.basics.errors import UsageError
from pinn_cli.configuration.compose import compose
from pinn_cli.records import summary as runs
from pinn_cli.records.folder import MANIFEST, RESULTS
from pinn_cli.records.results import Results
from pinn_cli.studies.published.table import Quantity, Table
from pinn_cli.studies.sweep import PlannedRun, Sweep

Record = dict[str, Any]  # one run as plain values


def records(table: Table) -> dict[str, dict[int, Record]]:
    """Every run of the table that has a results file, by cell and seed."""
    return {name: {seed: record(table, name, seed, folder) for seed, folder in sorted(own.items())}
            for name, own in folders(table).items()}  # fmt: skip


def folders(table: Table) -> dict[str, dict[int, Path]]:
    """The folder of every run of the table that has a results file, by cell and seed."""
    folders: dict[str, dict[int, Path]] = {name: {} for name in table.cells}
    for run in Sweep.read(table.folder).runs if (table.folder / MANIFEST).exists() else ():
        if run.label in folders and (run.folder / RESULTS).exists():
            folders[run.label][seed_of(run)] = run.folder
    return folders


def seed_of(run: PlannedRun) -> int:
    """The seed among the words of a run of a table, which is the last of them."""
    return int(run.words[-1].removeprefix("seed="))


def record(table: Table, cell: str, seed: int, folder: Path) -> Record:
    """One run: its status, command, machine and stated settings, and its values by quantity (None: it has none)."""
    summary, settings, results = runs.summary(folder), runs.settings(folder), Results(folder / RESULTS)
    about = results.read_attributes()
    return {
        **{key: summary[key] for key in ("status", "reason", "verdict", "steps", "seconds", "started")},
        "command": shlex.join(["pinn", "train", *table.cells[cell].words, f"seed={seed}"]),
        "commit": about.get("commit", ""),
        "machine": _machine(about),
        "stated": {key: settings[key] for key in table.stated if settings.get(key) is not None},
        "errors": summary["errors"],
        "metrics": summary["metrics"],
        **_unknowns(results),
        "values": {name: value(results, quantity) for name, quantity in table.quantities.items()},
    }


def _unknowns(results: Results) -> dict[str, Any]:
    """The value and the other numbers that a run has of each unknown coefficient, if it has unknowns."""
    found = {
        name: {"value": float(number)} | {k: float(v) for k, v in attributes.items() if not isinstance(v, str)}
        for name, number in results.read("unknowns").items()
        if (attributes := results.read_attributes(f"unknowns/{name}"))
    }
    return {"unknowns": found} if found else {}


def value(results: Results, quantity: Quantity) -> float | None:
    """The value of a quantity; None if the file has none, or none that is finite."""
    if quantity.when is not None:
        return _first(results.read_history(), quantity)
    above = _number(results, quantity.read, quantity)
    below = _number(results, quantity.over, quantity) if quantity.over else 1.0
    return above / below if above is not None and below else None


def _number(results: Results, name: str, quantity: Quantity) -> float | None:
    """One number by its name in the results file; with a `*`, the largest or least over all datasets that fit."""
    found = {name: results.read(name).get("")}
    if "*" in name:
        group = name.partition("*")[0].rpartition("/")[0]
        found = {f"{group}/{key}": v for key, v in results.read(group).items() if fnmatchcase(f"{group}/{key}", name)}
    values = list(found.values())
    if quantity.attribute is not None:
        values = [results.read_attributes(one).get(quantity.attribute) for one in found]
    numbers = [number for v in values if (number := _reduced(v, quantity.take)) is not None]
    return (min if quantity.take == "min" else max)(numbers, default=None)


def _first(history: Mapping[str, np.ndarray], quantity: Quantity) -> float | None:
    """The column `read` at the first row where all columns that fit `when` are at or below `below`.

    Rows on the way do not count: there a strategy trains easier coefficients, or earlier windows of time.
    """
    columns = {f"history/{name}": column for name, column in history.items()}
    watched = [column for name, column in columns.items() if fnmatchcase(name, str(quantity.when))]
    if not watched or quantity.read not in columns:
        return None
    arrived = history.get("underway", np.zeros(len(watched[0]))) == 0
    rows = np.flatnonzero(arrived & np.all([c <= quantity.below for c in watched], axis=0))
    return float(columns[quantity.read][rows[0]]) if len(rows) else None


def _reduced(value: Any, take: str) -> float | None:
    """The last, largest or smallest finite number of an array; a single number is an array of one."""
    numbers = np.asarray(np.nan if value is None else value, float).ravel()
    numbers = numbers[np.isfinite(numbers)]
    if not len(numbers):
        return None
    return float({"last": numbers[-1], "max": numbers.max(), "min": numbers.min()}[take])


def refuse_others(table: Table) -> None:
    """Raise UsageError for a run with settings other than the table's, and for seeds of a cell of different sources."""
    for name, own in folders(table).items():
        if len(sources := {runs.summary(folder)["source"]: folder for folder in own.values()}) > 1:
            pair = shlex.join(list(map(str, sources.values()))[:2])
            raise UsageError(f"the runs of {name} differ in their source (pinn diff {pair}); move {table.folder} "
                             "elsewhere")  # fmt: skip
        for seed, folder in own.items():
            config = composed((*table.cells[name].words, f"seed={seed}"))
            config.folder = str(folder)
            plain: Any = OmegaConf.to_container(config, resolve=True)
            if differences := runs.differences(folder, plain):
                raise UsageError(f"{folder} is not the run of {name} ({differences}); move {table.folder} elsewhere")


@cache
def composed(words: tuple[str, ...]) -> DictConfig:
    """The configuration of a run of a cell, without a folder. Raises UsageError."""
    return compose([*words])


def _machine(about: dict[str, Any]) -> str:
    """The processor, threads and libraries of a run; not the name of the machine."""
    versions, threads = json.loads(about.get("versions", "{}")), about.get("threads")
    processor = str(about.get("machine", "")).partition(", ")[2]
    device = processor if about.get("device") == "cpu" else f"{about.get('device')}, {processor}"
    libraries = [f"{name} {versions[name]}" for name in ("torch", "python") if name in versions]
    return ", ".join([device, f"{threads} thread{'s' if threads != 1 else ''}", *libraries])
