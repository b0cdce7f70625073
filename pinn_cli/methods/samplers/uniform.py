"""Independent uniform points."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from pinn_cli.methods.contracts import Objective
from pinn_cli.methods.samplers.base import Rounds
from pinn_cli.methods.samplers.counts import Count, Draw
from pinn_cli.methods.seeds import seed_for
from pinn_cli.physics.domains.base import Free
from pinn_cli.physics.problem import Problem

ROUNDS, NUMBERS = 64, 1_000_000  # that are drawn at once, at most: one small draw takes a tenth of a compiled step


class Uniform(Rounds):
    """Uniform random points, new ones every `every` steps (1: at each step; None: never), drawn on the run's device.

    Several rounds are drawn at once. Raises UsageError for numbers of points that are not possible (`counts.py`).
    """

    def __init__(self, points: Mapping[str, Count], seed: int = 0, every: int | None = 1) -> None:
        super().__init__(points, seed, every)
        self._ahead: dict[Draw, tuple[int, Sequence[Tensor]]] = {}  # the rounds of the last block, and its number

    def unit(self, count: int, free: Free, seed: int, objective: Objective) -> Tensor:
        """Uniform points of the unit cube (count, D)."""
        generator = torch.Generator(objective.device).manual_seed(seed)
        shape = (count, len(objective.problem.coordinates))
        return torch.rand(shape, generator=generator, device=objective.device, dtype=objective.dtype)

    def begin_stage(self, problem: Problem) -> None:
        super().begin_stage(problem)
        self._ahead = {}

    def _points(self, problem: Problem, draw: Draw, objective: Objective) -> Tensor:
        """The points of this round, a part of its block."""
        if draw.rows is None or self.every is None:
            return super()._points(problem, draw, objective)
        rounds = max(1, min(ROUNDS, NUMBERS // (draw.rows * len(problem.coordinates))))
        block, place = divmod(self.round, rounds)
        number, X = self._ahead.get(draw, (-1, ()))
        if number != block:
            seed = seed_for(self.seed, "points", draw.region, draw.rows, self.stage, "block", block)
            unit = self.unit(rounds * draw.rows, (), seed, objective)  # the rows are dealt out to the parts in turn
            points = problem.domain.sample(draw.region, unit).to(objective.device, objective.dtype)
            X = points.unflatten(0, (rounds, draw.rows)).unbind()
            self._ahead[draw] = block, X
        return X[place]
