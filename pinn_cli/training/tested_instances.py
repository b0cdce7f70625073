"""The test instances of a family: their errors, which are not solved, how long each takes, and the fields of some."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import nan
from typing import Any

import torch
from torch import Tensor

from pinn_cli.basics.text import scientific
from pinn_cli.physics.coefficient_fields.base import CoefficientField
from pinn_cli.physics.family import Family
from pinn_cli.physics.problem import Problem
from pinn_cli.physics.references import Reference, reference_of
from pinn_cli.records.results import Noted
from pinn_cli.training.family_residuals import FamilyResiduals
from pinn_cli.training.metrics import Errors, FamilyComparison, mean_errors, points_of_comparison
from pinn_cli.training.objective import Objective

TIMED = 10  # instances at most, of which each is solved once more, alone


@dataclass(frozen=True)
class Tested:
    """The test instances of a family by seed, all empty for the model of one problem.

    `errors` has those of each by field, if there is a reference. `failures` tells why one is not solved; the first may
    be that of the run's own instance. `more` has what else the results file gets: times, and fields of some instances.
    """

    errors: Mapping[int, Mapping[str, Errors]] = field(default_factory=dict)
    failures: Mapping[int, str] = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def means(self) -> dict[str, Errors]:
        """The mean errors by field; {} without test instances."""
        return mean_errors(list(self.errors.values())) if self.errors else {}

    @property
    def spans(self) -> dict[str, str]:
        """By field, in words: over how many instances the error is a mean, and the largest of them."""
        each = {name: [errors[name].judged for errors in self.errors.values()] for name in self.means}
        return {name: f"mean over {len(e)} test instances, {scientific(max(e))} at most" for name, e in each.items()}

    def unsolved(self, of_a_family: bool) -> str:
        """The first failure in words, and how many more there are among the test instances; "" without one."""
        if not self.failures:
            return ""
        (seed, failure), *others = self.failures.items()
        more = f"; {len(others)} more of {len(self.errors)} test instances" if others else ""
        return f"instance {seed}: {failure}{more}" if of_a_family else failure

    @property
    def group(self) -> dict[str, Any]:
        """Seeds (I,), errors (I,) by field, and why an instance is not solved (I,), in the results file."""
        if not self.errors:
            return {}
        names = next(iter(self.errors.values()))
        return {
            "seed": list(self.errors),
            "error": {name: [e[name].relative_l2 for e in self.errors.values()] for name in names},
            "failure": [self.failures.get(seed, "") for seed in self.errors],
            **self.more,
        }


def tested(objective: Objective, problem: Problem, reference: Reference | None) -> Tested:
    """Solve the test instances of a family, and compare each with its reference; nothing for the model of one problem.

    `problem` is the instance of the run.
    """
    if objective.at.of_one_problem:
        return Tested()
    instances = objective.at.held_out("test") if reference is not None else []
    each = FamilyComparison(instances, objective).each(objective) if instances else []
    errors = {getattr(one, "seed", 0): found for one, found in zip(instances, each, strict=True)}
    others = objective.at.unsolved(instances) if instances else {}
    failures = objective.at.unsolved([problem]) | others
    return Tested(errors, failures, {**times(objective, list(errors)), "shown": shown(objective, errors)})


def times(objective: Objective, seeds: Sequence[int]) -> dict[str, list[float]]:
    """Seconds and steps of the solver to find the coefficients of each instance alone; NaN from number TIMED on.

    The basis functions are evaluated each time, because a user who asks for one instance waits for them, too.
    """
    at = objective.at
    if not seeds or not isinstance(at, FamilyResiduals):
        return {}
    pairs = [at.time_of(at.model.instance(seed)) for seed in seeds[:TIMED]]
    pairs += [(nan, nan)] * (len(seeds) - len(pairs))
    return {"seconds": [seconds for seconds, _ in pairs], "steps": [steps for _, steps in pairs]}


@torch.no_grad()
def shown(objective: Objective, errors: Mapping[int, Mapping[str, Errors]]) -> dict[str, Any]:
    """Parameters, reference and prediction of the instances with the least, the median and the largest error.

    The error is that of the first field that the reference knows. {} without test instances, and where references are
    known at different points.
    """
    if not errors:
        return {}
    family = objective.problem
    assert isinstance(family, Family)
    first = next(iter(next(iter(errors.values()))))
    order = sorted(errors, key=lambda seed: errors[seed][first].judged)
    seeds = list(dict.fromkeys([order[0], order[(len(order) - 1) // 2], order[-1]]))
    instances = [family.instance(seed) for seed in seeds]
    references = [reference for one in instances if (reference := reference_of(one)) is not None]
    points = [points_of_comparison(*pair) for pair in zip((one.domain for one in instances), references, strict=True)]
    X = points[0]
    if any(not torch.equal(other, X) for other in points):
        return {}
    at = X.to(objective.device, objective.dtype)
    names = list(references[0].fields)
    predicted = [objective.of(one).evaluate(names, at) for one in instances]
    truths = [reference(X) for reference in references]
    return {
        "seed": seeds,
        "points": Noted(X, {"coordinates": list(family.coordinates)}),
        "prediction": {name: torch.stack([values[name].cpu() for values in predicted]) for name in names},
        "reference": {name: torch.stack([values[name] for values in truths]) for name in names},
        "parameter": {name: torch.stack([_parameter(one, name, X) for one in instances])
                      for name in family.distributions},
    }  # fmt: skip


def _parameter(instance: Family, name: str, X: Tensor) -> Tensor:
    """A coefficient field at points X (N,), or a number ()."""
    value = getattr(instance, name)
    if not isinstance(value, CoefficientField):
        return torch.tensor(float(value), dtype=torch.float64, device="cpu")
    columns = X.cpu().double().unbind(1)
    return value(*(columns[instance.coordinates.index(c)] for c in value.coordinates)).cpu()
