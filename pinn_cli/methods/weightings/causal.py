"""Weights that respect causality (Wang, Sankaran and Perdikaris, arXiv:2203.07404): early times first.

    w_i = exp(-epsilon sum_{k<i} L_k)        L_k = mean (r / unit)^2 in the k-th of M equal slices of time, w_1 = 1

The residual at a time counts once the residuals at all earlier times are small. L_k is the sum over all equations of
the interior, which share the weights. When the smallest w exceeds 0.99, the next larger epsilon of a list is used.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import inf
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from pinn_cli.basics.errors import UsageError
from pinn_cli.methods.contracts import Batch, Objective, Weighting, Weights
from pinn_cli.physics.problem import Problem


class Causal(Weighting):
    """A weight per point of every constraint in the interior, by its slice of time.

    bins       M, over the time axis of the problem, or of its window
    epsilons   used in this order, each until the smallest weight exceeds `solved`; the last one stays
    every      steps between updates; L-BFGS drops its memory of the curvature whenever weights change

    Every stage begins with the first epsilon, and skips at its first step those for which the network is good enough.
    Raises UsageError for a problem without a time axis, and for settings out of range.
    """

    of_residuals = False

    def __init__(
        self,
        bins: int = 32,
        epsilons: Sequence[float] = (1e-2, 1e-1, 1.0, 10.0, 100.0),
        solved: float = 0.99,
        every: int = 10,
    ) -> None:
        if bins < 1 or every < 1 or not 0 < solved < 1:
            found = f"bins={bins}, every={every}, solved={solved:g}"
            raise UsageError(f"causal: found {found}; expected bins and every from 1 on, 0 < solved < 1")
        if not epsilons or any(not a < b for a, b in pairwise([0.0, *epsilons, inf])):
            raise UsageError(f"causal: epsilons={list(epsilons)}: expected growing numbers above 0, e.g. [0.01,1,100]")
        self.bins, self.epsilons, self.solved, self.every = bins, list(epsilons), solved, every
        self.equations: list[str] = []
        self.epsilon, self.weights = self.epsilons[0], torch.ones(bins, device="cpu")

    def __call__(self, batch: Batch, residuals: Batch) -> Weights:
        """w (N,) at the points of every equation of the interior."""
        names = [name for name in self.equations if name in batch]
        return {name: self.weights.to(batch[name])[self._slice(batch[name])] for name in names}

    def begin_stage(self, problem: Problem) -> None:
        """Take the time axis of the problem; the weights are 1 until the first step."""
        domain = problem.domain
        if domain.time is None:
            raise UsageError(
                "weighting=causal: the problem has no time axis; expected a coordinate `t` or Box(..., time=...)"
            )
        self.time = problem.coordinates.index(domain.time)
        self.start, self.end = domain.extent(domain.time)
        self.equations = [c.name for c in problem.constraints() if c.region == "interior"]
        self.epsilon, self.weights = self.epsilons[0], torch.ones(self.bins, device="cpu")

    def update(self, step: int, objective: Objective) -> None:
        """Compute new weights from the residuals at the current points, if due."""
        if step % self.every:
            return
        residuals = {n: r.detach() / objective.units[n] for n, r in objective.residuals().items()}
        before = self._before(objective.batch, residuals, objective.factors)
        for epsilon in [e for e in self.epsilons if e >= self.epsilon] or self.epsilons[-1:]:
            self.epsilon, self.weights = epsilon, torch.exp(-epsilon * before)
            if not self.weights.min() > self.solved:
                break

    def _before(self, batch: Batch, residuals: Batch, factors: Batch) -> Tensor:
        """sum_{k<i} L_k (M,); a slice without points adds nothing. A product, not a scatter: its order is fixed."""
        losses = torch.zeros(self.bins, device="cpu")
        for name in self.equations:
            if name in residuals:
                r = residuals[name]
                members = one_hot(self._slice(batch[name]), self.bins).to(r)
                members = members * factors[name][:, None] if name in factors else members
                losses = losses.to(r) + (r.square() @ members) / members.sum(0).clamp(min=torch.finfo(r.dtype).tiny)
        return torch.cat([losses.new_zeros(1), losses[:-1].cumsum(0)])

    def _slice(self, X: Tensor) -> Tensor:
        """Which slice of time each point (N, D) lies in."""
        share = (X[:, self.time] - self.start) / (self.end - self.start)
        return (share * self.bins).long().clamp(0, self.bins - 1)

    def values(self) -> dict[str, float | Tensor]:
        return {"causal/epsilon": self.epsilon, "causal/smallest": self.weights.min()}

    def state_dict(self) -> dict[str, Any]:
        return {"epsilon": self.epsilon, "weights": self.weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a saved state; weights for another number of slices are ignored."""
        self.epsilon = state["epsilon"]
        self.weights = state["weights"] if len(state["weights"]) == self.bins else self.weights
