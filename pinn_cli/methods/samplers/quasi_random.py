"""Points that fill the cube more evenly than random ones: Latin hypercube, Halton and Hammersley points."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from scipy.stats import qmc
from torch import Tensor

from pinn_cli.methods.contracts import Objective
from pinn_cli.methods.samplers.base import Rounds
from pinn_cli.methods.samplers.counts import Count
from pinn_cli.physics.domains.base import Free


class _OfSciPy(Rounds):
    """Points of one of SciPy's generators; new ones every `every` steps (None: never)."""

    def __init__(self, points: Mapping[str, Count], seed: int = 0, every: int | None = None) -> None:
        super().__init__(points, seed, every)

    @abstractmethod
    def points_of(self, count: int, dimension: int, seed: int) -> Any:
        """Points of the unit cube (count, dimension)."""

    def unit(self, count: int, free: Free, seed: int, objective: Objective) -> Tensor:
        """Points of the unit cube (count, D), float64, on the CPU; even in the coordinates `free`."""
        X = torch.zeros(count, len(objective.problem.coordinates), dtype=torch.float64, device="cpu")
        if free:
            X[:, list(free)] = torch.from_numpy(self.points_of(count, len(free), seed))
        return X


class LatinHypercube(_OfSciPy):
    """One point in each of N equal slices of every coordinate (McKay, Beckman & Conover 1979)."""

    def points_of(self, count: int, dimension: int, seed: int) -> Any:
        return qmc.LatinHypercube(dimension, rng=seed).random(count)


class Halton(_OfSciPy):
    """Scrambled Halton points: digits of the index in the bases 2, 3, 5, ... (Halton 1960; Owen 2017)."""

    def points_of(self, count: int, dimension: int, seed: int) -> Any:
        return qmc.Halton(dimension, rng=seed).random(count)


class Hammersley(_OfSciPy):
    """Halton points whose last coordinate is replaced by (i + 1/2) / N (Hammersley 1960)."""

    def points_of(self, count: int, dimension: int, seed: int) -> Any:
        X = qmc.Halton(dimension, rng=seed).random(count)
        X[:, -1] = (np.arange(count) + 0.5) / count
        return X
