"""The network fitted to the reference itself, by least squares: how small an error it could have.

    mean over the training points of (u(x) - u_ref(x))^2        in the place of equation, boundary and initial values

A network that fits the solution and yet does not find it from the equation lacks no expressivity: its failure is one
of optimisation (Krishnapriyan, Gholami, Zhe, Kirby & Mahoney, 2021, arXiv:2109.01050).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from pinn_cli.methods.contracts import Stage
from pinn_cli.physics.problem import Constraint, Problem
from pinn_cli.physics.references import Reference, reference_of
from pinn_cli.physics.references.base import Remembered
from pinn_cli.physics.wrapped import Wrapped


@dataclass
class Regression:
    """Train `inner` on the reference's values, at the points and with the weights that the problem would have.

    Raises ValueError, before the first stage, for a problem whose reference is not known everywhere.
    """

    inner: Callable[..., Iterator[Stage]]

    def __call__(self, problem: Any, new_model: Callable[[Any], nn.Module]) -> Iterator[Stage]:
        yield from self.inner(Fit(problem), new_model)


class Fit(Wrapped):
    """A problem of which nothing is left but its solution: on every region, each field that the reference knows."""

    def __init__(self, problem: Problem):
        super().__init__(problem)
        self.known = _known(problem)

    def with_(self, **changes: Any) -> "Fit":
        """The fit of a changed problem."""
        return Fit(self.problem.with_(**changes))

    def constraints(self) -> list[Constraint]:
        """One for each region and field, under the name of the problem's first one there."""
        first = {c.region: c for c in reversed(self.problem.constraints()) if c.region != "data"}
        return [self._fit(c, field) for c in reversed(first.values()) for field in self.known.fields]

    def _fit(self, c: Constraint, field: str) -> Constraint:
        known = Remembered(self.known)  # the points of a region are asked for at every step, and rarely change
        names, grammar = self.problem.coordinates, self.problem.grammar
        symbols = {name: grammar.parse(name, c.name, c.region) for name in (*names, field)}

        def residual(**values: Tensor) -> Tensor:
            truth = known(torch.stack([values[x] for x in names], 1).detach().cpu().double())
            return values[field] - truth[field].to(values[field])

        name = c.name if len(self.known.fields) == 1 else f"{c.name}_{field}"
        return replace(c, name=name, residual=residual, symbols=symbols, against=None)


def _known(problem: Problem) -> Reference:
    """The problem's reference, where it can be fitted. Errors: ValueError if it cannot."""
    known = reference_of(problem)
    found = "" if known is not None else "no reference"
    if known is not None and known.at is not None:
        found = f"a reference at {len(known.at)} points of its own"
    if known is not None and (others := set(known.fields) - set(problem.fields)):
        found = f"a reference for {', '.join(sorted(others))}"
    if known is None or found:
        expected = f"values of {', '.join(problem.fields)} everywhere"
        raise ValueError(f"strategy.regression: {type(problem).__name__} has {found}; expected {expected}")
    return known
