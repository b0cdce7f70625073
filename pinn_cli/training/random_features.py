"""Random features: smooth functions of the points with random parameters that are never trained.

    phi_j(X) = tanh(w_j . z(X) + b_j)        z: the coordinates on [-1, 1], as (cos, sin) where they are periodic

Every ridge w_j . z + b_j = 0 goes through a point of the domain, and 1 / |w_j| is its width in units of half the domain
(extreme learning machines for differential equations: Dong & Li 2021, arXiv:2012.02895; random feature method: Chen,
Chi, E & Yang 2022, arXiv:2207.13380).

    N = points   D = coordinates   I = entries of z   K = features
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pinn_cli.derivatives import Taylor
from pinn_cli.derivatives.algebra import unit
from pinn_cli.training.model import Features

SPREAD = 0.3  # of the directions about the given ones
SHARPNESS = (0.5, 1.0, 2.0)  # of a ridge relative to the gradient that it follows
STEEPEST = 32.0  # |w|: narrower ridges fall between the points


class RandomFeatures(nn.Module):
    """phi(X): (N, D) -> (N, K + 1), float64, for directions w (K, I) and points `through` (K, D). phi_0 is constant."""

    weight: Tensor
    bias: Tensor

    def __init__(self, inputs: Features, w: Tensor, through: Tensor):
        super().__init__()
        self.inputs = inputs
        self.register_buffer("weight", torch.cat([torch.zeros_like(w[:1]), w]))
        self.register_buffer("bias", torch.cat([torch.ones_like(w[:1, 0]), -(w * inputs(through)).sum(1)]))

    def forward(self, X: Tensor) -> Tensor:
        return torch.tanh(nn.functional.linear(self.inputs(X), self.weight, self.bias))


def isotropic(inputs: Features, counts: Mapping[float, int], generator: torch.Generator) -> Tensor:
    """Random directions w (K, I): normal numbers times the scale; `counts` has the number of each scale."""
    scales = torch.cat([torch.full((n,), scale, dtype=torch.float64, device="cpu") for scale, n in counts.items()])
    return scales[:, None] * _normal(len(scales), inputs.outputs, generator)


def along(inputs: Features, X: Tensor, slopes: Tensor, generator: torch.Generator) -> Tensor:
    """Directions w (N, I) along the gradients `slopes` (N, D) of a field of size 1 at X: ridges that follow its fronts.

    z = w . z(X) changes along X_i like the field, times a random sharpness.
    """
    D = X.shape[1]
    turned = Taylor([unit(i, D) for i in range(D)])(inputs, X)
    tangents = [turned[unit(i, D)] for i in range(D)]
    w = sum(
        (slopes[:, i : i + 1] * t / t.square().sum(1, keepdim=True) for i, t in enumerate(tangents)), 0 * tangents[0]
    )
    length = w.norm(dim=1, keepdim=True)
    direction = w / length.clamp_min(1e-300) + SPREAD * _normal(len(w), inputs.outputs, generator)
    sharpness = torch.tensor(SHARPNESS, dtype=torch.float64, device="cpu")
    chosen = sharpness[torch.randint(len(SHARPNESS), (len(w), 1), generator=generator, device="cpu")]
    return direction / direction.norm(dim=1, keepdim=True) * (chosen * length.clamp_min(1.0)).clamp_max(STEEPEST)


def _normal(rows: int, columns: int, generator: torch.Generator) -> Tensor:
    return torch.randn(rows, columns, generator=generator, dtype=torch.float64, device="cpu")
