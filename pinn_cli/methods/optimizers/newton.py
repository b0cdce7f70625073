"""Newton's method for the output layer: Gauss-Newton steps by QR, without normal equations.

    theta <- argmin over x of  |F + J (x - theta)|^2 + ridge |D x|^2 + damping |D (x - theta)|^2

theta are the weights of the linear output layer and the unknown coefficients; other parameters stay as they are. D are
the lengths of the columns of J. The ridge is the least that rounding allows; it holds theta itself, not the step, so
that what nearly dependent columns gather in one step is gone in the next. Where F is linear in theta, the first step is
the solution. The damping is 0 unless the loss would not fall. Then it grows by 1e4 at a time until the loss does, from
the same triangle; after each success it is a million times smaller. (Extreme learning machines with nonlinear least
squares: Dong & Li 2021, arXiv:2012.02895; damping: Levenberg 1944.)
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pinn_cli.basics.errors import UsageError
from pinn_cli.basics.memory import refuse_no_memory
from pinn_cli.methods.contracts import Linearisation, Objective, Optimizer, Report
from pinn_cli.methods.linear_algebra import (
    Triangle,
    bytes_needed,
    least_ridge,
    operations,
    triangle,
    triangle_of_blocks,
)
from pinn_cli.methods.optimizers.grid_search import loss_here

FIRST, LAST = 1e-14, 1e4  # damping: the smallest that is tried, and the largest
GROWTH, DECAY = 1e4, 1e-6  # of the damping, after a failure and after a success
FAITHFUL = 2.0  # loss / predicted loss up to which the linearised equations hold over the whole step
WORTH, NOISE = 0.01, 0.5  # of the loss: a smaller gain is not worth another step; the second at the rounding floor
PATIENCE = 5  # steps in a row, each of which lowers the loss by less than a thousandth of itself


@dataclass
class Newton(Optimizer):
    """Each call of `step` forms and factors J once. Its rows take at most `memory` gigabytes at a time.

    It stops with ``stagnated`` where an undamped step has the loss that was predicted and the gradient is so small that
    another would lower it by less than 1 %: at the best that the features can express, or at the rounding floor. Also
    where no damping lowers the loss, and after 5 steps without progress. `refuse` raises UsageError for a network that
    does not name its `output_layer`. Raises ValueError for a `memory` that is not above 0.
    """

    memory: float = 1.0
    damping: float = 0.0  # that is tried first
    idle: int = 0  # steps in a row without progress
    least_squares = True
    output_layer_alone = True
    interruptible = True
    at_once = 512  # points: the derivatives of many features take much more memory than their rows

    def __post_init__(self) -> None:
        refuse_no_memory(self.memory)

    def refuse(self, objective: Objective) -> None:
        """Raise UsageError unless the network names a last layer that is trained."""
        if not objective.output_layer.any():
            name = type(getattr(objective.model, "network", objective.model)).__name__
            raise UsageError(
                f"optimizer=newton solves for the output layer, and {name} names none; give it a property "
                "`output_layer`, or type optimizer=levenberg_marquardt"
            )

    def step(self, objective: Objective) -> Report:
        """One accepted step, or none and ``stagnated``."""
        columns, theta = _columns(objective), objective.flat(objective.parameters).detach()
        if objective.points_changed and not self.damping < LAST:  # it failed at the points before
            self.damping = 0.0
        linear = objective.linearise(self.at_once)
        here, before = _chosen(theta, columns)[:, None], float(linear.F @ linear.F)
        budget = self.memory * 1e9
        solved = triangle_of_blocks(_blocks(linear, budget, columns, here), budget)
        del linear  # its factors are far larger than the triangle
        ridge, rest = least_ridge(len(here), here.dtype), _rest(objective, here)
        solved = solved.with_ridge(ridge, rest)
        while self.damping < LAST:
            x = self._solution(solved, here)
            objective.place(_replaced(theta, columns, x[:, 0]))
            after, predicted = loss_here(objective), float(solved.squares(x))
            faithful = self.damping == 0 and after <= FAITHFUL * predicted
            if after < before:
                pull = ridge * solved.D[:, None] ** 2 * (x - rest)
                least = NOISE if after < torch.finfo(here.dtype).eps * before else WORTH
                ends = faithful and _gain(objective, columns, solved, pull) < least * after
                return self._accept(after, before, ends)
            if faithful:  # the rounding floor
                break
            self.damping = max(FIRST, GROWTH * self.damping)
        objective.place(theta)
        return Report({"loss/total": before, "damping": self.damping}, stop="stagnated")

    def workspace(self, parameters: int, rows: int, itemsize: int) -> float:
        """Bytes of the factorisation besides the linearisation."""
        return bytes_needed(rows, parameters + 1, itemsize, self.memory * 1e9)

    def operations(self, parameters: int, rows: int) -> float:
        """Those of two QR factorisations, of J and with the ridge."""
        return operations(rows, parameters)

    def factorise(self, J: Tensor) -> None:
        triangle(J, J.sum(1)).with_ridge(least_ridge(J.shape[1], J.dtype)).solve(tolerance=0.0)

    def _solution(self, solved: Triangle, here: Tensor) -> Tensor:
        """The minimiser x (p, 1); the ridge makes the columns independent."""
        return (solved.with_ridge(self.damping, here) if self.damping else solved).solve(tolerance=0.0)

    def _accept(self, after: float, before: float, ends: bool) -> Report:
        used, self.damping = self.damping, self.damping * DECAY if self.damping * DECAY >= FIRST else 0.0
        self.idle = self.idle + 1 if after > (1 - 1e-3) * before else 0
        stop = "stagnated" if ends or self.idle >= PATIENCE else None
        return Report({"loss/total": after, "damping": used}, stop=stop)

    def state_dict(self) -> dict[str, float]:
        return {"damping": self.damping, "idle": self.idle}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a saved state."""
        self.damping, self.idle = state["damping"], state["idle"]


def _blocks(
    linear: Linearisation, budget: float, columns: list[slice], here: Tensor
) -> Iterator[tuple[Tensor, Tensor]]:
    """Some rows of J and of J theta - F at a time, with some columns of J, for theta = `here` (p, 1)."""
    start = 0
    for J in linear.chunks(budget, columns):
        yield J, (J @ here)[:, 0] - linear.F[start : start + len(J)]
        start += len(J)


def _columns(objective: Objective) -> list[slice]:
    """The places of the output layer and of the unknown coefficients in the flat vector."""
    last, unknowns = objective.output_layer, {id(p) for p in _unknowns(objective)}
    pairs = zip(objective.parameters, objective.columns, strict=True)
    return [place for parameter, place in pairs if bool(last[place].all()) or id(parameter) in unknowns]


def _unknowns(objective: Objective) -> list[nn.Parameter]:
    fields = getattr(objective.model, "unknown_fields", nn.ModuleDict())
    return [*getattr(objective.model, "unknowns", nn.ParameterDict()).values(), *fields.parameters()]


def _rest(objective: Objective, here: Tensor) -> Tensor:
    """Where (p, 1) the ridge pulls: weights to 0, and an unknown that no equation determines yet stays as it is."""
    unknowns = sum(p.numel() for p in _unknowns(objective))
    return torch.cat([torch.zeros_like(here[: len(here) - unknowns]), here[len(here) - unknowns :]])


def _gain(objective: Objective, columns: list[slice], solved: Triangle, pull: Tensor) -> float:
    """By how much the next step would lower the loss, if J there is what it was; `pull` (p, 1) is that of the ridge."""
    _, gradient = objective.differentiated()
    g = _chosen(objective.flat(gradient), columns)[:, None] / 2 + pull
    return float((g * solved.covariance_times(g)).sum())


def _chosen(theta: Tensor, columns: list[slice]) -> Tensor:
    """The entries (p,) of theta (P,) at some places."""
    return torch.cat([theta[place] for place in columns])


def _replaced(theta: Tensor, columns: list[slice], x: Tensor) -> Tensor:
    """theta (P,) with x (p,) at these places."""
    out = theta.clone()
    for place, part in zip(columns, x.split([c.stop - c.start for c in columns]), strict=True):
        out[place] = part
    return out
