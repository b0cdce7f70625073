"""A multilayer perceptron on sines and cosines of its input."""

from collections.abc import Sequence
from math import pi

import torch
from torch import Tensor, nn
from torch.nn import functional

from pinn_cli.derivatives.fused_layers import dense_layers
from pinn_cli.methods.architectures.layers import activation as named
from pinn_cli.methods.architectures.layers import per_input, stack


class Fourier(nn.Module):
    """An MLP on [cos Z, sin Z], and on X itself if `keep_inputs`, in one of two forms:

    random         Z = X B^T, with `features` rows b ~ N(0, scale^2), drawn once and not trained (Tancik et al., 2020);
                   `scale` is one number, or one for each input;
    deterministic  `modes` given: Z holds pi k x_i for every mode k and coordinate i; on inputs scaled to [-1, 1] these
                   features alone are periodic, so keep the inputs unless the solution is.

    Shapes: X (N, inputs) -> (N, outputs); B (R, inputs), R = features or len(modes) * inputs; Z (N, R).
    Raises UsageError for an unknown activation or initialiser.
    """

    frequencies: Tensor

    def __init__(self, inputs: int, outputs: int, width: int = 50, depth: int = 3, activation: str = "tanh",
                 initialiser: str = "glorot_normal", features: int = 64,
                 scale: float | Sequence[float] = 1.0, modes: Sequence[int] = (), keep_inputs: bool = False) -> None:
        super().__init__()
        self.activation = named(activation)
        self.keep_inputs = keep_inputs
        # Whole numbers, which `forward` multiplies by pi: a pi rounded to float32 would stay so after `.double()`.
        self.unit = pi if modes else 1.0
        B = _every_mode(modes, inputs) if modes else per_input("scale", scale, inputs) * torch.randn(features, inputs)
        self.register_buffer("frequencies", B)
        self.layers = stack(2 * len(B) + inputs * keep_inputs, width, depth, outputs, initialiser, least=0)

    @property
    def output_layer(self) -> nn.Module:
        return self.layers[-1]

    def forward(self, X: Tensor) -> Tensor:
        """The fields (N, outputs) at the points X (N, inputs)."""
        Z = self.unit * functional.linear(X, self.frequencies)
        H = torch.cat([torch.cos(Z), torch.sin(Z), *[X] * self.keep_inputs], -1)
        return dense_layers(H, self.layers, self.activation)


def _every_mode(modes: Sequence[int], inputs: int) -> Tensor:
    """The rows k e_i for every mode k and coordinate i, (len(modes) * inputs, inputs)."""
    return torch.cat([float(mode) * torch.eye(inputs) for mode in modes])
