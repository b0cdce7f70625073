"""What points that the training has not seen say of a run at its end."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isnan
from typing import Any

import torch

from pinn_cli.methods.contracts import RATIO
from pinn_cli.physics.points import fresh_points
from pinn_cli.physics.terms import rms

SMALL = 1e-2  # a held-out residual relative to the equation's largest term that counts as satisfied


@dataclass(frozen=True)
class Verdict:
    """What the held-out points say at the end: q and the residual relative to the equation's largest term, by name."""

    ratio: dict[str, float]
    relative: dict[str, float]

    @property
    def sound(self) -> bool:
        return not self.broken and not self.large

    @property
    def broken(self) -> list[str]:
        return [name for name, q in self.ratio.items() if not q < RATIO]

    @property
    def large(self) -> list[str]:
        return [name for name, size in self.relative.items() if not size < SMALL]

    def __str__(self) -> str:
        if self.broken:
            q = ", ".join(f"{name} {self.ratio[name]:.3g} times" for name in self.broken)
            return f"broken between the points: the held-out residual is {q} the trained one; more points are needed"
        if self.large:
            sizes = ", ".join(f"{name} {self.relative[name]:.1g}" for name in self.large)
            return f"the equation is not satisfied yet: held-out residual relative to its largest term {sizes}"
        return "the points speak for the equation"


def worst(verdicts: Sequence[Verdict]) -> Verdict:
    """One verdict on all: of every constraint the largest numbers, and what is no number is worse than any."""

    def largest(tables: list[dict[str, float]]) -> dict[str, float]:
        found = {name: [t[name] for t in tables if name in t] for name in dict.fromkeys(n for t in tables for n in t)}
        return {name: max(sizes, key=lambda q: inf if isnan(q) else q) for name, sizes in found.items()}

    return Verdict(largest([v.ratio for v in verdicts]), largest([v.relative for v in verdicts]))


def examine(problem: Any, objective: Any, seed: int = 0, candidates: float = 8.0) -> Verdict:
    """The verdict on a trained model: it satisfies the equation between the points; never a proof that it is right."""
    generator = torch.Generator("cpu").manual_seed(seed * 7919 + 2)
    ratio, relative = {}, {}
    for name, X in objective.batch.items():
        c = objective.constraints[name]
        if c.kind == "data":  # measurements have noise: there is nothing to hold them against
            continue
        fresh = fresh_points(problem, c.region, int(candidates * len(X)), generator, X)
        with torch.no_grad():
            held_out, trained = rms(objective.residual(name, fresh)), rms(objective.residual(name, X))
        ratio[name] = held_out / max(trained, 1e-300)
        relative[name] = held_out / max(max(objective.terms(name, fresh).values()), 1e-300)
    return Verdict(ratio, relative)
