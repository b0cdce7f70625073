"""Where a residual is not finite, and which symbol of its equation is the cause."""

from math import isfinite

import torch
from torch import Tensor

from pinn_cli.basics.errors import UsageError
from pinn_cli.physics.problem import Constraint
from pinn_cli.physics.terms import supplied
from pinn_cli.training.objective import Objective

TRIED = (1.0, -1.0, 1e3, -1e3)  # values of a symbol; it is the cause if the residual is finite with one of them
LOOK_FOR = "look for the square root or logarithm of a negative number, or a division by zero"


def refuse_not_finite(objective: Objective) -> None:
    """Refuse a problem whose residuals are not finite for the initial network (UsageError)."""
    for name, r in objective.residuals().items():
        if not r.isfinite().all() and (where := where_not_finite(objective, name)):
            raise UsageError(f"before the first step, {where}")


@torch.no_grad()
def where_not_finite(objective: Objective, name: str) -> str | None:
    """The points at which a residual is not finite and the symbol that causes it, as a clause; None if it is finite."""
    X = objective.batch[name]
    r = objective.residual(name, X)
    rows = (~r.isfinite()).nonzero()[:, 0]
    if not len(rows):
        return None
    c, problem, first = objective.constraints[name], objective.problem, rows[:1]
    at = ", ".join(f"{x}={v:.4g}" for x, v in zip(problem.coordinates, X[first[0]].tolist(), strict=False))
    found = f"the residual of `{name}` is {float(r[first]):.4g} at {len(rows)} of {len(X)} points, first at {at}"
    sides = [X[first]] if c.against is None else [X[first], c.against(X[first])]
    values = [objective.at.symbols(name, side) for side in sides]
    overflow = [(n, float(v[n])) for v in values for n in supplied(c) if not isfinite(float(v[n]))]
    if overflow:
        return f"{found}, because the network itself gives {overflow[0][0]}={overflow[0][1]:.4g} there"
    causes = [cause for v in values if (cause := _cause(c, v))]
    return f"{found}, {causes[0] if causes else 'and no single symbol is the cause'}: {LOOK_FOR}"


def _cause(c: Constraint, values: dict[str, Tensor]) -> str | None:
    """The symbol that makes the residual of one point not finite; None if it is finite or no symbol does so alone."""

    def finite(**changes: Tensor) -> bool:
        return bool(torch.as_tensor(c.residual(**{**values, **changes})).isfinite().all())

    if finite():
        return None
    broken = [name for name, value in values.items() if not isfinite(float(value))]
    alone = broken or [n for n, v in values.items() if any(finite(**{n: torch.full_like(v, x)}) for x in TRIED)]
    return f"where {alone[0]}={float(values[alone[0]]):.4g} is the cause" if alone else None
