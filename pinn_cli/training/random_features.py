"""Random features: smooth functions of the points, with random parameters that are never trained.

    phi_j(X) = tanh(w_j . z(X) + b_j)        z: the coordinates on [-1, 1], as (cos, sin) where they are periodic

Every ridge w_j . z + b_j = 0 passes through a random point of the domain, and |w_j| is of a given scale: its inverse is
the width of the ridge in units of half the domain (extreme learning machines for differential equations: Dong & Li
2021, arXiv:2012.02895; random feature method: Chen, Chi, E & Yang 2022, arXiv:2207.13380).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pinn_cli.physics.domains.base import Domain
from pinn_cli.training.model import Features


class RandomFeatures(nn.Module):
    """phi(X): (N, D) -> (N, K), float64; the first of them is constant. `counts` has the number of each scale."""

    weight: Tensor
    bias: Tensor

    def __init__(self, domain: Domain, counts: dict[float, int], periodic: Sequence[str] = (), seed: int = 0):
        super().__init__()
        self.inputs = Features(domain, "unit", periodic)
        generator, count = torch.Generator("cpu").manual_seed(seed), sum(counts.values())
        unit = torch.rand(count, domain.dimension, generator=generator, dtype=torch.float64, device="cpu")
        through = self.inputs(domain.sample("interior", unit))
        scales = torch.cat([torch.full((n,), scale, dtype=torch.float64) for scale, n in counts.items()])
        weight = torch.randn(count, self.inputs.outputs, generator=generator, dtype=torch.float64) * scales[:, None]
        self.register_buffer("weight", torch.cat([torch.zeros_like(weight[:1]), weight]))
        self.register_buffer("bias", torch.cat([torch.ones_like(weight[:1, 0]), -(weight * through).sum(1)]))

    def forward(self, X: Tensor) -> Tensor:
        return torch.tanh(nn.functional.linear(self.inputs(X), self.weight, self.bias))
