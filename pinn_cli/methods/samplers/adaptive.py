"""Adaptive-R and adaptive-G: self-supervision by Subramanian, Kirby, Mahoney & Gholami (2022, arXiv:2207.04084)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil, cos, pi
from typing import Any, ClassVar

import torch
from torch import Tensor

from pinn_cli.methods.contracts import Objective
from pinn_cli.methods.proxies import Proxy, drawn, sizes, slopes
from pinn_cli.methods.samplers.redrawn import FEWEST, Redrawn
from pinn_cli.methods.stall import Stall
from pinn_cli.physics.domains.base import lattice
from pinn_cli.physics.problem import Problem

JITTER = ("positive", "symmetric", "none")


@dataclass
class AdaptiveResidual(Redrawn):
    """Nodes of a lattice, part of them drawn evenly and part with the density of a proxy P.

    The lattice has about `pool` nodes, and at least four for each point.

        P <- P(now) + momentum P(evaluated last)            p ~ P + even sum(P)
        share of even nodes = (1 + cos(pi (c mod period) / period)) / 2        c = steps since the last stall

    P = |r|. Points are drawn anew every `every` steps and after a stall (`Stall`), where c begins again at 0. An
    optimizer that cannot continue stalls too, unless it stops in the first step after a draw. A draw after a stall is
    even, and P is not evaluated. No node is drawn twice: the number of points stays the same. Each point is
    then moved by up to half a spacing, in the positive direction of every coordinate as in the code of the authors, in
    both (`symmetric`), or not at all (`none`).
    """

    every: int = 50
    pool: int = 65025
    period: int = 500
    momentum: float = 0.9
    even: float = 0.0
    jitter: str = "positive"
    patience: int = 10
    absolute: float = 1e-7
    relative: float = 0.0
    before: dict[str, Tensor] = field(default_factory=dict)  # P of the last draw, by the first constraint
    proxy: ClassVar[Proxy] = staticmethod(sizes)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.period < 1 or not (self.momentum >= 0 and self.even >= 0):
            found = f"period={self.period} momentum={self.momentum:g} even={self.even:g}"
            raise ValueError(f"found {found}; expected period=500 momentum=0.9 even=0, for example")
        if self.jitter not in JITTER:
            raise ValueError(f"found jitter={self.jitter}; expected one of {', '.join(JITTER)}")
        self.stall = Stall(self.patience, self.absolute, self.relative)
        self.start = 0  # the step after the last stall
        self.stalls = 0
        self.share = 1.0

    def begin_stage(self, problem: Problem) -> None:
        super().begin_stage(problem)
        self.stall.reset()
        self.start, self.before, self.share = 0, {}, 1.0

    def due(self, step: int, objective: Objective) -> bool:
        if step == 0:
            return False
        loss = float(sum(objective.base[k] * loss for k, loss in objective.losses().items()))
        stalled = self.stall.reached or self.stall.look(loss)
        if stalled:
            self.start, self.stalls = step, self.stalls + 1
        count = step - self.start  # since the last stall
        if not stalled and count % self.every:
            return False
        self.share = (1 + cos(pi * (max(0, count - 1) % self.period) / self.period)) / 2
        self.stall.reset()
        return True

    def refine(self, problem: Problem, objective: Objective) -> bool:
        """The optimizer cannot continue at these points, so training stalls; not in the first step after a draw."""
        if super().refine(problem, objective):
            return True
        if self.stall.looked:
            self.stall.declare()
        return self.stall.reached

    def renewed(self, names: Sequence[str], X: Tensor, problem: Problem, objective: Objective) -> Tensor:
        unit, spacing = _nodes(max(self.pool, FEWEST * len(X)), problem.domain.dimension)
        chosen = drawn(torch.ones(len(unit), device="cpu"), int(self.share * len(X)), self.generator)
        if len(chosen) < len(X):  # otherwise the proxy would not be used
            now = type(self).proxy(objective, names, problem.domain.sample("interior", unit.to(X))).cpu().double()
            P = now + self.momentum * self.before.get(names[0], torch.zeros_like(now))
            self.before[names[0]] = now
            p = P + self.even * P.sum()
            chosen = torch.cat([chosen, drawn(p, len(X) - len(chosen), self.generator, without=chosen)])
        return problem.domain.sample("interior", self._moved(unit[chosen], spacing).to(X))

    def _moved(self, unit: Tensor, spacing: float) -> Tensor:
        if self.jitter == "none":
            return unit
        by = torch.rand(unit.shape, generator=self.generator, dtype=unit.dtype, device="cpu")
        return unit + spacing / 2 * (by if self.jitter == "positive" else 2 * by - 1)

    def values(self) -> dict[str, float | Tensor]:
        return {**self.inner.values(), "sampler/even": self.share, "sampler/stalls": float(self.stalls)}

    def state_dict(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in ("start", "stalls", "share")}
        return {**super().state_dict(), **own, "before": dict(self.before), "stall": self.stall.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.start, self.stalls, self.share = state["start"], state["stalls"], state["share"]
        self.before = {name: P.cpu() for name, P in state["before"].items()}
        self.stall.load_state_dict(state["stall"])


@dataclass
class AdaptiveGradient(AdaptiveResidual):
    """The same with P = |dl/dx| + |dl/dy| + ..., l the loss at the point: large where it changes over a short way."""

    proxy: ClassVar[Proxy] = staticmethod(slopes)


def _nodes(count: int, dimension: int) -> tuple[Tensor, float]:
    """About `count` nodes (N, D) strictly inside the unit cube, never fewer; and their spacing."""
    n = ceil(count ** (1 / dimension) - 1e-9)
    spacing = 1 / (n + 1)
    return lattice([(spacing, 1 - spacing)] * dimension, n), spacing
