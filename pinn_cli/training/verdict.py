"""The verdict on a trained model, from residuals at points that the training has not seen, and from estimated errors.

It states what it has measured. It does not prove that the solution is right: docs/verdict.md shows what it cannot see.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, isfinite, isnan

import torch
from torch import Tensor

from pinn_cli.methods.contracts import NEGLIGIBLE, RATIO
from pinn_cli.physics.points import fresh_points
from pinn_cli.physics.problem import Problem
from pinn_cli.physics.terms import rms
from pinn_cli.training.error_estimate import Estimate
from pinn_cli.training.objective import Objective
from pinn_cli.training.residuals import Residuals

SMALL = 1e-2  # a constraint counts as satisfied if its held-out residual / its largest term is below this
SMALLER = 1e-3  # the same where the estimate of the error may not be trusted
ROUNDING = 1e-10  # below this they come from rounding errors, and it says nothing that one is larger
FITTED = 0.5  # measurements count as fitted if their residual / their variation is below this: they have noise
BIASED = 5e-2  # measurements contradict the equations if their mean residual / their variation is above this, and
CHANCE = 5.0  # this many standard errors: then it is no noise
ACCURATE = 2e-2  # a field counts as accurate if its estimated error / its variation is below this
FRESH = 8  # held-out points for each training point
NO_USE = "more steps change nothing"  # so begins the advice where the optimizer has stopped
UNTRAINED = 128  # held-out points / FRESH of a constraint that has no training points


@dataclass(frozen=True)
class Verdict:
    """What was measured, by constraint or by field. `str` is one line: `ok`, or what is wrong and what to do.

    ratio      held-out residual / residual at the training points
    relative   held-out residual / largest term, of every constraint of the problem, whatever its weight or points
    measured   residual of measurements / their variation
    biased     mean residual of measurements / their variation, 0 where noise explains it
    estimated  estimated error / variation, by field
    trusted    whether the estimate may be trusted where the equations hold (`error_estimate.py`); None: not measured
    points     training points of a constraint on each part of its region
    doubts     what was said of the problem before its training (`physics/doubts.py`)
    advice     what may help where the equations do not hold, or not well enough; "": train longer
    """

    ratio: Mapping[str, float] = field(default_factory=dict)
    relative: Mapping[str, float] = field(default_factory=dict)
    measured: Mapping[str, float] = field(default_factory=dict)
    biased: Mapping[str, float] = field(default_factory=dict)
    estimated: Mapping[str, float] = field(default_factory=dict)
    trusted: bool | None = None
    points: Mapping[str, int] = field(default_factory=dict)
    doubts: Sequence[str] = ()
    advice: str = ""

    @property
    def larger(self) -> list[str]:
        """The constraints whose residual is clearly larger at unseen points, and not near rounding errors."""
        bound = {name: inf if size < ROUNDING else RATIO for name, size in self.relative.items()}
        return [name for name, q in self.ratio.items() if not q < bound.get(name, RATIO)]

    @property
    def broken(self) -> list[str]:
        """Those of them whose residual is not negligible there all the same."""
        return [n for n in self.larger if not (self.ratio[n] < inf and self.relative.get(n, inf) < NEGLIGIBLE)]

    @property
    def large(self) -> list[str]:
        bound = SMALLER if self.trusted is False else SMALL
        return [name for name, size in self.relative.items() if not size < bound]

    @property
    def _advice(self) -> str:
        return self.advice or "train longer: type a larger stop.steps"

    @property
    def ok(self) -> bool:
        """Whether nothing of what was measured is wrong."""
        return str(self).startswith("ok")

    @property
    def solved(self) -> bool:
        """Whether the equations hold as far as was measured, so that the linearised ones may tell the error."""
        return str(self).startswith(("ok", "not accurate yet"))

    def __str__(self) -> str:
        if undefined := [name for name, size in self.relative.items() if not isfinite(size)]:
            return (
                f"not finite: {', '.join(undefined)} has no finite residual at some unseen points; look in its formula "
                "for a division by 0, or a root or logarithm of a negative number"
            )
        if self.doubts:
            return f"not decided: {self.doubts[0]}"
        if self.broken:
            more = " ".join(f"points.{name}={2 * self.points[name]}" for name in self.broken if name in self.points)
            times = _list(self.ratio, self.broken, " times", 3)
            return (
                f"broken between the points: the held-out residual is {times} the trained one; more points are needed"
                f"{f': type {more}' if more else ''}{f'; {self.advice}' if self.advice.startswith(NO_USE) else ''}"
            )
        if self.large:
            sizes = _list(self.relative, self.large)
            why = ", and the estimated error does not explain it" if self.trusted is False else ""
            return (
                f"the equation is not satisfied yet: held-out residual relative to its largest term {sizes}{why}; "
                f"{self._advice}"
            )
        if unfitted := [name for name, size in self.measured.items() if not size < FITTED]:
            return (
                "the measurements are not fitted: residual relative to their variation "
                f"{_list(self.measured, unfitted)}; type a larger weights.data"
            )
        if contradict := [name for name, size in self.biased.items() if not size < BIASED]:
            return (
                "the measurements contradict the equations: mean residual relative to their variation "
                f"{_list(self.biased, contradict)}, too large for noise; look for an offset or a wrong condition"
            )
        if wrong := [name for name, size in self.estimated.items() if not size < ACCURATE]:
            return (
                f"not accurate yet: estimated error relative to the variation {_list(self.estimated, wrong)}; "
                f"{self._advice}"
            )
        if self.larger:
            times = _list(self.ratio, self.larger, " times", 3)
            return f"ok: residuals at unseen points are small, though {times} those at the training points"
        return "ok: residuals at unseen points are as small as at the training points"


def worst(verdicts: Sequence[Verdict]) -> Verdict:
    """One verdict on all: for each constraint the largest number of all; NaN counts as the largest."""

    def largest(tables: list[Mapping[str, float]]) -> dict[str, float]:
        sizes = {name: [t[name] for t in tables if name in t] for name in dict.fromkeys(n for t in tables for n in t)}
        return {name: max(values, key=lambda q: inf if isnan(q) else q) for name, values in sizes.items()}

    return Verdict(
        ratio=largest([v.ratio for v in verdicts]),
        relative=largest([v.relative for v in verdicts]),
        measured=largest([v.measured for v in verdicts]),
        biased=largest([v.biased for v in verdicts]),
        estimated=largest([v.estimated for v in verdicts]),
        trusted=next((v.trusted for v in verdicts if v.trusted is not None), None),
        points={name: n for v in verdicts for name, n in v.points.items()},
        doubts=[doubt for v in verdicts for doubt in v.doubts],
        advice=next((v.advice for v in verdicts if v.advice), ""),
    )


def judge(
    problem: Problem,
    objective: Objective,
    estimated: Estimate,
    seed: int = 0,
    seams: Sequence[Objective] = (),
    doubts: Sequence[str] = (),
    advice: str = "",
) -> Verdict:
    """The verdict on the model of an objective as a solution of `problem`, with its estimated errors.

    `seams` are the windows in time after the first, with the conditions that tie each to the one before.
    """
    errors = relative_errors(problem, objective, estimated.correction)
    return worst([
        examine(problem, objective, seed),
        *(examine(seam.problem, seam, seed, only=seam.batch) for seam in seams),
        Verdict(estimated=errors, trusted=estimated.is_trusted(solved=True), doubts=doubts, advice=advice),
    ])  # fmt: skip


@torch.no_grad()
def examine(problem: Problem, objective: Objective, seed: int = 0, only: Collection[str] | None = None) -> Verdict:
    """Look at the model of an objective as a solution of `problem`, which the last stage may have changed.

    Every constraint of the problem counts, also one that is imposed by construction, has weight 0 or no points; with
    `only`, these alone.
    """
    at = Residuals(problem, objective.model, objective.engine, imposed=())
    generator, like = torch.Generator("cpu").manual_seed(seed * 7919 + 2), objective.parameters[0]
    scales = at.scales(like)
    ratio, relative, measured, biased, points = {}, {}, {}, {}, {}
    for name, c in at.constraints.items():
        if only is not None and name not in only:
            continue
        X = objective.batch.get(name)
        count = FRESH * (UNTRAINED if X is None else len(X))
        fresh = problem.data.to(like) if c.kind == "data" else fresh_points(problem, c.region, count, generator, like)
        if c.kind == "data":
            r, largest = at.at((name,), fresh)[name], max(max(at.terms(name, fresh, scales).values()), 1e-300)
            measured[name], biased[name] = rms(r) / largest, bias(r) / largest
            continue
        relative[name] = at.relative(name, fresh, scales)
        if X is not None:
            ratio[name] = rms(objective.residual(name, fresh)) / max(rms(objective.residual(name, X)), 1e-300)
            points[name] = max(1, len(X) // len(problem.domain.parts(c.region)))
    return Verdict(ratio, relative, measured, biased, points=points)


def bias(r: Tensor) -> float:
    """|mean| of the residuals (N,) of measurements; 0 if noise of mean 0 and their deviation explains it."""
    mean, by_chance = float(r.mean().abs()), CHANCE * float(r.std(correction=0)) / len(r) ** 0.5
    return mean if mean > by_chance else 0.0


def relative_errors(problem: Problem, objective: Objective, correction: Mapping[str, Tensor]) -> dict[str, float]:
    """The estimated error (N,) of each field over its variation, the larger of those before and after correction."""
    scales = Residuals(problem, objective.model, objective.engine, imposed=()).scales(objective.parameters[0])
    sizes = dict(zip(problem.fields, scales.deviation.tolist(), strict=True))
    return {name: rms(d) / max(sizes[name], float(d.std(correction=0)), 1e-300) for name, d in correction.items()
            if name in sizes}  # fmt: skip


def _list(table: Mapping[str, float], names: Sequence[str], unit: str = "", digits: int = 1) -> str:
    return ", ".join(f"{name} {table[name]:.{digits}g}{unit}" for name in names)
