"""Points on a regular grid."""

from collections.abc import Mapping

import torch
from torch import Tensor

from pinn_cli.methods.contracts import Objective
from pinn_cli.methods.samplers.base import Rounds
from pinn_cli.methods.samplers.counts import Count
from pinn_cli.physics.domains.base import Free


class Grid(Rounds):
    """The largest grid of at most N nodes, equally many along every axis, the same for the whole run.

    The n nodes of an axis leave out the boundary in the interior, i / (n + 1), and reach the edges on a face,
    i / (n - 1). Networks can hide errors between the nodes; Sobol points do not line up. Raises UsageError for numbers
    of points that are not possible (`counts.py`).
    """

    def __init__(self, points: Mapping[str, Count], seed: int = 0) -> None:
        super().__init__(points, seed, every=None)

    def unit(self, count: int, free: Free, seed: int, objective: Objective) -> Tensor:
        """The nodes (at most count, D) in the unit cube; float64, on the CPU."""
        dimension = len(objective.problem.coordinates)
        n = _whole_root(count, len(free))
        axis = _axis(n, ends=len(free) < dimension)
        nodes = torch.stack(torch.meshgrid(*[axis] * len(free), indexing="ij"), -1) if free else axis.new_zeros(1, 0)
        X = axis.new_zeros(n ** len(free), dimension)
        X[:, list(free)] = nodes.reshape(len(X), len(free))
        return X


def _axis(n: int, ends: bool) -> Tensor:
    step = torch.arange(n, dtype=torch.float64, device="cpu")
    return step / (n - 1) if ends and n > 1 else (step + 1) / (n + 1)


def _whole_root(count: int, power: int) -> int:
    """The largest n with n^power <= count; 1 if there is no axis."""
    if power == 0:
        return 1
    n = round(count ** (1 / power))
    return n if n**power <= count else n - 1
