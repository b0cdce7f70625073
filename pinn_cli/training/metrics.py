"""Errors of a prediction against the reference, and the metrics of the problem itself."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, inf, isnan
from typing import Any

import torch
from torch import Tensor

from pinn_cli.basics.errors import UsageError, user_method
from pinn_cli.physics.domains.base import Domain
from pinn_cli.physics.problem import Problem
from pinn_cli.physics.references import Reference, reference_of
from pinn_cli.physics.references.base import counts
from pinn_cli.training.family_residuals import FamilyResiduals
from pinn_cli.training.objective import Objective

NODES = 10_000  # at least this many points; 100 x 100 in two dimensions


@dataclass(frozen=True)
class Errors:
    """relative_l2 = |u - v|_2 / |v|_2 (Euclidean norms over `points`), mean and maximum of |u - v|; v the truth."""

    relative_l2: float
    mean: float
    maximum: float
    points: int

    @property
    def judged(self) -> float:
        """What is compared with `stop.error`: the relative error, or for a reference of 0 the largest absolute one."""
        error = self.maximum if isnan(self.relative_l2) else self.relative_l2
        return inf if isnan(error) else error


def points_of_comparison(domain: Domain, reference: Reference) -> Tensor:
    """Points (N, D), float64: the reference's own if it is a table, else a uniform grid including the boundary."""
    if reference.at is not None:
        return reference.at
    return domain.grid(ceil(round(NODES ** (1 / len(domain.coordinates)), 9)))


class Comparison:
    """A reference at points X (N, D), evaluated once, with the points that count.

    These are where `Reference.counts` says so, if it has one, and where the reference is finite. Raises UsageError if
    none does.
    """

    def __init__(self, reference: Reference, X: Tensor) -> None:
        self.X, at = X, X.cpu().double()
        truth, counted = reference(at), _counted(reference, at)
        self.rows = {name: counted & truth[name].isfinite() for name in reference.fields}
        for name, rows in self.rows.items():
            if not rows.any():
                raise UsageError(f"reference: {name} is finite at none of {len(rows)} points; expected some")
        self.truth = {name: truth[name][rows] for name, rows in self.rows.items()}  # where the points count

    def errors(self, evaluate: Callable[[list[str], Tensor], dict[str, Tensor]]) -> dict[str, Errors]:
        """Errors of every field or observable that the reference knows, computed in float64 on the CPU.

        `evaluate(names, X)` gives the prediction, {name: (N,)}, as `Objective.evaluate` does. A field that is zero
        everywhere has no relative error: NaN.
        """
        return self.errors_in(evaluate(list(self.rows), self.X))

    def errors_in(self, values: Mapping[str, Tensor]) -> dict[str, Errors]:
        """Errors of the prediction {name: (N,)} at these points."""
        return {name: compare(values[name].detach().cpu().double()[rows], self.truth[name])
                for name, rows in self.rows.items()}  # fmt: skip

    def errors_of(self, objective: Objective) -> dict[str, Errors]:
        """Errors of the prediction of an objective."""
        return self.errors(objective.evaluate)


def of_one(reference: Reference, objective: Objective) -> Comparison:
    """The comparison of the problem of an objective."""
    X = points_of_comparison(objective.problem.domain, reference).to(objective.device, objective.dtype)
    return Comparison(reference, X)


class FamilyComparison:
    """References of several instances of a family. Each must have one, at the same points."""

    def __init__(self, instances: Sequence[Problem], objective: Objective) -> None:
        self.instances, self.comparisons = list(instances), list[Comparison]()
        for instance in instances:
            reference = reference_of(instance)
            assert reference is not None  # that of the family itself was found
            self.comparisons.append(of_one(reference, objective))

    def errors_of(self, objective: Objective) -> dict[str, Errors]:
        """The means over the instances, and the largest difference of all."""
        return mean_errors(self.each(objective))

    def each(self, objective: Objective) -> list[dict[str, Errors]]:
        """The errors of every instance, of which the basis functions are evaluated once."""
        names, X = set(self.comparisons[0].rows), self.comparisons[0].X
        shared = all(c.X is X or torch.equal(c.X, X) for c in self.comparisons)
        if shared and names <= set(objective.problem.fields) and isinstance(objective.at, FamilyResiduals):
            u = objective.at.fields_of(self.instances, X)
            rows = [{name: u[name][i] for name in names} for i in range(len(self.instances))]
            return [c.errors_in(row) for c, row in zip(self.comparisons, rows, strict=True)]
        pairs = zip(self.comparisons, self.instances, strict=True)
        return [c.errors(objective.of(instance).evaluate) for c, instance in pairs]


def mean_errors(each: Sequence[Mapping[str, Errors]]) -> dict[str, Errors]:
    """Means over instances, the largest difference of all, and the points of all."""
    out = {}
    for name in each[0]:
        own = [errors[name] for errors in each]
        relative, mean = (sum(values) / len(own) for values in ([e.relative_l2 for e in own], [e.mean for e in own]))
        out[name] = Errors(relative, mean, max(e.maximum for e in own), sum(e.points for e in own))
    return out


def _counted(reference: Reference, X: Tensor) -> Tensor:
    """Which points (N,) enter the errors. Raises UsageError if the reference gives no booleans, or leaves none."""
    counted = counts(reference, X)
    if not isinstance(counted, Tensor) or counted.dtype != torch.bool or counted.shape != X.shape[:1]:
        found = f"{counted.dtype} {tuple(counted.shape)}" if isinstance(counted, Tensor) else type(counted).__name__
        raise UsageError(f"counts of the reference: found {found}; expected torch.bool ({len(X)},)")
    if not counted.any():
        raise UsageError(f"counts of the reference: none of {len(X)} points enters the errors; expected some")
    return counted


def own_metrics(problem: Problem, objective: Objective) -> dict[str, float]:
    """The numbers by name that the problem's method ``metrics(self, evaluate)`` returns; {} without one.

    There, `evaluate(names, X)` gives {name: (N,)}, float64 on the CPU, of fields, observables and derivatives at any
    points X (N, D). NaN says that there is no such value. Raises UsageError for anything but one number per name.
    """
    method = getattr(problem, "metrics", None)
    if method is None:
        return {}

    def evaluate(names: list[str], X: Tensor) -> dict[str, Tensor]:
        try:
            values = objective.evaluate(names, X.to(objective.device, objective.dtype))
        except TypeError as error:  # a symbol that the problem does not have
            raise UsageError(f"{where}: {' '.join(str(error).split())}") from error
        return {name: value.cpu().double() for name, value in values.items()}

    where = f"{type(problem).__name__}.metrics"
    with user_method(where):
        measured = method(evaluate)
    if not isinstance(measured, dict):
        raise UsageError(f"{where}: found {type(measured).__name__}; expected a dict of numbers by name")
    return {name: _number(where, name, value) for name, value in measured.items()}


def _number(where: str, name: Any, value: Any) -> float:
    """One number, finite or not, under a name that a dataset can have."""
    if not isinstance(name, str) or not name.isidentifier():
        raise UsageError(f"{where}: {name!r} is no name; expected one word, e.g. `centreline`")
    found = f"{type(value).__name__} {tuple(value.shape)}" if getattr(value, "shape", ()) else repr(value)
    refusal = UsageError(f"{where}: `{name}` is {found}; expected one number")
    if isinstance(value, str):  # float("1") would accept it
        raise refusal
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError):  # a tensor of several numbers, None
        raise refusal from None


def compare(value: Tensor, truth: Tensor) -> Errors:
    """Errors of one field, (N,) against (N,). Errors: ValueError if the shapes differ (broadcasting would hide it)."""
    if value.shape != truth.shape:
        raise ValueError(f"prediction {tuple(value.shape)} and reference {tuple(truth.shape)} have different shapes.")
    difference, size = (value - truth).abs(), float(torch.linalg.vector_norm(truth))
    distance = float(torch.linalg.vector_norm(difference))
    relative = distance / size if size else float("nan")
    return Errors(relative, float(difference.mean()), float(difference.max()), len(value))
