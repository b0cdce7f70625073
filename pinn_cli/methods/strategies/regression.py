"""Fit the network to the reference itself by least squares: this shows how small its error can be.

    mean over the training points of (u(x) - u_ref(x))^2        instead of equation, boundary and initial values

If a network fits the solution but does not find it from the equation, it is expressive enough and the optimisation
fails (Krishnapriyan, Gholami, Zhe, Kirby & Mahoney, 2021, arXiv:2109.01050).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from pinn_cli.methods.contracts import NewModel, Stage, Strategy
from pinn_cli.physics.problem import Constraint, Problem
from pinn_cli.physics.references import Reference, reference_of
from pinn_cli.physics.references.base import CachedReference
from pinn_cli.physics.wrapped import Wrapped


@dataclass
class Regression(Strategy):
    """Train `inner` on the values of the reference, at the points and with the weights of the problem.

    Raises ValueError, before the first stage, for a problem whose reference is not known everywhere.
    """

    inner: Strategy

    def __call__(self, problem: Problem, new_model: NewModel) -> Iterator[Stage]:
        yield from self.inner(Fit(problem), new_model)


class Fit(Wrapped):
    """A problem whose constraints are u - u_ref = 0 on every region, for each field of the reference."""

    def __init__(self, problem: Problem):
        super().__init__(problem)
        self.known = _known(problem)

    def with_(self, **changes: Any) -> "Fit":
        """The fit of a changed problem."""
        return Fit(self.problem.with_(**changes))

    def constraints(self) -> list[Constraint]:
        """One for each region and field, named after the first constraint of the problem there."""
        first = {c.region: c for c in reversed(self.problem.constraints()) if c.region != "data"}
        return [self._fit(c, field) for c in reversed(first.values()) for field in self.known.fields]

    def _fit(self, c: Constraint, field: str) -> Constraint:
        known = CachedReference(self.known)  # the points of a region are used at every step, and rarely change
        names, grammar = self.problem.coordinates, self.problem.grammar
        symbols = {name: grammar.parse(name, c.name, c.region) for name in (*names, field)}

        def residual(**values: Tensor) -> Tensor:
            truth = known(torch.stack([values[x] for x in names], 1).detach().cpu().double())
            return values[field] - truth[field].to(values[field])

        name = c.name if len(self.known.fields) == 1 else f"{c.name}_{field}"
        return replace(c, name=name, residual=residual, symbols=symbols, against=None)


def _known(problem: Problem) -> Reference:
    """The reference of the problem. Raises ValueError if it cannot be fitted."""
    known = reference_of(problem)
    if known is None:
        what = "no reference"
    elif others := set(known.fields) - set(problem.fields):
        what = f"a reference for {', '.join(sorted(others))}"
    elif known.at is not None:
        what = f"a reference at {len(known.at)} points of its own"
    else:
        return known
    expected = f"values of {', '.join(problem.fields)} everywhere"
    raise ValueError(f"strategy.regression: {type(problem).__name__} has {what}; expected {expected}")
