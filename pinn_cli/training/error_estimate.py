"""An estimate of the error of a trained network, without a reference solution.

The network is frozen. Random features phi_j (`random_features.py`) are added to its fields, and all equations of the
problem, linearised about the network, are solved for their coefficients at fresh points, in float64:

    minimise  sum_k mean_n ((r_k + J_k c)_n / s_k)^2        du = sum_j c_j phi_j, an estimate of solution - network

s_k is the rms response of constraint k to the gentlest features at the size of the fields.
This is one step of Newton's method in a space of smooth functions (defect correction: Stetter 1978, Numer. Math. 29);
a second one follows where the equations are nonlinear. The estimated error of a field is |du| / |u + du|, the relative
L2 error with u + du in the place of the reference.

How much of the residual F = (r_k / s_k) the correction removes is measured with the equations themselves, not with
their linearisation, and at points that the solve has not seen:

    explained = 1 - |F(u + du)| / |F(u)|

and the same at the few points in the interior where F(u) is largest. Around a singularity (the slope of sqrt(x) at 0)
smooth features explain most of the residual, and nothing of it where it is largest.

A problem of evolution is also corrected in windows in time, one after the other (`windowed_estimate.py`). The larger of
the two errors counts: only this one sees errors that the equations multiply by orders.

What remains belongs to errors that the features cannot express: where it is most of the residual, the estimate is a
lower bound. It does not see another solution of the same equations far away (a wrong branch). If the residual of u + du
is no smaller than that of u, the linearised equations are no guide over the distance |du|, and this is said. They may
be none either where the residuals are large against the terms of the equations: such an estimate is called rough.

Where all residuals are rounding errors there is nothing to explain: the estimate is then at the rounding floor if du
is as small. If it is not, a point of the solve has seen what the others miss, and the estimate is no guide.
"""

import copy
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from pinn_cli.physics.determinacy import undetermined
from pinn_cli.physics.piecewise import Marched
from pinn_cli.physics.problem import Problem
from pinn_cli.physics.symbols import Coefficient, Derivative, Normal, Place, Symbol
from pinn_cli.physics.terms import rms
from pinn_cli.physics.time_window import Window
from pinn_cli.training.correction import Correction
from pinn_cli.training.defect_correction import DefectCorrection
from pinn_cli.training.objective import Objective
from pinn_cli.training.residuals import Residuals
from pinn_cli.training.second_solution import SecondSolution, can_be_redrawn
from pinn_cli.training.windowed_estimate import WINDOWS, corrected_in_windows

POOR = 0.4  # explained: from here on within a factor of 3 where measured, below a lower bound
NEAR_ZERO = 0.1  # relative error of a field or coefficient that may be near 0: its absolute error is told too
COMMON = 0.6  # correlation of residuals: above it two solutions share what they lack
WORSE = 3.0  # residual of a second solution / residual: above it the second one says nothing of the first
ENOUGH = 0.75  # explained: more columns are not tried
COLUMNS = (400, 800)  # of the first attempt and of the second
ROUNDING = 1e-13  # |F(u)|: there is nothing to explain
SETTLED = 1e-9  # |du| / deviation of the field: above it the change is none by rounding
TRIAL = 4  # columns at most for each training point
AT_ONCE = 2000  # points that are evaluated together
APART = 3.0  # times the error by one correction of the whole time: above it, windows in time contradict it
NOISE_POINTS = 300  # points at which the effect of noise is measured


@dataclass(frozen=True)
class Estimate:
    """Estimated errors |du| / |u + du| by field, and how far they can be trusted.

    `explained` is the share of the residual that du removes; 0 or less: the equations hold no better for u + du; NaN:
    there is nothing to explain at the points where it is measured. `at_floor`: nor anywhere else, and du is as small.
    `peaks` is the same of the few largest residuals: they stay if the solution is singular, or finer than the features.
    `unknowns` has |change| / |value| of each trained coefficient, `changes` |change|; `correction` is du (N,) at the
    points asked for. `common` is the correlation of the residuals of two solutions with different features
    (`second_solution.py`), and du their difference; NaN: du is a correction. `at_once` has the errors by one correction
    of the whole time, of fields whose error by windows in time is several times as large. `why` tells why there is no
    estimate; "" if there is one.
    """

    error: Mapping[str, float] = field(default_factory=dict)
    explained: float = math.nan
    peaks: float = 1.0
    unknowns: Mapping[str, float] = field(default_factory=dict)
    changes: Mapping[str, float] = field(default_factory=dict)
    correction: Mapping[str, Tensor] = field(default_factory=dict)
    common: float = math.nan
    at_floor: bool = False
    at_once: Mapping[str, float] = field(default_factory=dict)
    why: str = ""

    @property
    def is_bound(self) -> bool:
        """Whether so little of the residual is explained that the errors are lower bounds, or rough.

        Two solutions need not explain each other's residual, but they must not leave the same one.
        """
        if self.at_floor:
            return False
        if self._are_two:
            return not (self.explained >= 1 - WORSE and self.common <= COMMON)
        return not min(self.explained, self.peaks) >= POOR

    @property
    def _are_two(self) -> bool:
        """Whether du is the difference of two solutions, of which neither explains the residual of the other."""
        return not math.isnan(self.common) and not min(self.explained, self.peaks) >= POOR

    @property
    def is_of_worse_solution(self) -> bool:
        """Whether du is the difference to a second solution whose residual is so large that du is mostly its error."""
        return self._are_two and self.explained <= 1 - WORSE

    def is_trusted(self, solved: bool) -> bool:
        """Whether the errors are no lower bounds and may stop a run.

        Their words (`trust`) are then a plain share, the difference to a second solution, or the rounding floor.
        """
        return solved and not self.why and not self.is_bound

    def trust(self, solved: bool = True) -> str:
        """How far the errors can be trusted; `solved`: the equations hold, as far as the verdict can say."""
        share = f"{100 * self.explained:.0f} % of the residual explained"
        if self.is_of_worse_solution:
            return "no guide: the second solution has a larger residual, and the error may be far smaller or larger"
        if not (self.at_floor or self.explained > (1 - WORSE if self._are_two else 0)):
            return "no guide: the corrected solution has no smaller residual, and the error may be many times as large"
        if not solved:
            return "rough: the verdict is not ok, and the error may be many times as large"
        if self.at_floor:
            return "at the rounding floor"
        if self._are_two:
            if not self.is_bound:
                return "the difference to a second solution with other features"
            if self.explained < 0:  # the second solution is the worse one, and most of du may be its error
                return "rough: a second solution leaves more of the same residual; the error may be smaller or larger"
            return "a rough lower bound: a second solution with other features leaves the same residual"
        if self.explained >= POOR > self.peaks:
            return f"a rough lower bound: {share}, but only {100 * max(0.0, self.peaks):.0f} % where it is largest"
        return f"a rough lower bound: only {share}" if self.is_bound else share

    def group(self, solved: bool) -> dict[str, Any]:
        """Its part of the results file, without its lines."""
        found: dict[str, Any] = {"error": self.error, "unknown": self.unknowns, "correction": self.correction}
        if self.why:
            return found
        common = {} if math.isnan(self.common) else {"common": self.common}
        trust = {"at_once": self.at_once, "trust": self.trust(solved)}
        return {**found, "explained": self.explained, "peaks": self.peaks, **common, **trust}

    def lines(self, solved: bool = True) -> list[str]:
        """One line for each field and unknown, or the reason why there is none."""
        if self.why:
            return [f"estimated error: none ({self.why})"]
        kinds = {**dict.fromkeys(self.error, "relative L2"), **dict.fromkeys(self.unknowns, "relative")}
        errors, absolute = {**self.error, **self.unknowns}, {n: rms(d) for n, d in self.correction.items()}
        for name, size in (absolute | dict(self.changes)).items():
            if name in errors and not errors[name] < NEAR_ZERO:
                kinds[name] += f"; {size:.0e} in absolute terms"
        for name, e in self.at_once.items():
            kinds[name] += f"; by {WINDOWS} windows in time, the whole time at once gives {e:.0e}"
        trust = self.trust(solved)
        return [f"estimated error {name} {e:.0e} ({kinds[name]}; {trust})" for name, e in errors.items()]


def estimate(
    objective: Objective, X: Tensor, seed: int = 0, problem: Problem | None = None, observables: Collection[str] = ()
) -> Estimate:
    """The estimate for the model of an objective, from its fields and `observables` at points X (N, D) of the domain.

    `problem` is the problem of the run, if its last stage trained another one. No ordinary error is raised: where there
    is no estimate, `Estimate.why` has the reason.
    """
    problem = problem or objective.problem
    if problem.unknown_fields:
        sought = ", ".join(problem.unknown_fields)
        return Estimate(why=f"{sought} is sought from measurements; its standard error says how well they determine it")
    try:
        free = undetermined(problem, tuple(_periodic(problem, objective.model)))
        names = _determined(problem, observables, free.names if free else ())
        if free and not names:
            return Estimate(why=str(free))
        with torch.no_grad():
            pieces, X, columns = _pieces(problem, objective), X.cpu().double(), _columns(objective)
            found = _estimate(pieces, problem, names, X, seed, columns)
            if len(pieces) == 1 and not found.at_floor:
                found = _larger(found, corrected_in_windows(pieces[0], _each(columns, WINDOWS)[0], seed), problem, X)
        return replace(found, unknowns={n: e for n, e in found.unknowns.items() if not free or n not in free.names})
    except Exception as error:  # residuals and networks of the user may raise anything, and the run must end well
        return Estimate(why=f"{type(error).__name__}: {' '.join(str(error).split())[:200]}")


def _estimate(
    pieces: Sequence[Residuals], problem: Problem, names: Sequence[str], X: Tensor, seed: int, columns: Sequence[int]
) -> Estimate:
    each = _each(columns, len(pieces))
    parts: list[DefectCorrection] = []
    for piece in pieces:
        parts.append(_best(piece, each, seed, parts[-1].correction if parts else None))
    norms = zip(*((p.before, p.after, p.peaks_before, p.peaks_after, p.at_solve) for p in parts), strict=True)
    before, after, peaks_before, peaks_after, at_solve = (math.hypot(*each) for each in norms)
    u, du = changes(parts, [p.correction for p in parts], problem, X, names)
    noise = _noise(parts, problem, X[:: max(1, len(X) // NOISE_POINTS)], names)
    whole = {name: u[name] + du[name] for name in names}
    size = {name: math.hypot(rms(du[name]), noise.get(name, 0.0)) for name in names}
    moved = _mean([p.correction.unknowns for p in parts])
    value = _mean([p.residuals.unknowns for p in parts])
    sizes = {n: math.hypot(d, noise.get(n, 0.0)) for n, d in moved.items()}
    deviations = zip(problem.fields, torch.stack([p.size for p in parts]).amax(0).tolist(), strict=True)
    settled = all(size[name] <= SETTLED * d for name, d in deviations if name in size)
    return Estimate(
        error={name: _ratio(size[name], rms(v)) for name, v in whole.items()},
        explained=1 - after / before if before > ROUNDING else math.nan,
        peaks=1 - peaks_after / peaks_before if peaks_before > ROUNDING else 1.0,
        unknowns={n: _ratio(size, abs(moved[n] + value[n])) for n, size in sizes.items()},
        changes=sizes,
        correction=du,
        common=_correlation(parts) if isinstance(parts[-1], SecondSolution) else math.nan,
        at_floor=settled and max(before, after, at_solve) <= ROUNDING,
    )


def _each(columns: Sequence[int], windows: int) -> list[int]:
    """The columns of each of many windows in time: more windows have fewer each."""
    return [int(n * windows**-0.5) for n in columns]


def _larger(whole: Estimate, parts: Sequence[DefectCorrection], problem: Problem, X: Tensor) -> Estimate:
    """The estimate, with the error and correction by windows in time of every field where they are larger."""
    if not parts:
        return whole
    names = list(whole.correction)
    u, du = changes(parts, [p.correction for p in parts], problem, X, names)
    error = {name: _ratio(rms(du[name]), rms(u[name] + du[name])) for name in names}
    more = [name for name in names if not rms(du[name]) <= rms(whole.correction[name])]
    apart = [name for name in more if not rms(du[name]) <= APART * rms(whole.correction[name])]
    return replace(
        whole,
        error={**whole.error, **{name: error[name] for name in more}},
        correction={**whole.correction, **{name: du[name] for name in more}},
        at_once={name: whole.error[name] for name in apart},
    )


def _correlation(parts: Sequence[DefectCorrection]) -> float:
    """The correlation of the residuals before and after in the interior, over all windows in time."""
    before, after = (math.hypot(*lengths) for lengths in zip(*(p.lengths for p in parts), strict=True))
    return sum(p.product for p in parts) / max(before * after, 1e-300)


def _periodic(problem: Problem, model: Any) -> list[str]:
    """The coordinates in which the model is periodic."""
    model = model.pieces[0] if isinstance(model, Marched) else model
    return [problem.coordinates[i] for i in getattr(getattr(model, "features", None), "turns", {})]


def _determined(problem: Problem, observables: Collection[str], free: Collection[str]) -> list[str]:
    """The fields and observables that do not contain a field or coefficient that the constraints leave undetermined."""
    fields = {name: {name: problem.grammar.parse(name, "fields", "interior")} for name in problem.fields}
    symbols = fields | {name: problem.observables()[name][1] for name in observables}

    def contains(symbol: Symbol) -> bool:
        own = symbol.name if isinstance(symbol, Coefficient) else ""
        return own in free or (isinstance(symbol, Derivative | Normal) and problem.fields[symbol.field] in free)

    return [name for name, of in symbols.items() if not any(map(contains, of.values()))]


def _pieces(problem: Problem, objective: Objective) -> list[Residuals]:
    """The residuals of the frozen model in float64 on the CPU; after time marching those of every window."""
    model: Any = copy.deepcopy(objective.model).requires_grad_(False).cpu().double()
    engine: Any = objective.engine
    if not isinstance(model, Marched):
        return [Residuals(problem, model, engine)]
    assert problem.domain.time is not None
    starts, end = model.windows[:, 0].tolist(), problem.domain.extent(problem.domain.time)[1]
    pieces: list[Residuals] = []
    for start, stop, network in zip(starts, [*starts[1:], end], model.pieces, strict=True):
        window = Window(problem, start, stop, pieces[-1].model if pieces else None)
        pieces.append(Residuals(window, network, engine.engine))
    return pieces


def _columns(objective: Objective) -> list[int]:
    """The columns of each attempt. A trial run of a few points gets few, so that it does not wait for its estimate."""
    points = sum(map(len, objective.batch.values()))
    return list(dict.fromkeys(min(n, TRIAL * points) if points else n for n in COLUMNS))


def _best(piece: Residuals, columns: Sequence[int], seed: int, before: Correction | None) -> DefectCorrection:
    """The correction that explains most of the residual; a second solution where the features can be redrawn."""
    if can_be_redrawn(piece.model):
        return SecondSolution(piece, min(columns), seed, before)
    tried: list[DefectCorrection] = []
    for n in columns:
        tried.append(DefectCorrection(piece, n, seed, before))
        if tried[-1].after <= (1 - ENOUGH) * tried[-1].before:
            break
    return min(tried, key=lambda one: one.after)


def changes(
    parts: Sequence[DefectCorrection], by: Sequence[Correction], problem: Problem, X: Tensor, names: Sequence[str]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Fields and observables (N,) at X, and their changes by one correction for each part."""
    owner = torch.zeros(len(X), dtype=torch.long, device="cpu")
    if len(parts) > 1:
        time = problem.coordinates.index(problem.domain.time or "")
        begins = [part.problem.start for part in parts[1:]]  # type: ignore[attr-defined]
        owner = torch.bucketize(X[:, time].contiguous(), X.new_tensor(begins), right=True)
    u, moved = ({name: X.new_zeros(len(X)) for name in names} for _ in range(2))
    for k, (part, correction) in enumerate(zip(parts, by, strict=True)):
        mine = (owner == k).nonzero().flatten()
        for rows in mine.split(AT_ONCE) if len(mine) else ():  # few points leave windows without any
            for into, values in zip((u, moved), _values(part.residuals, correction, X[rows], names), strict=True):
                for name, value in values.items():
                    into[name][rows] = value
    return u, {name: moved[name] - u[name] for name in names}


def _values(residuals: Residuals, correction: Correction, X: Tensor, names: Sequence[str]) -> list[dict[str, Tensor]]:
    """Fields and observables (N,) of the frozen model, and of the corrected one."""
    problem = residuals.problem
    derived = {name: of for name, of in problem.observables().items() if name in names}
    fields = {name: problem.grammar.parse(name, "error estimate", "interior") for name in names if name not in derived}
    at = residuals.inside([*fields.values(), *(s for _, of in derived.values() for s in of.values())], X)
    change = correction.changes(at)
    values = {key: value + change.values[key] for key, value in at.values.items()}
    coefficients = {n: v + change.coefficients.get(n, 0.0) for n, v in at.coefficients.items()}
    return [
        {name: s.read(place) for name, s in fields.items()}
        | {name: method(**{s: p.read(place) for s, p in of.items()}) for name, (method, of) in derived.items()}
        for place in (at, Place(values, at.points, at.normals, coefficients))
    ]


def _noise(parts: Sequence[DefectCorrection], problem: Problem, X: Tensor, names: Sequence[str]) -> dict[str, float]:
    """The rms change of every field, observable and unknown by the noise of measurements; {} without measurements."""
    samples = list(zip(*(part.noise for part in parts), strict=False))
    fields = [changes(parts, sample, problem, X, names)[1] for sample in samples]
    out = {name: rms(torch.stack([du[name] for du in fields])) for name in names if samples}
    unknowns = [_mean([correction.unknowns for correction in sample]) for sample in samples]
    return out | {n: rms(torch.tensor([d[n] for d in unknowns])) for n in (unknowns[0] if unknowns else ())}


def _mean(tables: Sequence[Mapping[str, Tensor]]) -> dict[str, float]:
    """The mean of each number over the windows in time."""
    return {name: sum(float(t[name]) for t in tables) / len(tables) for name in tables[0]}


def _ratio(a: float, b: float) -> float:
    return a / b if b else math.nan
