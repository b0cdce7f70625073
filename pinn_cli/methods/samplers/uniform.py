"""Independent uniform points."""

from collections.abc import Mapping

import torch
from torch import Tensor

from pinn_cli.methods.contracts import Objective
from pinn_cli.methods.samplers.base import Rounds
from pinn_cli.methods.samplers.counts import Count
from pinn_cli.physics.domains.base import Free


class Uniform(Rounds):
    """Uniform random points, new ones every `every` steps (1: at each step; None: never), drawn on the run's device.

    Raises UsageError for numbers of points that are not possible (`counts.py`).
    """

    def __init__(self, points: Mapping[str, Count], seed: int = 0, every: int | None = 1) -> None:
        super().__init__(points, seed, every)

    def unit(self, count: int, free: Free, seed: int, objective: Objective) -> Tensor:
        """Uniform points of the unit cube (count, D)."""
        generator = torch.Generator(objective.device).manual_seed(seed)
        shape = (count, len(objective.problem.coordinates))
        return torch.rand(shape, generator=generator, device=objective.device, dtype=objective.dtype)
