"""More points of the interior where the residual is large, drawn once at the beginning of a stage."""

from collections.abc import Sequence
from math import inf
from typing import ClassVar

from torch import Tensor

from pinn_cli.basics.errors import UsageError
from pinn_cli.methods.contracts import Objective, Sampler
from pinn_cli.methods.corrections import focused
from pinn_cli.methods.samplers.redrawn import Redrawn
from pinn_cli.methods.seeds import seed_for
from pinn_cli.physics.problem import Problem


class Focused(Redrawn):
    """Wraps a sampler: `add` points of the interior for each of its own there, half of them with density ~ |r|.

    r is the residual at the beginning of the stage (residual-based adaptive sampling: Wu, Zhu, Tan, Kartha & Lu 2023,
    Comput. Methods Appl. Mech. Eng. 403). Raises UsageError for a negative `add`.
    """

    adds: ClassVar[bool] = True
    once: ClassVar[bool] = True

    def __init__(self, inner: Sampler, seed: int = 0, add: float = 1.0) -> None:
        super().__init__(inner, seed)
        if not add >= 0:
            raise UsageError(f"sampler.focused.add={add:g}: expected a number from 0 on, e.g. 1")
        self.add = self.extra = add

    def begin_stage(self, problem: Problem) -> None:
        super().begin_stage(problem)
        self.generator.manual_seed(seed_for(self.seed, "focused", self.stage))

    def due(self, step: int, objective: Objective) -> bool:
        return not self.moved

    def kept(self, step: int) -> float:
        return inf

    def renewed(self, names: Sequence[str], X: Tensor, problem: Problem, objective: Objective) -> Tensor:
        return focused(objective, round(self.add * len(X)), self.generator)
