"""The base of all samplers that draw their points in rounds."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from pinn_cli.methods.contracts import Batch, Objective, Sampler
from pinn_cli.methods.samplers.counts import Count, Draw, place, plan
from pinn_cli.methods.seeds import seed_for
from pinn_cli.physics.domains.base import Free
from pinn_cli.physics.points import measured_points
from pinn_cli.physics.problem import Problem


class Rounds(Sampler):
    """The same tensors for `every` steps (None: for the whole stage), then new ones.

    The points of a round are a function of (seed, region, stage, round) alone, so a resumed run draws the same points.
    Constraints with the same region and the same number of points share one tensor.
    """

    def __init__(self, points: Mapping[str, Count], seed: int = 0, every: int | None = None) -> None:
        if every is not None and every < 1:
            raise ValueError(f"found every={every}; expected a positive number of steps, or null: never anew")
        self.points, self.seed, self.every = dict(points), seed, every
        self.stage, self.round, self.since = 0, -1, 0
        self.batch: Batch = {}
        self.draws: list[Draw] = []
        self._drawn: dict[str, int] = {}  # which draw has the points of a constraint
        self.measured: dict[Draw, Tensor] = {}

    @abstractmethod
    def unit(self, count: int, free: Free, seed: int, objective: Objective) -> Tensor:
        """Points of the unit cube (count, D) for one part of a region; only the coordinates `free` are used."""

    def draw(self, step: int, problem: Problem, objective: Objective) -> Batch:
        due = self.round < 0 or (self.every is not None and step - self.since >= self.every)
        if due:
            self.round, self.since = self.round + 1, step
            if not self.draws:
                self._plan(problem, objective)
            self.batch = self._batch(problem, objective)
        return self.batch

    def ahead(self, step: int, most: int) -> list[Batch]:
        """The same points, until they are drawn anew."""
        left = most if self.every is None else min(most, self.since + self.every - 1 - step)
        return [self.batch] * left

    def _plan(self, problem: Problem, objective: Objective) -> None:
        """Find out which draws there are, and which of them has the points of a constraint."""
        imposed = {c.name for c in problem.constraints()} - objective.constraints.keys()
        self.draws = plan(problem, self.points, imposed)
        owners = {name: which for which, draw in enumerate(self.draws) for name in draw.names}
        self._drawn = {name: owners[name] for name in objective.constraints if name in owners}

    def _batch(self, problem: Problem, objective: Objective) -> Batch:
        """The points of this round."""
        return self._named([self._points(problem, draw, objective) for draw in self.draws])

    def _named(self, points: Sequence[Tensor]) -> Batch:
        """The points of each draw, by constraint."""
        return {name: points[which] for name, which in self._drawn.items()}

    def _points(self, problem: Problem, draw: Draw, objective: Objective) -> Tensor:
        if draw.count is None:
            if draw not in self.measured:
                X = measured_points(problem, objective.constraints[draw.names[0]])
                self.measured[draw] = X.to(objective.device, objective.dtype)
            return self.measured[draw]
        purpose = ("points", draw.region, draw.count, self.stage, self.round)
        parts = [
            self.unit(draw.count, free, seed_for(self.seed, *purpose, part), objective)
            for part, free in enumerate(draw.parts)
        ]
        return place(problem, draw.region, parts).to(objective.device, objective.dtype)

    def begin_stage(self, problem: Problem) -> None:
        self.stage, self.round = self.stage + 1, -1
        self.batch, self.draws, self.measured = {}, [], {}

    def state_dict(self) -> dict[str, Any]:
        """The points in use, each tensor once."""
        tensors = list({id(X): X for X in self.batch.values()}.values())
        shared = {name: next(i for i, Y in enumerate(tensors) if Y is X) for name, X in self.batch.items()}
        return {"stage": self.stage, "round": self.round, "since": self.since, "tensors": tensors, "shared": shared}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.stage, self.round, self.since = state["stage"], state["round"], state["since"]
        self.batch = {name: state["tensors"][i] for name, i in state["shared"].items()}
