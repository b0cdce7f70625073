"""The records of a run's diagnostics: ``/diagnostics/<name>/...`` in the results file.

Every dataset there has one entry per record along its first axis; ``step`` holds their steps. Records are few and
small, so the group is written whole, together with the rows of the history and thus before the checkpoint of the same
step.
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pinn_cli.methods.contracts import Batch, Diagnostic, Weights
from pinn_cli.records.results import Noted, Results
from pinn_cli.records.results.layout import described_by
from pinn_cli.training.objective import Objective

Arrays = dict[str, np.ndarray]  # the records of one diagnostic: (R, ...) by name


def snapshot(objective: Objective) -> Objective:
    """A copy of the objective in double precision, with its points and the weights in force.

    A diagnostic gets this copy, so it cannot change the run. The copy is not compiled, because the backward pass of a
    compiled step cannot be differentiated again. Its base weights are 1: the weights in force include them.
    """
    dtype = torch.float64 if objective.device.type != "mps" else objective.dtype
    weights = {n: w.to(dtype, copy=True) if isinstance(w, Tensor) else w for n, w in objective.weights.items()}

    def in_force(batch: Batch, residuals: Batch) -> Weights:
        return weights

    view = Objective(objective.problem, copy.deepcopy(objective.model).to(dtype), objective.engine, in_force)
    points = {id(X): X.to(dtype, copy=True) for X in objective.batch.values()}  # shared points stay shared
    view.begin({name: points[id(X)] for name, X in objective.batch.items()})
    return view


class DiagnosticRecords:
    """The diagnostics of a run by name, and all their records, including those before a resume."""

    def __init__(self, diagnostics: Mapping[str, Diagnostic], results: Results) -> None:
        self.diagnostics, self.results, self.unsaved = diagnostics, results, False
        self.records: dict[str, Arrays] = {}
        self.attributes: dict[str, Mapping[str, Any]] = {}  # description and unit of each dataset
        for path, values in results.read("diagnostics").items():
            name, _, rest = path.partition("/")
            self.records.setdefault(name, {})[rest] = values
            self.attributes[path] = results.read_attributes(f"diagnostics/{path}")

    def take(self, objective: Objective, step: int, ends: bool = False) -> dict[str, float]:
        """Take the records that are due at this step (all if it `ends` a stage); return the columns for the history."""
        return self._take(
            [n for n, d in self.diagnostics.items() if ends or self._is_due(n, d, step, objective.points_changed)],
            objective, step,
        )  # fmt: skip

    def take_before_draw(self, objective: Objective, step: int) -> None:
        """Take the records that are due after this step because the next one has new points."""
        due = [n for n, d in self.diagnostics.items() if d.before_draws and self._is_first(n, step + 1, step)]
        self._take(due, objective, step)

    def _is_due(self, name: str, part: Diagnostic, step: int, points_changed: bool) -> bool:
        """Whether a diagnostic looks after this step. Of a draw that it looks at it has both sides."""
        drawn = part.after_draws and points_changed
        before = step - 1 if drawn and part.before_draws else step
        return (drawn or step % part.every == 0) and self._is_first(name, step, before)

    def _is_first(self, name: str, step: int, before: int) -> bool:
        """Whether the span of this step has no record `before` another step."""
        steps, most = self._steps(name), self.diagnostics[name].most
        return most is None or not (span_of(steps[steps < before], step, most) == span_of(step, step, most)).any()

    def _steps(self, name: str) -> np.ndarray:
        """The steps (R,) of the records of a diagnostic."""
        return self.records.get(name, {}).get("step", np.zeros(0, int))

    def _take(self, names: Sequence[str], objective: Objective, step: int) -> dict[str, float]:
        """Take records, each once; return the columns for the history."""
        due = [name for name in names if step not in self._steps(name)]
        if not due or not objective.batch or not _has_finite_parameters(objective):
            return {}
        columns: dict[str, float] = {}
        for name in due:
            part = self.diagnostics[name]
            self.add(name, step, part(snapshot(objective)))
            rows = kept(self._steps(name), part.most, part.before_draws)
            self.records[name] = {key: values[rows] for key, values in self.records[name].items()}
            columns |= {column: float(self.records[name][key][-1]) for column, key in part.columns.items()}
        return columns

    def add(self, name: str, step: int, record: Mapping[str, Tensor | float]) -> None:
        """Add one record of a diagnostic; it replaces one of the same step."""
        arrays = {key: np.asarray(v.detach().cpu() if isinstance(v, Tensor) else v) for key, v in record.items()}
        others = {key: values[self.records[name]["step"] != step] for key, values in self.records.get(name, {}).items()}
        self.records[name] = appended(others, {"step": np.asarray(step), **arrays})
        self.attributes |= {f"{name}/{key}": described_by(self.diagnostics[name].datasets, key) for key in arrays}
        self.unsaved = True

    def flush(self, rows: Sequence[Mapping[str, Any]] = (), groups: Mapping[str, Any] | None = None) -> None:
        """Write the records if there are new ones, together with rows of the history and other groups."""
        own = {}
        if self.unsaved:
            arrays = {f"{name}/{key}": a for name, records in self.records.items() for key, a in records.items()}
            own = {"diagnostics": {path: Noted(a, self.attributes.get(path, {})) for path, a in arrays.items()}}
        self.results.append(rows, {**(groups or {}), **own})
        self.unsaved = False


def span_of(steps: Any, last: int, most: int) -> Any:
    """The number of the span that each of these steps lies in, where `last` is the last step so far.

    A span is 1, 2, 4, 8 ... steps long, so that there are about `most` of them, at least half as many in a long run.
    Its length depends on the last step alone, and its first record is also the first of the half that it lies in: a
    run that is killed and resumed has the records of a whole one. A diagnostic that looks once in each span looks about
    `most` (1 + log2(last / most) / 2) times.
    """
    span = 1
    while last > most * span:
        span *= 2
    return steps // span


def kept(steps: np.ndarray, most: int | None, pairs: bool = False) -> np.ndarray:
    """Which records (R,) to keep: the first of each span (`span_of`), and the last of all.

    With `pairs`, also those one step before and after a first one: both sides of a draw.
    """
    if most is None:
        return np.ones(len(steps), bool)
    spans = span_of(steps, int(steps[-1]), most)
    first = np.diff(spans, prepend=-1) > 0
    beside = pairs & (np.diff(steps) == 1)
    before, after = np.append(beside & first[1:], False), np.append(False, beside & first[:-1])
    return first | before | after | (np.arange(len(steps)) == len(steps) - 1)


def appended(records: Arrays, record: Mapping[str, np.ndarray]) -> Arrays:
    """The records and one more. Where shapes differ (fewer points in a later stage), they are filled with NaN, or 0."""
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


def _has_finite_parameters(objective: Objective) -> bool:
    """Diagnostics skip a network that is not finite; `recorder.py` ends such a run."""
    return all(bool(p.isfinite().all()) for p in objective.parameters)
