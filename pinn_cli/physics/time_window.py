"""A window in time: a problem on a part of its time, which starts from a solution that is known before it.

The quantities of the initial conditions must be continuous at the seam. A condition r(u, u_t, ...) = 0 becomes

    r(u here) - r(u before) = 0        at the beginning of the window,

so that conditions on u and on u_t become the continuity of u and of u_t. They keep their names, and therefore their
weights, points and columns of the history.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from pinn_cli.derivatives.engines import Autograd, Taylor
from pinn_cli.physics.ansatz import prescribed
from pinn_cli.physics.problem import Constraint, Problem, numbers_of
from pinn_cli.physics.references.base import ReferenceRows
from pinn_cli.physics.symbols import Derivative, Normal, Place, Symbol
from pinn_cli.physics.wrapped import Wrapped


@dataclass(frozen=True)
class Known:
    """The value of a symbol in a solution that is no longer trained."""

    symbol: Symbol
    solution: nn.Module
    engine: Taylor | Autograd
    like: Tensor  # points (1, D) in the precision and on the device of the solution
    needs: frozenset = frozenset()

    @torch.no_grad()
    def read(self, at: Place) -> Tensor:
        X = at.points[:, : self.like.shape[1]].to(self.like)
        values = {key: value.detach() for key, value in self.engine(self.solution, X).items()}
        return self.symbol.read(Place(values, X, at.normals, {})).to(at.points)


class Window(Wrapped):
    """A problem on start <= time <= end, after the solution `before` (None: from its own initial conditions).

    It has no `metrics`, because these are defined for all times. `part` is the window's share of the numbers of points.
    """

    hidden = ("metrics",)

    def __init__(self, problem: Problem, start: float, end: float, before: nn.Module | None = None, part: float = 1.0):
        super().__init__(problem)
        assert problem.domain.time is not None
        self.start, self.end, self.before, self.part = start, end, before, part
        self.domain = problem.domain.between(problem.domain.time, start, end)
        self._time = problem.coordinates.index(problem.domain.time)  # the column of time among the coordinates
        self._known: dict[Symbol, Known] = {}
        if hasattr(problem, "reference"):
            self.reference = self._reference

    def __str__(self) -> str:
        return f"{self.problem.domain.time}={self.start:.4g}..{self.end:.4g}"

    def with_(self, **changes: Any) -> "Window":
        """The same window of a changed problem."""
        return Window(self.problem.with_(**changes), self.start, self.end, self.before, self.part)

    def constraints(self) -> list[Constraint]:
        """The constraints of the problem, with seams instead of initial conditions."""
        given = self.problem.constraints()
        return given if self.before is None else [self._seam(c) if is_initial(self.problem, c) else c for c in given]

    def share(self, region: str) -> float:
        """1 for conditions where the window begins, `part` for those that extend over its time."""
        return 1.0 if self.domain.is_initial(region) else self.part

    @cached_property
    def data_columns(self) -> dict[str, Tensor]:
        """The measurements in the window."""
        columns = self.problem.data_columns
        if not columns:
            return {}
        inside = self._inside(torch.as_tensor(columns[self.coordinates[self._time]]))
        return {name: torch.as_tensor(numbers_of(column))[inside] for name, column in columns.items()}

    @property
    def data(self) -> Tensor:
        """The points of the region `data` (N, D + columns) that lie in the window."""
        X = self.problem.data
        return X[self._inside(X[:, self._time])]

    def _inside(self, t: Tensor) -> Tensor:
        """Which times belong to the window. Its first instant does only if there is no window before."""
        return (t <= self.end) & (t >= self.start if self.before is None else t > self.start)

    def _seam(self, c: Constraint) -> Constraint:
        """The continuity of what an initial condition prescribes."""
        known = {n: self._before(s) for n, s in c.symbols.items() if isinstance(s, Derivative | Normal)}

        def residual(**symbols: Tensor) -> Tensor:
            here = {name: symbols[name] for name in c.symbols}
            there = {name: symbols[f"{name} before"] for name in known}
            return c.residual(**here) - c.residual(**{**here, **there})

        return replace(c, residual=residual, symbols={**c.symbols, **{f"{n} before": s for n, s in known.items()}})

    def _before(self, symbol: Symbol) -> Known:
        """The symbol in the solution before. By jets, or by autograd for a network that has no Taylor rules."""
        if symbol not in self._known:
            assert self.before is not None
            like = self.domain.grid(2)[:1].to(next(self.before.parameters()).detach())
            engine: Taylor | Autograd = Taylor(symbol.needs)
            try:
                engine(self.before, like)
            except NotImplementedError:
                engine = Autograd(symbol.needs)
            self._known[symbol] = Known(symbol, self.before, engine, like)
        return self._known[symbol]

    def _reference(self) -> Any:
        reference = getattr(self.problem, "reference")()  # noqa: B009  (an optional method)
        if reference.at is None:
            return reference
        rows = self._inside(reference.at[:, self._time]) & self.domain.lies_on("interior", reference.at)
        return ReferenceRows(reference, rows) if rows.any() else None


def is_initial(problem: Problem, c: Constraint) -> bool:
    """Whether a constraint holds where time begins."""
    return c.kind != "data" and problem.domain.is_initial(c.region)


def beginning(problem: Problem, X: Tensor) -> Tensor:
    """The fields (N, F) at points X (N, D) where time begins: of the window before, or as initial conditions say.

    Raises ValueError for a field that neither gives.
    """
    if isinstance(problem, Window) and problem.before is not None:
        with torch.no_grad():
            return problem.before(X.to(next(problem.before.parameters()))).to(X)
    given = [g for c in problem.constraints() if is_initial(problem, c) and (g := prescribed(problem, c)) is not None]
    values = {g.field: g.value([*X.unbind(1)]) for g in given if not any(g.index)}
    missing = [name for k, name in enumerate(problem.solution_fields) if k not in values]
    if missing:
        raise ValueError(f"no initial condition gives the value of `{missing[0]}`")
    fields = range(len(problem.solution_fields))
    return torch.stack([torch.as_tensor(values[k]).to(X).expand(len(X)) for k in fields], 1)


def refuse_unsliceable(problem: Problem) -> None:
    """Refuse a problem that cannot be solved window after window (ValueError)."""
    domain = problem.domain
    if domain.time is None:
        raise ValueError(f"{_name(problem)} has no time axis; expected a coordinate `t` or Box(..., time=...)")
    for c in problem.constraints():
        if c.kind == "data" or domain.spans_time(c.region) or (domain.is_initial(c.region) and c.against is None):
            continue
        if domain.parts(c.region) == [()]:
            raise ValueError(f"`{c.name}` holds at one instant, the point {c.region}; expected faces or the interior")
        raise ValueError(f"`{c.name}` on {c.region} ties times to each other; expected one where time begins")
    if not any(is_initial(problem, c) for c in problem.constraints()):
        raise ValueError(f"{_name(problem)} has no initial condition that a next window could start from")


def _name(problem: Problem) -> str:
    return type(problem).__name__
