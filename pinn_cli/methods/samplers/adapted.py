"""Sobol points that are as dense as the features of the network."""

from typing import Any

from torch import Tensor

from pinn_cli.basics.errors import UsageError
from pinn_cli.methods.contracts import Objective
from pinn_cli.methods.samplers.sobol import Sobol
from pinn_cli.physics.domains.base import Free


class Adapted(Sobol):
    """Sobol points of the unit cube, moved to where the network says its features gather (`gathered`).

    Raises UsageError for a network that does not say so.
    """

    def unit(self, count: int, free: Free, seed: int, objective: Objective) -> Tensor:
        """The points (count, D) of the unit cube; float64, on the CPU."""
        network: Any = getattr(objective.model, "network", objective.model)
        if not hasattr(network, "gathered"):
            raise UsageError(f"sampler=adapted: {type(network).__name__} does not say where its features gather; "
                             "type architecture=random_fourier_features, architecture=adapted_features for windows in "
                             "time, or sampler=sobol")
        return network.gathered(super().unit(count, free, seed, objective))
