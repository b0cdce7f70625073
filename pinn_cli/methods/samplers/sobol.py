"""Scrambled Sobol points (Sobol, 1967; scrambling: Owen, 1998, Matousek, 1998)."""

import torch
from torch import Tensor
from torch.quasirandom import SobolEngine

from pinn_cli.methods.contracts import Objective
from pinn_cli.methods.samplers.base import Rounds
from pinn_cli.physics.domains.base import Free


class Sobol(Rounds):
    """Points that fill the cube evenly: integrals converge like N^-1 or faster (up to logarithms), not like N^-1/2.

    Numbers of points that are powers of two are best. There is one set for the whole stage, or a newly scrambled one
    every `every` steps. Each region and each face has its own scrambling, so that they are independent. Raises
    UsageError for numbers of points that are not possible (`counts.py`).
    """

    def unit(self, count: int, free: Free, seed: int, objective: Objective) -> Tensor:
        """The first points (count, D) of a sequence scrambled by the seed; float64, on the CPU."""
        engine = SobolEngine(len(objective.problem.coordinates), scramble=True, seed=seed)
        return engine.draw(count, dtype=torch.float64)
