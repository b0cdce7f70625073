"""The plan of a run, printed before its first step: what is in force, and what it will cost."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from omegaconf import DictConfig

from pinn_cli.basics.errors import MachineError, UsageError
from pinn_cli.basics.memory import amount, free_memory
from pinn_cli.basics.text import LABEL, page, terminal_width, wrap
from pinn_cli.configuration import device
from pinn_cli.configuration.assemble import Parts
from pinn_cli.configuration.build import keywords_of
from pinn_cli.configuration.cost import SLOW, Factorisation, StepCost, refuse_too_large, streams_of
from pinn_cli.configuration.family_models import (
    refuse_another_problem,
    refuse_beside_a_family,
    refuse_weights_of_points,
)
from pinn_cli.configuration.instances import described_fields, instance_of
from pinn_cli.derivatives.fused_layers import WIDEST, obstacles
from pinn_cli.methods.contracts import Stage
from pinn_cli.physics.problem import Problem
from pinn_cli.physics.scales import Scale
from pinn_cli.training.finite import refuse_not_finite
from pinn_cli.training.objective import Objective, units_of
from pinn_cli.training.verdict import SMALL, examine


def preview(parts: Parts) -> Objective:
    """The objective of the first stage at its first points; every residual is evaluated, and a step's memory counted.

    Raises UsageError for a residual that fails, and MachineError for points whose step does not fit into the memory:
    these are refused before they are drawn.
    """
    try:
        stage = first_stage(parts)
        refuse_another_problem(stage, parts.problem)
        units = units_of(stage.problem, parts.scales, stage.model)
        objective = Objective(stage.problem, stage.model, parts.engine, parts.weighting, parts.weights, units)
        refuse_beside_a_family(objective, {p.name: p.optimizer() for p in parts.schedule}, parts.diagnostics)
        memory = StepCost(stage, parts)
        refuse_too_large(memory, parts)
        parts.step_memory.update({phase.name: memory.of(phase) for phase in parts.schedule})
        parts.step_shape.update({phase.name: memory.shape(phase) for phase in parts.schedule})
        parts.step_seconds.update({phase.name: partial(memory.seconds, phase) for phase in parts.schedule})
        parts.weighting.begin_stage(stage.problem)
        stage.sampler.begin_stage(stage.problem)
        points = stage.sampler.draw(0, stage.problem, objective)
        objective.begin(points, stage.sampler.factors())
        with torch.no_grad():
            refuse_weights_of_points(objective)
            refuse_not_finite(objective)
        for phase in parts.schedule:
            phase.optimizer().refuse(objective)
    except (TypeError, ValueError, NotImplementedError) as error:
        raise UsageError(" ".join(str(error).split())) from error
    except (RuntimeError, MemoryError) as error:
        if "memory" not in str(error) and not isinstance(error, MemoryError):
            raise
        way = "type fewer points, e.g. points.interior=512, or a smaller architecture.width"
        raise MachineError(f"the first step does not fit the memory ({str(error).splitlines()[0]}); {way}") from error
    return objective


def left_out(objective: Objective) -> list[str]:
    """A line for each constraint that is said to be imposed and is not, and for each that has weight 0."""
    met = [c.name for c in objective.problem.constraints() if c.name not in objective.constraints]
    sizes = examine(objective.problem, objective.of(objective.problem), only=met).relative if met else {}
    return [
        *(f"`{name}` is not imposed: the network leaves {size:.1g} of its largest term; remove it from `imposes`"
          for name, size in sizes.items() if not size < SMALL),
        *(f"`{name}` has weight 0: it is not trained" for name, weight in objective.base.items() if weight == 0),
    ]  # fmt: skip


def layer_by_layer(objective: Objective, runs: int) -> list[str]:
    """A note where the layers of a compiled first-order step of so many runs are not one operation, with the reason."""
    model: Any = objective.model
    X = next(iter(objective.batch.values()))
    with obstacles() as found, torch.no_grad():  # of the network alone: an unknown field has one of its own
        objective.engine([(0,) * X.shape[1]])(lambda at: model.network(model.features(at)), X)
    reasons = set(found) or {f"{type(model.network).__name__} computes them in its own way"}
    if runs > 1:
        reasons = {"runs that share a computation have them so"}
    if reasons == {""}:
        return []
    return [f"layers are compiled one by one: {' and '.join(sorted(reasons - {''}))}; tanh layers of mlp, fourier and "
            f"modified_mlp in float32 on the CPU, up to {WIDEST} wide, are one operation, which is faster"]  # fmt: skip


def first_stage(parts: Parts) -> Stage:
    """The stage that is trained first."""
    return next(iter(parts.strategy(parts.problem, parts.new_models())))


def text(config: DictConfig, name: str, parts: Parts, objective: Objective, compiled: bool) -> str:
    """Several lines: constraints with points, weights and derivatives, network, schedule, machine, notes."""
    width = terminal_width()
    rows = sum(len(X) for X in objective.batch.values())
    size = sum(p.numel() for p in objective.parameters)
    engine = config.derivatives._target_.rpartition(".")[2].lower()
    machine = [device.describe(parts.device), config.dtype, engine, "compiled" if compiled else "eager"]
    if config.processes > 1:
        machine.append(f"{config.processes} processes, each with a share of the points")
        parts.notes.append("memory and seconds of a step are those of a run of one process; each of several has its "
                           "share of the points, and a whole matrix")  # fmt: skip
    lines = [
        ("problem", f"{name}  {_pairs(parts.problem.coefficients)}"),
        *_instance(parts.problem),
        *(("field", line) for line in described(parts.scales or {})),
        *_constraints(parts, objective, width),
        ("network", f"{type(objective.model.network).__name__}  {size} parameters  "
                    f"{_network(config.architecture, objective.model.network)}  inputs scaled: {config.scaling}"),
        ("train", f"{_schedule(config)}  {rows} residuals  seed {config.seed}"),
        *(("strategy", f"{name}  {_settings(node)}") for name, node in (config.get("strategy") or {}).items()),
        ("stop", _stop(config)),
        ("machine", "  ".join(machine)),
        ("memory", _memory(parts)),
        *_linear_algebra(parts),
        *(("look at", f"{name} every {part.every} steps") for name, part in parts.diagnostics.items()),
        *(("note", note) for note in [*_untrained(parts, size), *parts.notes]),
        *(("note", note) for note in device.notes(parts.device, parts.dtype)),
    ]
    return page(lines, width)


def _instance(problem: Problem) -> list[tuple[str, str]]:
    """A line for the instance of a family, and one for each coefficient field that is none of its parameters."""
    instance, fields = instance_of(problem), described_fields(problem)
    lines = []
    if instance is not None:
        values = "  ".join(f"{n}: {text}" for n, text in instance.parameters.items() if n in fields)
        lines = [("instance", f"seed {instance.seed} ({instance.set})  {values}".rstrip())]
    known = () if instance is None else instance.parameters
    return lines + [("", f"{name}: {text}") for name, text in fields.items() if name not in known]


def described(scales: Mapping[str, Scale]) -> list[str]:
    """A line for each field: its size, its offset, and what they were found from."""
    return [f"{f} = {f'{s.offset:.3g} +- ' if s.offset else ''}{s.size:.3g}  ({s.origin})" for f, s in scales.items()]


def _memory(parts: Parts) -> str:
    free = free_memory(parts.device)
    return f"{amount(max(parts.step_memory.values()))} a step" + (f"  {amount(free)} free" if free is not None else "")


def _linear_algebra(parts: Parts) -> list[tuple[str, str]]:
    """The matrix of each least-squares phase, and what to do where a step is slow."""
    factoring = {phase.name: phase.optimizer() for phase in parts.schedule if phase.optimizer().least_squares}
    if not factoring:
        return []
    solves = {name: Factorisation(*parts.step_shape[name], parts.step_seconds[name]()) for name in factoring}
    notes = [
        f"weighting {name} was made for first-order training; to study it add recipe=adam"
        for name in parts.first_order_weightings
    ]
    if any(solve.seconds > SLOW for solve in solves.values()):
        notes.append("steps will be slow; type a smaller architecture.width, fewer points.interior, or optimizer=lbfgs")
    lines = [f"{name}: {solve}" if len(solves) > 1 else str(solve) for name, solve in solves.items()]
    return [*(("solve", line) for line in lines), *(("note", note) for note in notes)]


def _untrained(parts: Parts, parameters: int) -> list[str]:
    """A note where no phase trains the hidden layers of a network that could be trained."""
    alone = [phase.name for phase in parts.schedule if phase.optimizer().output_layer_alone]
    solved = parts.step_shape[parts.schedule[0].name][0]
    if len(alone) < len(parts.schedule) or solved == parameters:
        return []
    return [f"{alone[0]} trains {solved} of {parameters} parameters: the hidden layers stay as they are; to train them "
            f"first type optimizer=[levenberg_marquardt,{alone[0]}]"]  # fmt: skip


def _constraints(parts: Parts, objective: Objective, width: int | None) -> list[tuple[str, str]]:
    """A row for each constraint, in columns, and one for those that the ansatz makes exact.

    The symbols of a row that is too long for the width follow below, indented.
    """
    streams = {name: s for s in streams_of(parts.problem, objective.constraints.values()) for name in s.constraints}
    names, regions = objective.constraints, {c.region for c in objective.constraints.values()}
    name_width, region_width = max(map(len, names), default=0), max(map(len, regions), default=0)
    room, indent = width and width - LABEL - 1, " " * (name_width + 2)  # `strategy` is one column longer
    lines = []
    for name, c in objective.constraints.items():
        points, weight = f"{len(objective.batch[name]):>6} points", f"weight {objective.stated[name]:g}"
        unit = f"  unit {objective.units[name]:.3g}" if parts.scales is not None else ""
        head = f"{name:<{name_width}}  {c.region:<{region_width}}  {points}  {weight}{unit}"
        count = streams[name].taylor
        tail = f"{', '.join(c.symbols)}  {count} stream{'s' if count > 1 else ''}"
        if room is None or len(head) + 2 + len(tail) <= room:
            lines.append(f"{head}  {tail}")
        else:
            lines += [head, *(indent + row for row in wrap(tail, max(1, room - len(indent))))]
    imposed = getattr(objective.model, "imposed", ())
    return [("", line) for line in lines] + ([("", f"{', '.join(imposed)}: exact by construction")] if imposed else [])


def _settings(node: Mapping[Any, Any]) -> str:
    """The settings of a part; one that is a part itself by its class and its settings."""
    pairs = {str(key): value for key, value in node.items() if not str(key).startswith("_") and value is not None}
    parts = {key: value for key, value in pairs.items() if isinstance(value, Mapping) and "_target_" in value}
    shown = {key: f"{str(part['_target_']).rpartition('.')[2]} ({_settings(part)})" for key, part in parts.items()}
    return _pairs(pairs | shown)


def _network(node: DictConfig, network: Any) -> str:
    """The settings that the network takes; those of a recipe for other networks are left out.

    One that is left to the network (null) is shown as the number that it has found, if it keeps that under this name.
    """
    keywords, takes_any = keywords_of(type(network))
    taken = {key: value for key, value in node.items() if takes_any or key in keywords}
    found = {key: getattr(network, str(key), None) for key, value in taken.items() if value is None}
    return _settings(taken | {key: float(f"{x:.3g}") for key, x in found.items() if isinstance(x, int | float)})


def _schedule(config: DictConfig) -> str:
    phases = [f"{n}{f' ({p.steps} steps)' if p.get('steps') else ''}" for n, p in config.optimizer.items()]
    return f"{' then '.join(phases)}  points {' + '.join(config.sampler)}  weighting {' x '.join(config.weighting)}"


def _stop(config: DictConfig) -> str:
    limits = {str(key): value for key, value in config.stop.items() if value is not None}
    return _pairs(limits) or "when the optimizer makes no more progress"


def _pairs(table: Mapping[str, object]) -> str:
    return "  ".join(f"{k}={v:.6g}" if isinstance(v, float) else f"{k}={v}" for k, v in table.items())
