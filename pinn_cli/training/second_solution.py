"""A second solution with other features, for the error of a network of random or adapted features.

The residual of such a network is finer than features of any smaller number express: it is what all features of this
kind leave. So its output layer is solved for again, with other random features of the same kind at other points,

    minimise  sum_k mean_n ((r_k + J_k c)_n / s_k)^2        du = sum_j c_j phi_j,    phi_j drawn anew

by QR. u + du has an error like that of u, and the two are independent as far as their residuals are: |du| is then
about as large as the error of u. Where both leave the same residual (`common` near 1) they also share
their error, and |du| says little of it: a layer that features of this kind do not resolve looks so.

Adapted features are not random: the network says which others there are, and where the points must be.
"""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from pinn_cli.methods.contracts import Batch
from pinn_cli.methods.linear_algebra import least_ridge
from pinn_cli.training.correction import Correction
from pinn_cli.training.defect_correction import DefectCorrection, draw, sobol
from pinn_cli.training.random_features import FeaturesOfPoints
from pinn_cli.training.residuals import Residuals

WIDTH = 0.7  # features for each of the network: a third of its cost
APART = 977  # of the seeds: points and features are not those of the run


class SecondSolution(DefectCorrection):
    """The correction that turns a model into a second solution; `least` columns at least if they are random."""

    rows, steps = 2.0, 1

    def __init__(self, residuals: Residuals, least: int, seed: int, before: Correction | None):
        model: Any = residuals.model
        width = len(residuals.problem.fields) * model.network.output_layer.in_features
        super().__init__(residuals, max(least, round(WIDTH * width)), seed + APART, before)

    def _features(self, K: int, seed: int) -> FeaturesOfPoints:
        """Features of the kind of the network, through other points."""
        self.gentle = slice(1, None)
        model: Any = copy.deepcopy(self.residuals.model)
        through = model.features(sobol(self.problem.domain, "interior", K, seed))
        ridges = model.network.redrawn(through, torch.Generator("cpu").manual_seed(seed))
        count = ridges(through[:1]).shape[1]
        self.ridge = least_ridge(count * len(self.size), torch.float64)
        return FeaturesOfPoints(model.features, ridges, count)

    def _draw(self, n: int, seed: int) -> tuple[Batch, dict[str, Tensor]]:
        """Points of every constraint and their shares: as dense as the features where these say so."""
        gathered = getattr(self.basis.features.ridges, "gathered", None)
        return draw(self.residuals, n, self.basis.columns, seed, gathered)


def can_be_redrawn(model: nn.Module) -> bool:
    """Whether there is another hidden layer of the same kind, with which the fields can be solved for again."""
    return hasattr(getattr(model, "network", None), "redrawn")
