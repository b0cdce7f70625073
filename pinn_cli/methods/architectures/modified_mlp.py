"""The gated network of Wang, Teng and Perdikaris (2021): two encoders of the input gate every hidden layer."""

from math import sqrt
from typing import cast

from torch import Tensor, nn
from torch.nn import functional

from pinn_cli.basics.errors import UsageError
from pinn_cli.derivatives.fused_layers import Gates, dense_layers, tell_obstacle
from pinn_cli.methods.architectures.layers import activation as named
from pinn_cli.methods.architectures.layers import dense, stack


class ModifiedMLP(nn.Module):
    """With the encoders U = phi(X A + a), V = phi(X B + b), of the width of the hidden layers, `gate` is one of

    ``paper``   H = phi(X W_1 + b_1) ungated, then Z = phi(H W_l + b_l), H <- (1 - Z) U + Z V (arXiv:2001.04536);
    ``code``    every hidden layer gated, Z = phi(H W_l + b_l), H <- Z U + (1 - Z) V: the authors' code since July 2021;
    ``legacy``  H <- phi(H W_l + b_l) U + phi(1 - H W_l + b_l) V: their code before; the second gate is not 1 - Z.

    All three have `depth` hidden matrices, and so the same number of parameters. The biases of the encoders start from
    N(0, 2 / (1 + width)) in both forms of the code, and from the initialiser in that of the paper.

    Shapes: X (N, inputs) -> (N, outputs); U, V, H, Z (N, width). Raises UsageError for an unknown gate, activation or
    initialiser.
    """

    def __init__(self, inputs: int, outputs: int, width: int = 50, depth: int = 3, activation: str = "tanh",
                 initialiser: str = "glorot_normal", gate: str = "paper") -> None:
        super().__init__()
        gates = {"paper": self._paper, "code": self._code, "legacy": self._legacy}
        if gate not in gates:
            raise UsageError(f"unknown gate {gate!r}: expected one of {', '.join(gates)}, e.g. architecture.gate=paper")
        self.gate = gate
        self.activation = named(activation)
        self.layers = stack(inputs, width, depth, outputs, initialiser)
        self.encoders = nn.ModuleList([*dense([inputs, width], initialiser), *dense([inputs, width], initialiser)])
        if gate != "paper":
            for encoder in self.encoders:
                nn.init.normal_(cast(Tensor, encoder.bias), std=sqrt(2 / (1 + width)))

    @property
    def output_layer(self) -> nn.Module:
        return self.layers[-1]

    def forward(self, X: Tensor) -> Tensor:
        """The fields (N, outputs) at the points X (N, inputs)."""
        return getattr(self, f"_{self.gate}")(X)

    def _paper(self, X: Tensor) -> Tensor:
        return dense_layers(X, self.layers, self.activation, Gates(self.encoders, ungated=1, closed=0))

    def _code(self, X: Tensor) -> Tensor:
        return dense_layers(X, self.layers, self.activation, Gates(self.encoders, ungated=0, closed=1))

    def _legacy(self, H: Tensor) -> Tensor:
        tell_obstacle("the gate is legacy")
        U, V = (self.activation(encoder(H)) for encoder in self.encoders)
        for layer in self.layers[:-1]:
            weight, bias = cast(nn.Linear, layer).weight, cast(nn.Linear, layer).bias
            HW = functional.linear(H, weight)
            H = self.activation(HW + bias) * U + self.activation(1 - HW + bias) * V
        return self.layers[-1](H)
