"""The parts of one run, built from its configuration and checked against each other; nothing is made on disk."""

import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from pinn_cli.basics.errors import UsageError, nearest
from pinn_cli.configuration import device as devices
from pinn_cli.configuration.build import Builder, permitted_class
from pinn_cli.configuration.family_models import family_model, is_of_a_family
from pinn_cli.configuration.settings import check_names
from pinn_cli.configuration.sources import current, note_data
from pinn_cli.configuration.trainable import trainable_constraints
from pinn_cli.derivatives.engines import Autograd, Taylor
from pinn_cli.methods.architectures.family import FamilyNetwork
from pinn_cli.methods.architectures.mlp import MLP
from pinn_cli.methods.contracts import Diagnostic, Optimizer, Sampler, Strategy, Weighting
from pinn_cli.methods.samplers.redrawn import Redrawn
from pinn_cli.methods.seeds import seed_for
from pinn_cli.methods.strategies.direct import Direct, Phase
from pinn_cli.methods.weightings.product import Product
from pinn_cli.physics import ansatz as exact_conditions
from pinn_cli.physics.ansatz import written_ansatz
from pinn_cli.physics.data_set import data_set
from pinn_cli.physics.family import Family
from pinn_cli.physics.family_scales import family_scales
from pinn_cli.physics.problem import Constraint, Problem, given
from pinn_cli.physics.scales import Scale, field_scales
from pinn_cli.physics.time_window import Window, beginning
from pinn_cli.physics.unknowns import unknowns_of
from pinn_cli.training.model import Features, FieldNetwork, Model
from pinn_cli.training.residuals import Engine

WIDEST = 10_000  # the largest number that an architecture takes; a larger one is a mistake
STARTS = "the network follows initial values"
NewModel = Callable[[Problem], Model]
GIVEN = ("data", "unknowns")  # settings of a problem that are no keywords of its class
PHASE = ("steps", "points", "sampler")  # settings of an optimizer's phase, not of the optimizer


@dataclass(frozen=True)
class Parts:
    """The parts of a run."""

    problem: Problem
    new_models: Callable[[], NewModel]  # each call starts again at the first initial values of the seed
    engine: Engine
    weighting: Weighting
    first_order_weightings: list[str]  # the names of those made for training by many small steps
    weights: dict[str, float]  # stated weights by constraint
    scales: dict[str, Scale] | None  # of the fields; None: raw units
    schedule: list[Phase]
    strategy: Strategy
    device: torch.device
    dtype: torch.dtype
    diagnostics: dict[str, Diagnostic] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    step_memory: dict[str, float] = field(default_factory=dict)  # bytes by phase, once the run was previewed
    step_shape: dict[str, tuple[int, int]] = field(default_factory=dict)  # parameters solved for, and residuals
    step_seconds: dict[str, Callable[[], float]] = field(default_factory=dict)  # by phase: measures and counts them


@current()
def assemble(config: DictConfig, typed: Collection[str] = (), notes: Collection[str] = ()) -> Parts:
    """Build every part of a run.

    `typed` and `notes` are those of its request. Raises UsageError for a part or a problem that cannot be trained.
    """
    devices.check_cache()
    builder = Builder(typed)
    builder.notes += notes
    dtype = getattr(torch, config.dtype)
    device = devices.choose(config.device, dtype)
    problem = build_problem(config, builder)
    constraints = trainable_constraints(problem)
    check_names(config, [name for c in constraints for name in (c.name, c.region)])
    scales = _scales(problem, config)
    schedule = _schedule(config, builder)
    weightings = {
        str(name): builder.part(node, f"weighting.{name}", Weighting)() for name, node in config.weighting.items()
    }
    return Parts(
        problem=problem,
        new_models=model_makers(config, builder, device, dtype, scales),
        engine=_engine(config),
        weighting=Product(*weightings.values()),
        first_order_weightings=[name for name, part in weightings.items() if part.first_order],
        weights=by_constraint(config.weights, constraints),
        scales=scales,
        schedule=schedule,
        strategy=_strategy(config, builder, schedule),
        device=device,
        dtype=dtype,
        diagnostics=diagnostics(config, builder),
        notes=builder.notes,
    )


def build_problem(config: DictConfig, builder: Builder) -> Problem:
    """The problem of a configuration (Raises UsageError)."""
    target = str(config.problem.get("_target_"))
    cls = permitted_class(target, "problem")
    if not issubclass(cls, Problem):
        raise UsageError(f"problem._target_={target}: expected a subclass of pinn_cli.Problem")
    own = {n: kind for n, kind in inspect.get_annotations(cls).items() if n not in inspect.get_annotations(Problem)}
    typed = [n for n, kind in own.items() if not n.startswith("_") and "ClassVar" not in str(kind)]
    if typed and "__dataclass_fields__" not in vars(cls):
        names = ", ".join(typed)
        raise UsageError(f"{cls.__name__} gives {names} a type but is no dataclass; write @dataclass above the class")
    node = OmegaConf.create({key: value for key, value in config.problem.items() if key not in GIVEN})
    problem = builder.part(node, "problem")()
    problem = _measured(_with_unknowns(problem, config.problem.get("unknowns")), config.problem.get("data"))
    for coordinate in config.periodic:
        if coordinate not in problem.coordinates:
            raise UsageError(f"periodic=[{coordinate}]: no such coordinate; {nearest(coordinate, problem.coordinates)}")
    return problem


def _with_unknowns(problem: Problem, typed: Any) -> Problem:
    """The problem with its own unknowns and those of `problem.unknowns`; null takes one away (Raises UsageError)."""
    if not isinstance(problem.unknowns, Mapping) or not (typed or problem.unknowns or problem.unknown_fields):
        return problem
    if typed is not None and not OmegaConf.is_dict(typed):
        raise UsageError(f"problem.unknowns={typed}: expected a start value by name, e.g. problem.unknowns.nu=1")
    more: Any = OmegaConf.to_container(typed) if typed else {}
    own = {**problem.unknowns, **problem.unknown_fields}
    return given(problem, unknowns=unknowns_of({**own, **more}, "problem.unknowns"))


def _measured(problem: Problem, setting: Any) -> Problem:
    """The problem with the measurements of `problem.data`, if there are any (Raises UsageError)."""
    if setting is None:
        return problem
    if isinstance(problem, Family):
        raise UsageError(f"problem.data: {type(problem).__name__} is a family, and has no measurements; leave it out")
    made = data_set(OmegaConf.to_container(setting) if OmegaConf.is_config(setting) else setting, problem)
    if Path(made.columns.path).is_file():
        note_data(made.columns.path)
    return given(problem, data_set=made)


def diagnostics(config: DictConfig, builder: Builder) -> dict[str, Diagnostic]:
    """The diagnostics of a configuration by name (Raises UsageError)."""
    nodes = (config.get("diagnostics") or {}).items()
    return {str(name): builder.part(node, f"diagnostics.{name}", Diagnostic)() for name, node in nodes}


def model_makers(
    config: DictConfig,
    builder: Builder,
    device: torch.device,
    dtype: torch.dtype,
    scales: Mapping[str, Scale] | None,
) -> Callable[[], NewModel]:
    """Each call returns a `new_model(problem)`, which makes one model after another, each with other initial values.

    The initial values are a function of the seed and of the number of the model.
    """
    network = builder.part(config.architecture, "architecture")
    for key, value in config.architecture.items():
        if isinstance(value, int) and value > WIDEST:
            raise UsageError(f"architecture.{key}={value}: expected at most {WIDEST}")

    def make(problem: Problem, seed: int) -> Model:
        features = Features(problem.domain, config.scaling, config.periodic)
        ansatz, imposed = _ansatz(problem, config.constraints)
        if ansatz is None:
            imposed = exact_conditions.held_by_period(problem, config.periodic)
        output = scales if ansatz is None or scales is None else _behind_ansatz(problem, scales)
        with torch.random.fork_rng(devices=[]), torch.device("cpu"):
            torch.manual_seed(seed)
            inner = network(inputs=features.outputs, outputs=len(problem.solution_fields))
            _refuse_other_inputs(inner, config)
            if hasattr(inner, "place"):
                inner.place(lambda n: features(_anywhere(problem, n)))
            if hasattr(inner, "begin"):
                inner.begin(lambda unit: _start(problem, features, output, unit))
            if is_of_a_family(inner):
                _refuse_exact(inner, ansatz, dtype)
                _refuse_unknown_fields(problem, f"{type(inner).__name__} solves for the fields of the solution")
                return family_model(problem, inner, features, imposed, output, seed).to(device=device, dtype=dtype)
            unknown = _unknown_fields(problem, config)
        own = None if output is None else {name: output[name] for name in problem.solution_fields}
        model = Model(features, inner, problem.unknowns, ansatz, imposed, own, unknown)
        return model.to(device=device, dtype=dtype)

    def new_models() -> NewModel:
        made = count()
        return lambda problem: make(problem, seed_for(config.seed, "model", next(made)))

    return new_models


def _unknown_fields(problem: Problem, config: DictConfig) -> dict[str, FieldNetwork]:
    """The network of each unknown field (Raises UsageError)."""
    if isinstance(problem, Window):
        _refuse_unknown_fields(problem, "strategy=time_marching: each window in time would have an own one")
    made = {}
    for name, unknown in problem.unknown_fields.items():
        features = Features(problem.domain, config.scaling, config.periodic, unknown.of)
        made[name] = FieldNetwork(features, MLP(features.outputs, 1, unknown.width, unknown.depth), unknown)
    return made


def _refuse_unknown_fields(problem: Problem, why: str) -> None:
    """Refuse unknown fields where they cannot be trained (UsageError)."""
    for name in problem.unknown_fields:
        raise UsageError(f"unknown field `{name}`: {why}; type problem.unknowns.{name}=null or leave that part out")


def _refuse_exact(network: FamilyNetwork, ansatz: Any, dtype: torch.dtype) -> None:
    """Refuse an ansatz, and rounding that a least-squares solution for basis functions does not bear."""
    name = type(network).__name__
    if ansatz is not None:
        raise UsageError(f"{name} combines basis functions, and an ansatz is none; type constraints=soft"
                         " and a problem without `ansatz`")  # fmt: skip
    if network.points and dtype != torch.float64:
        raise UsageError(f"dtype=float32: {name} solves equations for basis functions that are nearly dependent, which "
                         "single precision does not bear; type dtype=float64")  # fmt: skip


def _refuse_other_inputs(network: torch.nn.Module, config: DictConfig) -> None:
    """Refuse a network whose features gather at the ends of [-1, 1], where its inputs are others or have no ends."""
    if not getattr(network, "unit_inputs", False):
        return
    name = type(network).__name__
    if config.scaling != "unit":
        raise UsageError(f"scaling={config.scaling}: {name} needs inputs in [-1, 1]; type scaling=unit")
    if config.periodic:
        raise UsageError(
            f"periodic=[{','.join(config.periodic)}]: the features of {name} gather at the faces, and a periodic "
            "coordinate has none; type periodic=[], or architecture=random_features"
        )


def _anywhere(problem: Problem, n: int) -> Tensor:
    """n random points (n, D) of the domain, from torch's default generator."""
    return problem.domain.sample("interior", torch.rand(n, len(problem.coordinates), dtype=torch.float64))


def _start(
    problem: Problem, features: Features, scales: Mapping[str, Scale] | None, unit: Tensor
) -> tuple[Tensor, Tensor]:
    """The inputs (N, inputs) and the fields (N, F) in their scales, at points of the unit cube where time begins.

    Raises UsageError for a problem without time as its last coordinate, or without an initial value of every field.
    """
    if problem.domain.time is None or problem.domain.time != problem.coordinates[-1]:
        name = type(problem).__name__
        raise UsageError(f"{STARTS}: expected time as the last coordinate, and {name} has "
                         f"{', '.join(problem.coordinates)}; type architecture=random_features")
    X = problem.domain.sample("interior", torch.cat([unit[:, :-1], torch.zeros_like(unit[:, -1:])], 1))
    try:
        u = beginning(problem, X)
    except ValueError as error:
        raise UsageError(f"{STARTS}: {error}; type architecture=random_features") from error
    for k, scale in enumerate(scales[name] for name in problem.solution_fields) if scales else ():
        u[:, k] = (u[:, k] - scale.offset) / scale.size
    return features(X), u


def _behind_ansatz(problem: Problem, scales: Mapping[str, Scale]) -> Mapping[str, Scale]:
    """The scales of the network's output for an ansatz.

    One that is written by the user, `ansatz` or `impose`, may hold sizes already: it gets those that the problem gives.
    """
    derived = not hasattr(problem, "ansatz") and not hasattr(problem, "impose")
    return {f: scale if derived or scale.origin == "given" else Scale() for f, scale in scales.items()}


def _scales(problem: Problem, config: DictConfig) -> dict[str, Scale] | None:
    """The scale of every field in natural units, for a network of a whole family medians; None in raw units."""
    try:
        if config.units == "raw":
            return None
        network = permitted_class(str(config.architecture.get("_target_")), "architecture")
        of_all = isinstance(problem, Family) and issubclass(network, FamilyNetwork)
        return family_scales(problem) if of_all else field_scales(problem)
    except ValueError as error:
        raise UsageError(str(error)) from error


def by_constraint(table: Mapping[str, float], constraints: list[Constraint]) -> dict[str, float]:
    """The value of each constraint in a table of kinds, regions and names: a name counts more than a region."""
    keys = {c.name: [key for key in (c.name, c.region, c.kind) if key in table] for c in constraints}
    return {name: float(table[those[0]]) if those else 1.0 for name, those in keys.items()}


def _ansatz(problem: Problem, constraints: str) -> tuple[Any, list[str]]:
    """The ansatz, and the constraints that it satisfies.

    It is the method `ansatz` of the problem. With `constraints=exact` it is the method `impose`, or else derived from
    the constraints.
    """
    written = written_ansatz(problem)
    if written is not None or constraints == "soft":
        return written, []
    own = written_ansatz(problem, "impose")
    if own is not None:
        return own, list(problem.imposes)
    derived, imposed = exact_conditions.derive(problem)
    if derived is None:
        raise UsageError("constraints=exact: the problem gives no values on faces to impose; type constraints=soft")
    return derived, imposed


def _engine(config: DictConfig) -> Engine:
    target = config.derivatives._target_
    engine = permitted_class(target, "derivatives")
    if not issubclass(engine, Taylor | Autograd):
        raise UsageError(f"derivatives._target_={target}: expected Taylor or Autograd of pinn_cli.derivatives.engines")
    return engine


def _strategy(config: DictConfig, builder: Builder, schedule: list[Phase]) -> Strategy:
    """The strategies around the schedule; the first of the list is the outermost."""
    strategy: Strategy = Direct(schedule)
    for name, node in reversed(list(config.get("strategy", {}).items())):
        strategy = builder.part(node, f"strategy.{name}", Strategy)(strategy)
    return strategy


def _schedule(config: DictConfig, builder: Builder) -> list[Phase]:
    for group in ("optimizer", "sampler", "weighting"):
        if not config.get(group):
            raise UsageError(f"{group}=[]: expected at least one (pinn list {group}s)")
    phases = [_phase(str(name), node, config, builder) for name, node in config.optimizer.items()]
    for phase, following in pairwise(phases):
        if phase.steps is None and phase.optimizer().endless and config.stop.plateau is None:
            key = f"optimizer.{phase.name}.steps"
            raise UsageError(f"{key}=null: nothing would be left for {following.name}; type e.g. {key}=2000")
    before = sum(phase.steps or 0 for phase in phases[:-1])
    if before and config.stop.steps is not None and before >= config.stop.steps:
        last, limit = phases[-1].name, config.stop.steps
        raise UsageError(f"stop.steps={limit}: nothing would be left for {last}; type e.g. stop.steps={before + limit}")
    return phases


def _phase(name: str, node: DictConfig, config: DictConfig, builder: Builder) -> Phase:
    """One optimizer with its number of steps. Its own points and sampler settings count more than those of the run."""
    own = OmegaConf.create({key: node[key] for key in node if key not in PHASE})
    points = _over(config.points, node.get("points"))
    stack = _over(config.sampler, node.get("sampler"))
    optimizer = builder.part(own, f"optimizer.{name}", Optimizer)
    sampler = sampler_maker(stack, points, config.seed, builder)
    optimizer(), sampler()  # a setting that they refuse is refused before the run has a folder
    return Phase(name, optimizer, sampler, node.get("steps"), {str(key): n for key, n in points.items()})


def _over(below: DictConfig, above: DictConfig | None) -> DictConfig:
    """The settings of the run with those of a phase on top; null removes an entry."""
    merged = OmegaConf.merge(OmegaConf.create(OmegaConf.to_container(below)), above or {})
    return OmegaConf.create({key: value for key, value in merged.items() if value is not None})


def sampler_maker(stack: DictConfig, points: DictConfig, seed: int, builder: Builder) -> Callable[[], Sampler]:
    """Makes the first sampler of the list and wraps the others around it; entries without a class are ignored."""
    chosen = [str(name) for name, node in stack.items() if "_target_" in node]
    _refuse_order(stack, chosen)
    first, *others = [builder.part(stack[name], f"sampler.{name}", Sampler) for name in chosen]
    table = OmegaConf.to_object(points)

    def make() -> Sampler:
        sampler: Sampler = first(points=table, seed=seed)
        for wrap in others:
            sampler = wrap(sampler, seed=seed)
        return sampler

    return make


def _refuse_order(stack: DictConfig, chosen: list[str]) -> None:
    """Require one sampler that draws points, behind it those that wrap it, and no work that is lost (UsageError)."""
    for k, name in enumerate(chosen):
        cls = permitted_class(str(stack[name]._target_), f"sampler.{name}")
        if ("points" in inspect.signature(cls).parameters) != (k == 0):
            what = "draws points itself, as the first does" if k else "wraps a sampler that draws points"
            expected = "one that draws, then those that wrap it, e.g. sampler=[grid_subset,held_out]"
            raise UsageError(f"sampler=[{','.join(chosen)}]: {name} {what}; expected {expected}")
        lost = [other for other in chosen[:k] if _moves_again(stack, other)]
        if lost and issubclass(cls, Redrawn) and not cls.adds:
            raise UsageError(f"sampler=[{','.join(chosen)}]: {name} draws all points of the interior, and those of "
                             f"{lost[0]} would not be used; leave one out, or add points behind it: [sobol,r3,rar]")


def _moves_again(stack: DictConfig, name: str) -> bool:
    """Whether this sampler moves or adds points of the interior again and again."""
    cls = permitted_class(str(stack[name]._target_), f"sampler.{name}")
    return issubclass(cls, Redrawn) and not (cls.once and stack[name].get("every") is None)
