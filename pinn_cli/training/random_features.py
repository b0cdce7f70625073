"""Random features of the points of a problem, for the correction of a frozen model.

    phi_0 = 1,  phi_j(X) = tanh(w_j . z(X) + b_j)        z: the coordinates on [-1, 1], as (cos, sin) where periodic

`methods/random_features.py` has the features of z.

    N = points   D = coordinates   I = entries of z   K = features
"""

import torch
from torch import Tensor, nn

from pinn_cli.derivatives import Taylor
from pinn_cli.derivatives.algebra import unit
from pinn_cli.methods.random_features import isotropic
from pinn_cli.training.model import Features

SPREAD = 0.3  # of the directions about the given ones
SHARPNESS = (0.5, 1.0, 2.0)  # of a ridge relative to the gradient that it follows
STEEPEST = 32.0  # |w|: narrower ridges fall between the points


class FeaturesOfPoints(nn.Module):
    """phi(X): (N, D) -> (N, K + 1), float64, for K `ridges` of the inputs. phi_0 is constant."""

    def __init__(self, inputs: Features, ridges: nn.Module, K: int):
        super().__init__()
        self.inputs, self.ridges, self.count = inputs, ridges, K + 1

    def forward(self, X: Tensor) -> Tensor:
        z = self.inputs(X)
        return torch.cat([torch.ones_like(z[:, :1]), self.ridges(z)], -1)


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
    direction = w / length.clamp_min(1e-300) + isotropic(torch.full_like(w[:, 0], SPREAD), inputs.outputs, generator)
    sharpness = torch.tensor(SHARPNESS, dtype=torch.float64, device="cpu")
    chosen = sharpness[torch.randint(len(SHARPNESS), (len(w), 1), generator=generator, device="cpu")]
    return direction / direction.norm(dim=1, keepdim=True) * (chosen * length.clamp_min(1.0)).clamp_max(STEEPEST)
