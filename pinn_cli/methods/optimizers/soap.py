"""SOAP: Adam in the eigenbasis of Shampoo (Vyas et al. 2024, arXiv:2409.11321; for PINNs: Wang et al. 2025,
arXiv:2502.00604).

For the gradient G (m, n) of a matrix, with b = beta2:

    L <- b L + (1 - b) G G^T        R <- b R + (1 - b) G^T G        their eigenvectors Q_L, Q_R
    d = Q_L [ M' / (sqrt(V) + eps) ] Q_R^T

M' = Q_L^T M Q_R is the mean of G, and V the mean of the squares of Q_L^T G Q_R, both without their bias as in Adam. The
eigenvectors are those of the first gradient, and then follow L and R by one step of orthogonal iteration (QR) every
`every` steps. Parameters that are no matrix are trained by Adam.
"""

from typing import Any

import torch
from torch import Tensor

from pinn_cli.basics.errors import UsageError
from pinn_cli.methods.optimizers.directions import Directions, adam, averaged
from pinn_cli.methods.optimizers.first_order import TorchOptimizer
from pinn_cli.methods.optimizers.schedules import Schedule


class Rotated(Directions):
    """The direction of SOAP for matrices, and that of Adam for all others."""

    def direction(self, G: Tensor, state: dict[str, Any], settings: dict[str, Any]) -> Tensor:
        if G.ndim != 2:
            return adam(G, state, settings)
        (beta1, beta2), step = settings["betas"], state["step"]
        if step == 1:
            state["left"], state["right"] = _eigenvectors(G @ G.T), _eigenvectors(G.T @ G)
        left, right = state["left"], state["right"]
        mean = left.T @ averaged(state, "mean", G, beta1) @ right
        square = averaged(state, "square", (left.T @ G @ right).square(), beta2)
        d = left @ (mean / (square.sqrt() + settings["eps"])) @ right.T
        L, R = averaged(state, "L", G @ G.T, beta2), averaged(state, "R", G.T @ G, beta2)
        if step % settings["every"] == 0:
            state["left"], state["right"] = torch.linalg.qr(L @ left).Q, torch.linalg.qr(R @ right).Q
        return d


class SOAP(TorchOptimizer):
    """theta <- theta - rate(n) d. Raises UsageError for a setting out of range."""

    def __init__(self, lr: float = 1e-3, schedule: Schedule | None = None, betas: tuple[float, float] = (0.95, 0.95),
                 eps: float = 1e-8, every: int = 10) -> None:
        if every < 1:
            raise UsageError(f"optimizer.soap.every={every}: expected a number of steps, e.g. 10")
        super().__init__(Rotated, lr, schedule, betas=betas, eps=eps, every=every)


def _eigenvectors(A: Tensor) -> Tensor:
    return torch.linalg.eigh(A).eigenvectors
