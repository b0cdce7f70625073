"""Whether the gradients of the constraints are aligned (Wang, Bhartari, Li and Perdikaris, arXiv:2502.00604)."""

from itertools import combinations

import torch
from torch import Tensor

from pinn_cli.methods.contracts import Diagnostic, Objective
from pinn_cli.methods.diagnostics import refuse_below_one
from pinn_cli.methods.diagnostics.weighted_terms import gradients, weighted


class GradientAlignment(Diagnostic):
    """The alignment score of the gradients g_k of the K constraints, and the cosine between any two of them.

        score = 2 |mean_k g_k / |g_k||^2 - 1

    The score is 1 if all have the same direction and 2 / K - 1 if they are orthogonal. For two constraints it is their
    cosine, -1 if they are opposite. A gradient of zero has no direction and is left out. Weights that are one number
    per constraint do not change the score. Record: `score`, `cosine/a/b`.
    """

    columns = {"alignment": "score"}
    datasets = {
        "score": "2 |mean of the unit gradients of the constraints|^2 - 1",
        "cosine/<a>/<b>": "cosine between the gradients of these two constraints",
    }

    def __init__(self, every: int = 100) -> None:
        refuse_below_one("gradient_alignment", every=every)
        self.every = every

    def __call__(self, objective: Objective) -> dict[str, Tensor | float]:
        each = gradients(objective, weighted(objective))
        unit = {name: g / g.norm() for name, g in each.items() if g.norm() > 0}
        record: dict[str, Tensor | float] = {"score": score(list(unit.values()))}
        for a, b in combinations(each, 2):
            record[f"cosine/{a}/{b}"] = float(unit[a] @ unit[b]) if a in unit and b in unit else torch.nan
        return record


def score(directions: list[Tensor]) -> float:
    """2 |mean|^2 - 1 of unit vectors (P,); NaN if there are none."""
    return float(2 * torch.stack(directions).mean(0).square().sum() - 1) if directions else torch.nan
