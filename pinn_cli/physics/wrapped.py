"""A problem that is built around another one and changes some of its answers."""

from collections.abc import Callable
from functools import cached_property
from typing import Any

from torch import Tensor

from pinn_cli.physics.coefficient_fields.base import CoefficientField
from pinn_cli.physics.problem import Constraint, Problem
from pinn_cli.physics.symbols import Grammar, Symbol


class Wrapped(Problem):
    """Base of such problems: every answer is that of the inner `problem` until a subclass overrides it.

    What `Problem` declares is delegated explicitly. What only some problems have (`exact`, `reference`, `ansatz`,
    `impose`, `metrics`, coefficients as attributes) is looked up in the inner problem, except the names in `hidden`.
    """

    hidden: tuple[str, ...] = ()

    def __init__(self, problem: Problem):
        self.problem, self.domain = problem, problem.domain
        self.coordinates, self.fields, self.imposes = problem.coordinates, problem.fields, problem.imposes
        self.unknowns, self.scale, self.offset = problem.unknowns, problem.scale, problem.offset
        self.unknown_fields, self.data_set = problem.unknown_fields, problem.data_set

    def __getattr__(self, name: str) -> Any:
        if name == "problem" or name in self.hidden:
            raise AttributeError(f"{type(self).__name__} has no `{name}`")
        return getattr(self.problem, name)

    def with_(self, **changes: Any) -> "Wrapped":
        """The same wrapper around a changed problem."""
        raise NotImplementedError

    @property
    def solution_fields(self) -> tuple[str, ...]:
        return self.problem.solution_fields

    @property
    def coefficients(self) -> dict[str, float]:
        return self.problem.coefficients

    @property
    def coefficient_fields(self) -> dict[str, CoefficientField]:
        return self.problem.coefficient_fields

    @cached_property
    def grammar(self) -> Grammar:
        return self.problem.grammar

    @cached_property
    def data_columns(self) -> dict[str, Tensor]:
        return self.problem.data_columns

    @property
    def data(self) -> Tensor:
        return self.problem.data

    def constraints(self) -> list[Constraint]:
        return self.problem.constraints()

    def observables(self) -> dict[str, tuple[Callable[..., Tensor], dict[str, Symbol]]]:
        return self.problem.observables()

    def share(self, region: str) -> float:
        return self.problem.share(region)
