"""The test instances of a family in the results file: how long each takes, and the fields of some of them."""

from collections.abc import Mapping, Sequence
from math import nan
from typing import Any

import torch
from torch import Tensor

from pinn_cli.physics.coefficient_fields.base import CoefficientField
from pinn_cli.physics.family import Family
from pinn_cli.physics.references import reference_of
from pinn_cli.records.results import Noted
from pinn_cli.training.family_residuals import FamilyResiduals
from pinn_cli.training.metrics import Errors, points_of_comparison
from pinn_cli.training.objective import Objective

TIMED = 10  # instances at most, of which each is solved once more, alone


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
def shown(objective: Objective, tested: Mapping[int, Mapping[str, Errors]]) -> dict[str, Any]:
    """Parameters, reference and prediction of the instances with the least, the median and the largest error.

    The error is that of the first field that the reference knows. {} without test instances, and where references are
    known at different points.
    """
    if not tested:
        return {}
    family = objective.problem
    assert isinstance(family, Family)
    first = next(iter(next(iter(tested.values()))))
    order = sorted(tested, key=lambda seed: tested[seed][first].judged)
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
