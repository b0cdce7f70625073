"""Weights that make all gradients equally long (Wang, Sankaran, Wang and Perdikaris, arXiv:2308.08468)."""

from math import isfinite
from typing import Any

from pinn_cli.basics.errors import UsageError
from pinn_cli.methods.contracts import Batch, Objective, Weighting, Weights


class GradNorm(Weighting):
    """Every `every` steps, w_i <- (1 - alpha) w_i + alpha n / (|grad L_i| + 1e-5 n), n the mean of all |grad L_j|.

    This holds for every constraint, including those of the interior. w_i = 1 at the start of the run; a stage keeps the
    weights of the stage before. L_i = base_i mean r_i^2 includes its base weight, so in the long run base weights have
    no effect. |.| is the Euclidean norm over all trained parameters.
    """

    first_order = True
    of_residuals = False

    def __init__(self, alpha: float = 0.1, every: int = 1000) -> None:
        if not 0 < alpha <= 1 or every < 1:
            raise UsageError(f"grad_norm: found alpha={alpha}, every={every}; expected 0 < alpha <= 1, every >= 1")
        self.alpha, self.every = alpha, every
        self.weights: dict[str, float] = {}

    def __call__(self, batch: Batch, residuals: Batch) -> Weights:
        return {name: self.weights[name] for name in batch if name in self.weights}

    def update(self, step: int, objective: Objective) -> None:
        """Compute new weights from the gradients at the current points, if due."""
        if step % self.every:
            return
        norms = {name: objective.base[name] * float(g.norm()) for name, g in objective.gradients().items()}
        mean = sum(norms.values()) / len(norms)
        for name, norm in norms.items():
            new, old = mean / (norm + 1e-5 * mean) if mean else 1.0, self.weights.get(name, 1.0)
            if isfinite(new):
                self.weights[name] = (1 - self.alpha) * old + self.alpha * new

    def unchanged(self, step: int) -> float:
        return self.every - step % self.every

    def state_dict(self) -> dict[str, Any]:
        return {"weights": dict(self.weights)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.weights = dict(state["weights"])
