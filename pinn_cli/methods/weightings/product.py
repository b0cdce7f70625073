"""Several weightings at once."""

from math import prod
from typing import Any

from torch import Tensor

from pinn_cli.methods.contracts import Batch, Objective, Weighting, Weights
from pinn_cli.physics.problem import Problem


class Product(Weighting):
    """The factor of a constraint is the product of the factors of all `parts`; each part is updated by itself."""

    def __init__(self, *parts: Weighting) -> None:
        self.parts = parts
        self.of_residuals = any(part.of_residuals for part in parts)

    def __call__(self, batch: Batch, residuals: Batch) -> Weights:
        factors = [part(batch, residuals) for part in self.parts]
        return {name: prod(f[name] for f in factors if name in f) for name in batch}

    def begin_stage(self, problem: Problem) -> None:
        for part in self.parts:
            part.begin_stage(problem)

    def update(self, step: int, objective: Objective) -> None:
        for part in self.parts:
            part.update(step, objective)

    def unchanged(self, step: int) -> float:
        return min(part.unchanged(step) for part in self.parts)

    def values(self) -> dict[str, float | Tensor]:
        return {name: value for part in self.parts for name, value in part.values().items()}

    def state_dict(self) -> dict[str, Any]:
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for part, saved in zip(self.parts, state["parts"], strict=True):
            part.load_state_dict(saved)
