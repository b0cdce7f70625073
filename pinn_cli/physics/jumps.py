"""Where the leading coefficients of an equation jump inside the domain.

Where k jumps in (k u_x)_x = f, the flux k u_x is continuous and u_x is not. Written with derivatives of a smooth
network, k u_xx = f at all points on both sides, the equation says nothing about the jump itself, and a network keeps
u_x continuous. Its residual is then small everywhere and the solution is another one.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from pinn_cli.derivatives.keys import Lap
from pinn_cli.physics.points import trial_points
from pinn_cli.physics.problem import Constraint, Problem
from pinn_cli.physics.symbols import Place
from pinn_cli.physics.terms import order_of, slopes_of, supplied

LINES = 32  # through the domain, along each coordinate
NODES = 65  # of a line
HALVINGS = 40  # of the step that may hold a jump
JUMP = 1e-2  # the smallest jump, relative to the largest coefficient


@dataclass(frozen=True)
class Jump:
    """A coefficient of the derivative `symbol` in `constraint` jumps where `coordinate` is `position`."""

    constraint: str
    symbol: str
    coordinate: str
    position: float

    def __str__(self) -> str:
        return (
            f"the factor of {self.symbol} in {self.constraint} jumps near {self.coordinate} = {self.position:.4g}; "
            "a network keeps the slope continuous there, not the flux: make the coefficient smooth"
        )


def jumps_of(problem: Problem) -> list[Jump]:
    """The jumps of the coefficients of second or higher derivatives, one for each symbol and coordinate.

    A jump on which a constraint of its own holds (a face or a point with a name) is left out. The coefficients are
    looked at for constant fields, so those that jump with the solution itself are not found.
    """
    inside = [c for c in problem.constraints() if c.region == "interior"]
    found = []
    for constraint in inside:
        for symbol in supplied(constraint):
            for axis in _axes(problem, constraint, symbol):
                at = _jump(problem, constraint, symbol, axis)
                if at is not None and not _joined(problem, at):
                    coordinate = problem.coordinates[axis]
                    found.append(Jump(constraint.name, symbol, coordinate, float(at[axis])))
    return found


def _axes(problem: Problem, constraint: Constraint, name: str) -> list[int]:
    """The coordinates by which a symbol is differentiated, if it is the highest derivative of its field."""
    field = constraint.symbols[name].field  # type: ignore[attr-defined]
    same = [n for n in supplied(constraint) if constraint.symbols[n].field == field]  # type: ignore[attr-defined]
    if order_of(constraint, name) < max(2, *(order_of(constraint, n) for n in same)):
        return []
    axes = [key.axes if isinstance(key, Lap) else [i for i, k in enumerate(key) if k]
            for key in constraint.symbols[name].needs]  # fmt: skip
    return sorted({i for some in axes for i in some})


def _jump(problem: Problem, constraint: Constraint, name: str, axis: int) -> Tensor | None:
    """A point (D,) where the coefficient of a symbol jumps along a coordinate; None if it is found nowhere."""
    X = trial_points(problem, "interior", 2 * LINES)
    begin, end = X[:LINES], X[:LINES].clone()
    end[:, axis] = X[LINES:, axis]
    share = torch.linspace(0, 1, NODES, dtype=X.dtype, device=X.device)[:, None, None]
    nodes = begin + share * (end - begin)  # (NODES, LINES, D)
    values = _coefficient(problem, constraint, name, nodes.flatten(0, 1)).view(NODES, LINES)
    steps = values.diff(dim=0).abs()
    step, line = divmod(int(steps.nan_to_num(0.0, 0.0).argmax()), LINES)
    low, high = nodes[step, line], nodes[step + 1, line]
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        ends = _coefficient(problem, constraint, name, torch.stack([low, middle, high]))
        low, high = (low, middle) if (ends[1] - ends[0]).abs() > (ends[2] - ends[1]).abs() else (middle, high)
    last = _coefficient(problem, constraint, name, torch.stack([low, high])).diff().abs()
    inside = bool(problem.domain.contains(high[None]).all())
    return high if inside and float(last) > JUMP * float(values.nan_to_num(0.0, 0.0).abs().max()) else None


def _coefficient(problem: Problem, constraint: Constraint, name: str, X: Tensor) -> Tensor:
    """dr/ds (N,) of one symbol at points X, with 1 for all symbols of fields."""
    at = Place({}, X, None, {k: X.new_full((len(X),), v) for k, v in problem.coefficients.items()})
    fields = dict.fromkeys(supplied(constraint), torch.ones_like(X[:, 0]))
    values = {n: fields[n] if n in fields else s.read(at) for n, s in constraint.symbols.items()}
    return slopes_of(constraint, values)[name]


def _joined(problem: Problem, at: Tensor) -> bool:
    """Whether a constraint on another region than the interior holds at a point (D,)."""
    regions = {c.region for c in problem.constraints()} - {"interior", "data"}
    return any(bool(problem.domain.lies_on(region, at[None]).all()) for region in regions)
