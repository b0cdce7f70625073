"""The multilayer perceptron with random weight factorisation (Wang, Wang, Seidman & Perdikaris 2022)."""

from typing import cast

import torch
from torch import Tensor, nn

from pinn_cli.methods.architectures.mlp import MLP


class FactorisedMLP(MLP):
    """An MLP whose weights are W = diag(exp(s)) V, with s and V trained (arXiv:2210.01274).

    s ~ N(mean, spread^2) for every neuron, and V is such that W starts as in the MLP. The functions are the same; what
    differs is how far a step of an optimizer changes each neuron.

    Shapes and errors as for the MLP.
    """

    def __init__(self, inputs: int, outputs: int, width: int = 24, depth: int = 3, activation: str = "tanh",
                 initialiser: str = "glorot_normal", mean: float = 1.0, spread: float = 0.1) -> None:
        super().__init__(inputs, outputs, width, depth, activation, initialiser)
        linear = [cast(nn.Linear, layer) for layer in self.layers]
        self.scales = nn.ParameterList([mean + spread * torch.randn(layer.out_features) for layer in linear])
        with torch.no_grad():
            for layer, s in zip(linear, self.scales, strict=True):
                layer.weight.div_(s.exp()[:, None])

    @property
    def output_layer(self) -> None:  # type: ignore[override]
        """None: the fields are not linear in s and V together."""
        return None

    def forward(self, X: Tensor) -> Tensor:
        """The fields (N, outputs) at the points X (N, inputs)."""
        *hidden, output = zip(self.layers, self.scales, strict=True)
        for layer, s in hidden:
            X = self.activation(_factorised(layer, s, X))
        return _factorised(*output, X)


def _factorised(layer: nn.Module, s: Tensor, X: Tensor) -> Tensor:
    linear = cast(nn.Linear, layer)
    return nn.functional.linear(X, s.exp()[:, None] * linear.weight, linear.bias)
