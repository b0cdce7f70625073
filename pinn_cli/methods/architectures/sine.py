"""The sine network: every layer has a frequency of its own, which is trained."""

from math import sqrt
from typing import cast

import torch
from torch import Tensor, nn

from pinn_cli.basics.errors import UsageError
from pinn_cli.methods.architectures.layers import stack


class Sine(nn.Module):
    """H <- sin(omega_l (H W_l + b_l)) for each of `depth` hidden layers, then a linear output (Sitzmann et al. 2020).

    The frequencies omega_l are trained and start from `frequency`. First layer: W, b ~ U(+-1 / inputs); other hidden
    layers: W, b ~ U(+-sqrt(6 / width) / frequency), so that the sines have the same distribution in every layer.

    Shapes: X (N, inputs) -> (N, outputs); hidden layers (N, width). Raises UsageError for a frequency not above 0.
    """

    def __init__(self, inputs: int, outputs: int, width: int = 24, depth: int = 3, frequency: float = 1.0) -> None:
        super().__init__()
        if not frequency > 0:
            raise UsageError(f"architecture.frequency={frequency:g}: expected a number above 0, e.g. 1")
        self.layers = stack(inputs, width, depth, outputs, "glorot_normal")
        self.frequencies = nn.ParameterList([torch.tensor([float(frequency)]) for _ in range(depth)])
        for layer in self.layers[:-1]:
            weight, bias = cast(nn.Linear, layer).weight, cast(nn.Linear, layer).bias
            bound = 1 / inputs if layer is self.layers[0] else sqrt(6 / width) / frequency
            nn.init.uniform_(weight, -bound, bound)
            nn.init.uniform_(bias, -bound, bound)

    @property
    def output_layer(self) -> nn.Module:
        return self.layers[-1]

    def forward(self, X: Tensor) -> Tensor:
        """The fields (N, outputs) at the points X (N, inputs)."""
        *hidden, output = self.layers
        for layer, omega in zip(hidden, self.frequencies, strict=True):
            X = torch.sin(layer(X) * omega)
        return output(X)
