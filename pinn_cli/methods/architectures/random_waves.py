"""Sums of random plane waves, of which only the amplitudes are trained."""

from collections.abc import Sequence
from math import gamma, pi
from typing import Any

import torch
from torch import Tensor, nn

from pinn_cli.basics.errors import UsageError
from pinn_cli.basics.memory import refuse_too_wide
from pinn_cli.methods.architectures.layers import per_input
from pinn_cli.methods.random_features import RandomFeatures


class RandomWaves(nn.Module):
    """u(z) = a + sum_j c_j sin(w_j . z + b_j): a and c are trained and start from 0, w and b are not.

    The wave vectors w_j are uniform in a ball of radius `frequency`, or in an ellipsoid with one radius for each input;
    the phases b_j are uniform. The domain is [-1, 1]^D with unit scaling, so no wave is periodic on it: a smooth u that
    is not periodic is approximated like one that is (Fourier extension: Huybrechs 2010, Adcock, Huybrechs &
    Martin-Vaquero 2014; random wave vectors: Rahimi & Recht 2007). Functions of wave vectors up to r have about as many
    degrees of freedom on this domain as

        n(r) = volume of the unit ball * (r / pi)^D

    Without a `frequency`, r is half of that where n(r) = `width`, so there are 2^D waves for each of them.

    Shapes: z (N, inputs) -> (N, outputs). Raises UsageError for a width below 1, a frequency that is not above 0, or
    another number of frequencies than inputs.
    """

    def __init__(self, inputs: int, outputs: int, width: int = 1500,
                 frequency: float | Sequence[float] | None = None) -> None:
        super().__init__()
        if width < 1:
            raise UsageError(f"architecture.width={width}: expected a whole number above 0, e.g. 1500")
        refuse_too_wide([inputs, width, outputs])
        radii = per_input("frequency", resolved_frequency(width, inputs) if frequency is None else frequency, inputs)
        self.radii = radii
        self.hidden = _waves(width, radii)
        self.output_layer = nn.Linear(width, outputs)
        nn.init.zeros_(self.output_layer.weight)
        nn.init.zeros_(self.output_layer.bias)

    def redrawn(self, through: Tensor, generator: torch.Generator) -> RandomFeatures:
        """As many other random waves as there are inputs `through` (K, inputs); waves do not lie at points."""
        return _waves(len(through), self.radii.to(through), generator)

    def forward(self, z: Tensor) -> Tensor:
        """The fields (N, outputs) at the inputs z (N, inputs)."""
        return self.output_layer(self.hidden(z))


def resolved_frequency(width: int, inputs: int) -> float:
    """Half the radius r of the ball with n(r) = width."""
    ball = pi ** (inputs / 2) / gamma(inputs / 2 + 1)
    return pi / 2 * (width / ball) ** (1 / inputs)


def _waves(count: int, radii: Tensor, generator: torch.Generator | None = None) -> RandomFeatures:
    """Sines with wave vectors uniform in the ellipsoid with these radii (inputs,), and uniform phases."""
    like: dict[str, Any] = {"generator": generator, "dtype": radii.dtype, "device": radii.device}
    direction = nn.functional.normalize(torch.randn(count, len(radii), **like))
    length = torch.rand(count, 1, **like) ** (1 / len(radii))
    waves = RandomFeatures(length * direction * radii, torch.zeros_like(direction), torch.sin)
    waves.bias.copy_(2 * pi * torch.rand(count, **like))
    return waves
