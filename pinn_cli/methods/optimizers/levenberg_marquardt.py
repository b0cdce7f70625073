"""Damped Gauss-Newton on the residual vector, with Nielsen's damping and geodesic acceleration.

    v = -(J^T J + mu D)^-1 J^T F                      the velocity
    F_vv = (2 / h) [(F(theta + h v) - F) / h - J v]    the second derivative of F along v, one evaluation
    a = -(J^T J + mu D)^-1 J^T F_vv                    the acceleration
    theta <- theta + v + a / 2   if 2 |a| < 0.75 |v|,  else theta + v;  |v|^2 = v^T D v

D is diagonal: `output_layer` for parameters of the last layer, in which the fields are linear, and 1 for all others.
A step is accepted if the loss falls. Then mu <- mu max(1/3, 1 - (2 rho - 1)^3), rho = actual / predicted decrease.
Otherwise mu grows by 2, 4, 8, ... and the same linearisation is factored again. (Levenberg 1944; Marquardt 1963;
Nielsen 1999; Transtrum & Sethna 2012.)
"""

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from pinn_cli.basics.memory import refuse_no_memory
from pinn_cli.methods import symmetric
from pinn_cli.methods.contracts import Linearisation, Objective, Optimizer, Report
from pinn_cli.methods.optimizers.normal_equations import NormalEquations, bytes_needed
from pinn_cli.methods.symmetric import Buffers

FLOOR, CEILING = 1e-22, 1e20  # of the damping
PATIENCE = 20  # accepted steps without progress before it stops


@dataclass
class LevenbergMarquardt(Optimizer):
    """Each call of `step` takes one accepted step. Rows of J take at most `memory` gigabytes at a time.

    It stops with ``stagnated`` after 20 steps in a row that each lower the loss by less than 1e-12 of itself, and with
    ``damping_overflow`` where no damping lowers the loss. Raises ValueError for a number out of range.
    """

    damping: float | None = None  # mu; None: 1e-3 max diag J^T J at the first step
    output_layer: float = 1.0  # D of the parameters of the last layer
    shrink: float = 1 / 3  # the smallest factor on mu after an accepted step
    geodesic: bool = True
    difference: float = 0.1  # h
    memory: float = 1.0
    growth: float = 2.0  # nu, the factor on mu after the next failure
    idle: int = 0  # accepted steps in a row without progress
    buffers: Buffers = field(default_factory=Buffers, init=False, repr=False)
    least_squares = True
    interruptible = True

    def step(self, objective: Objective) -> Report:
        """One accepted step, or none and ``damping_overflow``."""
        linear = objective.linearise()
        equations = NormalEquations(linear, self.scale(objective), self.memory * 1e9, self.buffers)
        self._prepare(linear, objective.points_changed)
        loss, rejected = float(linear.F @ linear.F), 0
        while self._damping < CEILING:
            accepted = self._try(objective, linear, equations, loss)
            if accepted is not None:
                return self._accept(*accepted, before=loss, rejected=rejected)
            self.damping, self.growth, rejected = self._damping * self.growth, 2 * self.growth, rejected + 1
        return Report({"loss/total": loss, "damping": self._damping}, stop="damping_overflow")

    @property
    def _damping(self) -> float:
        assert self.damping is not None
        return self.damping

    def __post_init__(self) -> None:
        symmetric.load()  # a part of the set-up, not of the first step
        refuse_no_memory(self.memory)
        if self.damping is not None and not self.damping > 0:
            raise ValueError(f"damping={self.damping:g}: expected a number above 0, or null")
        if not 0 < self.output_layer < math.inf:
            raise ValueError(f"output_layer={self.output_layer:g}: expected a number above 0, e.g. 1e-3")
        if not self.growth > 1:
            raise ValueError(f"growth={self.growth:g}: expected a number above 1")

    def scale(self, objective: Objective) -> Tensor:
        """D (P,)."""
        last = objective.output_layer
        return torch.ones_like(last, dtype=objective.dtype).masked_fill_(last, self.output_layer)

    def workspace(self, parameters: int, rows: int, itemsize: int) -> float:
        """Bytes of the normal equations."""
        return bytes_needed(parameters, rows, itemsize, self.memory * 1e9)

    def _prepare(self, linear: Linearisation, points_changed: bool) -> None:
        """The first damping; tenfold after a change of points, but not above what a first step would use."""
        if self.damping is not None and not points_changed:
            return
        first = 1e-3 * float(linear.column_squares().max())
        failed = self.damping is None or not self.damping < CEILING  # at the points before
        self.damping = first if failed else max(self._damping, min(10 * self._damping, first))
        self.growth = 2.0

    def _try(
        self, objective: Objective, linear: Linearisation, equations: NormalEquations, loss: float
    ) -> tuple[float, float, Tensor] | None:
        """Take the step if the loss falls: the new loss, the ratio of actual to predicted decrease, the step."""
        if not equations.damp(self._damping):
            return None
        v = equations.step(linear.F)
        step = v + equations.half_acceleration(objective, v, self.difference) if self.geodesic else v
        objective.shift(step)
        F = objective.linearise().F  # if the step is accepted, the next one starts from this evaluation
        new = float(F @ F)
        if not new < loss:  # also where the loss is not finite
            objective.shift(-step)
            return None
        predicted = float(v @ (self._damping * equations.D * v - linear.gradient))
        return new, (loss - new) / predicted, step

    def _accept(self, loss: float, rho: float, step: Tensor, *, before: float, rejected: int) -> Report:
        used = self._damping
        self.damping = max(FLOOR, used * max(self.shrink, 1 - (2 * min(rho, 1.0) - 1) ** 3))
        self.growth = 2.0
        self.idle = self.idle + 1 if before - loss < 1e-12 * before else 0
        values = {"loss/total": loss, "damping": used, "gain_ratio": rho, "step_norm": float(step.norm())}
        return Report(values | {"rejected": float(rejected)}, stop="stagnated" if self.idle >= PATIENCE else None)

    def state_dict(self) -> dict[str, float | None]:
        return {"damping": self.damping, "growth": self.growth, "idle": self.idle}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a saved state. Raises ValueError for a damping or growth with which the loop over mu never ends."""
        self.damping, self.growth, self.idle = state["damping"], state["growth"], state["idle"]
        self.__post_init__()
