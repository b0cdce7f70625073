"""When diagnostics are due in a run, and how their records are kept: ``/diagnostics/<name>/...`` in the results file.

Every dataset there has one entry per record along its first axis; ``step`` says at which steps. Records are few and
small, so the group is written whole, together with the rows of the history and hence before the checkpoint that speaks
of them. What a diagnostic is handed is a copy: nothing it does can change the run.
"""

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pinn_cli.records.results import Noted, Results
from pinn_cli.records.results.layout import described_by
from pinn_cli.training.objective import Objective

Records = dict[str, np.ndarray]  # by name, (R, ...)


def still(objective: Objective) -> Objective:
    """The objective as it stands, on a copy of the network in double precision: points, and the weights in force.

    It is eager (the backward pass of a compiled step cannot be differentiated again), and its base weights are 1: the
    weights in force include them.
    """
    dtype = torch.float64 if objective.device.type != "mps" else objective.dtype
    weights = {n: w.to(dtype, copy=True) if isinstance(w, Tensor) else w for n, w in objective.weights.items()}
    model = copy.deepcopy(objective.model).to(dtype)
    view = Objective(objective.problem, model, objective.engine, lambda batch, residuals: weights)
    points = {id(X): X.to(dtype, copy=True) for X in objective.batch.values()}  # shared points stay shared
    view.begin({name: points[id(X)] for name, X in objective.batch.items()})
    return view


class Diagnosis:
    """The diagnostics of a run by name, and all their records, those of earlier lives included."""

    def __init__(self, diagnostics: Mapping[str, Any], results: Results) -> None:
        self.diagnostics, self.results, self.waiting = diagnostics, results, False
        self.records: dict[str, Records] = {}
        self.attributes: dict[str, Mapping[str, Any]] = {}  # of each dataset: what it is, and its unit
        for path, values in results.read("diagnostics").items():
            name, _, rest = path.partition("/")
            self.records.setdefault(name, {})[rest] = values
            self.attributes[path] = results.read_attributes(f"diagnostics/{path}")

    def look(self, objective: Objective, step: int, ends: bool = False) -> dict[str, float]:
        """Take the records that are due at this step (all if it `ends` something): what the history has of them."""
        due = [name for name, part in self.diagnostics.items() if ends or step % part.every == 0]
        due = [name for name in due if step not in self.records.get(name, {}).get("step", ())]
        if not due or not objective.batch or not _finite(objective):
            return {}
        columns: dict[str, float] = {}
        for name in due:
            found = self.diagnostics[name](still(objective))
            self.keep(name, step, found)
            kept = self.records[name]
            columns |= {column: float(kept[key][-1]) for column, key in self.diagnostics[name].columns.items()}
        return columns

    def keep(self, name: str, step: int, record: Mapping[str, Tensor | float]) -> None:
        """Add one record of a diagnostic; one of the same step gives way to it."""
        arrays = {key: np.asarray(v.detach().cpu() if isinstance(v, Tensor) else v) for key, v in record.items()}
        others = {key: values[self.records[name]["step"] != step] for key, values in self.records.get(name, {}).items()}
        self.records[name] = appended(others, {"step": np.asarray(step), **arrays})
        self.attributes |= {f"{name}/{key}": described_by(self.diagnostics[name].datasets, key) for key in arrays}
        self.waiting = True

    def flush(self) -> None:
        """Write the records if there are new ones."""
        if self.waiting:
            arrays = {f"{name}/{key}": a for name, records in self.records.items() for key, a in records.items()}
            noted = {path: Noted(a, self.attributes.get(path, {})) for path, a in arrays.items()}
            self.results.replace({"diagnostics": noted})
        self.waiting = False


def appended(records: Records, record: Mapping[str, np.ndarray]) -> Records:
    """The records with one more. Where shapes differ (fewer points in a later stage), NaN, or 0 of counts, fills up."""
    count = len(records.get("step", ()))
    out = {}
    for name in {**records, **record}:
        new = record.get(name)
        old = records.get(name)
        old = _missing((count, *new.shape), new.dtype) if old is None and new is not None else old
        assert old is not None
        new = _missing(old.shape[1:], old.dtype) if new is None else new
        shape = tuple(map(max, zip(old.shape[1:], new.shape, strict=True)))
        out[name] = np.concatenate([_filled(old, (count, *shape)), _filled(new, shape)[None]])
    return out


def _filled(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    out = _missing(shape, values.dtype)
    out[tuple(map(slice, values.shape))] = values
    return out


def _missing(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    return np.full(shape, np.nan if dtype.kind == "f" else 0, dtype)


def _finite(objective: Objective) -> bool:
    """A network that is lost has no spectrum; the run itself says so and ends (`recorder.py`)."""
    return all(bool(p.isfinite().all()) for p in objective.parameters)
