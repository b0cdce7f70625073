"""A reference with the true values of unknown fields beside those of the solution."""

from collections.abc import Mapping
from numbers import Real

import torch
from torch import Tensor

from pinn_cli.physics.coefficient_fields.base import CoefficientField
from pinn_cli.physics.problem import Problem
from pinn_cli.physics.references.base import Reference, counts


class WithTruths:
    """A reference that also gives the `truths` (numbers or coefficient fields) by the name of the unknown field."""

    def __init__(
        self, solution: Reference, truths: Mapping[str, CoefficientField | float], coordinates: tuple[str, ...]
    ) -> None:
        self.solution, self.truths, self.coordinates = solution, truths, coordinates
        self.fields, self.error, self.at = (*solution.fields, *truths), solution.error, solution.at

    def counts(self, X: Tensor) -> Tensor:
        return counts(self.solution, X)

    def __call__(self, X: Tensor) -> dict[str, Tensor]:
        """Values (N,) by name at X (N, D)."""
        return self.solution(X) | {name: self._true(truth, X) for name, truth in self.truths.items()}

    def _true(self, truth: CoefficientField | float, X: Tensor) -> Tensor:
        if not isinstance(truth, CoefficientField):
            return torch.full_like(X[:, 0], truth)
        values: Tensor = truth(*(X[:, self.coordinates.index(c)] for c in truth.coordinates))
        return values


def with_truths(solution: Reference, problem: Problem) -> Reference:
    """The reference of a problem with the true values that it has of its unknown fields."""
    own = {name: getattr(problem, name, None) for name in problem.unknown_fields}
    known = {name: float(v) if isinstance(v, Real) else v for name, v in own.items()
             if isinstance(v, CoefficientField | Real)}  # fmt: skip
    return WithTruths(solution, known, tuple(problem.coordinates)) if known else solution
