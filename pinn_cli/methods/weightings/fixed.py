"""The base weights alone."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor


class Fixed:
    """No factor on any constraint: its weight is the base weight given as ``weights.<constraint>``, all the time."""

    per_point = False

    def __call__(self, batch: Mapping[str, Tensor], residuals: Mapping[str, Tensor]) -> dict[str, float | Tensor]:
        """No factors."""
        return {}

    def begin_stage(self, problem: Any) -> None:
        """Nothing depends on the problem."""

    def update(self, step: int, objective: Any) -> None:
        """Nothing changes."""

    def state_dict(self) -> dict[str, Any]:
        """Nothing to save."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to restore."""
