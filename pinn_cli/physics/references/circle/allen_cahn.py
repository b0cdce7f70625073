"""The Allen-Cahn equation on a circle (Allen & Cahn 1979): a spectral solution."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from pinn_cli.physics.references.circle.diffusive import Diffusive


@dataclass(frozen=True, kw_only=True)
class AllenCahn(Diffusive):
    """u_t = nu u_xx + rate (u - u^3), 0 <= t <= end, x in [-1, 1] with period 2, u(x, 0) = x^2 cos(pi x)."""

    modes: int = 1151
    steps: int = 3072
    rate: float
    origin: ClassVar[float] = -1.0
    length: ClassVar[float] = 2.0
    degree: ClassVar[int] = 3

    def reaction(self, u: Tensor) -> Tensor:
        return self.rate * (u - u**3)

    def start(self, x: Tensor) -> Tensor:
        return x**2 * torch.cos(torch.pi * x)
