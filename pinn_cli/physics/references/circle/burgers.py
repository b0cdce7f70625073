"""The Burgers equation on a circle, from any smooth initial value: a spectral solution."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from pinn_cli.basics.errors import UsageError
from pinn_cli.physics.coefficient_fields.base import CoefficientField
from pinn_cli.physics.references.circle.evolution import Evolution

PERIOD = 1e-6  # relative difference between both ends


@dataclass(frozen=True)
class PeriodicBurgers(Evolution):
    """u_t + u u_x = nu u_xx, 0 <= x <= 1 with period 1, 0 <= t <= end, from the initial value u0(x).

    Raises UsageError for nu <= 0, and for a u0 that is no function of x, or has another value or slope at x = 1.
    """

    times: int = field(default=160, kw_only=True)
    steps: int = field(default=1024, kw_only=True)
    nu: float
    u0: CoefficientField
    length: ClassVar[float] = 1.0

    def __post_init__(self) -> None:
        if not self.nu > 0:
            raise UsageError(f"nu={self.nu:g}: expected a viscosity above 0")
        if self.u0.coordinates != ("x",):
            raise UsageError(f"u0 is a field of {', '.join(self.u0.coordinates)}; expected one of x")
        for function, what in ((self.u0, "value"), (self.u0.derivative((1,)), "slope")):
            left, right = function(torch.tensor([0.0, self.length], dtype=torch.float64, device="cpu")).tolist()
            if abs(right - left) > PERIOD * max(abs(left), abs(right), 1.0):
                raise UsageError(f"u0 has the {what} {left:.3g} at x = 0 and {right:.3g} at x = 1; expected the same")

    def linear(self, k: np.ndarray) -> np.ndarray:
        return -self.nu * k**2

    def outer(self, k: np.ndarray) -> np.ndarray:
        return 1j * k

    def product(self, u: np.ndarray) -> np.ndarray:
        return -u * u / 2

    def start(self, x: Tensor) -> Tensor:
        return self.u0(x.flatten()).view(x.shape)
