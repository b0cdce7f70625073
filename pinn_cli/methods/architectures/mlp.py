"""The multilayer perceptron."""

from torch import Tensor, nn

from pinn_cli.derivatives.fused_layers import dense_layers
from pinn_cli.methods.architectures.layers import activation as named
from pinn_cli.methods.architectures.layers import stack


class MLP(nn.Module):
    """H <- phi(H W_l + b_l) for each of `depth` hidden layers, then a linear output.

    Shapes: X (N, inputs) -> (N, outputs); hidden layers (N, width). Raises UsageError for an unknown activation or
    initialiser.
    """

    def __init__(self, inputs: int, outputs: int, width: int = 24, depth: int = 3,
                 activation: str = "tanh", initialiser: str = "glorot_normal") -> None:
        super().__init__()
        self.activation = named(activation)
        self.layers = stack(inputs, width, depth, outputs, initialiser)

    @property
    def output_layer(self) -> nn.Module:
        return self.layers[-1]

    def forward(self, X: Tensor) -> Tensor:
        """The fields (N, outputs) at the points X (N, inputs)."""
        return dense_layers(X, self.layers, self.activation)
