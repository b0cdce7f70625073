"""Random features: smooth functions of the inputs with random parameters that are never trained.

    phi_j(z) = activation(w_j . z + b_j)

Every ridge w_j . z + b_j = 0 goes through a given point, and 1 / |w_j| is its width (extreme learning machines for
differential equations: Dong & Li 2021, arXiv:2012.02895; random feature method: Chen, Chi, E & Yang 2022,
arXiv:2207.13380).

    N = points   I = entries of z   K = features
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


class RandomFeatures(nn.Module):
    """phi(z): (N, I) -> (N, K) for directions w (K, I) and points `through` (K, I)."""

    weight: Tensor
    bias: Tensor

    def __init__(self, w: Tensor, through: Tensor, activation: Callable[[Tensor], Tensor] = torch.tanh):
        super().__init__()
        self.activation = activation
        self.register_buffer("weight", w)
        self.register_buffer("bias", torch.zeros_like(w[:, 0]))
        self.lead(through)

    def lead(self, through: Tensor) -> None:
        """Move every ridge so that it goes through its point."""
        self.bias.copy_(-(self.weight * through).sum(1))

    def forward(self, z: Tensor) -> Tensor:
        return self.activation(nn.functional.linear(z, self.weight, self.bias))


def isotropic(scales: Tensor, inputs: int, generator: torch.Generator | None = None) -> Tensor:
    """Random directions w (K, I): normal numbers times the scales (K,)."""
    normal = torch.randn(len(scales), inputs, generator=generator, dtype=scales.dtype, device=scales.device)
    return scales[:, None] * normal


def ellipsoid(count: int, semiaxes: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Random w (count, I) in the ellipsoid with these semiaxes (I,): random directions d with |d| = 1, on the unit
    sphere before it is stretched, times numbers that are uniform between 0 and 1.

    With random normal numbers, or scales uniform in their logarithm, most features are wide, and nearly dependent.
    """
    like: dict[str, Any] = {"generator": generator, "dtype": semiaxes.dtype, "device": semiaxes.device}
    d = torch.nn.functional.normalize(torch.randn(count, len(semiaxes), **like), dim=1)
    return torch.rand(count, 1, **like) * d * semiaxes
