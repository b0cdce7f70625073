"""The verdict on a trained model, from residuals at points that the training has not seen, and from estimated errors.

It states what it has measured. It does not prove that the solution is right: docs/verdict.md shows what it cannot see.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf, isfinite, isnan
from typing import Any

import torch
from torch import Tensor

from pinn_cli.methods.contracts import NEGLIGIBLE, RATIO, Batch
from pinn_cli.physics.family import Family
from pinn_cli.physics.piecewise import Marched
from pinn_cli.physics.points import fresh_points, measured_points
from pinn_cli.physics.problem import Problem
from pinn_cli.physics.terms import Scales, is_prior, rms
from pinn_cli.physics.time_window import Window
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
FEW, MANY = 256, 8192  # held-out points at most of a constraint: in each of many parts, and in all together
Part = tuple[str, str]  # `ratio` or `relative`, and a constraint


@dataclass(frozen=True)
class Verdict:
    """What was measured, by constraint or by field. `str` is one line: `ok`, or what is wrong and what to do.

    ratio      held-out residual / residual at the training points
    relative   held-out residual / largest term, of every constraint of the problem, whatever its weight or points
    beside     the same where the ratio was measured; without an entry it is `relative`
    windows    in which window in time, or for which instance of a family, a ratio or a relative residual was measured
    measured   residual of measurements / their variation
    biased     mean residual of measurements / their variation, 0 where noise explains it
    estimated  estimated error / variation, by field
    trusted    whether the estimate may be trusted where the equations hold (`error_estimate.py`); None: not measured
    points     training points of a constraint on each part of its region, as they are typed
    doubts     what was said of the problem before its training (`physics/doubts.py`)
    advice     what may help where the equations do not hold, or not well enough; "": train longer
    reached    how far a run has come that has stopped between windows in time; "": to the end
    go_on      the command with which such a run goes on
    unsolved   which instances of a family the network has not solved, and what to type; "": it has, or solves none
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
    beside: Mapping[str, float] = field(default_factory=dict)
    windows: Mapping[Part, str] = field(default_factory=dict)
    reached: str = ""
    go_on: str = ""
    unsolved: str = ""

    @property
    def larger(self) -> list[str]:
        """The constraints whose residual is clearly larger at unseen points, and not near rounding errors."""
        bound = {name: inf if self._beside(name) < ROUNDING else RATIO for name in self.ratio}
        return [name for name, q in self.ratio.items() if not q < bound[name]]

    @property
    def broken(self) -> list[str]:
        """Those of them whose residual is not negligible there all the same."""
        return [n for n in self.larger if not (self.ratio[n] < inf and self._beside(n) < NEGLIGIBLE)]

    def _beside(self, name: str) -> float:
        return self.beside.get(name, self.relative.get(name, inf))

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

    @property
    def group(self) -> dict[str, Any]:
        """Its part of the results file."""
        relative = {**self.relative, **self.measured}
        return {"verdict": str(self), "ratio": self.ratio, "relative": relative, "biased": self.biased,
                "estimated": self.estimated}  # fmt: skip

    def __str__(self) -> str:
        if not self.reached:
            return self._found()
        found = self._found()
        if self.relative and not found.startswith("ok"):
            return f"stopped on the way: {self.reached}; there {found}"
        there = "the equations hold there" if self.relative else "no window is finished"
        return f"stopped on the way: {self.reached}, {there}; to go on type {self.go_on}"

    def _found(self) -> str:
        if undefined := [name for name, size in self.relative.items() if not isfinite(size)]:
            return (
                f"not finite: {', '.join(undefined)} has no finite residual at some unseen points; look in its formula "
                "for a division by 0, or a root or logarithm of a negative number"
            )
        if self.unsolved:
            return f"not solved: {self.unsolved}"
        if self.doubts:
            return f"not decided: {self.doubts[0]}"
        if self.broken:
            more = " ".join(f"points.{name}={2 * self.points[name]}" for name in self.broken if name in self.points)
            times = self._list("ratio", self.broken, " times", 3)
            return (
                f"broken between the points: the held-out residual is {times} the trained one; more points are needed"
                f"{f': type {more}' if more else ''}{f'; {self.advice}' if self.advice.startswith(NO_USE) else ''}"
            )
        if self.large:
            sizes = self._list("relative", self.large)
            why = ", and the estimated error does not explain it" if self.trusted is False else ""
            return (
                f"the equation is not satisfied yet: held-out residual relative to its largest term {sizes}{why}; "
                f"{self._advice}"
            )
        if unfitted := [name for name, size in self.measured.items() if not size < FITTED]:
            return (
                "the measurements are not fitted: residual relative to their variation "
                f"{self._list('measured', unfitted)}; type a larger weights.data"
            )
        if contradict := [name for name, size in self.biased.items() if not size < BIASED]:
            return (
                "the measurements contradict the equations: mean residual relative to their variation "
                f"{self._list('biased', contradict)}, too large for noise; look for an offset or a wrong condition"
            )
        if wrong := [name for name, size in self.estimated.items() if not size < ACCURATE]:
            return (
                f"not accurate yet: estimated error relative to the variation {self._list('estimated', wrong)}; "
                f"{self._advice}"
            )
        if self.larger:
            times = self._list("ratio", self.larger, " times", 3)
            return f"ok: residuals at unseen points are small, though {times} those at the training points"
        return "ok: residuals at unseen points are as small as at the training points"

    def _list(self, kind: str, names: Sequence[str], unit: str = "", digits: int = 1) -> str:
        """The numbers of one kind, each with the window in which it was measured."""
        where = {name: f" ({self.windows[kind, name]})" if (kind, name) in self.windows else "" for name in names}
        return ", ".join(f"{name} {getattr(self, kind)[name]:.{digits}g}{unit}{where[name]}" for name in names)


def worst(verdicts: Sequence[Verdict]) -> Verdict:
    """One verdict on all: for each constraint the largest number of all; NaN counts as the largest.

    A ratio comes with the relative residual, the window and the points where it was measured. One that breaks the
    verdict is worse than a larger one of negligible residuals.
    """
    ratios, relatives = _sources(verdicts, "ratio"), _sources(verdicts, "relative")
    return Verdict(
        ratio={name: of.ratio[name] for name, of in ratios.items()},
        relative={name: of.relative[name] for name, of in relatives.items()},
        measured=_largest(verdicts, "measured"),
        biased=_largest(verdicts, "biased"),
        estimated=_largest(verdicts, "estimated"),
        trusted=next((v.trusted for v in verdicts if v.trusted is not None), None),
        points={n: c for v in verdicts for n, c in v.points.items()}
        | {name: of.points[name] for name, of in ratios.items() if name in of.points},
        doubts=[doubt for v in verdicts for doubt in v.doubts],
        advice=next((v.advice for v in verdicts if v.advice), ""),
        beside={name: of._beside(name) for name, of in ratios.items()},
        windows={
            (kind, name): of.windows[kind, name]
            for kind, sources in (("ratio", ratios), ("relative", relatives))
            for name, of in sources.items()
            if (kind, name) in of.windows
        },
        reached=next((v.reached for v in verdicts if v.reached), ""),
        go_on=next((v.go_on for v in verdicts if v.go_on), ""),
        unsolved=next((v.unsolved for v in verdicts if v.unsolved), ""),
    )


def _sources(verdicts: Sequence[Verdict], kind: str) -> dict[str, Verdict]:
    """For every name in the tables of this kind the verdict with the worst number."""

    def badness(v: Verdict, name: str) -> tuple[bool, float]:
        size = getattr(v, kind)[name]
        return kind == "ratio" and name in v.broken, inf if isnan(size) else size

    names = dict.fromkeys(name for v in verdicts for name in getattr(v, kind))
    return {n: max((v for v in verdicts if n in getattr(v, kind)), key=lambda v: badness(v, n)) for n in names}


def _largest(verdicts: Sequence[Verdict], kind: str) -> dict[str, float]:
    return {name: getattr(of, kind)[name] for name, of in _sources(verdicts, kind).items()}


def judge(
    problem: Problem,
    objective: Objective,
    estimated: Estimate,
    seed: int = 0,
    windows: Sequence[Objective] = (),
    doubts: Sequence[str] = (),
    advice: str = "",
    go_on: str = "",
    others: Sequence[Verdict] = (),
) -> Verdict:
    """The verdict on the model of an objective as a solution of `problem`, with its estimated errors.

    `windows` are the windows in time that have been trained, each at its own points. Each is judged alone, and the
    worst counts: one number for all times would be that of the largest windows. With `go_on`, what to type, the run
    has stopped before the last one. `others` are the verdicts on further instances of a family, which count as much.
    """
    errors = {} if estimated.is_of_worse_solution else relative_errors(problem, objective, estimated.correction)
    untrained = untrained_from(problem, objective, windows)
    marched = isinstance(objective.model, Marched)
    if marched:
        each = _windows(problem, objective, windows, untrained, seed)
    else:
        each = [_of(problem, examine(problem, objective, seed), others)]
    rest = Verdict(estimated=errors, trusted=estimated.is_trusted(solved=True), doubts=doubts, advice=advice)
    if untrained is not None:
        reached = f"trained up to {untrained} of {untrained.end:.4g}"
        rest = replace(rest, trusted=None, reached=reached, go_on=go_on)
    return worst([*each, *others, rest])


def judge_instances(objective: Objective, seed: int = 0) -> list[Verdict]:
    """A verdict on each test instance of a family, at fewer points than that on one problem; [] without a family."""
    instances, found = objective.at.held_out("test"), list[Verdict]()
    most = max(FEW, MANY // max(1, len(instances)))
    for instance in instances:
        one = objective.of(instance)
        scales = Residuals(instance, one.model, one.engine, imposed=()).scales(one.parameters[0])
        verdict = examine(instance, one, seed, measure=Measure(scales, instance, most))
        found.append(_of(instance, verdict, instances))
    return found


def _of(problem: Problem, verdict: Verdict, others: Sequence[Any]) -> Verdict:
    """A verdict that says of which instance its numbers are, if there are others."""
    if not others or not isinstance(problem, Family):
        return verdict
    parts = [(kind, name) for kind in ("ratio", "relative") for name in getattr(verdict, kind)]
    return replace(verdict, windows=dict.fromkeys(parts, f"instance {problem.seed}"))


@dataclass(frozen=True)
class Untrained:
    """The part of the time, from `start` on, that no window has been trained on, where all time is `begin` to `end`."""

    name: str
    begin: float
    start: float
    end: float

    @property
    def share(self) -> float:
        """The share of the time that has been trained."""
        return (self.start - self.begin) / (self.end - self.begin)

    def __str__(self) -> str:
        return f"{self.name}={self.start:.4g}"


def untrained_from(problem: Problem, objective: Objective, windows: Sequence[Objective]) -> Untrained | None:
    """What these windows, which have been trained, leave of the time; None: nothing, or there are no windows."""
    if not isinstance(objective.model, Marched):
        return None
    begins, last = objective.model.windows[:, 0].tolist(), float(objective.model.windows[-1, 1])
    start = begins[len(windows)] if len(windows) < len(begins) else last
    name = problem.domain.time or ""
    begin, end = problem.domain.extent(name)
    return Untrained(name, begin, start, end) if start < end else None


@dataclass(frozen=True)
class Measure:
    """What residuals are measured against: the fields of the whole solution, as they vary on the domain of `extents`.

    `most` is the number of held-out points of a constraint, at most. `unknowns` are the values of the coefficients that
    the solution has, where a window in time may have others.
    """

    scales: Scales
    extents: Problem
    most: int = MANY
    unknowns: Mapping[str, Tensor] = field(default_factory=dict)


def _windows(
    problem: Problem, objective: Objective, windows: Sequence[Objective], untrained: Untrained | None, seed: int
) -> list[Verdict]:
    """The verdict on every window in time up to `untrained`, and on the measurements in all of them.

    A residual counts by the change of the solution that it causes in its window, if all were like it: its equations
    are compared with fields that vary over K times its length, for K windows. So the residual of a tiny window in which
    a layer begins may be large, and those of equal windows are compared with the whole time.
    """
    if not windows:
        return []
    begin, end = problem.domain.extent(problem.domain.time or "")
    until = end if untrained is None else untrained.start
    trained, like = Window(problem, begin, until), objective.parameters[0]
    scales = Residuals(trained, objective.model, objective.engine, imposed=()).scales(like)
    data = [c.name for c in problem.constraints() if c.kind == "data"]
    others = [c.name for c in problem.constraints() if c.kind != "data"]
    most = max(FEW, MANY // len(windows))
    found = [examine(trained, objective, seed, data, Measure(scales, problem))] if data else []
    for k, own in enumerate(windows):
        of = _part(problem, own, windows[k + 1].problem if k + 1 < len(windows) else None, until)
        length = min(until - begin, len(windows) * (of.end - of.start))
        measure = Measure(scales, Window(problem, begin, begin + length), most, objective.unknowns)
        found.append(examine(of, own, seed + k, others, measure))
    return found


def _part(problem: Problem, own: Objective, after: Any, until: float) -> Window:
    """The problem of the run on the time for which a window counts: until the next begins."""
    window: Any = own.problem
    return Window(problem, window.start, until if after is None else after.start, window.before, window.part)


@torch.no_grad()
def examine(
    problem: Problem,
    objective: Objective,
    seed: int = 0,
    only: Collection[str] | None = None,
    measure: Measure | None = None,
) -> Verdict:
    """Look at the model of an objective as a solution of `problem`, which the last stage may have changed.

    Every constraint of the problem counts, also one that is imposed by construction, has weight 0 or no points; with
    `only`, these alone. A residual of unknown fields alone is a prior, which need not hold. Without a `measure`
    residuals are compared with the solution on the domain of `problem`.
    """
    at = Residuals(problem, objective.model, objective.engine, imposed=())
    generator, like = torch.Generator("cpu").manual_seed(seed * 7919 + 2), objective.parameters[0]
    measure = measure or Measure(at.scales(like), problem)
    at.given = measure.unknowns
    ratio, measured, biased, points = {}, {}, {}, {}
    relative: dict[str, float] = {}
    judged = {name for name, c in at.constraints.items() if not is_prior(problem, c)}
    names = [name for name in at.constraints if name in judged and (only is None or name in only)]
    for name in (n for n in names if at.constraints[n].kind == "data"):
        points_of_data = measured_points(problem, at.constraints[name]).to(like)
        measured[name], biased[name] = _misfit(at, name, points_of_data, measure.scales)
    equations = {n: objective.batch.get(n) for n in names if at.constraints[n].kind != "data"}
    fresh: dict[tuple[str, int], Tensor] = {}  # constraints that share their training points share these too
    unseen: Batch = {}
    for name, X in equations.items():
        region = at.constraints[name].region
        if (region, id(X)) not in fresh:
            count = min(measure.most, FRESH * (UNTRAINED if X is None else len(X)))
            fresh[region, id(X)] = fresh_points(problem, region, count, generator, like)
        unseen[name] = fresh[region, id(X)]
    for group in at.groups(unseen):
        r, sizes = at.measured(group, unseen[group[0]], measure.scales, measure.extents)
        relative |= sizes
        X = equations[group[0]]
        if X is None:
            continue
        is_same = _equations(problem) is _equations(objective.problem) and not measure.unknowns
        there = r if is_same else objective.at.at(group, unseen[group[0]])
        inside = _inside(problem, X)
        here = objective.at.at(group, X[inside])
        for name in group:
            f = objective.factors.get(name)
            trained = here[name] if f is None else f[inside].sqrt() * here[name]
            ratio[name] = rms(there[name]) / max(rms(trained), 1e-300)
            region = at.constraints[name].region
            each = len(X) / len(problem.domain.parts(region)) / problem.share(region)
            points[name] = max(1, round(each))
    where = {(kind, n): str(problem) for kind, of in (("ratio", ratio), ("relative", relative)) for n in of}
    return Verdict(
        ratio, relative, measured, biased, points=points, windows=where if isinstance(problem, Window) else {}
    )


def _misfit(at: Residuals, name: str, X: Tensor, scales: Scales) -> tuple[float, float]:
    """The residual of measurements, and its mean, relative to their variation."""
    r, largest = at.at((name,), X)[name], max(max(at.terms(name, X, scales).values()), 1e-300)
    return rms(r) / largest, bias(r) / largest


def _equations(problem: Problem) -> Problem:
    """The problem that a window in time is a part of, or the problem itself."""
    return problem.problem if isinstance(problem, Window) else problem


def _inside(problem: Problem, X: Tensor) -> Tensor | slice:
    """Which points lie in the time of a window: it may have been trained for longer than it counts. All if none do."""
    if not isinstance(problem, Window):
        return slice(None)
    inside = X[:, problem.coordinates.index(problem.domain.time or "")] <= problem.end
    return inside if inside.any() else slice(None)


def bias(r: Tensor) -> float:
    """|mean| of the residuals (N,) of measurements; 0 if noise of mean 0 and their deviation explains it."""
    mean, by_chance = float(r.mean().abs()), CHANCE * float(r.std(correction=0)) / len(r) ** 0.5
    return mean if mean > by_chance else 0.0


def relative_errors(problem: Problem, objective: Objective, correction: Mapping[str, Tensor]) -> dict[str, float]:
    """The estimated error (N,) of each field over its variation, the larger of those before and after correction."""
    if not correction:
        return {}
    scales = Residuals(problem, objective.model, objective.engine, imposed=()).scales(objective.parameters[0])
    sizes = dict(zip(problem.fields, scales.deviation.tolist(), strict=True))
    return {name: rms(d) / max(sizes[name], float(d.std(correction=0)), 1e-300) for name, d in correction.items()
            if name in sizes}  # fmt: skip

