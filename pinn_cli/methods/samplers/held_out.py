"""The held-out guard: it compares residuals on unseen points with those on training points, and adds points if needed.

A least-squares method can make the loss very small with a wrong function that satisfies the equation at the training
points and violates it between them. The ratio

    q = rms residual on fresh points / rms residual on the training points

shows this; it stays near 1 for a solution. Every few steps q is measured for each constraint. Where q > 2, some of the
fresh points, drawn with probability ~ |r| (Wu et al. 2023), join the training points. The points of the inner sampler
are always kept.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from pinn_cli.methods.contracts import NEGLIGIBLE, RATIO, Batch, Objective, Sampler
from pinn_cli.physics.points import fresh_points
from pinn_cli.physics.problem import Problem
from pinn_cli.physics.terms import rms

SOME = 512  # points at which the sizes of terms are measured


@dataclass
class HeldOut(Sampler):
    """Wraps a sampler that keeps its points.

    Every `every` steps it draws `candidates` fresh points per training point. Where q > `ratio`, it adds a share `add`
    of the number of training points. Beyond `most` additions the oldest ones are removed. Raises ValueError for numbers
    that are not possible.
    """

    inner: Sampler
    seed: int = 0
    every: int = 8
    candidates: float = 8.0
    ratio: float = RATIO
    add: float = 0.15
    most: int = 20
    added: dict[str, Tensor] = field(default_factory=dict)  # by the first constraint on these points
    ratios: dict[str, float] = field(default_factory=dict)  # the last q by constraint

    def __post_init__(self) -> None:
        for name in ("every", "most"):
            if (found := getattr(self, name)) < 1:
                raise ValueError(f"found {name}={found}; expected a whole number above 0")
        for name in ("candidates", "ratio", "add"):
            if not (found := getattr(self, name)) > 0:
                raise ValueError(f"found {name}={found:g}; expected a number above 0")
        self.generator = torch.Generator("cpu").manual_seed(self.seed * 7919 + 1)
        self._base: Batch = {}
        self.batch: Batch = {}

    def begin_stage(self, problem: Problem) -> None:
        self.inner.begin_stage(problem)
        self.added, self._base, self.batch = {}, {}, {}

    def draw(self, step: int, problem: Problem, objective: Objective) -> Batch:
        """The inner sampler's points with the additions; the same tensors as before where nothing changes."""
        base = self.inner.draw(step, problem, objective)
        changed = base.keys() != self._base.keys() or any(base[n] is not self._base[n] for n in base)
        if changed and self._base:
            self.added = {}
        if step and step % self.every == 0 and objective.batch and not changed:
            changed = any([self._examine(names, problem, objective, self.candidates) for names in _shared(self.batch)])
        if changed or not self.batch:
            self._base, self.batch = base, self._joined(base)
        return self.batch

    def ahead(self, step: int, most: int) -> list[Batch]:
        """Those of the inner sampler with the additions, until it looks again; additions end where points change."""
        batches = []
        for base in self.inner.ahead(step, min(most, self.every - 1 - step % self.every)):
            if any(base[name] is not self._base[name] for name in base):
                self.added, self._base = {}, base
                self.batch = self._joined(base)
            batches.append(self.batch)
        return batches

    def refine(self, problem: Problem, objective: Objective) -> bool:
        """Look at once, at as many fresh points as there are training points; True if points were added.

        None are beyond `most` additions, or where r is negligible.
        """
        room = [names for names in _shared(self.batch) if len(self._known(names)) < self.most * self._share(names)]
        changed = any([self._examine(names, problem, objective, 1.0, NEGLIGIBLE) for names in room])
        if changed:
            self.batch = self._joined(self._base)
        return changed

    def _share(self, names: list[str]) -> int:
        """The number of points of one addition."""
        return max(1, int(self.add * len(self._base[names[0]])))

    def _known(self, names: list[str]) -> Tensor:
        """The points that were added to those of some constraints."""
        return self.added.get(names[0], self._base[names[0]][:0])

    def _examine(
        self, names: list[str], problem: Problem, objective: Objective, candidates: float, least: float = 0.0
    ) -> bool:
        """Measure q for constraints that share their points; add fresh points and return True where it is large.

        A residual below `least` times its largest term is not.
        """
        c, trained = objective.constraints[names[0]], objective.batch[names[0]]
        n = max(1, int(candidates * len(trained)))
        fresh = fresh_points(problem, c.region, n, self.generator, trained)
        with torch.no_grad():
            r = {name: objective.residual(name, fresh) for name in names}
            here = {name: objective.residual(name, trained) for name in names}
        here |= {name: f.sqrt() * here[name] for name, f in self.factors().items() if name in here}
        self.ratios |= {name: rms(r[name]) / max(rms(here[name]), 1e-300) for name in names}
        broken = [name for name in names if not self.ratios[name] <= self.ratio]  # also where q is not finite
        if least:
            terms = {name: max(objective.terms(name, fresh[:SOME]).values()) for name in broken}
            broken = [name for name in broken if not rms(r[name]) <= least * terms[name]]
        if c.kind == "data" or not broken:
            return False
        sizes = [(r[name].abs() / max(rms(r[name]), 1e-300)).double().nan_to_num(1.0, 1.0) for name in broken]
        density = torch.stack(sizes).sum(0).cpu() + 1e-300
        share = self._share(names)
        chosen = torch.multinomial(density, min(share, n), generator=self.generator).to(fresh.device)
        self.added[names[0]] = torch.cat([self._known(names).to(fresh), fresh[chosen]])[-self.most * share :]
        return True

    def _joined(self, base: Batch) -> Batch:
        batch: Batch = {}
        for names in _shared(base):
            first = base[names[0]]
            more = self.added.get(names[0])
            points = first if more is None else torch.cat([first, more.to(first)])
            batch |= dict.fromkeys(names, points)
        return {name: batch[name] for name in base}

    def values(self) -> dict[str, float]:
        """The last q of each constraint."""
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


def _shared(batch: Batch) -> list[list[str]]:
    """Names of constraints by the points they share."""
    groups: dict[int, list[str]] = {}
    for name, X in batch.items():
        groups.setdefault(id(X), []).append(name)
    return list(groups.values())
