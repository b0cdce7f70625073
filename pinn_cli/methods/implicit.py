"""The gradient of a solution by the implicit function theorem.

x is a solution of G(x, theta) = 0, however it was found. Where H = dG/dx is regular,

    dx/dtheta = -H^-1 dG/dtheta        dl/dtheta = -(H^-T dl/dx)^T dG/dtheta

so one solve with H^T and one backward pass of G replace a backward pass through the iterations of the solver.
(Krantz & Parks, The Implicit Function Theorem; for layers of networks: Amos & Kolter 2017, Bai, Kolter & Koltun 2019.)
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def implicit(x: Tensor, G: Tensor, adjoint: Callable[[Tensor], Tensor]) -> Tensor:
    """x with the gradient of the solution of G = 0.

    G has the shape of x. It was computed at x, which was a constant, from theta with its graph; its value is not used.
    `adjoint(g)` is H^-T g. It is called in the backward pass. A second derivative raises RuntimeError.
    """
    return _Implicit.apply(x, G, adjoint)


class _Implicit(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, G: Tensor, adjoint: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.adjoint = adjoint
        return x.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[None, Tensor, None]:
        return None, -ctx.adjoint(g), None
