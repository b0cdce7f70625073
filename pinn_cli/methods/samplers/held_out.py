"""The held-out guard: points that the training has not seen, and a cure where it was fooled between its points.

A least-squares method can drive the loss to nothing with a wrong function that satisfies the equation at the points
and breaks it between them. The sign is

    q = rms residual on fresh points / rms residual on the training points;

q stays near 1 for a solution. Every few steps q is measured for each constraint; where q > 2 some of the fresh points,
drawn with probability ~ |r| (Wu et al. 2023), join the training points. The points of the inner sampler always stay.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from pinn_cli.methods.contracts import RATIO
from pinn_cli.physics.points import fresh_points
from pinn_cli.physics.terms import rms


@dataclass
class HeldOut:
    """Wraps a sampler that keeps its points.

    Every `every` steps it looks at `candidates` fresh points per training point; where q > `ratio` a share `add` of the
    number of training points is added, at most `most` times: after that the oldest additions go.
    """

    inner: Any
    seed: int = 0
    every: int = 8
    candidates: float = 8.0
    ratio: float = RATIO
    add: float = 0.15
    most: int = 8
    added: dict[str, Tensor] = field(default_factory=dict)  # by the constraint that is named first on these points
    ratios: dict[str, float] = field(default_factory=dict)  # the last q by constraint

    def __post_init__(self) -> None:
        self.generator = torch.Generator("cpu").manual_seed(self.seed * 7919 + 1)
        self._base: dict[str, Tensor] = {}
        self.batch: dict[str, Tensor] = {}  # what was drawn last

    def begin_stage(self, problem: Any) -> None:
        self.inner.begin_stage(problem)
        self.added, self._base, self.batch = {}, {}, {}

    def draw(self, step: int, problem: Any, objective: Any) -> dict[str, Tensor]:
        """The inner sampler's points with the additions; the same tensors as before where nothing changes."""
        base = self.inner.draw(step, problem, objective)
        changed = base.keys() != self._base.keys() or any(base[n] is not self._base[n] for n in base)
        if changed and self._base:
            self.added = {}
        if step and step % self.every == 0 and objective.batch and not changed:
            changed = any([self._examine(names, problem, objective) for names in _shared(self.batch)])
        if changed or not self.batch:
            self._base, self.batch = base, self._joined(base)
        return self.batch

    def _examine(self, names: list[str], problem: Any, objective: Any) -> bool:
        """Measure q on fresh points of the constraints that share theirs; add some of these where it is large."""
        c, trained = objective.constraints[names[0]], objective.batch[names[0]]
        n = int(self.candidates * len(trained))
        fresh = fresh_points(problem, c.region, n, self.generator, trained)
        with torch.no_grad():
            r = {name: objective.residual(name, fresh) for name in names}
            here = {name: objective.residual(name, trained) for name in names}
        self.ratios |= {name: rms(r[name]) / max(rms(here[name]), 1e-300) for name in names}
        broken = [name for name in names if not self.ratios[name] <= self.ratio]  # one that is not finite too
        if c.kind == "data" or not broken:
            return False
        sizes = [(r[name].abs() / max(rms(r[name]), 1e-300)).double().nan_to_num(1.0, 1.0) for name in broken]
        density = torch.stack(sizes).sum(0).cpu() + 1e-300
        share = max(1, int(self.add * len(self._base[names[0]])))
        chosen = torch.multinomial(density, min(share, n), generator=self.generator).to(fresh.device)
        known = self.added.get(names[0], fresh[:0])
        self.added[names[0]] = torch.cat([known, fresh[chosen]])[-self.most * share :]
        return True

    def _joined(self, base: dict[str, Tensor]) -> dict[str, Tensor]:
        batch: dict[str, Tensor] = {}
        for names in _shared(base):
            first = base[names[0]]
            more = self.added.get(names[0])
            points = first if more is None else torch.cat([first, more.to(first)])
            batch |= dict.fromkeys(names, points)
        return {name: batch[name] for name in base}

    def values(self) -> dict[str, float]:
        """What the history keeps: the last q of each constraint."""
        return {f"guard/{name}": q for name, q in self.ratios.items()}

    def state_dict(self) -> dict[str, Any]:
        return {
            "inner": self.inner.state_dict(),
            "added": dict(self.added),
            "ratios": dict(self.ratios),
            "generator": self.generator.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.inner.load_state_dict(state["inner"])
        self.added, self._base = dict(state["added"]), self.inner.batch
        self.ratios = {name: float(state["ratios"][name]) for name in self._base if name in state["ratios"]}
        self.generator.set_state(state["generator"].cpu())
        self.batch = self._joined(self._base)


def _shared(batch: dict[str, Tensor]) -> list[list[str]]:
    """Names of constraints by the points they share."""
    groups: dict[int, list[str]] = {}
    for name, X in batch.items():
        groups.setdefault(id(X), []).append(name)
    return list(groups.values())
