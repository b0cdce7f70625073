"""Muon: momentum made orthogonal, for the matrices between hidden layers (Jordan et al. 2024; for PINNs: Wang et al.
2025, arXiv:2502.00604).

For the mean M (m, n) of the gradients of a matrix, M = U S V^T,

    d = 0.2 sqrt(max(m, n)) U V^T        theta <- theta - rate d

so that all singular values of the step are alike. With the factor the entries of d are as large as those of Adam (Liu
et al. 2025, arXiv:2502.16982), which trains all other parameters at the same rate. U V^T is the limit of

    X <- 2 X - 1.5 X X^T X + 0.5 (X X^T)^2 X        from X = M / |M|_F
"""

from typing import Any

from torch import Tensor

from pinn_cli.basics.errors import UsageError
from pinn_cli.methods.optimizers.directions import Directions, adam, averaged
from pinn_cli.methods.optimizers.first_order import TorchOptimizer
from pinn_cli.methods.optimizers.schedules import Schedule


class Orthogonal(Directions):
    """The direction of Muon for matrices whose shorter side is at least `smallest`, and that of Adam for all others."""

    def direction(self, G: Tensor, state: dict[str, Any], settings: dict[str, Any]) -> Tensor:
        if G.ndim != 2 or min(G.shape) < settings["smallest"]:
            return adam(G, state, settings)
        mean = averaged(state, "mean", G, settings["momentum"])
        return 0.2 * max(G.shape) ** 0.5 * orthogonal(mean, settings["iterations"])


class Muon(TorchOptimizer):
    """theta <- theta - rate(n) d. Raises UsageError for a setting out of range."""

    def __init__(self, lr: float = 1e-3, schedule: Schedule | None = None, momentum: float = 0.95, iterations: int = 10,
                 smallest: int = 8, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8) -> None:
        if not 0 <= momentum < 1:
            raise UsageError(f"optimizer.muon.momentum={momentum:g}: expected a number in [0, 1), e.g. 0.95")
        if iterations < 1 or smallest < 1:
            raise UsageError(f"optimizer.muon: found iterations={iterations} and smallest={smallest}; expected numbers "
                             "above 0, e.g. iterations=10 and smallest=8")
        super().__init__(Orthogonal, lr, schedule, betas=betas, eps=eps, momentum=momentum, iterations=iterations,
                         smallest=smallest)


def orthogonal(M: Tensor, iterations: int) -> Tensor:
    """U V^T (m, n) of M = U S V^T, for singular values above 2^-iterations |M|_F or so; smaller ones stay below 1."""
    X = M / M.norm().clamp_min(1e-30)
    if M.shape[0] > M.shape[1]:
        X = X.T
    for _ in range(iterations):
        A = X @ X.T
        X = 2 * X - 1.5 * A @ X + 0.5 * A @ (A @ X)
    return X if X.shape == M.shape else X.T
