"""The Kuramoto-Sivashinsky equation on a circle (Kuramoto & Tsuzuki 1976; Sivashinsky 1977): a spectral solution."""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from pinn_cli.physics.references.circle.evolution import Evolution


@dataclass(frozen=True)
class KuramotoSivashinsky(Evolution):
    """u_t + alpha u u_x + beta u_xx + gamma u_xxxx = 0, 0 <= t <= end, period 2 pi, u(x, 0) = sin(x)."""

    times: int = field(default=128, kw_only=True)
    steps: int = field(default=8192, kw_only=True)
    alpha: float
    beta: float
    gamma: float

    def linear(self, k: np.ndarray) -> np.ndarray:
        return self.beta * k**2 - self.gamma * k**4

    def outer(self, k: np.ndarray) -> np.ndarray:
        return 1j * k

    def product(self, u: np.ndarray) -> np.ndarray:
        return -self.alpha / 2 * u * u

    def start(self, x: Tensor) -> Tensor:
        return torch.sin(x)
