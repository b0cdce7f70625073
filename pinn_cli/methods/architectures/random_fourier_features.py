"""Random Fourier features: sums of random plane waves, of which only the amplitudes are trained."""

from collections.abc import Sequence
from math import asin, gamma, pi, sqrt
from typing import Any

import torch
from torch import Tensor, nn

from pinn_cli.basics.errors import UsageError
from pinn_cli.basics.memory import refuse_too_wide
from pinn_cli.methods.architectures.layers import per_input
from pinn_cli.methods.random_features import RandomFeatures


class RandomFourierFeatures(nn.Module):
    """u(z) = a + sum_j c_j sin(w_j . z + b_j): a and c are trained and start from 0, w and b are not.

    The wave vectors w_j are uniform in a ball of radius `frequency`, or in an ellipsoid with one radius for each input;
    the phases b_j are uniform. The domain is [-1, 1]^D with unit scaling, so no wave is periodic on it: a smooth u that
    is not periodic is approximated like one that is (Fourier extension: Huybrechs 2010, Adcock, Huybrechs &
    Martin-Vaquero 2014; random wave vectors: Rahimi & Recht 2007). Functions of wave vectors up to r have about as many
    degrees of freedom on this domain as

        n(r) = volume of the unit ball * (r / pi)^D

    Without a `frequency`, r is half of that where n(r) = `width`, so there are 2^D waves for each of them.

    With `finer` above 1 the waves are that many times shorter at the faces than in the middle (`stretched`), and the
    inputs must be on [-1, 1].

    Shapes: z (N, inputs) -> (N, outputs). Raises UsageError for a width below 1, a frequency that is not above 0,
    another number of frequencies than inputs, or a `finer` below 1.
    """

    remedies = (
        "a larger architecture.width, with architecture.frequency for the finest wave of the solution",
        "architecture=random_gaussians sampler=[graded,held_out] for a thin layer at a face",
    )

    def __init__(self, inputs: int, outputs: int, width: int = 1500,
                 frequency: float | Sequence[float] | None = None, finer: float = 1.0) -> None:
        super().__init__()
        if not 1 <= finer <= 1e6:
            raise UsageError(f"architecture.finer={finer:g}: expected a number from 1 to 1e6, e.g. 7")
        if width < 1:
            raise UsageError(f"architecture.width={width}: expected a whole number above 0, e.g. 1500")
        refuse_too_wide([inputs, width, outputs])
        self.frequency = resolved_frequency(width, inputs) if frequency is None else frequency
        self.radii = radii = per_input("frequency", self.frequency, inputs)
        self.unit_inputs = finer > 1
        self.hidden = _waves(width, radii, finer)
        self.output_layer = nn.Linear(width, outputs)
        nn.init.zeros_(self.output_layer.weight)
        nn.init.zeros_(self.output_layer.bias)

    def redrawn(self, through: Tensor, generator: torch.Generator) -> "Waves":
        """As many other random waves as there are inputs `through` (K, inputs); waves do not lie at points."""
        return _waves(len(through), self.radii.to(through), self.hidden.finer, generator)

    def gathered(self, unit: Tensor) -> Tensor:
        """Even points (N, D) of the unit cube -> points that are even for the waves: denser at the faces by `finer`."""
        return (unstretched(2 * unit - 1, self.hidden.finer) + 1) / 2

    def forward(self, z: Tensor) -> Tensor:
        """The fields (N, outputs) at the inputs z (N, inputs)."""
        return self.output_layer(self.hidden(z))


def resolved_frequency(width: int, inputs: int) -> float:
    """Half the radius r of the ball with n(r) = width."""
    ball = pi ** (inputs / 2) / gamma(inputs / 2 + 1)
    return pi / 2 * (width / ball) ** (1 / inputs)


class Waves(RandomFeatures):
    """sin(w_j . s(z) + b_j), s(z) the inputs `stretched`: (N, inputs) -> (N, K)."""

    def __init__(self, w: Tensor, phase: Tensor, finer: float) -> None:
        super().__init__(w, torch.zeros_like(w), torch.sin)
        self.finer = finer
        self.bias.copy_(phase)

    def forward(self, z: Tensor) -> Tensor:
        return super().forward(stretched(z, self.finer))


def stretched(z: Tensor, finer: float) -> Tensor:
    """asin(b z) / asin(b) for b = sqrt(1 - 1 / finer^2): steeper at -1 and 1 than at 0, `finer` times (Kosloff &
    Tal-Ezer 1993, for derivatives on Chebyshev points). Written with functions that jets know."""
    if finer == 1:
        return z
    b = sqrt(1 - finer**-2)
    return torch.atan(b * z / torch.sqrt(1 - b**2 * z * z)) / asin(b)


def unstretched(s: Tensor, finer: float) -> Tensor:
    """The z whose `stretched` is s."""
    if finer == 1:
        return s
    b = sqrt(1 - finer**-2)
    return torch.sin(asin(b) * s) / b


def _waves(count: int, radii: Tensor, finer: float, generator: torch.Generator | None = None) -> Waves:
    """Sines with wave vectors uniform in the ellipsoid with these radii (inputs,), and uniform phases."""
    like: dict[str, Any] = {"generator": generator, "dtype": radii.dtype, "device": radii.device}
    direction = nn.functional.normalize(torch.randn(count, len(radii), **like))
    length = torch.rand(count, 1, **like) ** (1 / len(radii))
    return Waves(length * direction * radii, 2 * pi * torch.rand(count, **like), finer)
