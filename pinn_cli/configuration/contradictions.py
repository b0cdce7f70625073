"""What a run cannot do, although each of its parts is sound: refused before the first step.

An unknown that no residual reaches, coordinates or fields whose rounding matters, and settings that contradict the
problem.
"""

import dis
from collections.abc import Callable
from itertools import combinations

import torch
from omegaconf import DictConfig
from torch import Tensor

from pinn_cli.basics.errors import UsageError, nearest
from pinn_cli.configuration.assemble import Parts
from pinn_cli.configuration.trainable import trial_values
from pinn_cli.physics.ansatz import prescribed
from pinn_cli.physics.points import trial_points
from pinn_cli.physics.problem import Constraint, Problem
from pinn_cli.physics.references import Reference
from pinn_cli.training.objective import Objective

COARSE = 1e-4  # the largest rounding of a coordinate or a field, relative to its length or deviation
PERIOD = 1e-6  # relative difference of a periodic solution between both ends


def refuse_contradictions(config: DictConfig, parts: Parts, objective: Objective, reference: Reference | None) -> None:
    """Refuse a run that would give a wrong answer in silence (UsageError).

    `objective` is that of the first stage with its first points, `reference` that of the problem, None if it has none
    or if it is not yet computed.
    """
    if not any(objective.base.values()):
        raise UsageError("weights: all are 0, so nothing would be trained; type e.g. weights.interior=1")
    refuse_unknown_error(config, any(getattr(parts.problem, name, None) for name in ("exact", "reference")))
    if config.constraints == "exact" and hasattr(parts.problem, "ansatz"):
        raise UsageError("constraints=exact: the problem has its own `ansatz`, which counts; type constraints=soft")
    if not objective.at.of_one_problem:
        _refuse_estimates(config)
    if config.processes > 1:
        _refuse_undivided(config.processes, parts, objective)
    _refuse_two_values(parts.problem)
    _refuse_few_measurements(objective)
    for name in objective.unknowns:
        _refuse_fixed(parts.problem, name)
        _refuse_unreached(objective, name)
    for name in parts.problem.unknown_fields:
        _refuse_fixed(parts.problem, name)
        _refuse_unnamed(objective, name)
    _refuse_coarse_coordinates(objective.problem, parts.dtype)
    _refuse_coarse_fields(parts.problem, reference, parts.dtype)
    for coordinate in config.periodic:
        _refuse_broken_period(parts.problem, coordinate, reference)


def _refuse_estimates(config: DictConfig) -> None:
    """Refuse estimated errors while several instances of a family are trained at once (UsageError)."""
    for group in ("record", "stop"):
        if config[group].get("estimated_error") is not None:
            raise UsageError(f"{group}.estimated_error: it is that of one solution, and several instances are trained; "
                             "leave it out: the end of the run has the estimate of one instance")  # fmt: skip


def _refuse_undivided(processes: int, parts: Parts, objective: Objective) -> None:
    """Refuse several processes for a run whose points cannot be divided among them (UsageError)."""
    where, alone = f"processes={processes}", [p.name for p in parts.schedule if p.optimizer().output_layer_alone]
    if not objective.at.of_one_problem:
        name = type(getattr(objective.model, "network", objective.model)).__name__
        raise UsageError(f"{where}: {name} is trained on several instances at once, which are not divided; type "
                         "processes=1")  # fmt: skip
    if alone:
        raise UsageError(f"{where}: optimizer={alone[0]} factors the rows of all points at once, which are not "
                         "divided; type processes=1 threads=2, or another optimizer")  # fmt: skip
    most = max(map(len, objective.batch.values()))
    if processes > most:
        raise UsageError(f"{where}: the largest set has {most} points, and each process needs one; type at most "
                         f"processes={most}")  # fmt: skip


def refuse_unknown_error(config: DictConfig, known: bool) -> None:
    """Refuse to stop at an error that is never measured (UsageError)."""
    if config.stop.error is not None and not known:
        raise UsageError(
            f"stop.error={config.stop.error:g}: the problem has no `exact` and no `reference`, so no error is "
            "measured; type stop.loss=... or give it one"
        )


def _refuse_two_values(problem: Problem) -> None:
    """Refuse two conditions that prescribe different values of a field, or of its slope, on one face."""
    given = [g for c in problem.constraints() if (g := prescribed(problem, c)) is not None]
    for one, other in combinations(given, 2):
        X = trial_points(problem, one.region, 64)
        X = X[problem.domain.lies_on(other.region, X)]
        if (one.field, one.index) != (other.field, other.index) or not len(X):
            continue
        columns = list(X.unbind(1))
        first, second = (torch.as_tensor(g.value(columns), dtype=X.dtype, device=X.device) for g in (one, other))
        if not torch.allclose(first, second, rtol=1e-6, atol=1e-12):
            raise UsageError(
                f"{type(problem).__name__}: `{one.constraint}` and `{other.constraint}` prescribe different values of "
                f"{problem.fields[one.field]} on {other.region}; take one of them away"
            )


# --- unknowns ---------------------------------------------------------------------------------------------------------


def _refuse_few_measurements(objective: Objective) -> None:
    """Refuse more unknowns than there are measurements, where there are any (UsageError)."""
    names, data = list(objective.unknowns), [n for n, c in objective.constraints.items() if c.kind == "data"]
    measured = sum(len(objective.batch.get(name, ())) for name in data)
    if data and measured < len(names):
        raise UsageError(
            f"{type(objective.problem).__name__}: {len(names)} unknowns ({', '.join(names)}) and {measured} measured "
            f"value{'s' * (measured != 1)}; expected at least as many values: add data, or give an unknown a number"
        )


def _refuse_fixed(problem: Problem, name: str) -> None:
    """Refuse `self.NAME` in a residual, an observable or an ansatz: it is a fixed number, and not the unknown."""
    methods = {c.name: getattr(c.residual, "inner", c.residual) for c in problem.constraints()}
    methods |= {observable: method for observable, (method, _) in problem.observables().items()}
    methods |= {name: method for name in ("ansatz", "impose") if (method := getattr(problem, name, None)) is not None}
    for method, function in methods.items():
        if _reads_attribute(function, name):
            raise UsageError(
                f"{type(problem).__name__}.{method}: self.{name} is a fixed number, and `{name}` is an unknown; "
                f"add `{name}` to the parameters of `{method}` and write {name} in place of self.{name}"
            )


def _reads_attribute(function: Callable, name: str) -> bool:
    code = getattr(function, "__code__", None)
    loads = ("LOAD_ATTR", "LOAD_METHOD")
    return code is not None and any(i.opname in loads and i.argval == name for i in dis.get_instructions(code))


def _refuse_unreached(objective: Objective, name: str) -> None:
    """Refuse an unknown that changes no residual which has points and a weight."""
    where = f"{type(objective.problem).__name__}.unknowns: no residual changes with `{name}`"
    naming = {n: c for n, c in objective.constraints.items() if name in c.symbols}
    trained = {n: c for n, c in naming.items() if objective.base[n] and len(objective.batch.get(n, ()))}
    if _moves_fields(objective, name):
        return
    if not naming:
        close = nearest(name, [k for k in objective.problem.coefficients if k != name])
        hint = f"; {close}" if close.startswith("did you mean") else ""
        raise UsageError(f"{where}; add `{name}` to the parameters of the residual in which it stands{hint}")
    if not trained:
        first = next(iter(naming))
        raise UsageError(f"{where}: `{first}` has the weight 0 or no points; type weights.{first}=1")
    if any(_slope(objective.problem, c, name, 0.0) for c in trained.values()):
        return
    if any(_slope(objective.problem, c, name, 0.1) for c in trained.values()):
        at = objective.problem.coefficients[name]
        raise UsageError(f"{where} where it starts, at {at:g}; write another start value, e.g. {name!r}: {at + 0.1:g}")
    raise UsageError(f"{where}, although {', '.join(trained)} names it")


def _moves_fields(objective: Objective, name: str) -> bool:
    """Whether the fields change with an unknown because it stands in the ansatz."""
    ansatz, problem = getattr(objective.model, "ansatz", None), objective.problem
    if ansatz is None:
        return False
    X = trial_points(problem, "interior", 8)
    u = torch.ones(len(X), len(problem.fields), dtype=X.dtype, device=X.device)
    start = problem.coefficients[name]
    here, there = (ansatz(X, u, **{name: torch.full_like(X[0, 0], start + step)}) for step in (0.0, 0.1))
    return bool((here != there).any())


def _refuse_unnamed(objective: Objective, name: str) -> None:
    """Refuse an unknown field that stands in no residual which has points and a weight (UsageError)."""
    position = objective.problem.fields.index(name)
    for n, c in objective.constraints.items():
        named = any(getattr(symbol, "field", None) == position for symbol in c.symbols.values())
        if named and objective.base[n] and len(objective.batch.get(n, ())):
            return
    raise UsageError(
        f"{type(objective.problem).__name__}.unknowns: no residual with points and a weight names the field `{name}`; "
        f"add `{name}` to the parameters of the residual in which it stands"
    )


def _slope(problem: Problem, c: Constraint, name: str, shift: float) -> bool:
    """Whether a residual of random symbols changes with one of its coefficients, shifted from its start value."""
    values = trial_values(problem, c)
    start = torch.full_like(values[name], problem.coefficients[name] + shift).requires_grad_()
    with torch.enable_grad():
        r = c.residual(**values | {name: start})
        (slope,) = torch.autograd.grad(r.sum(), start, allow_unused=True) if r.requires_grad else (None,)
    return slope is not None and bool(slope.any())


# --- rounding ---------------------------------------------------------------------------------------------------------


def _refuse_coarse_coordinates(problem: Problem, dtype: torch.dtype) -> None:
    """Refuse a coordinate whose rounding eps |x| is large against the length of the domain."""
    for name, (low, high) in zip(problem.coordinates, problem.domain.extents, strict=True):
        rounding = torch.finfo(dtype).eps * max(abs(low), abs(high)) / (high - low)
        if rounding > COARSE:
            raise UsageError(
                f"dtype={_word(dtype)} rounds {name} near {low:g} to {rounding:.1g} of its length {high - low:g}; "
                + _way(dtype, f"measure {name} from there")
            )


def _refuse_coarse_fields(problem: Problem, reference: Reference | None, dtype: torch.dtype) -> None:
    """Refuse a field whose rounding eps |u| is large against its deviation, where values of it are known."""
    for name, values in _known_values(problem, reference).items():
        values = values[values.isfinite()].double()
        deviation = float(values.std(correction=0)) if len(values) else 0.0
        rounding = torch.finfo(dtype).eps * float(values.abs().max()) / deviation if deviation else 0.0
        if 1 > rounding > COARSE:  # a constant deviates by rounding alone
            raise UsageError(
                f"dtype={_word(dtype)} rounds {name} near {float(values.mean()):.6g} to {rounding:.1g} of its "
                f"deviation {deviation:.2g}; " + _way(dtype, "take its difference from there as the field")
            )


def _known_values(problem: Problem, reference: Reference | None) -> dict[str, Tensor]:
    """Values (N,) of fields and measured columns, from the reference, the measurements and the conditions on faces."""
    known: dict[str, list[Tensor]] = {}
    if reference is not None:
        X = trial_points(problem, "interior", 64) if reference.at is None else reference.at
        for name, values in reference(X).items():
            if not values.isfinite().any():
                where = type(problem).__name__
                raise UsageError(f"{where}: the reference of {name} is finite at none of {len(X)} points")
            known.setdefault(name, []).append(values.detach())
    for g in [g for c in problem.constraints() if (g := prescribed(problem, c)) is not None and not any(g.index)]:
        X = trial_points(problem, g.region, 64)
        value = torch.as_tensor(g.value(list(X.unbind(1))), dtype=torch.float64, device="cpu").expand(len(X))
        known.setdefault(problem.fields[g.field], []).append(value)
    if any(c.region == "data" for c in problem.constraints()):
        columns = problem.data[:, len(problem.coordinates) :].unbind(1)
        named = zip(problem.grammar.measured, columns, strict=True)
        known |= {name: [column[column.isfinite()]] for name, column in named}
    return {name: torch.cat(values) for name, values in known.items()}


def _word(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _way(dtype: torch.dtype, otherwise: str) -> str:
    return f"type dtype=float64, or {otherwise}" if dtype == torch.float32 else otherwise


# --- periods ----------------------------------------------------------------------------------------------------------


def _refuse_broken_period(problem: Problem, coordinate: str, reference: Reference | None) -> None:
    """Refuse a period of the network where conditions, or the reference, tell both ends of the coordinate apart."""
    where, axis = f"periodic=[{coordinate}]", problem.coordinates.index(coordinate)
    extent = problem.domain.extents[axis]
    held: dict[float, str] = {}  # a condition by the end of the coordinate that it holds at
    for c in problem.constraints():
        if c.kind != "face" or c.against is not None:
            continue
        if coordinate == problem.domain.time and problem.domain.is_initial(c.region):
            raise UsageError(f"{where}: `{c.name}` says how the solution begins, so {coordinate} has no period")
        x = trial_points(problem, c.region, 64)[:, axis]
        held |= {end: c.name for end in extent if (x == end).any()}
    if len(held) == 2:
        names = " and ".join(f"`{name}`" for name in dict.fromkeys(held.values()))
        raise UsageError(f"{where}: {names} hold at both ends of {coordinate}, which would be one point")
    if reference is None or reference.at is not None:
        return
    low, high = (_moved(trial_points(problem, "interior", 64), axis, end) for end in extent)
    at_low, at_high = reference(low), reference(high)
    for name, values in at_low.items():
        gap = float((values - at_high[name]).abs().max())
        if gap > PERIOD * float(values.abs().max()):
            raise UsageError(f"{where}: {name} of the reference differs by {gap:.2g} between both ends of {coordinate}")


def _moved(X: Tensor, axis: int, end: float) -> Tensor:
    X[:, axis] = end
    return X
