"""Sobol points that are denser towards the boundary, for layers there."""

from collections.abc import Mapping

from torch import Tensor

from pinn_cli.basics.errors import UsageError
from pinn_cli.methods.contracts import Objective
from pinn_cli.methods.grading import towards_the_ends
from pinn_cli.methods.samplers.counts import Count
from pinn_cli.methods.samplers.sobol import Sobol
from pinn_cli.physics.domains.base import Free


class Graded(Sobol):
    """Sobol points, half of whose coordinates have a log-uniform distance from the nearest end of the unit cube.

    The distances go down to `finest` (`grading.py`), so a layer of any width above it has points inside. On a box the
    ends of the cube are the faces. Raises UsageError for a `finest` that is not between 0 and 0.1.
    """

    def __init__(self, points: Mapping[str, Count], seed: int = 0, every: int | None = None,
                 finest: float = 1e-6) -> None:
        super().__init__(points, seed, every)
        if not 0 < finest < 0.1:
            raise UsageError(f"sampler.graded.finest={finest:g}: expected a number between 0 and 0.1, e.g. 1e-6")
        self.finest = finest

    def unit(self, count: int, free: Free, seed: int, objective: Objective) -> Tensor:
        """The points (count, D) of the unit cube; float64, on the CPU."""
        return towards_the_ends(super().unit(count, free, seed, objective), self.finest)
