"""Some nodes of a fixed grid, as the code of Krishnapriyan et al. (2021, arXiv:2109.01050) draws them."""

from collections.abc import Mapping, Sequence
from math import prod

import numpy as np
import torch
from torch import Tensor

from pinn_cli.basics.errors import UsageError
from pinn_cli.methods.contracts import Objective
from pinn_cli.methods.samplers.base import Rounds
from pinn_cli.methods.samplers.counts import Count
from pinn_cli.physics.domains.base import Free


class GridSubset(Rounds):
    """Nodes drawn without replacement from a grid of `nodes` per coordinate, once for the whole run.

    Space is a circle, x_j = j / n, and time includes both its ends, t_k = k / (n - 1), in units of the box. The nodes
    of the interior are those with every index above 0, which includes t = 1; a face has all its nodes. Where as many
    nodes are wanted as there are, they come in order. The draw uses numpy's legacy generator with `fixed_seed` rather
    than the seed of the run: with the grid of the paper and 0, these are exactly its points. `fixed_seed=null` draws
    from the seed of the run, separately for each stage and region.

    Raises UsageError for more points than nodes, and for numbers of `nodes` that do not fit the coordinates.
    """

    def __init__(
        self,
        points: Mapping[str, Count],
        seed: int = 0,
        nodes: Sequence[int] = (256, 100),
        fixed_seed: int | None = 0,
    ) -> None:
        super().__init__(points, seed, every=None)
        self.nodes, self.fixed_seed = tuple(nodes), fixed_seed
        if not all(isinstance(n, int) and n > 1 for n in self.nodes):
            raise UsageError(f"sampler.grid_subset.nodes={list(nodes)}: expected whole numbers above 1, e.g. [256,100]")

    def unit(self, count: int, free: Free, seed: int, objective: Objective) -> Tensor:
        """`count` of the nodes (count, D) in the unit cube; float64, on the CPU."""
        domain = objective.problem.domain
        if len(self.nodes) != domain.dimension:
            found, expected = f"nodes={list(self.nodes)}", ", ".join(domain.coordinates)
            raise UsageError(f"sampler.grid_subset.{found}: expected a number for each coordinate ({expected})")
        axes = [self._axis(i, domain.coordinates[i] == domain.time, free) for i in range(domain.dimension)]
        there = prod(map(len, axes))
        if count > there:
            kind, where = "interior", "the interior"
            if len(free) < domain.dimension:
                fixed = [c for i, c in enumerate(domain.coordinates) if i not in free]
                kind, where = "face", f"a face in {', '.join(fixed)}"
            found = f"{count} points, but {where} has {there} nodes"
            raise UsageError(f"sampler.grid_subset: found {found}; type e.g. points.{kind}={there}, or more nodes")
        chosen = np.arange(there)
        if count < there:
            chosen = np.random.RandomState(self._seed(seed)).permutation(there)[:count]
        return _nodes(axes, torch.from_numpy(chosen))

    def _axis(self, i: int, time: bool, free: Free) -> Tensor:
        n = self.nodes[i]
        first = 0 if len(free) < len(self.nodes) else 1
        places = torch.arange(first, n, dtype=torch.float64, device="cpu") / (n - 1 if time else n)
        return places if i in free else places[:1]

    def _seed(self, seed: int) -> int:
        return self.fixed_seed if self.fixed_seed is not None else seed % 2**32


def _nodes(axes: list[Tensor], chosen: Tensor) -> Tensor:
    """The nodes (count, D) numbered by `chosen` (count,), the first coordinate running fastest."""
    columns = []
    for axis in axes:
        columns.append(axis[chosen % len(axis)])
        chosen = chosen // len(axis)
    return torch.stack(columns, 1)
