"""Diffusion with a reaction on a circle, from an initial value that may have a corner at the seam."""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from pinn_cli.basics.errors import UsageError
from pinn_cli.physics.references.circle.corner import corner
from pinn_cli.physics.references.circle.evolution import Evolution


@dataclass(frozen=True)
class Diffusive(Evolution):
    """u_t = nu u_xx + f(u). If the slope of u0 jumps at the seam by J, s = J exp(c t) corner(nu t), c = f'(u0(seam)).

    The corner grows with the reaction while its width grows like sqrt(t), hence the nodes in sqrt(t). Raises UsageError
    for nu <= 0.
    """

    power: ClassVar[int] = 2
    nu: float

    def reaction(self, u: Tensor) -> Tensor:
        """f(u), a polynomial."""
        raise NotImplementedError

    def __post_init__(self) -> None:
        if not self.nu > 0:
            raise UsageError(f"nu={self.nu:g}: expected a diffusivity above 0")

    def linear(self, k: np.ndarray) -> np.ndarray:
        return self._rate - self.nu * k**2

    def product(self, u: np.ndarray) -> np.ndarray:
        return self.reaction(torch.from_numpy(u)).numpy() - self._rate * u

    def singular(self, x: Tensor, t: Tensor) -> Tensor:
        rounded = corner(x - self.origin, self.nu * t, self.length, self.nu * self.end)
        return self._jump * torch.exp(self._rate * t) * rounded

    @cached_property
    def _rate(self) -> float:
        u = self.start(self._ends[:1]).requires_grad_()
        return float(torch.autograd.grad(self.reaction(u).sum(), u)[0])

    @cached_property
    def _jump(self) -> float:
        x = self._ends.requires_grad_()
        right, left = torch.autograd.grad(self.start(x).sum(), x)[0].tolist()
        return right - left

    @property
    def _ends(self) -> Tensor:
        return torch.tensor([self.origin, self.origin + self.length], dtype=torch.float64, device="cpu")
