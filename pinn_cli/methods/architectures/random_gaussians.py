"""Graded Gaussian radial basis functions: narrow near the faces of the domain, and only their heights are trained."""

from math import log

import torch
from torch import Tensor, nn

from pinn_cli.basics.errors import UsageError
from pinn_cli.basics.memory import refuse_too_wide
from pinn_cli.derivatives.function_rules import gaussian
from pinn_cli.methods.grading import towards_the_ends

STEEPNESS = (0.3, 3.0)  # of a Gaussian: the distance of its centre from the nearest end, over its width


class Gaussians(nn.Module):
    """phi_j(z) = prod_i exp(-(w_ji (z_i - z_ji))^2): (N, I) -> (N, K) for centres and weights (K, I)."""

    centre: Tensor
    weight: Tensor

    def __init__(self, centre: Tensor, weight: Tensor):
        super().__init__()
        self.register_buffer("centre", centre)
        self.register_buffer("weight", weight)

    def forward(self, z: Tensor) -> Tensor:
        product = self._along(z, 0)
        for i in range(1, z.shape[1]):
            product = product * self._along(z, i)
        return product

    def _along(self, z: Tensor, i: int) -> Tensor:
        """The factors (N, K) of coordinate i; the difference comes first, because w may be very large."""
        return gaussian((z[:, i : i + 1] - self.centre[:, i]) * self.weight[:, i])


class RandomGaussians(nn.Module):
    """u(z) = a + sum_j c_j prod_i exp(-(w_ji (z_i - z_ji))^2): a and c are trained and start from 0, w and z_j are not.

    z are inputs on [-1, 1] (unit scaling). Half of the coordinates of the centres z_j have a log-uniform distance from
    the nearest end, down to `finest` (`grading.py`), and the others are uniform. Along each coordinate a Gaussian is
    about as wide as its centre is far from the end: w = steepness / (distance + finest), with log steepness uniform. So
    there are Gaussians for a layer of any width above `finest`, along each face, without knowing it. There is no
    `redrawn`: a second solution needs graded points too, and the error estimate draws them evenly.

    Shapes: z (N, inputs) -> (N, outputs). Raises UsageError for a width below 1, and a `finest` that is not between 0
    and 0.1.
    """

    unit_inputs = True
    remedies = (
        "a larger architecture.width",
        "a smaller architecture.finest and sampler.graded.finest for a thinner layer at a face",
    )

    def __init__(self, inputs: int, outputs: int, width: int = 1500, finest: float = 1e-6) -> None:
        super().__init__()
        if width < 1:
            raise UsageError(f"architecture.width={width}: expected a whole number above 0, e.g. 1500")
        if not 0 < finest < 0.1:
            raise UsageError(f"architecture.finest={finest:g}: expected a number between 0 and 0.1, e.g. 1e-6")
        refuse_too_wide([inputs, width, outputs])
        self.finest = finest
        self.hidden = _gaussians(width, inputs, finest)
        self.output_layer = nn.Linear(width, outputs)
        nn.init.zeros_(self.output_layer.weight)
        nn.init.zeros_(self.output_layer.bias)

    def forward(self, z: Tensor) -> Tensor:
        """The fields (N, outputs) at the inputs z (N, inputs)."""
        return self.output_layer(self.hidden(z))


def _gaussians(count: int, inputs: int, finest: float) -> Gaussians:
    """Gaussians with random centres and weights (count, inputs)."""
    shares = towards_the_ends(torch.rand(count, inputs, dtype=torch.float64), finest)
    distance = 2 * torch.minimum(shares, 1 - shares) + 2 * finest
    low, high = map(log, STEEPNESS)
    steepness = torch.exp(low + (high - low) * torch.rand(count, inputs))
    return Gaussians(2 * shares - 1, steepness / distance)
