"""Sums of random plane waves, of which only the amplitudes are trained."""

from collections.abc import Sequence
from math import gamma, pi
from typing import Any

import torch
from torch import Tensor, nn

from pinn_cli.basics.errors import UsageError
from pinn_cli.basics.memory import refuse_too_wide
from pinn_cli.methods.architectures.layers import per_input


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

    weight: Tensor
    phase: Tensor

    def __init__(self, inputs: int, outputs: int, width: int = 1500,
                 frequency: float | Sequence[float] | None = None) -> None:
        super().__init__()
        if width < 1:
            raise UsageError(f"architecture.width={width}: expected a whole number above 0, e.g. 1500")
        refuse_too_wide([inputs, width, outputs])
        frequency = resolved_frequency(width, inputs) if frequency is None else frequency
        self.radii = per_input("frequency", frequency, inputs)
        weight, phase = _drawn(width, self.radii)
        self.register_buffer("weight", weight)
        self.register_buffer("phase", phase)
        self.output_layer = nn.Linear(width, outputs)
        nn.init.zeros_(self.output_layer.weight)
        nn.init.zeros_(self.output_layer.bias)

    def redrawn(self, through: Tensor, generator: torch.Generator) -> "Waves":
        """Other waves of the same kind, one for each of the inputs `through` (K, inputs); their phases are random."""
        return Waves(*_drawn(len(through), self.radii.to(through), generator))

    def forward(self, z: Tensor) -> Tensor:
        """The fields (N, outputs) at the inputs z (N, inputs)."""
        return self.output_layer(_waves(z, self.weight, self.phase))


class Waves(nn.Module):
    """sin(w_j . z + b_j): (N, inputs) -> (N, K) for w (K, inputs) and b (K,)."""

    def __init__(self, weight: Tensor, phase: Tensor):
        super().__init__()
        self.weight, self.phase = weight, phase

    def forward(self, z: Tensor) -> Tensor:
        return _waves(z, self.weight, self.phase)


def _waves(z: Tensor, weight: Tensor, phase: Tensor) -> Tensor:
    return torch.sin(nn.functional.linear(z, weight, phase))


def _drawn(count: int, radii: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
    """Random wave vectors (count, inputs) in the ellipsoid with these radii (inputs,), and phases (count,)."""
    like: dict[str, Any] = {"generator": generator, "dtype": radii.dtype, "device": radii.device}
    direction = nn.functional.normalize(torch.randn(count, len(radii), **like))
    length = torch.rand(count, 1, **like) ** (1 / len(radii))
    return length * direction * radii, 2 * pi * torch.rand(count, **like)


def resolved_frequency(width: int, inputs: int) -> float:
    """Half the radius r of the ball with n(r) = width."""
    ball = pi ** (inputs / 2) / gamma(inputs / 2 + 1)
    return pi / 2 * (width / ball) ** (1 / inputs)
