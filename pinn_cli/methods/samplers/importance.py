"""Importance sampling (Nabian, Gladstone & Meidani 2021, Comput.-Aided Civ. Infrastruct. Eng. 36, 962-977)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from pinn_cli.methods.contracts import Batch, Objective
from pinn_cli.methods.proxies import sizes
from pinn_cli.methods.samplers.rad import density
from pinn_cli.methods.samplers.redrawn import Redrawn
from pinn_cli.physics.problem import Problem


@dataclass
class Importance(Redrawn):
    """All points of the interior are drawn by their loss and weighted back, so that the mean stays that of the pool.

        q = |r|^k / mean |r|^k + c        p = q / sum q        f = 1 / (N p)        E mean(f r^2) = mean of r^2 there

    k is `power`, c is `floor` and N is `pool`; k = 2 and c = 0 are those of the paper: p in proportion to the loss. The
    points are drawn independently, so one may come twice. With a floor no point counts more than 1 + 1 / c. The paper
    saves time by taking the loss of a point from the nearest of few seeds. Here the loss is evaluated at all points of
    the pool, but only every `every` steps, so p is exact and seeds are not needed.
    """

    power: float = 2.0
    floor: float = 0.0
    counts: dict[str, Tensor] = field(default_factory=dict)  # f (n,) of the points drawn, by the first constraint

    def begin_stage(self, problem: Problem) -> None:
        super().begin_stage(problem)
        self.counts = {}

    def renewed(self, names: Sequence[str], X: Tensor, problem: Problem, objective: Objective) -> Tensor:
        pool = self.pool_for(problem, X, len(X))
        q = density(sizes(objective, names, pool), self.power, self.floor)
        q = q if q.any() else torch.ones_like(q)  # the equations hold exactly
        chosen = torch.multinomial(q, len(X), replacement=True, generator=self.generator)
        self.counts[names[0]] = (q.mean() / q[chosen]).to(X)
        return pool[chosen.to(pool.device)]

    def factors(self) -> Batch:
        """f of the points that were drawn; elsewhere, and before the first draw, those of the sampler before it."""
        own = {name: f for first, f in self.counts.items() for name, X in self.batch.items() if X is self.moved[first]}
        return super().factors() | own

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "counts": dict(self.counts)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.counts = dict(state["counts"])
