"""Residual-based adaptive refinement: points are added where the residual is large."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from pinn_cli.methods.contracts import Objective
from pinn_cli.methods.proxies import drawn, sizes
from pinn_cli.methods.samplers.rad import density
from pinn_cli.methods.samplers.redrawn import Redrawn
from pinn_cli.physics.problem import Problem


@dataclass
class Rar(Redrawn):
    """The `add` points of the pool with the largest residuals join the others (Lu, Meng, Mao & Karniadakis 2021)."""

    add: int = 10
    adds: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.add < 1:
            raise ValueError(f"found add={self.add}; expected a whole number above 0")

    def renewed(self, names: Sequence[str], X: Tensor, problem: Problem, objective: Objective) -> Tensor:
        pool = self.pool_for(problem, X, self.add)
        return pool[sizes(objective, names, pool).topk(self.add).indices]


@dataclass
class RarD(Rar):
    """`add` points join the others, drawn with the density |r|^k / mean |r|^k + c (Wu et al. 2023)."""

    power: float = 2.0
    floor: float = 0.0

    def renewed(self, names: Sequence[str], X: Tensor, problem: Problem, objective: Objective) -> Tensor:
        pool = self.pool_for(problem, X, self.add)
        p = density(sizes(objective, names, pool), self.power, self.floor)
        return pool[drawn(p, self.add, self.generator).to(pool.device)]
