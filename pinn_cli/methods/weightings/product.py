"""Several weightings at once."""

from collections.abc import Mapping
from math import prod
from typing import Any

from torch import Tensor


class Product:
    """The weight of a constraint is the product of the factors of all `parts`; each is updated on its own.

    `per_point` if any part gives weights to points.
    """

    def __init__(self, *parts: Any) -> None:
        self.parts = parts
        self.per_point = any(part.per_point for part in parts)

    def __call__(self, batch: Mapping[str, Tensor], residuals: Mapping[str, Tensor]) -> dict[str, float | Tensor]:
        """The product by constraint; a part without an opinion counts as 1."""
        factors = [part(batch, residuals) for part in self.parts]
        return {name: prod(f[name] for f in factors if name in f) for name in residuals}

    def begin_stage(self, problem: Any) -> None:
        """Tell every part."""
        for part in self.parts:
            part.begin_stage(problem)

    def update(self, step: int, objective: Any) -> None:
        """Update every part, in the order given."""
        for part in self.parts:
            part.update(step, objective)

    def values(self) -> dict[str, float | Tensor]:
        """What the parts say for the history."""
        return {k: v for part in self.parts if hasattr(part, "values") for k, v in part.values().items()}

    def state_dict(self) -> dict[str, Any]:
        """The states of all parts."""
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore all parts."""
        for part, saved in zip(self.parts, state["parts"], strict=True):
            part.load_state_dict(saved)
