"""The density of variational residual-based attention (Toscano et al. 2025, arXiv:2509.14198)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import log
from typing import Any

import torch
from torch import Tensor

from pinn_cli.basics.errors import UsageError
from pinn_cli.methods.contracts import Objective
from pinn_cli.methods.proxies import drawn, sizes
from pinn_cli.methods.samplers.rad import density
from pinn_cli.methods.samplers.redrawn import Redrawn
from pinn_cli.physics.problem import Problem


@dataclass
class Vrba(Redrawn):
    """All points of the interior are drawn from a fixed pool, with a density that remembers earlier residuals.

        lambda <- memory lambda + rate (focus q / max q + 1 - focus)        at every draw; 0 before the first
        q = exp(|r| / eps), eps = scale max |r| / log(k + 2) after k draws
        p ~ lambda^power / mean lambda^power + floor
    """

    memory: float = 0.1
    rate: float = 0.9
    focus: float = 1.0
    scale: float = 1.0
    power: float = 1.0
    floor: float = 0.0
    draws: dict[str, int] = field(default_factory=dict)  # k, by the first constraint
    pools: dict[str, Tensor] = field(default_factory=dict)  # likewise
    attention: dict[str, Tensor] = field(default_factory=dict)  # lambda (N,), likewise

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.memory < 1 or not self.rate > 0 or not 0 <= self.focus <= 1 or not self.scale > 0:
            found = f"memory={self.memory:g} rate={self.rate:g} focus={self.focus:g} scale={self.scale:g}"
            raise UsageError(f"sampler.vrba: found {found}; expected memory=0.1 rate=0.9 focus=1 scale=1, for example")

    def begin_stage(self, problem: Problem) -> None:
        super().begin_stage(problem)
        self.draws, self.pools, self.attention = {}, {}, {}

    def renewed(self, names: Sequence[str], X: Tensor, problem: Problem, objective: Objective) -> Tensor:
        first = names[0]
        if first not in self.pools:
            self.pools[first] = self.pool_for(problem, X, len(X))
        pool, k = self.pools[first], self.draws.get(first, 0)
        size = sizes(objective, names, pool).cpu().double()
        q = torch.exp((size / size.max().clamp_min(1e-300) - 1) * log(k + 2) / self.scale)  # over max q
        now = self.rate * (self.focus * q + 1 - self.focus)
        self.attention[first] = self.memory * self.attention.get(first, torch.zeros_like(now)) + now
        self.draws[first] = k + 1
        p = density(self.attention[first], self.power, self.floor)
        return pool[drawn(p, len(X), self.generator).to(pool.device)]

    def state_dict(self) -> dict[str, Any]:
        own = {"draws": dict(self.draws), "pools": dict(self.pools), "attention": dict(self.attention)}
        return {**super().state_dict(), **own}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.draws, self.pools = dict(state["draws"]), dict(state["pools"])
        self.attention = {name: one.cpu() for name, one in state["attention"].items()}
