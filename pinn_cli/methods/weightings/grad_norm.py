"""Weights that make all gradients equally long (Wang, Sankaran, Wang and Perdikaris, arXiv:2308.08468)."""

from collections.abc import Mapping
from math import isfinite
from typing import Any

from torch import Tensor

from pinn_cli.basics.errors import UsageError


class GradNorm:
    """Every `every` steps, w_i <- (1 - alpha) w_i + alpha n / (|grad L_i| + 1e-5 n), n the mean of all |grad L_j|.

    For every constraint, the interior's too; w_i = 1 at the start. L_i = base_i mean r_i^2 carries its base weight, so
    in the long run a base weight changes nothing. |.| is the Euclidean norm over all trained parameters.
    """

    per_point = False
    first_order = True  # made for training by many small steps

    def __init__(self, alpha: float = 0.1, every: int = 1000) -> None:
        if not 0 < alpha <= 1 or every < 1:
            raise UsageError(f"grad_norm: found alpha={alpha}, every={every}; expected 0 < alpha <= 1, every >= 1")
        self.alpha, self.every = alpha, every
        self.weights: dict[str, float] = {}

    def __call__(self, batch: Mapping[str, Tensor], residuals: Mapping[str, Tensor]) -> dict[str, float | Tensor]:
        """w by constraint."""
        return {name: self.weights[name] for name in residuals if name in self.weights}

    def begin_stage(self, problem: Any) -> None:
        """Weights of constraints that keep their name go on."""

    def update(self, step: int, objective: Any) -> None:
        """New weights from the gradients at the current points, every so many steps."""
        if step % self.every:
            return
        norms = {name: objective.base[name] * float(g.norm()) for name, g in objective.gradients().items()}
        mean = sum(norms.values()) / len(norms)
        for name, norm in norms.items():
            new, old = mean / (norm + 1e-5 * mean) if mean else 1.0, self.weights.get(name, 1.0)
            if isfinite(new):
                self.weights[name] = (1 - self.alpha) * old + self.alpha * new

    def state_dict(self) -> dict[str, Any]:
        """The weights."""
        return {"weights": dict(self.weights)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from saved weights."""
        self.weights = dict(state["weights"])
