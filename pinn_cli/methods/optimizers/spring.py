"""SPRING: damped Gauss-Newton steps with momentum, for points that are drawn anew at every step.

    phi_k = argmin over phi of |J phi - F|^2 + lambda |phi - m phi_{k-1}|^2
          = m phi_{k-1} + J^T (J J^T + lambda I)^-1 (F - m J phi_{k-1})
    theta <- theta - eta phi_k

The rows of a step determine what they can of phi; the rest is remembered from the points of the steps before. With
m = 0 it is the step of Levenberg-Marquardt with damping lambda. eta is the best step of a grid, or a number.
(Goldshlager, Abrahamsen & Lin 2024, arXiv:2401.10190; for PINNs: Guzman-Cordero, Dangel, Goldshlager & Zeinhofer 2025,
arXiv:2505.12149.)
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from pinn_cli.basics.errors import UsageError
from pinn_cli.basics.memory import refuse_no_memory
from pinn_cli.methods import symmetric
from pinn_cli.methods.contracts import Objective, Optimizer, Report
from pinn_cli.methods.optimizers.grid_search import best_step
from pinn_cli.methods.optimizers.normal_equations import NormalEquations, bytes_needed
from pinn_cli.methods.symmetric import Buffers

GROWTH = 10.0  # of the damping of one step while rounding makes the matrix indefinite
CEILING = 1e20


@dataclass
class SPRING(Optimizer):
    """Each call of `step` forms J once. Its rows take at most `memory` gigabytes at a time.

    The loss of the report is that after the step, at the points of the step. A step may raise it, since the next points
    are others. Raises UsageError or ValueError for a number out of range.
    """

    damping: float = 1e-3  # lambda
    momentum: float = 0.9  # m
    step_size: float | None = None  # eta; None: the best of 1, 1/2, 1/4, ...
    memory: float = 1.0
    phi: Tensor = field(default_factory=lambda: torch.zeros(0), init=False, repr=False)
    buffers: Buffers = field(default_factory=Buffers, init=False, repr=False)
    least_squares = True
    interruptible = True
    endless = True

    def __post_init__(self) -> None:
        symmetric.load()  # a part of the set-up, not of the first step
        refuse_no_memory(self.memory)
        if not 0 < self.damping < CEILING:
            raise UsageError(f"optimizer.spring.damping={self.damping:g}: expected a number above 0, e.g. 1e-3")
        if not 0 <= self.momentum < 1:
            raise UsageError(f"optimizer.spring.momentum={self.momentum:g}: expected a number in [0, 1), e.g. 0.9")
        if self.step_size is not None and not self.step_size > 0:
            raise UsageError(f"optimizer.spring.step_size={self.step_size:g}: expected a number above 0, or null")

    def step(self, objective: Objective) -> Report:
        """One step at the points of the objective."""
        linear = objective.linearise()
        ones = linear.F.new_ones(linear.parameters)
        equations = NormalEquations(linear, ones, self.memory * 1e9, self.buffers)
        damping = self.damping
        while not equations.damp(damping) and damping < CEILING:
            damping *= GROWTH
        remembered = self.momentum * self.phi if len(self.phi) == linear.parameters else torch.zeros_like(ones)
        self.phi = remembered - equations.step(linear.F - linear.times(remembered))
        eta, loss = self._move(objective, float(linear.F @ linear.F))
        return Report({"loss/total": loss, "damping": damping, "step_size": eta, "step_norm": eta * self.phi.norm()})

    def _move(self, objective: Objective, before: float) -> tuple[float, float]:
        """theta <- theta - eta phi: eta, and the loss there."""
        if self.step_size is None:
            return best_step(objective, lambda eta: -eta * self.phi, before)
        objective.shift(-self.step_size * self.phi)
        with torch.no_grad():
            F = objective.vector()
        return self.step_size, float(F @ F)

    def workspace(self, parameters: int, rows: int, itemsize: int) -> float:
        """Bytes of the normal equations."""
        return bytes_needed(parameters, rows, itemsize, self.memory * 1e9)

    def state_dict(self) -> dict[str, Tensor]:
        return {"phi": self.phi}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a saved state."""
        self.phi = state["phi"]
