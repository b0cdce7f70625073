"""Energy natural gradient descent in its Gauss-Newton form, with geodesic acceleration and a line search on a grid.

    mu = min(damping max diag J^T J, |F|^2)
    d = -(J^T J + mu I)^-1 J^T F
    theta <- theta + eta d + eta^2 a / 2        eta = argmin of |F|^2 over 2^0, 2^-1, ..., 2^-30

J^T J is the Gramian of the energy |F|^2: d is the projection onto the network of Newton's step in function space
(Mueller & Zeinhofer 2023, arXiv:2302.13163; for nonlinear equations, in residual space and with the acceleration a of
Transtrum & Sethna 2012: Jnini & Vella 2025, arXiv:2505.21404). The papers invert the Gramian by least squares with a
cutoff, or with a damping that is tuned. Here the damping falls with the loss (Fan & Yuan 2005), so that the last steps
are those of Gauss-Newton. It grows tenfold while rounding makes the factor fail or no eta lowers the loss.
"""

from collections.abc import Callable
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

FLOOR, GROWTH = 1e-22, 10.0  # of the damping
PATIENCE = 20  # steps in a row without progress before it stops


@dataclass
class EnergyNaturalGradient(Optimizer):
    """Each call of `step` forms J once. Its rows take at most `memory` gigabytes at a time.

    It stops with ``line_search_failed`` where no damping up to the largest diagonal entry gives a step that lowers the
    loss, and with ``stagnated`` after 20 steps in a row that each lower the loss by less than 1e-12 of itself. Raises
    UsageError for a damping outside (0, 1), and ValueError for a `memory` that is not above 0.
    """

    damping: float = 1e-6  # the largest, relative to the largest diagonal entry of the Gramian
    geodesic: bool = True
    difference: float = 0.1  # h of the acceleration
    memory: float = 1.0
    idle: int = 0  # steps in a row without progress
    buffers: Buffers = field(default_factory=Buffers, init=False, repr=False)
    least_squares = True
    interruptible = True

    def __post_init__(self) -> None:
        symmetric.load()  # a part of the set-up, not of the first step
        refuse_no_memory(self.memory)
        if not 0 < self.damping < 1:
            raise UsageError(f"optimizer.energy_natural_gradient.damping={self.damping:g}: expected a number between 0 "
                             "and 1, e.g. 1e-6")

    def step(self, objective: Objective) -> Report:
        """One step that lowers the loss, or none and the reason."""
        linear = objective.linearise()
        ones = linear.F.new_ones(linear.parameters)
        equations = NormalEquations(linear, ones, self.memory * 1e9, self.buffers)
        before, largest = float(linear.F @ linear.F), float(equations.matrix.diagonal().max())
        theta, mu = objective.flat(objective.parameters).detach(), max(min(self.damping * largest, before), FLOOR)
        while mu < largest:
            if equations.damp(mu):
                eta, loss = best_step(objective, self._path(objective, equations), before)
                if loss < before:
                    return self._accept(loss, before, {"damping": mu, "step_size": eta})
                objective.place(theta)
            mu *= GROWTH
        return Report({"loss/total": before, "damping": mu}, stop="line_search_failed")

    def _path(self, objective: Objective, equations: NormalEquations) -> Callable[[float], Tensor]:
        """eta d + eta^2 a / 2 (P,) as a function of eta."""
        d = equations.step(equations.linear.F)
        half = equations.half_acceleration(objective, d, self.difference) if self.geodesic else torch.zeros_like(d)
        return lambda eta: eta * d + eta**2 * half

    def _accept(self, loss: float, before: float, values: dict[str, float]) -> Report:
        self.idle = self.idle + 1 if before - loss < 1e-12 * before else 0
        return Report({"loss/total": loss, **values}, stop="stagnated" if self.idle >= PATIENCE else None)

    def workspace(self, parameters: int, rows: int, itemsize: int) -> float:
        """Bytes of the normal equations."""
        return bytes_needed(parameters, rows, itemsize, self.memory * 1e9)

    def state_dict(self) -> dict[str, int]:
        return {"idle": self.idle}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a saved state."""
        self.idle = state["idle"]
