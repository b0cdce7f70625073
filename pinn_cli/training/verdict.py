"""The verdict on a trained model, from residuals at points that the training has not seen."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isnan

import torch

from pinn_cli.methods.contracts import RATIO
from pinn_cli.physics.points import fresh_points
from pinn_cli.physics.problem import Problem
from pinn_cli.physics.terms import rms
from pinn_cli.training.objective import Objective

SMALL = 1e-2  # the equation counts as satisfied if its held-out residual / its largest term is below this
FRESH = 8  # held-out points for each training point


@dataclass(frozen=True)
class Verdict:
    """By constraint: `ratio` of held-out to trained residuals, and `relative`, held-out residual / largest term."""

    ratio: dict[str, float]
    relative: dict[str, float]

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
        return "residuals on unseen points are as small as on the training points"


def worst(verdicts: Sequence[Verdict]) -> Verdict:
    """One verdict on all: for each constraint the largest number of all; NaN counts as the largest."""

    def largest(tables: list[dict[str, float]]) -> dict[str, float]:
        sizes = {name: [t[name] for t in tables if name in t] for name in dict.fromkeys(n for t in tables for n in t)}
        return {name: max(values, key=lambda q: inf if isnan(q) else q) for name, values in sizes.items()}

    return Verdict(largest([v.ratio for v in verdicts]), largest([v.relative for v in verdicts]))


def examine(problem: Problem, objective: Objective, seed: int = 0) -> Verdict:
    """Compare residuals on fresh points with those on the training points. This cannot prove a solution right."""
    generator = torch.Generator("cpu").manual_seed(seed * 7919 + 2)
    ratio, relative = {}, {}
    for name, X in objective.batch.items():
        c = objective.constraints[name]
        if c.kind == "data":  # measurements have noise, and no fresh points
            continue
        fresh = fresh_points(problem, c.region, FRESH * len(X), generator, X)
        with torch.no_grad():
            held_out, trained = rms(objective.residual(name, fresh)), rms(objective.residual(name, X))
        ratio[name] = held_out / max(trained, 1e-300)
        relative[name] = held_out / max(max(objective.terms(name, fresh).values()), 1e-300)
    return Verdict(ratio, relative)
