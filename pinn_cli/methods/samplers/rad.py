"""Residual-based adaptive distribution (Wu, Zhu, Tan, Kartha & Lu 2023, Comput. Methods Appl. Mech. Eng. 403)."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from torch import Tensor

from pinn_cli.methods.contracts import Objective
from pinn_cli.methods.proxies import drawn, sizes
from pinn_cli.methods.samplers.redrawn import Redrawn
from pinn_cli.physics.problem import Problem


def density(size: Tensor, power: float, floor: float) -> Tensor:
    """|r|^k / mean |r|^k + c (N,), for k = `power` and c = `floor`; float64, on the CPU."""
    size = size.cpu().double()
    raised = size**power
    if not 0 < raised.max() < inf:  # a large power has overflowed, or left 0 everywhere
        raised = (size / size.max().clamp_min(1e-300)) ** power
    return raised / raised.mean().clamp_min(1e-300) + floor


@dataclass
class Rad(Redrawn):
    """All points of the interior are drawn from the pool with the density |r|^k / mean |r|^k + c, without repetition.

    k is `power` and c is `floor`.
    """

    power: float = 1.0
    floor: float = 1.0

    def renewed(self, names: Sequence[str], X: Tensor, problem: Problem, objective: Objective) -> Tensor:
        pool = self.pool_for(problem, X, len(X))
        p = density(sizes(objective, names, pool), self.power, self.floor)
        return pool[drawn(p, len(X), self.generator).to(pool.device)]
