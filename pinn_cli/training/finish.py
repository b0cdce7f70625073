"""The end of a run: errors, fields, residuals and the verdict go into the results file."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor

from pinn_cli.methods.contracts import Batch
from pinn_cli.physics.data_set import DATA
from pinn_cli.physics.family import Family
from pinn_cli.physics.points import fresh_points
from pinn_cli.physics.problem import Problem
from pinn_cli.physics.references import Reference, reference_of
from pinn_cli.physics.time_window import Window, is_initial
from pinn_cli.records.results import Noted, Results
from pinn_cli.training.clock import Clock
from pinn_cli.training.conclusion import Conclusion, errors_of_unknowns, spreads, trained_coefficients
from pinn_cli.training.error_estimate import Estimate, estimate
from pinn_cli.training.metrics import (
    Comparison,
    own_metrics,
    points_of_comparison,
)
from pinn_cli.training.objective import Objective
from pinn_cli.training.tested_instances import tested
from pinn_cli.training.uncertainty import uncertainty
from pinn_cli.training.verdict import judge, judge_instances, untrained_from

NODES = 10_000  # of the grids on which fields and residuals are kept


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
    results.replace({"network": objective.model.state_dict()})  # first, because what follows may fail
    reference = reference_of(problem)
    with clock("evaluation"):
        instances = tested(objective, problem, reference)
        others = judge_instances(objective, seed)
    objective = objective.of(problem)
    X = points_of_fields(problem, reference)
    untrained = untrained_from(problem, objective, windows)
    with clock("estimate"):
        estimated = estimate(objective, X, seed, problem, derived(problem, reference)) if untrained is None else (
            Estimate(why=f"the time from {untrained} on has not been trained"))  # fmt: skip
        certain = uncertainty(objective, seed)
    with clock("evaluation"):
        known = fields(objective, reference, X)
        verdict = judge(problem, objective, estimated, seed, windows, doubts, advice, go_on, others)
        coefficients = trained_coefficients(objective)
        done = Conclusion(
            errors={} if reference is None else Comparison(reference, X).errors(lambda names, _: known["prediction"]),
            estimate=estimated,
            metrics=own_metrics(problem, objective),
            verdict=replace(verdict, unsolved=instances.unsolved(isinstance(problem, Family))),
            unknowns=errors_of_unknowns(problem, coefficients),
            values=coefficients | spreads(objective),
            untrained=untrained,
            tested=instances,
            notes=unsolved_in_training(results),
            uncertainty=certain,
        )
        groups = done.groups(reference) | {
            "fields": known,
            "residuals": residuals(objective),
            "measurements": measurements(objective),
            "collocation": dict(objective.batch),
            "windows": getattr(objective.model, "window_unknowns", {}),
            "seams": jumps(windows[1:], seed),
        }
    with clock("writing"):
        results.replace({name: group for name, group in groups.items() if group})
    return done


def unsolved_in_training(results: Results) -> list[str]:
    """How many rows of the history are of steps with an instance that was not solved; [] if none is."""
    rows = results.read_history().get("solver/not_converged")
    if rows is None or not (rows > 0).any():
        return []
    return [f"in {int((rows > 0).sum())} of {len(rows)} recorded steps an instance was not solved, and its gradient is "
            "not that of a minimum: column solver/not_converged of the history"]  # fmt: skip


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
