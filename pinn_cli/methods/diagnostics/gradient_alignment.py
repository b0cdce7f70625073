"""Do the constraints pull the same way? (Wang, Bhartari, Li and Perdikaris, arXiv:2502.00604)."""

from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from pinn_cli.methods.diagnostics import counted
from pinn_cli.methods.diagnostics.weighted_terms import gradients, weighted


class GradientAlignment:
    """The alignment score of the gradients g_k of the K constraints, and the cosine between any two of them.

        score = 2 |mean_k g_k / |g_k||^2 - 1

    1 where all pull the same way, 2 / K - 1 where they are orthogonal, and for two constraints their cosine: -1 where
    each undoes the other. A gradient that vanishes has no direction and is left out. A weight that is one number
    changes nothing here. Record: `score`, `cosine/a/b`.
    """

    columns = {"alignment": "score"}

    def __init__(self, every: int = 100) -> None:
        counted("gradient_alignment", every=every)
        self.every = every

    def __call__(self, objective: Any) -> dict[str, Tensor | float]:
        """The record at the objective's points."""
        found = gradients(objective, weighted(objective))
        unit = {name: g / g.norm() for name, g in found.items() if g.norm() > 0}
        record: dict[str, Tensor | float] = {"score": score(list(unit.values()))}
        for a, b in combinations(found, 2):
            record[f"cosine/{a}/{b}"] = float(unit[a] @ unit[b]) if a in unit and b in unit else torch.nan
        return record


def score(directions: list[Tensor]) -> float:
    """2 |mean|^2 - 1 of unit vectors (P,); NaN of none."""
    return float(2 * torch.stack(directions).mean(0).square().sum() - 1) if directions else torch.nan
