"""The plan of a run, printed before its first step: what is in force, and what it will cost."""

from typing import Any

import torch
from omegaconf import DictConfig

from pinn_cli.basics.errors import MachineError, UsageError
from pinn_cli.basics.memory import refuse_too_many
from pinn_cli.basics.text import page, terminal_width
from pinn_cli.configuration import device
from pinn_cli.configuration.assemble import Parts
from pinn_cli.configuration.cost import SLOW, Cost, cost, refuse_too_large
from pinn_cli.configuration.streams import Streams
from pinn_cli.configuration.streams import plan as streams_of
from pinn_cli.methods.contracts import Stage
from pinn_cli.training.objective import Objective


def preview(parts: Parts) -> Objective:
    """The objective of the first stage at its first points: every residual evaluated once (Raises UsageError)."""
    try:
        stage = first_stage(parts)
        activations = sum(p.numel() for p in stage.model.parameters() if p.ndim == 1)  # at a point, at least
        most = max((phase.points for phase in parts.schedule), default=0)
        refuse_too_many(most, max(activations, 1), parts.device, "type fewer, e.g. points.interior=2048")
        objective = Objective(stage.problem, stage.model, parts.engine, parts.weighting, parts.weights)
        parts.weighting.begin_stage(stage.problem)
        stage.sampler.begin_stage(stage.problem)
        objective.begin(stage.sampler.draw(0, stage.problem, objective))
        with torch.no_grad():
            objective.residuals()
    except (TypeError, ValueError, NotImplementedError) as error:
        raise UsageError(" ".join(str(error).split())) from error
    except (RuntimeError, MemoryError) as error:
        if "memory" not in str(error) and not isinstance(error, MemoryError):
            raise
        way = "type fewer points, e.g. points.interior=512, or a smaller architecture.width"
        raise MachineError(f"the first step does not fit the memory ({str(error).splitlines()[0]}); {way}") from error
    return objective


def first_stage(parts: Parts) -> Stage:
    """What the loop will train first."""
    return next(iter(parts.strategy(parts.problem, parts.new_models())))


def text(config: DictConfig, name: str, parts: Parts, objective: Objective, compiled: bool) -> str:
    """Several lines: constraints with points, weights and derivatives, network, schedule, machine, notes."""
    rows = sum(len(X) for X in objective.batch.values())
    size = sum(p.numel() for p in objective.parameters)
    engine = config.derivatives._target_.rpartition(".")[2].lower()
    machine = [device.describe(parts.device), config.dtype, engine, "compiled" if compiled else "eager"]
    lines = [
        ("problem", f"{name}  {_values(parts.problem.coefficients)}"),
        *_constraints(parts, objective),
        ("network", f"{type(objective.model.network).__name__}  {size} parameters  {_network(config)}"),
        ("train", f"{_schedule(config)}  {rows} residuals  seed {config.seed}"),
        *(("strategy", f"{name}  {_settings(node)}") for name, node in (config.get("strategy") or {}).items()),
        ("stop", _stop(config)),
        ("machine", "  ".join(machine)),
        *_algebra(parts, size, rows),
        *(("look at", f"{name} every {part.every} steps") for name, part in parts.diagnostics.items()),
        *(("note", note) for note in [*parts.notes, *device.notes(parts.device, parts.dtype)]),
    ]
    return page(lines, terminal_width())


def _algebra(parts: Parts, size: int, rows: int) -> list[tuple[str, str]]:
    """The linear algebra of a least-squares phase, if there is one (Raises MachineError if it cannot fit)."""
    if not any(phase.optimizer().least_squares for phase in parts.schedule):
        return []
    found = cost(size, rows, parts.dtype, parts.device)
    refuse_too_large(found, parts.device)
    return [("solve", str(found)), *_warnings(found, parts)]


def _warnings(found: Cost, parts: Parts) -> list[tuple[str, str]]:
    lines = [
        f"weighting {name} was made for first-order training; to study it add recipe=adam"
        for name in parts.first_order_weightings
    ]
    if found.seconds > SLOW:
        lines.append("steps will be slow; type a smaller architecture.width, fewer points.interior, or optimizer=lbfgs")
    return [("note", line) for line in lines]


def _constraints(parts: Parts, objective: Objective) -> list[tuple[str, str]]:
    streams = {name: s for s in streams_of(parts.problem, objective.constraints.values()) for name in s.constraints}
    width = max(len(name) for name in objective.constraints)
    lines = [
        f"{name:<{width}}  {c.region:<9} {len(objective.batch[name]):>6} points  weight {objective.base[name]:g}  "
        f"{', '.join(c.symbols)}  {_cost(streams[name])}"
        for name, c in objective.constraints.items()
    ]
    imposed = getattr(objective.model, "imposed", ())
    return [("", line) for line in lines] + ([("", f"{', '.join(imposed)}: exact by construction")] if imposed else [])


def _cost(streams: Streams) -> str:
    return f"{streams.taylor} streams" if streams.taylor > 1 else "1 stream"


def _network(config: DictConfig) -> str:
    return f"{_settings(config.architecture)}  inputs scaled: {config.scaling}"


def _settings(node: DictConfig) -> str:
    return _values({key: value for key, value in node.items() if not str(key).startswith("_") and value is not None})


def _schedule(config: DictConfig) -> str:
    phases = [f"{n}{f' ({p.steps} steps)' if p.get('steps') else ''}" for n, p in config.optimizer.items()]
    return f"{' then '.join(phases)}  points {' + '.join(config.sampler)}  weighting {' x '.join(config.weighting)}"


def _stop(config: DictConfig) -> str:
    limits = {key: value for key, value in config.stop.items() if value is not None}
    return _values(limits) or "when the optimizer makes no more progress"


def _values(table: Any) -> str:
    return "  ".join(f"{k}={v:.6g}" if isinstance(v, float) else f"{k}={v}" for k, v in table.items())
