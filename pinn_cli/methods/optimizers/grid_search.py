"""The line search of natural gradients: the best of the steps 1, 1/2, 1/4, ... (Mueller & Zeinhofer 2023)."""

from collections.abc import Callable
from math import inf

import torch
from torch import Tensor

from pinn_cli.methods.contracts import Objective

SMALLEST = 30  # halvings of the step 1
PATIENCE = 3  # smaller steps in a row that are not better end a search that has lowered the loss


def best_step(objective: Objective, path: Callable[[float], Tensor], before: float) -> tuple[float, float]:
    """The step eta and its loss |F|^2; the parameters move by path(eta) (P,).

    eta is the power 2^0, 2^-1, ..., 2^-30 with the smallest loss. The search ends early once the loss has fallen below
    `before` and then not fallen further over three halvings. Where no loss is finite, eta is 0.
    """
    theta = objective.flat(objective.parameters).detach()
    best, lowest, worse = 0.0, inf, 0
    for k in range(SMALLEST + 1):
        eta = 0.5**k
        objective.place(theta + path(eta))
        loss = loss_here(objective)
        if loss < lowest:  # False for a loss that is not a number
            best, lowest, worse = eta, loss, 0
        else:
            worse += 1
        if lowest < before and worse == PATIENCE:
            break
    objective.place(theta + path(best) if best else theta)
    return best, lowest if best else before


@torch.no_grad()
def loss_here(objective: Objective) -> float:
    """|F|^2 at the parameters as they are, without a graph."""
    F = objective.vector()
    return float(F @ F)
