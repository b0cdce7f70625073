"""A library of candidate terms of an unknown equation, and the equation with all of them.

    left = sum_k c_k theta_k        e.g.  u_t = c_1 u*u_x + c_2 u_xx + ...

Each term theta_k is a formula in the symbols of the grammar (`symbols.py`): fields, derivatives, coordinates,
coefficients. The coefficients c_k are unknown (library of candidate functions: Brunton, Proctor & Kutz 2016; with
partial derivatives: Rudy, Brunton, Proctor & Kutz 2017).

    N = points   K = terms
"""

import ast
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from pinn_cli.basics.errors import UsageError
from pinn_cli.physics.formulas import CONSTANTS, FUNCTIONS, Formula
from pinn_cli.physics.problem import Constraint, Problem
from pinn_cli.physics.symbols import Coefficient, Derivative, Grammar, Symbol
from pinn_cli.physics.wrapped import Wrapped

EQUATION = "equation"  # the name of the residual
TRIALS = 64  # random values of the symbols for each term, at which terms are compared


class Term:
    """A product, power or function of symbols: its text, its symbols, and its values.

    Raises UsageError for a text that is no formula, or that has a name which is no symbol in the interior.
    """

    def __init__(self, text: str, grammar: Grammar) -> None:
        self.text = text.replace(" ", "").replace("**", "^")
        python = self.text.replace("^", "**")
        try:
            names = {node.id for node in ast.walk(ast.parse(python, mode="eval")) if isinstance(node, ast.Name)}
        except SyntaxError as error:
            raise UsageError(f"term `{text}`: {error.msg}; expected e.g. u*u_x or u^2") from None
        self.names = tuple(sorted(names - FUNCTIONS.keys() - CONSTANTS.keys()))
        try:
            self.symbols = {name: grammar.parse(name, f"term `{text}`", "interior") for name in self.names}
        except TypeError as error:
            raise UsageError(str(error)) from None
        try:
            self.formula = Formula(python, self.names)
        except UsageError as error:
            raise UsageError(f"term `{text}`: {error}") from None

    def __call__(self, values: Mapping[str, Tensor]) -> Tensor:
        """The term (N,) where the symbols have these values (N,)."""
        if not self.names:
            like = next(iter(values.values()))
            return self.formula(torch.zeros(len(like), 0, dtype=like.dtype, device=like.device))
        return self.formula(torch.stack([values[name] for name in self.names], 1))


class Library:
    """The terms that the right-hand side of an equation may have, and its left-hand side, a derivative in time.

    Raises UsageError for a term outside the grammar, terms that are equal or dependent whatever the field is, and a
    left-hand side that is no derivative in time or that is a term itself.
    """

    def __init__(self, left: str, terms: Sequence[str], problem: Problem) -> None:
        grammar = problem.grammar
        self.left, self.time = left, grammar.time
        self.symbol = _left(left, grammar)
        if not terms:
            raise UsageError("terms: the library is empty; expected e.g. [u*u_x, u_xx]")
        self.terms = [Term(str(text), grammar) for text in terms]
        for term in self.terms:
            if left in term.names:
                raise UsageError(f"term `{term.text}` contains the left-hand side {left}; take it out of the library")
        self.symbols: dict[str, Symbol] = {left: self.symbol}
        for term in self.terms:
            self.symbols |= term.symbols
        self._refuse_dependent()

    @property
    def texts(self) -> list[str]:
        return [term.text for term in self.terms]

    def theta(self, values: Mapping[str, Tensor]) -> Tensor:
        """All terms (N, K) where the symbols have these values (N,)."""
        return torch.stack([term(values) for term in self.terms], 1)

    def _refuse_dependent(self) -> None:
        """Refuse terms that are equal, or combinations of others, for any values of their symbols (UsageError)."""
        generator = torch.Generator("cpu").manual_seed(0)
        count = TRIALS * len(self.terms)
        kind: dict[str, Any] = {"generator": generator, "dtype": torch.float64, "device": "cpu"}
        theta = self.theta({name: 0.5 + torch.rand(count, **kind) for name in self.symbols})
        if not theta.isfinite().all():
            k = int((~theta.isfinite()).any(0).nonzero()[0])
            raise UsageError(f"term `{self.terms[k].text}` is not finite where its symbols are 1; expected a number")
        kept: list[int] = []
        for k, term in enumerate(self.terms):
            others = theta[:, kept]
            column = theta[:, k]
            left = column - others @ torch.linalg.lstsq(others, column).solution if kept else column
            if left.norm() <= 1e-9 * column.norm():
                ratio = [j for j in kept if (theta[:, j] / column).std() <= 1e-9 * (theta[:, j] / column).abs().mean()]
                if ratio:
                    raise UsageError(f"terms `{self.terms[ratio[0]].text}` and `{term.text}` are the same up to a "
                                     "factor; remove one")  # fmt: skip
                raise UsageError(f"term `{term.text}` is a combination of the terms before it, whatever the field is; "
                                 "remove it")  # fmt: skip
            kept.append(k)


def _left(left: str, grammar: Grammar) -> Derivative:
    """The left-hand side as a symbol."""
    example = f"{grammar.fields[0]}_{grammar.time or 't'}"
    if grammar.time is None:
        raise UsageError(f"left: {left}: the problem has no time; discovery needs a derivative in time, e.g. {example}")
    try:
        symbol = grammar.parse(left, "left", "interior")
    except TypeError as error:
        raise UsageError(f"{error}") from None
    position = grammar.coordinates.index(grammar.time)
    if not isinstance(symbol, Derivative) or not isinstance(symbol.index, tuple) or not symbol.index[position]:
        raise UsageError(f"left: {left} is no derivative in time; expected e.g. {example}")
    return symbol


class Candidates(Wrapped):
    """The measurements of a problem, and the equation with all terms of a library; nothing else is known.

        left - sum_k unit_k c_k theta_k = 0

    The trained numbers are c_k; the `units` (K,) make them comparable. Raises UsageError without measurements.
    """

    hidden = ("exact", "reference", "ansatz", "impose", "metrics")

    def __init__(self, problem: Problem, library: Library, units: Tensor | None = None) -> None:
        super().__init__(problem)
        self.term_library = library
        self.units = torch.ones(len(library.terms), dtype=torch.float64, device="cpu") if units is None else units
        self.unknowns = dict.fromkeys(self.names, 0.0)
        if not self.measured:
            raise UsageError("discovery needs measurements; type problem.data=FILE, or for a trial on the solution of "
                             "the problem 'problem.data={points: 2000, noise: 0.01}'")  # fmt: skip

    @cached_property
    def names(self) -> list[str]:
        """The names of the unknown coefficients, one for each term."""
        return [f"c{k}" for k in range(1, len(self.term_library.terms) + 1)]

    @cached_property
    def measured(self) -> list[Constraint]:
        """The residuals of the measurements."""
        return [c for c in self.problem.constraints() if c.region == "data"]

    @property
    def coefficients(self) -> dict[str, float]:
        return {**self.problem.coefficients, **self.unknowns}

    def constraints(self) -> list[Constraint]:
        """The equation, then the measurements. Conditions of the problem are not used: they may be unknown too."""
        symbols = self.term_library.symbols | {name: Coefficient(name) for name in self.names}
        return [Constraint(EQUATION, "interior", self._residual, symbols), *self.measured]

    def _residual(self, **values: Tensor) -> Tensor:
        theta = self.term_library.theta(values)
        c = torch.stack([values[name] for name in self.names], 1)
        return values[self.term_library.left] - (theta * c * self.units.to(theta)).sum(1)
