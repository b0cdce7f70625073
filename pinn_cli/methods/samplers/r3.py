"""Retain, resample, release (Daw, Bu, Wang, Perdikaris & Karpatne 2023, arXiv:2207.02338)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pinn_cli.methods.contracts import Objective
from pinn_cli.methods.proxies import sizes
from pinn_cli.methods.samplers.redrawn import Redrawn
from pinn_cli.physics.problem import Problem


@dataclass
class R3(Redrawn):
    """Points at which |r| is above its mean stay; the others are drawn anew, evenly. There is no pool."""

    every: int = 1

    def renewed(self, names: Sequence[str], X: Tensor, problem: Problem, objective: Objective) -> Tensor:
        size = sizes(objective, names, X)
        kept = X[size > size.mean()]
        return torch.cat([kept, self.fresh(problem, X, len(X) - len(kept))])
