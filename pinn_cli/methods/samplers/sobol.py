"""Scrambled Sobol points (Sobol, 1967; scrambling: Owen, 1998, Matousek, 1998)."""

from typing import Any

import torch
from torch import Tensor
from torch.quasirandom import SobolEngine

from pinn_cli.methods.samplers.base import Rounds
from pinn_cli.physics.domains.base import Free


class Sobol(Rounds):
    """Points that fill the cube evenly: integrals converge like N^-1 or faster (up to logarithms), not like N^-1/2.

    Best in powers of two. One set for the whole stage, or a newly scrambled one every `every` steps. Every region and
    every face has a scrambling of its own, so that they are independent. Raises UsageError for numbers of points that
    cannot be (`counts.py`).
    """

    def unit(self, count: int, free: Free, seed: int, objective: Any) -> Tensor:
        """The first points (count, D) of a sequence scrambled by the seed; float64, on the CPU."""
        engine = SobolEngine(len(objective.problem.coordinates), scramble=True, seed=seed)
        return engine.draw(count, dtype=torch.float64)
