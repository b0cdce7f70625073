"""Weights that respect causality (Wang, Sankaran and Perdikaris, arXiv:2203.07404): early times first.

    w_i = exp(-epsilon sum_{k<i} L_k)        L_k = mean r^2 in the k-th of M equal slices of time, w_1 = 1

The residual at a time counts once it is small at all times before. L_k is the sum over all equations of the interior,
which share the weights. When the smallest w is above 0.99 the next, larger epsilon of a list is taken.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import inf
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from pinn_cli.basics.errors import UsageError


class Causal:
    """A weight per point of every constraint in the interior, by its slice of time.

    bins       M, over the time axis of the problem, or of its window
    epsilons   in this order, each until the smallest weight is above `solved`; the last one stays
    every      steps between updates: L-BFGS forgets what it knows of the curvature whenever weights change

    Every stage begins with the first epsilon, and passes at its first step those that its network satisfies already.
    Raises UsageError for a problem without a time axis, and for settings that mean nothing.
    """

    per_point = True

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

    def __call__(self, batch: Mapping[str, Tensor], residuals: Mapping[str, Tensor]) -> dict[str, float | Tensor]:
        """w (N,) at the points of every equation."""
        names = [name for name in self.equations if name in residuals]
        return {name: self.weights.to(residuals[name])[self._slice(batch[name])] for name in names}

    def begin_stage(self, problem: Any) -> None:
        """Weights of 1 until the first step; the time axis of the stage's problem."""
        domain = problem.domain
        if domain.time is None:
            raise UsageError(
                "weighting=causal: the problem has no time axis; expected a coordinate `t` or Box(..., time=...)"
            )
        self.time = problem.coordinates.index(domain.time)
        self.start, self.end = domain.extent(domain.time)
        self.equations = [c.name for c in problem.constraints() if c.region == "interior"]
        self.epsilon, self.weights = self.epsilons[0], torch.ones(self.bins, device="cpu")

    def update(self, step: int, objective: Any) -> None:
        """New weights from the residuals at the current points, every so many steps."""
        if step % self.every:
            return
        before = self._before(objective.batch, {n: r.detach() for n, r in objective.residuals().items()})
        for epsilon in [e for e in self.epsilons if e >= self.epsilon] or self.epsilons[-1:]:
            self.epsilon, self.weights = epsilon, torch.exp(-epsilon * before)
            if not self.weights.min() > self.solved:
                break

    def _before(self, batch: Mapping[str, Tensor], residuals: Mapping[str, Tensor]) -> Tensor:
        """sum_{k<i} L_k (M,); a slice without points adds nothing. A product, not a scatter: its order is fixed."""
        losses = torch.zeros(self.bins, device="cpu")
        for name in self.equations:
            if name in residuals:
                r = residuals[name]
                members = one_hot(self._slice(batch[name]), self.bins).to(r)
                losses = losses.to(r) + (r.square() @ members) / members.sum(0).clamp(min=1)
        return torch.cat([losses.new_zeros(1), losses[:-1].cumsum(0)])

    def _slice(self, X: Tensor) -> Tensor:
        """Which slice of time each point (N, D) lies in."""
        share = (X[:, self.time] - self.start) / (self.end - self.start)
        return (share * self.bins).long().clamp(0, self.bins - 1)

    def values(self) -> dict[str, float | Tensor]:
        """What the history keeps."""
        return {"causal/epsilon": self.epsilon, "causal/smallest": self.weights.min()}

    def state_dict(self) -> dict[str, Any]:
        """Epsilon and the weights of the slices."""
        return {"epsilon": self.epsilon, "weights": self.weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from saved weights; those of other slices than now are of no use."""
        self.epsilon = state["epsilon"]
        self.weights = state["weights"] if len(state["weights"]) == self.bins else self.weights
