"""Independent uniform points."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from pinn_cli.methods.contracts import Batch, Objective
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
        self._block: tuple[int, list[Batch]] = -1, []  # the number of the last block, and its rounds
        self._length = ROUNDS  # rounds of a block

    def unit(self, count: int, free: Free, seed: int, objective: Objective) -> Tensor:
        """Uniform points of the unit cube (count, D)."""
        generator = torch.Generator(objective.device).manual_seed(seed)
        shape = (count, len(objective.problem.coordinates))
        return torch.rand(shape, generator=generator, device=objective.device, dtype=objective.dtype)

    def begin_stage(self, problem: Problem) -> None:
        super().begin_stage(problem)
        self._block = -1, []

    def ahead(self, step: int, most: int) -> list[Batch]:
        """The same points until they are drawn anew; where they are at each step, the next rounds of the block."""
        number, rounds = self._block
        if self.every != 1 or not rounds:
            return super().ahead(step, most)
        first = self.round - number * len(rounds) + 1
        batches = rounds[first : first + most]
        self.round, self.since = self.round + len(batches), self.since + len(batches)
        self.batch = batches[-1] if batches else self.batch
        return batches

    def _batch(self, problem: Problem, objective: Objective) -> Batch:
        if self.every is None:
            return super()._batch(problem, objective)
        number, place = divmod(self.round, self._length)
        if self._block[0] != number:
            points = [self._points_of_block(problem, draw, objective, number) for draw in self.draws]
            self._block = number, [self._named(of_round) for of_round in zip(*points, strict=True)]
        return self._block[1][place]

    def _plan(self, problem: Problem, objective: Objective) -> None:
        super()._plan(problem, objective)
        numbers = max((draw.rows or 0 for draw in self.draws), default=0) * len(problem.coordinates)
        self._length = max(1, min(ROUNDS, NUMBERS // max(1, numbers)))

    def _points_of_block(self, problem: Problem, draw: Draw, objective: Objective, number: int) -> Sequence[Tensor]:
        """The points of a draw for each round of a block."""
        length = self._length
        if draw.rows is None:
            return [self._points(problem, draw, objective)] * length
        seed = seed_for(self.seed, "points", draw.region, draw.rows, self.stage, "block", number)
        unit = self.unit(length * draw.rows, (), seed, objective)  # the rows are dealt out to the parts in turn
        points = problem.domain.sample(draw.region, unit).to(objective.device, objective.dtype)
        return points.unflatten(0, (length, draw.rows)).unbind()
