"""More points of the interior where the residual is large, drawn once at the beginning of a stage."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from pinn_cli.basics.errors import UsageError
from pinn_cli.methods.contracts import Batch, Objective, Sampler
from pinn_cli.methods.corrections import focused
from pinn_cli.methods.seeds import seed_for
from pinn_cli.physics.problem import Problem


@dataclass
class Focused(Sampler):
    """Wraps a sampler: `add` points of the interior for each of its own there, half of them with density ~ |r|.

    r is the residual at the beginning of the stage (residual-based adaptive sampling: Wu, Zhu, Tan, Kartha & Lu 2023,
    Comput. Methods Appl. Mech. Eng. 403). Raises UsageError for a negative `add`.
    """

    inner: Sampler
    seed: int = 0
    add: float = 1.0
    stage: int = 0
    added: Tensor | None = None
    batch: Batch = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.add >= 0:
            raise UsageError(f"sampler.focused.add={self.add:g}: expected a number from 0 on, e.g. 1")
        self._base: Batch = {}
        self.extra = self.add

    def begin_stage(self, problem: Problem) -> None:
        self.inner.begin_stage(problem)
        self.stage, self.added, self._base, self.batch = self.stage + 1, None, {}, {}

    def draw(self, step: int, problem: Problem, objective: Objective) -> Batch:
        """The inner sampler's points with the additions; the same tensors as before where nothing changes."""
        base = self.inner.draw(step, problem, objective)
        inside = [X for name, X in base.items() if objective.constraints[name].region == "interior"]
        if self.added is None and inside:
            generator = torch.Generator("cpu").manual_seed(seed_for(self.seed, "focused", self.stage))
            self.added = focused(objective, round(self.add * max(map(len, inside))), generator)
        if base.keys() != self._base.keys() or any(base[n] is not self._base[n] for n in base):
            self._base, self.batch = base, self._joined(base, objective)
        return self.batch

    def _joined(self, base: Batch, objective: Objective) -> Batch:
        joined: dict[int, Tensor] = {}  # constraints that share their points share the joined tensor too
        out: Batch = {}
        for name, X in base.items():
            more = self.added if objective.constraints[name].region == "interior" else None
            out[name] = X if more is None else joined.setdefault(id(X), torch.cat([X, more.to(X)]))
        return out

    def values(self) -> dict[str, Any]:
        return dict(self.inner.values())

    def state_dict(self) -> dict[str, Any]:
        return {"inner": self.inner.state_dict(), "stage": self.stage, "added": self.added, **_packed(self.batch)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a saved state."""
        self.inner.load_state_dict(state["inner"])
        self.stage, self.added, self._base = state["stage"], state["added"], self.inner.batch
        self.batch = {name: state["tensors"][i] for name, i in state["shared"].items()}


def _packed(batch: Batch) -> dict[str, Any]:
    """The points in use, each tensor once."""
    tensors = list({id(X): X for X in batch.values()}.values())
    shared = {name: next(i for i, Y in enumerate(tensors) if Y is X) for name, X in batch.items()}
    return {"tensors": tensors, "shared": shared}
