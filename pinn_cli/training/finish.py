"""The end of a run: errors, fields, residuals and the verdict go into the results file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf, isfinite, isnan
from typing import Any, cast

import torch
from torch import Tensor

from pinn_cli.basics.text import scientific
from pinn_cli.methods.contracts import Batch
from pinn_cli.physics.data_set import DATA
from pinn_cli.physics.family import Family
from pinn_cli.physics.points import fresh_points
from pinn_cli.physics.problem import Problem
from pinn_cli.physics.references import Reference, reference_of
from pinn_cli.physics.time_window import Window, is_initial
from pinn_cli.records.results import Noted, Results
from pinn_cli.training.clock import Clock
from pinn_cli.training.error_estimate import Estimate, estimate
from pinn_cli.training.metrics import (
    Comparison,
    Errors,
    FamilyComparison,
    mean_errors,
    own_metrics,
    points_of_comparison,
)
from pinn_cli.training.objective import Objective
from pinn_cli.training.tested_instances import shown, times
from pinn_cli.training.uncertainty import Uncertainty, uncertainty
from pinn_cli.training.verdict import Untrained, Verdict, judge, judge_instances, untrained_from

NODES = 10_000  # of the grids on which fields and residuals are kept
WRONG, FAR = 5e-2, 10  # errors against the reference above both, FAR in estimated errors, contradict a good verdict


@dataclass(frozen=True)
class Conclusion:
    """Errors by field, estimated errors, the metrics of the problem, and the verdict of the held-out points.

    `unknowns` has |value - truth| and the truth of every trained coefficient whose true value the problem says.
    In the time that is `untrained` errors and metrics are those of an extrapolation; None: all has been trained.
    `tested` has the errors of each test instance of a family by its seed; all else is that of the run's own instance.
    `notes` are lines on the training.
    """

    errors: dict[str, Errors]
    estimate: Estimate
    metrics: dict[str, float]
    verdict: Verdict
    unknowns: dict[str, tuple[float, float]] = field(default_factory=dict)
    untrained: Untrained | None = None
    tested: dict[int, dict[str, Errors]] = field(default_factory=dict)
    notes: Sequence[str] = ()
    uncertainty: Uncertainty = field(default_factory=Uncertainty)

    @property
    def measured(self) -> dict[str, Errors]:
        """The errors of the run: those of its problem, or the means over the test instances of a family."""
        return mean_errors(list(self.tested.values())) if self.tested else self.errors

    @property
    def instances(self) -> dict[str, str]:
        """By field, of which instances of a family its error is the mean, and the largest one; {} of one problem."""
        each = {name: [errors[name].judged for errors in self.tested.values()] for name in self.measured if self.tested}
        return {name: f"mean over {len(e)} test instances, {scientific(max(e))} at most" for name, e in each.items()}

    def estimates(self) -> list[str]:
        """The estimated errors in words, and where the errors against the reference contradict a good verdict."""
        lines = self.estimate.lines(self.verdict.solved)
        for name, small in self.estimate.error.items() if self.verdict.ok else ():
            error = self.errors[name].relative_l2 if name in self.errors else 0.0
            if error > max(WRONG, FAR * small):
                lines.append(f"the error {error:.0e} of {name} against the reference is far above the estimated one: "
                             "a second solution, or not the equations or the reference that were meant")  # fmt: skip
        for name, e in self.errors.items():
            if isnan(e.relative_l2) and isfinite(e.maximum):
                lines.append(f"the reference of {name} is 0: its largest error is {e.maximum:.0e}, absolute")
        for name, (error, truth) in self.unknowns.items():
            relative = f", {error / abs(truth):.0e} relative" if truth else ""
            lines.append(f"error {name} {error:.0e} (absolute{relative}; the problem says {name} = {truth:g})")
        return lines


def conclude(
    results: Results,
    problem: Problem,
    objective: Objective,
    clock: Clock,
    seed: int,
    windows: Sequence[Objective] = (),
    doubts: Sequence[str] = (),
    advice: str = "",
    go_on: str = "",
) -> Conclusion:
    """Write errors, estimated errors, metrics, fields, residuals, points, verdict, network and unknowns.

    Errors and metrics are those of `problem`, the problem of the run, even if the run ends in a stage of another one.
    `windows` are the windows in time that have been trained, each at its own points. `doubts` were known of the problem
    before its training. `advice` and `go_on` are those of the verdict.
    """
    reference = reference_of(problem)
    results.replace({"network": objective.model.state_dict()})  # first, because what follows may fail
    with clock("evaluation"):
        tested = {} if reference is None else errors_of_instances(objective)
        others = judge_instances(objective, seed)
        failures = failures_of(objective, problem, tested)
        instances: dict[str, Any] = {**times(objective, list(tested))}
        if tested:
            instances["shown"] = shown(objective, tested)
    objective = objective.of(problem)
    X = points_of_fields(problem, reference)
    untrained = untrained_from(problem, objective, windows)
    with clock("estimate"):
        estimated = estimate(objective, X, seed, problem, derived(problem, reference)) if untrained is None else (
            Estimate(why=f"the time from {untrained} on has not been trained"))  # fmt: skip
        certain = uncertainty(objective, seed)
    with clock("evaluation"):
        known = fields(objective, reference, X)
        measured = {} if reference is None else Comparison(reference, X).errors(lambda names, _: known["prediction"])
        metrics = own_metrics(problem, objective)
        verdict = judge(problem, objective, estimated, seed, windows, doubts, advice, go_on, others)
        verdict = replace(verdict, unsolved=unsolved(failures, tested, isinstance(problem, Family)))
        unknowns = errors_of_unknowns(problem, objective)
        notes = unsolved_in_training(results)
        done = Conclusion(measured, estimated, metrics, verdict, unknowns, untrained, tested, notes, certain)
        groups = {
            "error": {name: _noted(e, reference, untrained) for name, e in done.measured.items()},
            "instances": _of_instances(tested, failures) | instances,
            "error_estimate": {
                "error": estimated.error,
                "unknown": estimated.unknowns,
                "correction": estimated.correction,
                **({} if estimated.why else {
                    "explained": estimated.explained,
                    "peaks": estimated.peaks,
                    **({} if isnan(estimated.common) else {"common": estimated.common}),
                    "at_once": estimated.at_once,
                    "trust": estimated.trust(verdict.solved),
                }),
                "lines": [*done.estimates(), *notes],
            },
            "metrics": metrics,
            "fields": known,
            "residuals": residuals(objective),
            "measurements": measurements(objective),
            "collocation": dict(objective.batch),
            "guard": {
                "verdict": str(verdict),
                "ratio": verdict.ratio,
                "relative": {**verdict.relative, **verdict.measured},
                "biased": verdict.biased,
                "estimated": verdict.estimated,
            },
            "unknowns": {
                name: Noted(value, certain.attributes.get(name, {}) | _truth(name, unknowns, certain))
                for name, value in (unknowns_of(objective) | spreads_of(objective)).items()
            },
            "unknown_fields": {field.name: field.group for field in certain.fields},
            "uncertainty": certain.groups if objective.unknowns or certain.fields else {},
            "windows": getattr(objective.model, "window_unknowns", {}),
            "seams": jumps(windows[1:], seed),
        }
    with clock("writing"):
        results.replace({name: group for name, group in groups.items() if group})
    return done


def errors_of_instances(objective: Objective) -> dict[int, dict[str, Errors]]:
    """The errors of the test instances of a family by seed; {} for the model of one problem."""
    instances = objective.at.held_out("test")
    if not instances:
        return {}
    each = FamilyComparison(instances, objective).each(objective)
    return {getattr(instance, "seed", 0): errors for instance, errors in zip(instances, each, strict=True)}


def failures_of(objective: Objective, problem: Problem, tested: Mapping[int, Any]) -> dict[int, str]:
    """Why the network has not solved an instance, by its seed: the one of the run first, then those of the test."""
    if objective.at.of_one_problem:
        return {}
    instances = objective.at.held_out("test") if tested else []
    others = objective.at.unsolved(instances) if instances else {}
    return objective.at.unsolved([problem]) | others


def unsolved(failures: Mapping[int, str], tested: Mapping[int, Any], of_a_family: bool) -> str:
    """The first failure in words, and how many more there are among the test instances; "" without one."""
    if not failures:
        return ""
    (seed, failure), *others = failures.items()
    more = f"; {len(others)} more of {len(tested)} test instances" if others else ""
    return f"instance {seed}: {failure}{more}" if of_a_family else failure


def unsolved_in_training(results: Results) -> list[str]:
    """How many rows of the history are of steps with an instance that was not solved; [] if none is."""
    rows = results.read_history().get("solver/not_converged")
    if rows is None or not (rows > 0).any():
        return []
    return [f"in {int((rows > 0).sum())} of {len(rows)} recorded steps an instance was not solved, and its gradient is "
            "not that of a minimum: column solver/not_converged of the history"]  # fmt: skip


def _of_instances(tested: Mapping[int, Mapping[str, Errors]], failures: Mapping[int, str]) -> dict[str, Any]:
    """The seeds (I,), the errors (I,) by field, and why an instance is not solved (I,)."""
    if not tested:
        return {}
    names = next(iter(tested.values()))
    return {
        "seed": list(tested),
        "error": {n: [e[n].relative_l2 for e in tested.values()] for n in names},
        "failure": [failures.get(seed, "") for seed in tested],
    }


def unknowns_of(objective: Objective) -> dict[str, float]:
    """The trained coefficients by name."""
    return {name: float(p.detach()) for name, p in objective.unknowns.items()}


def spreads_of(objective: Objective) -> dict[str, float]:
    """After time marching, the largest minus the smallest value that a coefficient has in the windows, ``k spread``."""
    values = getattr(objective.model, "window_unknowns", {})
    return {f"{name} spread": float(v.max() - v.min()) for name, v in values.items()}


def errors_of_unknowns(problem: Problem, objective: Objective) -> dict[str, tuple[float, float]]:
    """|value - truth| and the truth of each trained coefficient that the problem has as a coefficient, too."""
    values = unknowns_of(objective)
    truths = {name: float(getattr(problem, name)) for name in values if hasattr(problem, name)}
    return {name: (abs(values[name] - truth), truth) for name, truth in truths.items()}


def _truth(name: str, unknowns: Mapping[str, tuple[float, float]], certain: Uncertainty) -> dict[str, float]:
    """The true value of an unknown where the problem says it, the relative error, and the error over the floor."""
    if name not in unknowns:
        return {}
    (error, truth), floor = unknowns[name], certain.floor.get(name, 0.0)
    relative = {"relative_error": error / abs(truth)} if truth else {}
    return {"truth": truth, **relative, **({"floors": error / floor} if 0 < floor < inf else {})}


def _noted(e: Errors, reference: Reference | None, untrained: Untrained | None) -> Noted:
    assert reference is not None
    more = {"mean_absolute": e.mean, "max_absolute": e.maximum, "reference_error": reference.error, "points": e.points}
    return Noted(e.relative_l2, more if untrained is None else more | {"extrapolated_from": untrained.start})


def points_of_fields(problem: Problem, reference: Reference | None) -> Tensor:
    """The points (N, D) at which fields are kept: those of comparison, or a grid."""
    domain = problem.domain
    return domain.grid(_per_axis(problem)) if reference is None else points_of_comparison(domain, reference)


def derived(problem: Problem, reference: Reference | None) -> list[str]:
    """The observables that the reference knows."""
    return [] if reference is None else [name for name in reference.fields if name not in problem.fields]


def fields(objective: Objective, reference: Reference | None, X: Tensor) -> dict[str, Any]:
    """Every field and observable at points X, and the reference if there is one."""
    problem = objective.problem
    names = [*problem.fields, *problem.observables()]
    out: dict[str, Any] = {
        "points": Noted(X, {"coordinates": list(problem.coordinates)}),
        "prediction": objective.evaluate(names, X.to(objective.device, objective.dtype)),
    }
    return out if reference is None else out | {"reference": reference(X)}


def residuals(objective: Objective) -> dict[str, Any]:
    """The residual of every constraint, on a grid in the interior and at the training points elsewhere."""
    grid = objective.problem.domain.grid(_per_axis(objective.problem)).to(objective.parameters[0])
    inside = {name for name in objective.batch if objective.constraints[name].region == "interior"}
    at = {name: grid if name in inside else X for name, X in objective.batch.items()}
    values: Batch = {}
    with torch.no_grad():
        for names in objective.at.groups(at):
            values |= objective.at.at(names, at[names[0]])
    return {name: {"points": X, "values": values[name]} for name, X in at.items()}


def measurements(objective: Objective) -> dict[str, Any]:
    """The measured values (N,) and those of the model there, by constraint, where it compares one symbol with data."""
    out = {}
    for name in (n for n in objective.batch if objective.constraints[n].kind == "data"):
        symbols = objective.constraints[name].symbols
        measured = [s for s in symbols if s.endswith(DATA)]
        if len(measured) != 1:
            continue
        values = objective.at.symbols(name, objective.batch[name])
        symbol = measured[0].removesuffix(DATA)
        observable = objective.problem.observables().get(symbol)
        if symbol in values:
            fit = values[symbol]
        elif observable is not None and observable[1].keys() <= values.keys():
            fit = observable[0](**{s: values[s] for s in observable[1]})
        else:
            continue
        out[name] = {"data": values[measured[0]], "fit": fit}
    return out


def jumps(later: Sequence[Objective], seed: int) -> dict[str, list[float]]:
    """The times of the seams, and the largest jump there of each prescribed quantity; `later` windows begin at them."""
    out: dict[str, list[float]] = {"time": [cast(Window, window.problem).start for window in later]} if later else {}
    generator = torch.Generator("cpu").manual_seed(seed)
    for window in later:
        tied = {n: X for n, X in window.batch.items() if is_initial(window.problem, window.constraints[n])}
        for name, X in tied.items():
            fresh = fresh_points(window.problem, window.constraints[name].region, 1000, generator, X)
            with torch.no_grad():
                out.setdefault(name, []).append(float(window.residual(name, fresh).abs().max()))
    return out


def _per_axis(problem: Problem) -> int:
    return max(2, round(NODES ** (1 / len(problem.coordinates))))
