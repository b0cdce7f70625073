"""Objectives that several tests share."""

from collections.abc import Callable

import torch
from torch import Tensor, nn


class Function:
    """What an optimizer uses of an objective, for a plain function of the flat vector theta (P,)."""

    def __init__(self, function: Callable[[Tensor], Tensor], *parameters: Tensor) -> None:
        self.function, self.evaluations = function, 0
        self.parameters = [nn.Parameter(p.clone()) for p in parameters]
        self.points_changed, self.weights = False, {}

    @property
    def theta(self) -> Tensor:
        return self.flat(self.parameters).detach()

    def flat(self, tensors) -> Tensor:
        return torch.cat([t.flatten() for t in tensors])

    def place(self, theta: Tensor) -> None:
        for p, part in zip(self.parameters, theta.split([p.numel() for p in self.parameters]), strict=True):
            p.data.copy_(part.view_as(p))

    def loss(self) -> Tensor:
        self.evaluations += 1
        return self.function(self.flat(self.parameters))
