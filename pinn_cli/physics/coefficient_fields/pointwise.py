"""Functions of another field, point by point."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from pinn_cli.derivatives.keys import Index
from pinn_cli.physics.coefficient_fields.base import CoefficientField


class Exponential(CoefficientField):
    """factor exp(f): positive, and smooth where f is."""

    def __init__(self, of: CoefficientField, factor: float = 1.0) -> None:
        self.of, self.factor = of, factor
        self.coordinates, self.smooth, self.box, self.periodic = of.coordinates, of.smooth, of.box, of.periodic

    def values(self, *columns: Any) -> Any:
        return self.factor * torch.exp(self.of(*columns))

    def on_lattice(self, axes: Any) -> Tensor:
        return self.factor * torch.exp(self.of.on_lattice(axes))

    @property
    def state(self) -> Mapping[str, Tensor]:
        return {**self.of.state, "factor": torch.tensor([self.factor], dtype=torch.float64, device="cpu")}

    def __str__(self) -> str:
        return f"{self.factor:g} times the exponential of {self.of}"


class TwoValues(CoefficientField):
    """`high` where f >= 0, `low` elsewhere: two materials. It jumps at f = 0 and has no derivatives."""

    smooth = False

    def __init__(self, of: CoefficientField, low: float, high: float) -> None:
        self.of, self.low, self.high = of, low, high
        self.coordinates, self.box, self.periodic = of.coordinates, of.box, of.periodic

    def values(self, *columns: Any) -> Any:
        return self._chosen(self.of(*columns))

    def on_lattice(self, axes: Any) -> Tensor:
        return self._chosen(self.of.on_lattice(axes))

    def derivative(self, index: Index) -> CoefficientField:
        """Raises ValueError for a derivative, which would miss what happens at the jump."""
        if any(index):
            raise ValueError(
                "it jumps between two values and has no derivatives there; write the flux as a field of its own, as "
                "problem=darcy does, or take a smooth field"
            )
        return self

    def _chosen(self, f: Tensor) -> Tensor:
        return torch.where(f >= 0, torch.full_like(f, self.high), torch.full_like(f, self.low))

    @property
    def state(self) -> Mapping[str, Tensor]:
        return {**self.of.state, "values": torch.tensor([self.low, self.high], dtype=torch.float64, device="cpu")}

    def __str__(self) -> str:
        return f"{self.low:g} or {self.high:g}, by the sign of {self.of}"
