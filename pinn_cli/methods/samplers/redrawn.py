"""The base of all samplers that move the points of the interior, or add some, while the run trains."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from pinn_cli.methods.contracts import Batch, Objective, Sampler
from pinn_cli.methods.proxies import in_interior
from pinn_cli.methods.seeds import seed_for
from pinn_cli.physics.points import fresh_points
from pinn_cli.physics.problem import Problem

FEWEST = 4  # candidates for each point, at least: with fewer, most would be drawn, whatever their density
MOST = 2**24  # candidates: torch draws from no more


@dataclass
class Redrawn(Sampler):
    """Wraps a sampler: every `every` steps the points of the interior are drawn anew, by the residuals at a pool.

    The sampler before it gives the first points of the interior, and all points elsewhere. One that `adds` leaves those
    of the interior too, and has its own behind them. The pool are `pool` random points, at least four for each one that
    is drawn, new ones for every draw. Raises ValueError for numbers that are not possible.
    """

    adds: ClassVar[bool] = False  # whether the points of `renewed` join those of the sampler before it
    once: ClassVar[bool] = False  # whether it may draw at the beginning of a stage alone

    inner: Sampler
    seed: int = 0
    every: int = 100
    pool: int = 20000
    stage: int = 0
    moved: dict[str, Tensor] = field(default_factory=dict)  # its own points, by the first constraint on them

    def __init_subclass__(cls) -> None:
        """A class with a `due` of its own keeps its points for no step, unless it says for how many."""
        super().__init_subclass__()
        if "due" in vars(cls) and "kept" not in vars(cls):
            cls.kept = lambda self, step: 0  # type: ignore[method-assign]

    def __post_init__(self) -> None:
        for name in ("every", "pool"):
            if (found := getattr(self, name)) is not None and found < 1:
                raise ValueError(f"found {name}={found}; expected a whole number above 0")
        if self.pool > MOST:
            raise ValueError(f"found pool={self.pool}; expected at most {MOST}")
        for name in ("power", "floor"):
            if not (found := getattr(self, name, 0.0)) >= 0:
                raise ValueError(f"found {name}={found:g}; expected a number from 0 on")
        self.candidates = 1e6  # for the memory: as many as are evaluated at once
        self.generator = torch.Generator("cpu").manual_seed(seed_for(self.seed, type(self).__name__))
        self._base: Batch = {}
        self._interior: list[list[str]] = []  # names of constraints there, by the points that they share
        self.batch: Batch = {}

    @abstractmethod
    def renewed(self, names: Sequence[str], X: Tensor, problem: Problem, objective: Objective) -> Tensor:
        """The next points (n, D) of the constraints `names`, which are at X (N, D) now; or those that it adds."""

    def due(self, step: int, objective: Objective) -> bool:
        """Whether the points are drawn anew before this step."""
        return step > 0 and step % self.every == 0

    def kept(self, step: int) -> float:
        """How many steps after number `step` have no draw, whatever the residuals."""
        return self.every - 1 - step % self.every

    def begin_stage(self, problem: Problem) -> None:
        self.inner.begin_stage(problem)
        self.moved, self._base, self.batch, self.stage, self._interior = {}, {}, {}, self.stage + 1, []

    def draw(self, step: int, problem: Problem, objective: Objective) -> Batch:
        """The points in use; the same tensors as before where nothing changes."""
        base = self.inner.draw(step, problem, objective)
        changed = base.keys() != self._base.keys() or any(base[n] is not self._base[n] for n in base)
        if self.due(step, objective):
            for names in in_interior(base, objective):
                X, own = self._points(names[0], base), self.moved.get(names[0])
                new = self.renewed(names, X, problem, objective).to(X)
                self.moved[names[0]] = torch.cat([own, new]) if self.adds and own is not None else new
            changed = True
        self._interior = self._interior or in_interior(base, objective)
        if changed or not self.batch:
            self._base, self.batch = base, self._joined(base)
        return self.batch

    def ahead(self, step: int, most: int) -> list[Batch]:
        """Those of the inner sampler, with its own, until these are drawn anew."""
        batches = []
        for base in self.inner.ahead(step, int(min(most, self.kept(step)))):
            if any(base[name] is not self._base[name] for name in base):
                self._base, self.batch = base, self._joined(base)
            batches.append(self.batch)
        return batches

    def refine(self, problem: Problem, objective: Objective) -> bool:
        """Not once it has moved the points: what the inner sampler adds would not be used."""
        return (self.adds or not self.moved) and super().refine(problem, objective)

    def fresh(self, problem: Problem, like: Tensor, n: int) -> Tensor:
        """n random points of the interior (n, D)."""
        return fresh_points(problem, "interior", n, self.generator, like)

    def pool_for(self, problem: Problem, like: Tensor, n: int) -> Tensor:
        """The pool (N, D) from which n points are drawn."""
        return self.fresh(problem, like, max(self.pool, FEWEST * n))

    def _points(self, first: str, base: Batch) -> Tensor:
        """The points of the constraints that share those of `first`, with the present points of the inner sampler."""
        own = self.moved.get(first)
        if own is None:
            return base[first]
        return torch.cat([base[first], own.to(base[first])]) if self.adds else own

    def _joined(self, base: Batch) -> Batch:
        groups = {names[0]: names for names in self._interior}
        own = {name: X for first in groups for X in [self._points(first, base)] for name in groups[first]}
        return {name: own.get(name, X) for name, X in base.items()}

    def values(self) -> Mapping[str, float | Tensor]:
        return self.inner.values()

    def state_dict(self) -> dict[str, Any]:
        """The points in use, each tensor once."""
        tensors = list({id(X): X for X in self.batch.values()}.values())
        return {
            "inner": self.inner.state_dict(),
            "stage": self.stage,
            "moved": list(self.moved),
            "added": dict(self.moved) if self.adds else {},
            "tensors": tensors,
            "shared": {name: next(i for i, Y in enumerate(tensors) if Y is X) for name, X in self.batch.items()},
            "generator": self.generator.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.inner.load_state_dict(state["inner"])
        self.stage, self._base = state["stage"], self.inner.batch
        self.batch = {name: state["tensors"][i] for name, i in state["shared"].items()}
        self.moved = {name: state["added"].get(name, self.batch[name]) for name in state["moved"]}
        self.generator.set_state(state["generator"].cpu())
