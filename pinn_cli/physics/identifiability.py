"""Unknown coefficients that no residual sees any more where the equations hold.

In k (u_xx - f) = 0 the residual changes with k at a trial state, and vanishes for every k at the solution. So dr/dk is
taken where the residuals are zero: at every point of a region, the symbols of the fields are moved, as little as
possible, until all equations there hold together (Newton's method with steps of least length). Symbols count as
independent of each other, so a k whose factor vanishes only because of conditions elsewhere is not found.

    N = points   E = equations of the region   S = symbols of the fields
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from pinn_cli.physics.ansatz import unknowns_in_ansatz
from pinn_cli.physics.points import PointSet, point_set, trial_points
from pinn_cli.physics.problem import Constraint, Problem
from pinn_cli.physics.symbols import Place
from pinn_cli.physics.terms import rms, slopes_of, supplied

POINTS = 64  # of a region
STEPS = 30  # of Newton's method
HOLDS = 1e-9  # of the residuals of random symbols; below, the equations hold
VANISHES = 1e-6  # of the slopes at random symbols; below, the unknown is not seen

Values = Mapping[str, Tensor]  # symbols (N,) by name


def unseen(problem: Problem) -> list[str]:
    """The unknowns that change residuals, but none where the equations of its region hold.

    One that stands in the ansatz changes the fields too, so it counts as seen. Where no state is found in which they
    hold, there is no answer, and the unknowns of the region count as seen.
    """
    regions: dict[PointSet, list[Constraint]] = {}
    for c in problem.constraints():
        regions.setdefault(point_set(problem, c), []).append(c)
    named = {name for c in problem.constraints() for name in c.symbols}
    seen = {name for region in regions.values() for name in _seen(problem, region)}
    return [name for name in problem.unknowns if name in named - seen - set(unknowns_in_ansatz(problem))]


def trial_coefficients(problem: Problem) -> dict[str, float]:
    """Coefficients; of an unknown the value written in the problem, or else the start of its search, or else 1."""
    trained = {k: float(getattr(problem, k, v) or v or 1.0) for k, v in problem.unknowns.items()}
    return problem.coefficients | trained


def _seen(problem: Problem, constraints: Sequence[Constraint]) -> set[str]:
    """The unknowns that one of these constraints, all at the same points, sees where all of them hold."""
    own = {name for c in constraints for name in c.symbols} & set(problem.unknowns)
    if not own or any(c.against is not None for c in constraints):  # a periodic pair compares two points
        return own
    known, start = _random(problem, constraints)
    state = _where_they_hold(constraints, known, start)
    if state is None:
        return own
    seen = set()
    for c in constraints:
        before, after = (slopes_of(c, _of(c, {**known, **symbols}), all_symbols=True) for symbols in (start, state))
        seen |= {name for name in own & set(c.symbols) if not rms(after[name]) <= VANISHES * rms(before[name])}
    return seen


def _random(problem: Problem, constraints: Sequence[Constraint]) -> tuple[Values, Values]:
    """Points and coefficients of the region, and random numbers for the symbols of the fields."""
    X = trial_points(problem, constraints[0], POINTS)[:POINTS]
    has_normal = constraints[0].region != "data" and problem.domain.has_normal(constraints[0].region)
    normals = problem.domain.normal(constraints[0].region, X) if has_normal else None
    at = Place({}, X, normals, {k: X.new_full((len(X),), v) for k, v in trial_coefficients(problem).items()})
    generator = torch.Generator("cpu").manual_seed(3)
    known, fields = {}, {}
    for c in constraints:
        for name, symbol in c.symbols.items():
            if name not in supplied(c):
                known[name] = symbol.read(at)
            elif name not in fields:
                fields[name] = 0.5 + torch.rand(len(X), generator=generator, dtype=torch.float64, device="cpu")
    return known, fields


def _where_they_hold(constraints: Sequence[Constraint], known: Values, start: Values) -> Values | None:
    """Symbols of the fields for which all residuals vanish; None if they are not found."""
    values, first = dict(start), None
    for _ in range(STEPS):
        r = torch.stack([c.residual(**_of(c, {**known, **values})) for c in constraints], 1)  # (N, E)
        first = rms(r) if first is None else first
        if rms(r) <= HOLDS * first:
            return values
        slopes = [slopes_of(c, _of(c, {**known, **values})) for c in constraints]
        J = torch.stack([torch.stack([s.get(n, torch.zeros_like(r[:, 0])) for n in values], 1) for s in slopes], 1)
        if not (r.isfinite().all() and J.isfinite().all()):
            return None
        step = torch.linalg.pinv(J, rtol=1e-9) @ r[:, :, None]  # (N, S, 1)
        values = {name: v - step[:, i, 0] for i, (name, v) in enumerate(values.items())}
    return None


def _of(c: Constraint, values: Values) -> dict[str, Tensor]:
    return {name: values[name].detach() for name in c.symbols}
