"""The terms of the loss, each with the weight in force, and their gradients.

    L_k = mean_n(w_kn r_kn^2)        L = sum_k L_k        g_k = dL_k / dtheta

P = trained parameters.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from pinn_cli.methods.contracts import Objective


def weighted(objective: Objective) -> dict[str, Tensor]:
    """L_k by constraint, with its graph. Constraints of weight zero are left out, unless all weights are zero."""
    residuals, weights = objective.residuals(), objective.weights
    terms = [name for name in residuals if _weighs(weights[name])] or residuals
    return {name: (weights[name] * residuals[name].square()).mean() for name in terms}


def _weighs(weight: float | Tensor) -> bool:
    return bool(weight.any()) if isinstance(weight, Tensor) else weight != 0


def gradients(objective: Objective, losses: Mapping[str, Tensor], differentiable: bool = False) -> dict[str, Tensor]:
    """g_k (P,) by constraint; `differentiable` keeps the graph, for Hessians."""

    def gradient(loss: Tensor) -> Tensor:
        grads = torch.autograd.grad(
            loss, objective.parameters, retain_graph=True, allow_unused=True, create_graph=differentiable
        )
        return objective.flat(grads)

    return {name: gradient(loss) for name, loss in losses.items()}
