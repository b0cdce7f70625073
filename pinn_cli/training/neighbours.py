"""Whether residuals of measurements show a pattern: the correlation of each with that of the nearest other one.

    c = sum_i r_i r_n(i) / sum_i r_i^2        n(i) the measurement nearest to i, in lengths of the domain

For independent noise c is about 0, with the standard deviation sqrt(1.6 / N): above 1 / sqrt(N), since many neighbours
are so of each other (a statistic of the kind of Moran 1950). Another equation, a wrong condition, a network that is too
small or noise that is correlated over more than the distance of the points make it positive.
"""

from math import inf

import torch
from torch import Tensor

from pinn_cli.physics.problem import Problem

SURE = 4.0  # standard deviations of independent noise
PAIRS = 1.6  # N times the variance
AT_ONCE = 1024  # rows of distances


def correlation_of_neighbours(problem: Problem, X: Tensor, r: Tensor) -> float:
    """c of residuals (N,) at points whose first columns are the coordinates; 0 for fewer than two."""
    if len(X) < 2 or not r.any():
        return 0.0
    lengths = X.new_tensor([high - low for low, high in problem.domain.extents])
    places, nearest = X[:, : len(lengths)] / lengths, []
    for start in range(0, len(X), AT_ONCE):
        apart = torch.cdist(places[start : start + AT_ONCE], places)
        rows = torch.arange(len(apart), device=X.device)
        apart[rows, rows + start] = inf
        nearest.append(apart.argmin(1))
    return float((r * r[torch.cat(nearest)]).mean() / r.square().mean())


def is_pattern(c: float, count: int) -> bool:
    """Whether independent noise of so many measurements hardly has this correlation."""
    return c > SURE * (PAIRS / max(count, 1)) ** 0.5
