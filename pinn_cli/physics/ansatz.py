"""Boundary and initial values imposed exactly, derived from the constraints themselves.

A constraint such as ``u - g(x, t)`` on a part of the boundary gives g = -r(u=0). The domain then interpolates what is
given for each field, ``u = lift + distance * network``, so that any network meets the conditions. Conditions that
contradict each other where parts of the boundary meet are refused: imposing one exactly would violate the other.
"""

import inspect
from collections.abc import Collection
from typing import Protocol, TypeGuard

import torch
from torch import Tensor

from pinn_cli.basics.errors import UsageError
from pinn_cli.physics.domains.base import Columns, Function, Given, zero
from pinn_cli.physics.problem import Constraint, Problem
from pinn_cli.physics.symbols import Column, Derivative, FieldValue, Symbol


class Ansatz(Protocol):
    """Points (N, D), outputs of the network (N, F) and unknown coefficients, (N,) or () each -> fields (N, F)."""

    def __call__(self, X: Tensor, u: Tensor, **unknowns: Tensor) -> Tensor: ...


def written_ansatz(problem: Problem, name: str = "ansatz") -> Ansatz | None:
    """The ansatz of a problem's own method ``ansatz(self, x, t, u)``, which returns one field or a tuple of all.

    Further parameters are coefficients, ``ansatz(self, x, t, u, nu)``. Those that are trained have the values with
    which it is called, or else those of the start. It leaves unknown fields as they are.
    """
    method = getattr(problem, name, None)
    if method is None:
        return None
    known = {k: value for k, value in problem.coefficients.items() if k in inspect.signature(method).parameters}

    def apply(X: Tensor, u: Tensor, **unknowns: Tensor) -> Tensor:
        coordinates = {c: X[:, i] for i, c in enumerate(problem.coordinates)}
        fields = {f: u[:, i] for i, f in enumerate(problem.solution_fields)}
        given = {name: unknowns.get(name, value) for name, value in known.items()}
        out = method(**coordinates, **fields, **given)
        own = torch.stack(list(out) if isinstance(out, tuple) else [out], -1)
        return own if u.shape[-1] == len(fields) else torch.cat([own, u[:, len(fields) :]], -1)

    return apply


def unknowns_in_ansatz(problem: Problem) -> list[str]:
    """The unknown coefficients that a problem's own method `ansatz` asks for."""
    method = getattr(problem, "ansatz", None)
    return [] if method is None else [k for k in problem.unknowns if k in inspect.signature(method).parameters]


def derive(problem: Problem) -> tuple[Ansatz | None, list[str]]:
    """The ansatz that makes all Dirichlet and initial constraints exact, and their names; None if there are none.

    Raises UsageError for conditions that contradict each other.
    """
    fields = range(len(problem.solution_fields))
    given = [g for c in problem.constraints() if (g := prescribed(problem, c)) is not None and g.field in fields]
    parts = [problem.domain.interpolate([g for g in given if g.field == k]) for k in fields]
    met = [g for g in given if any(g is other for part in parts for other in part.met)]
    if not met:
        return None, []
    for g in met:
        _refuse_contradiction(problem, g, parts[g.field].lift)

    def ansatz(X: Tensor, u: Tensor, **_: Tensor) -> Tensor:
        columns = [X[:, i] for i in range(len(problem.coordinates))]
        return torch.stack([p.lift(columns) + p.distance(columns) * u[:, k] for k, p in enumerate(parts)], -1)

    return ansatz, [g.constraint for g in met]


def held_by_period(problem: Problem, periodic: Collection[str]) -> list[str]:
    """The periodic pairs that hold for any network, because it sees the coordinate as sine and cosine."""
    pairs = {c.name: c.region.partition("=")[0] for c in problem.constraints() if c.against is not None}
    symbols = {c.name: c.symbols for c in problem.constraints()}
    return [name for name, across in pairs.items() if across in periodic and across not in symbols[name]]


def _refuse_contradiction(problem: Problem, g: Given, lift: Function) -> None:
    """Just inside, the lift must have the prescribed value; a prescribed slope is not checked."""
    unit = torch.rand(64, len(problem.coordinates), generator=torch.Generator("cpu").manual_seed(1), device="cpu")
    X = problem.domain.sample(g.region, unit.double())
    inside = problem.domain.inwards(X, 1e-9)
    value = torch.as_tensor(g.value(list(X.unbind(1))))
    gap = float((torch.as_tensor(lift(list(inside.unbind(1)))) - value).abs().max())
    if not any(g.index) and gap > 1e-6 * (1 + float(value.abs().max())):
        raise UsageError(
            f"constraints=exact: `{g.constraint}` contradicts itself or another condition on "
            f"{problem.fields[g.field]} where faces meet (by up to {gap:.2g}); type constraints=soft"
        )


def prescribed(problem: Problem, c: Constraint) -> Given | None:
    """What a constraint prescribes, if its residual is `scale * (value - g)` in a single field's value or slope."""
    derivatives = {n: s for n, s in c.symbols.items() if isinstance(s, Derivative)}
    others = {n: s for n, s in c.symbols.items() if isinstance(s, Column) or _is_smooth(s)}
    if c.kind != "face" or c.against is not None or len(derivatives) != 1 or len(others) + 1 != len(c.symbols):
        return None
    ((name, symbol),) = derivatives.items()
    if not isinstance(symbol.index, tuple) or sum(symbol.index) > 1:
        return None
    D = len(problem.coordinates)
    unit = torch.rand(32, D, generator=torch.Generator("cpu").manual_seed(0), dtype=torch.float64, device="cpu")
    X = problem.domain.sample(c.region, unit)

    def residual(columns: Columns, level: float) -> Tensor:
        at = {n: s.of(columns) for n, s in others.items()}
        return c.residual(**at, **{name: torch.zeros_like(columns[0]) + level})

    r0, r1, r2 = (residual(list(X.unbind(1)), level) for level in (0.0, 1.0, 2.0))
    scale = float((r1 - r0)[0])
    if scale == 0 or not torch.allclose(r1 - r0, torch.full_like(r0, scale)) or not torch.allclose(r2 - r1, r1 - r0):
        return None
    value = zero if not r0.any() else lambda columns: residual(columns, 0.0) * (-1 / scale)
    return Given(c.name, symbol.field, c.region, symbol.index, value)


def _is_smooth(symbol: Symbol) -> TypeGuard[FieldValue]:
    """Whether a symbol is a coefficient field that a network could follow exactly, derivatives included."""
    return isinstance(symbol, FieldValue) and symbol.function.smooth
