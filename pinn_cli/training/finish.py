"""The end of a run: what it found, into the results file, and the summary on the screen."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from pinn_cli.physics.points import fresh_points
from pinn_cli.physics.references import reference_of
from pinn_cli.physics.time_window import Window
from pinn_cli.records.results import Noted, Results
from pinn_cli.training.metrics import Errors, errors, own_metrics, points_of_comparison
from pinn_cli.training.objective import Objective
from pinn_cli.training.verdict import Verdict, examine, worst

NODES = 10_000  # of the grids on which fields and residuals are kept


@dataclass(frozen=True)
class Conclusion:
    """What was found: errors by field, the problem's own metrics, and what the points held out of training say."""

    errors: dict[str, Errors]
    metrics: dict[str, float]
    verdict: Verdict


def conclude(
    results: Results, problem: Any, objective: Objective, clock: Any, seed: int, seams: Sequence[Objective] = ()
) -> Conclusion:
    """Write errors, metrics, fields, residuals, points, verdict, network, unknowns and times.

    Errors and metrics speak of the run's problem, also where a run ends in a stage of another one on the way to it.
    `seams` are the windows in time after the first, with the conditions that tie each to the one before.
    """
    reference = reference_of(problem)
    results.replace({"network": network(objective)})  # first: whatever comes after it may still fail
    with clock("evaluation"):
        found = final_errors(objective, reference)
        metrics = own_metrics(problem, objective)
        verdict = worst([examine(part.problem, part, seed) for part in (objective, *seams)])
        groups = {
            "error": {name: _noted(e, reference) for name, e in found.items()},
            "metrics": metrics,
            "fields": fields(objective, reference),
            "residuals": residuals(objective),
            "collocation": dict(objective.batch),
            "guard": {"verdict": str(verdict), "ratio": verdict.ratio, "relative": verdict.relative},
            "unknowns": found_unknowns(objective),
            "seams": jumps(seams, seed),
        }
    with clock("writing"):
        results.replace({name: group for name, group in groups.items() if group})
    results.replace({"timing": {**clock.phases, "wall": clock.seconds}})
    return Conclusion(found, metrics, verdict)


def found_unknowns(objective: Objective) -> dict[str, float]:
    """The coefficients that were trained, by name."""
    return {name: float(p.detach()) for name, p in getattr(objective.model, "unknowns", {}).items()}


def final_errors(objective: Objective, reference: Any) -> dict[str, Errors]:
    """Errors against the reference at its points or on a grid; none without one."""
    if reference is None:
        return {}
    X = points_of_comparison(objective.problem.domain, reference).to(objective.device, objective.dtype)
    return errors(reference, objective.evaluate, X)


def _noted(e: Errors, reference: Any) -> Noted:
    return Noted(
        e.relative_l2, {"mean_absolute": e.mean, "max_absolute": e.maximum, "reference_error": reference.error}
    )


def fields(objective: Objective, reference: Any) -> dict[str, Any]:
    """Every field and observable on a grid, beside the reference where there is one."""
    problem = objective.problem
    X = (
        problem.domain.grid(_per_axis(problem))
        if reference is None
        else points_of_comparison(problem.domain, reference)
    )
    names = [*problem.fields, *problem.observables()]
    out: dict[str, Any] = {
        "points": Noted(X, {"coordinates": list(problem.coordinates)}),
        "prediction": objective.evaluate(names, X.to(objective.device, objective.dtype)),
    }
    return out if reference is None else out | {"reference": reference(X)}


def residuals(objective: Objective) -> dict[str, Any]:
    """The residual of every constraint, inside on a grid and elsewhere at the training points."""
    out = {}
    for name, X in objective.batch.items():
        inside = objective.constraints[name].region == "interior"
        grid = objective.problem.domain.grid(_per_axis(objective.problem)).to(X) if inside else X
        with torch.no_grad():
            out[name] = {"points": grid, "values": objective.residual(name, grid)}
    return out


def jumps(seams: Sequence[Objective], seed: int) -> dict[str, list[float]]:
    """The times of the seams, and how far what each initial condition speaks of jumps there, at most."""
    out: dict[str, list[float]] = {"time": [cast(Window, seam.problem).start for seam in seams]} if seams else {}
    generator = torch.Generator("cpu").manual_seed(seed)
    for seam in seams:
        for name, X in seam.batch.items():
            fresh = fresh_points(seam.problem, seam.constraints[name].region, 1000, generator, X)
            with torch.no_grad():
                out.setdefault(name, []).append(float(seam.residual(name, fresh).abs().max()))
    return out


def network(objective: Objective) -> dict[str, Tensor]:
    """Every parameter and buffer of the model, by the name that loads it again."""
    return dict(objective.model.state_dict())


def _per_axis(problem: Any) -> int:
    return max(2, round(NODES ** (1 / len(problem.coordinates))))
