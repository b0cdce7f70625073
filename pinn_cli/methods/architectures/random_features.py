"""One hidden layer of random features, of which only the output is trained."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from pinn_cli.basics.errors import UsageError
from pinn_cli.basics.memory import refuse_too_wide
from pinn_cli.methods.architectures.layers import activation as named
from pinn_cli.methods.architectures.layers import per_input
from pinn_cli.methods.random_features import RandomFeatures, ellipsoid


class RandomFeatureNetwork(nn.Module):
    """u(z) = a + C phi(z), phi_j(z) = activation(w_j . z + b_j): a and C are trained and start from 0, w and b are not.

    w_j = r_j scale * d_j with random directions d_j, |d_j| = 1, and r_j uniform between 0 and 1; `scale` is a number,
    or one for each input. The ridge of every feature goes through a random point of the domain (Dong & Li 2021,
    arXiv:2012.02895). The fields are linear in what is trained, so optimizer=newton finds it by least squares.

    Shapes: z (N, inputs) -> (N, outputs); phi (N, width). Raises UsageError for an unknown activation, a width below 1,
    a scale that is not above 0, or a list of another length.
    """

    remedies = (
        "a larger architecture.width, with a larger architecture.scale for finer waves or steeper fronts",
        "architecture=random_gaussians sampler=[graded,held_out] for a thin layer at a face",
    )

    def __init__(self, inputs: int, outputs: int, width: int = 1500, scale: float | Sequence[float] = 6.0,
                 activation: str = "gaussian") -> None:
        super().__init__()
        if width < 1:
            raise UsageError(f"architecture.width={width}: expected a whole number above 0, e.g. 1500")
        refuse_too_wide([inputs, width, outputs])
        self.semiaxes = per_input("scale", scale, inputs)
        w = ellipsoid(width, self.semiaxes)
        self.hidden = RandomFeatures(w, 2 * torch.rand(width, inputs) - 1, named(activation))
        self.output_layer = nn.Linear(width, outputs)
        nn.init.zeros_(self.output_layer.weight)
        nn.init.zeros_(self.output_layer.bias)

    def place(self, draw: Callable[[int], Tensor]) -> None:
        """Let the ridges go through points of the domain; `draw(n)` gives the inputs (n, inputs) at n of them."""
        self.hidden.lead(draw(self.output_layer.in_features).to(self.hidden.weight))

    def redrawn(self, through: Tensor, generator: torch.Generator) -> RandomFeatures:
        """Other random features of the same kind, whose ridges go through the inputs `through` (K, inputs)."""
        w = ellipsoid(len(through), self.semiaxes.to(through), generator)
        return RandomFeatures(w, through, self.hidden.activation)

    def forward(self, z: Tensor) -> Tensor:
        """The fields (N, outputs) at the inputs z (N, inputs)."""
        return self.output_layer(self.hidden(z))
