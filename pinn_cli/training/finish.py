"""The end of a run: errors, fields, residuals and the verdict go into the results file."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isfinite, isnan
from typing import Any, cast

import torch
from torch import Tensor

from pinn_cli.physics.points import fresh_points
from pinn_cli.physics.problem import Problem
from pinn_cli.physics.references import Reference, reference_of
from pinn_cli.physics.time_window import Window
from pinn_cli.records.results import Noted, Results
from pinn_cli.training.clock import Clock
from pinn_cli.training.error_estimate import Estimate, estimate
from pinn_cli.training.metrics import Errors, errors, own_metrics, points_of_comparison
from pinn_cli.training.objective import Objective
from pinn_cli.training.verdict import Verdict, judge

NODES = 10_000  # of the grids on which fields and residuals are kept
WRONG, FAR = 5e-2, 10  # errors against the reference above both, FAR in estimated errors, contradict a good verdict


@dataclass(frozen=True)
class Conclusion:
    """Errors by field, estimated errors, the metrics of the problem, and the verdict of the held-out points.

    `unknowns` has |value - truth| and the truth of every trained coefficient whose true value the problem says.
    """

    errors: dict[str, Errors]
    estimate: Estimate
    metrics: dict[str, float]
    verdict: Verdict
    unknowns: dict[str, tuple[float, float]] = field(default_factory=dict)

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
    seams: Sequence[Objective] = (),
    doubts: Sequence[str] = (),
    advice: str = "",
) -> Conclusion:
    """Write errors, estimated errors, metrics, fields, residuals, points, verdict, network, unknowns and times.

    Errors and metrics are those of `problem`, the problem of the run, even if the run ends in a stage of another one.
    `seams` are the windows in time after the first, with the conditions that tie each to the one before. `doubts` were
    known of the problem before its training. `advice` is that of the verdict.
    """
    reference = reference_of(problem)
    results.replace({"network": objective.model.state_dict()})  # first, because what follows may fail
    X = points_of_fields(problem, reference)
    with clock("estimate"):
        estimated = estimate(objective, X, seed, problem, derived(problem, reference))
    with clock("evaluation"):
        measured = final_errors(objective, reference)
        metrics = own_metrics(problem, objective)
        verdict = judge(problem, objective, estimated, seed, seams, doubts, advice)
        done = Conclusion(measured, estimated, metrics, verdict, errors_of_unknowns(problem, objective))
        groups = {
            "error": {name: _noted(e, reference) for name, e in measured.items()},
            "error_estimate": {
                "error": estimated.error,
                "unknown": estimated.unknowns,
                "correction": estimated.correction,
                **({} if estimated.why else {
                    "explained": estimated.explained,
                    "peaks": estimated.peaks,
                    **({} if isnan(estimated.common) else {"common": estimated.common}),
                    "trust": estimated.trust(verdict.solved),
                }),
                "lines": done.estimates(),
            },
            "metrics": metrics,
            "fields": fields(objective, reference, X),
            "residuals": residuals(objective),
            "collocation": dict(objective.batch),
            "guard": {
                "verdict": str(verdict),
                "ratio": verdict.ratio,
                "relative": {**verdict.relative, **verdict.measured},
                "biased": verdict.biased,
                "estimated": verdict.estimated,
            },
            "unknowns": unknowns_of(objective) | spreads_of(objective),
            "windows": getattr(objective.model, "window_unknowns", {}),
            "seams": jumps(seams, seed),
        }
    with clock("writing"):
        results.replace({name: group for name, group in groups.items() if group})
    results.replace({"timing": {**clock.phases, "duration": clock.seconds, "process": clock.total_seconds}})
    return done


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


def final_errors(objective: Objective, reference: Reference | None) -> dict[str, Errors]:
    """Errors against the reference at its own points or on a grid; none without a reference."""
    if reference is None:
        return {}
    X = points_of_comparison(objective.problem.domain, reference).to(objective.device, objective.dtype)
    return errors(reference, objective.evaluate, X)


def _noted(e: Errors, reference: Reference | None) -> Noted:
    assert reference is not None
    absolute = {"mean_absolute": e.mean, "max_absolute": e.maximum}
    return Noted(e.relative_l2, {**absolute, "reference_error": reference.error, "points": e.points})


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
    out = {}
    for name, X in objective.batch.items():
        inside = objective.constraints[name].region == "interior"
        grid = objective.problem.domain.grid(_per_axis(objective.problem)).to(X) if inside else X
        with torch.no_grad():
            out[name] = {"points": grid, "values": objective.residual(name, grid)}
    return out


def jumps(seams: Sequence[Objective], seed: int) -> dict[str, list[float]]:
    """The times of the seams, and the largest jump of each prescribed quantity at every seam."""
    out: dict[str, list[float]] = {"time": [cast(Window, seam.problem).start for seam in seams]} if seams else {}
    generator = torch.Generator("cpu").manual_seed(seed)
    for seam in seams:
        for name, X in seam.batch.items():
            fresh = fresh_points(seam.problem, seam.constraints[name].region, 1000, generator, X)
            with torch.no_grad():
                out.setdefault(name, []).append(float(seam.residual(name, fresh).abs().max()))
    return out


def _per_axis(problem: Problem) -> int:
    return max(2, round(NODES ** (1 / len(problem.coordinates))))
