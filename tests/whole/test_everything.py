"""Every problem with every architecture, weighting and optimizer. A new YAML file is tested because it is there.

All pairs are slow together. The others are those in which each choice and each kind of problem comes up at least once.
"""

from contextlib import nullcontext
from copy import deepcopy
from functools import cache, partial
from inspect import signature
from itertools import product
from math import isfinite

import pytest
import torch
from hydra.utils import get_class
from omegaconf import OmegaConf

from pinn_cli.configuration import catalogue, plan
from pinn_cli.configuration.assemble import assemble, model_makers, sampler_maker
from pinn_cli.configuration.build import Builder
from pinn_cli.configuration.compose import compose
from pinn_cli.configuration.sources import current
from pinn_cli.derivatives.engines import Autograd, Taylor
from pinn_cli.physics.references.cavity.reference import Cavity
from pinn_cli.training.jacobian import row_by_row
from pinn_cli.training.objective import Objective, units_of
from tests.conftest import VARIED

PROBLEMS = catalogue.options("problem")
OF_FAMILIES = ("constrained", "deeponet")  # they have no rows of J: tests/training/test_family_residuals.py
ARCHITECTURES = [name for name in catalogue.options("architecture") if name not in OF_FAMILIES]
KINDS = (*VARIED, "permeability", "reaction_family", "lid_driven_cavity", "poisson_5d")
TRAINED = [name for name in ARCHITECTURES if "random" not in name and "adapted" not in name]  # in all their layers
WEIGHTINGS, OPTIMIZERS = catalogue.options("weighting"), catalogue.options("optimizer")
SAMPLERS = catalogue.options("sampler")
FLOWS = ("lid_driven_cavity", "lid_driven_cavity_streamfunction", "lid_driven_cavity_inverse")
SMALL = ["points.interior=4", "points.face=2", "architecture.width=5", "architecture.depth=2", "device=cpu"]


@pytest.fixture(autouse=True)
def _measurements_in_the_cavity_take_no_seconds(monkeypatch):
    monkeypatch.setattr("pinn_cli.problems.lid_driven_cavity.Cavity", partial(Cavity, nodes=32))


@cache
def composed(*words):
    """Hydra takes far longer than a small step, so each choice is composed once, for all problems."""
    return compose([*SMALL, "problem=helmholtz", *words])


@cache
def settings_of(group, name):
    """The YAML of a choice."""
    return OmegaConf.to_container(OmegaConf.load(catalogue.file(group, name)))


def parts_of(problem, *words, **settings):
    """A small run of a problem with these settings of its own, with these choices.

    The jets of the flow in the corners of a cavity take long; the form in velocities has them everywhere.
    """
    if problem in FLOWS[1:]:
        settings = {"corner_flow": False} | settings
    config = deepcopy(composed(*words))
    config.problem = settings_of("problem", problem) | settings
    return assemble(config)


def pairs(choices):
    """Every problem with every choice; all but as many pairs as there are kinds, or choices, are marked slow."""
    count = max(len(KINDS), len(choices))
    fast = {(KINDS[k % len(KINDS)], choices[k % len(choices)]) for k in range(count)}
    return [pytest.param(*pair, marks=() if pair in fast else pytest.mark.slow) for pair in product(PROBLEMS, choices)]


def with_engine(objective, engine):
    """The objective of the same model, points and weights with another derivative engine."""
    other = Objective(objective.problem, objective.model, engine, objective.weighting, objective.base)
    other.begin(objective.batch)
    return other


@pytest.mark.parametrize(("problem", "architecture"), pairs(ARCHITECTURES))
def test_every_view_of_the_objective_agrees(problem, architecture):
    """Jets = autograd; J = row by row; 2 J^T F = the gradient of the loss."""
    words, rounding = [f"architecture={architecture}"], 1e-9
    if architecture == "adapted_features":
        words += ["architecture.width=16", "architecture.degree=1"]
        rounding = 1e-7  # large terms of opposite sign
        domain = parts_of(problem).problem.domain
        if domain.dimension != 2 or domain.time is None:  # refused in one line (test_architectures)
            return
    objective = plan.preview(parts_of(problem, *words))
    regions = {name: c.region for name, c in objective.constraints.items()}
    halves = {name: X[: (len(X) + 1) // 2] for name, X in objective.batch.items()}  # one for each face
    few = {name: X if regions[name] == "data" else halves[name] for name, X in objective.batch.items()}
    objective.begin(few)
    slow = with_engine(objective, Autograd)
    torch.testing.assert_close(objective.vector(), slow.vector(), rtol=rounding, atol=rounding)
    linear = objective.linearise()
    parts = slow._scaled(slow._residuals()).values()  # one by one: no row goes back through the graph of another
    rows = torch.cat([row_by_row(part, slow.parameters) for part in parts])
    torch.testing.assert_close(linear.dense(), rows, rtol=10 * rounding, atol=10 * rounding)
    assert not any(objective.untaped.values())
    gradient = objective.flat(torch.autograd.grad(objective.loss(), objective.parameters))
    torch.testing.assert_close(2 * linear.gradient, gradient, rtol=10 * rounding, atol=10 * rounding)


@pytest.mark.parametrize(("problem", "weighting"), pairs(WEIGHTINGS))
def test_every_problem_trains_with_every_weighting(problem, weighting):
    """Three Adam steps: finite losses, positive weights, and a linearisation that sees the same weights."""
    words = ["recipe=adam", f"weighting={weighting}", "dtype=float64", "sampler.uniform.every=null"]
    parts = parts_of(problem, *words)
    if weighting == "causal" and parts.problem.domain.time is None:  # refused in one line (test_causal)
        return
    objective, optimizer = plan.preview(parts), parts.schedule[0].optimizer()
    for step in range(3):
        objective.begin(objective.batch)
        objective.weighting.update(step, objective)
        assert torch.isfinite(torch.as_tensor(optimizer.step(objective).values["loss/total"]))
        smallest = min(float(torch.as_tensor(w).min()) for w in objective.weights.values())
        assert smallest > 0 or (weighting == "causal" and smallest == 0), "exp(-1000) of a large source is 0"
    linear = objective.linearise()
    torch.testing.assert_close(linear.F @ linear.F, objective.loss(), rtol=1e-9, atol=0)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", TRAINED)
def test_every_architecture_with_every_weighting_is_compiled_to_the_same_numbers(architecture, monkeypatch):
    """Klein-Gordon without the C++ compiler: the graph is whole, and its loss and gradients are those of eager runs."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    for weighting in WEIGHTINGS:
        words = [f"architecture={architecture}", f"weighting={weighting}", "recipe=adam", "dtype=float64"]
        eager, compiled = (plan.preview(parts_of("klein_gordon", *words)) for _ in range(2))
        compiled.at.compiling = nullcontext
        for step in range(2):
            for objective in (eager, compiled):
                objective.begin(eager.batch)
                objective.weighting.update(step, objective)
            (loss, gradient), (expected, slope) = compiled.differentiated(), eager.differentiated()
            torch.testing.assert_close(loss, expected, rtol=1e-9, atol=1e-9)
            for one, other in zip(gradient, slope, strict=True):
                torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize(("problem", "optimizer"), pairs(OPTIMIZERS))
def test_every_optimizer_takes_steps_on_every_problem(problem, optimizer):
    """Five steps: the loss stays finite, and the methods that never accept a larger loss lower it."""
    parts = parts_of(problem, f"optimizer={optimizer}")
    objective, chosen = plan.preview(parts), parts.schedule[0].optimizer()
    before = float(objective.loss().detach())
    for _ in range(5):
        objective.begin(objective.batch)
        chosen.step(objective)
    after = float(objective.loss().detach())
    assert after < before if optimizer in ("levenberg_marquardt", "lbfgs") else isfinite(after)


@cache
def maker(sampler, dimension):
    """Makes this sampler for problems in so many coordinates.

    It draws at every step, from few candidates, and may wrap Sobol.
    """
    settings = settings_of("sampler", sampler)
    small = {"every": 1, "pool": 64, "nodes": [5] * dimension}
    settings = settings | {key: value for key, value in small.items() if key in settings}
    draws = "points" in signature(get_class(settings["_target_"])).parameters
    stack = OmegaConf.create(({} if draws else {"sobol": settings_of("sampler", "sobol")}) | {sampler: settings})
    return sampler_maker(stack, composed().points, 0, Builder())


@cache
def optimizers():
    """Makers of three, for every problem."""
    return [parts_of("helmholtz", f"optimizer={name}").schedule[0].optimizer for name in THREE]


def first_objective(parts, new_models):
    """As a run has it before its first points, without the count of its memory."""
    model = new_models()(parts.problem)
    parts.weighting.begin_stage(parts.problem)
    units = units_of(parts.problem, parts.scales, model)
    return Objective(parts.problem, model, parts.engine, parts.weighting, parts.weights, units)


THREE = ("adam", "lbfgs", "levenberg_marquardt")
GATHERING = ("architecture=random_fourier_features", "architecture.width=9")  # `adapted` asks where they gather


ORDERED = [*KINDS, *(problem for problem in PROBLEMS if problem not in KINDS)]


@pytest.mark.parametrize("fifth", [0, *(pytest.param(k, marks=pytest.mark.slow) for k in (1, 2, 3, 4))])
@pytest.mark.parametrize(
    ("problem", "first"),
    [
        pytest.param(problem, k, marks=() if problem in KINDS else pytest.mark.slow, id=problem)
        for k, problem in enumerate(ORDERED)
    ],
)
@current()
def test_every_sampler_draws_for_every_problem_and_three_optimizers(problem, first, fifth):
    """Two draws, the second of new points where the sampler can: the losses are finite, the points in the domain.

    Adam takes a step on the first, quasi-Newton or Levenberg-Marquardt on the second: each problem and each sampler
    comes up with both. Without the slow tests each kind of problem comes up with a fifth of the samplers, in turn.
    """
    settings = {"corner_flow": False} if problem in FLOWS else {}
    parts, config = parts_of(problem, "architecture.depth=1", **settings), composed(*GATHERING)
    features = model_makers(config, Builder(), parts.device, parts.dtype, parts.scales)
    objectives = {makes: first_objective(parts, makes) for makes in (parts.new_models, features)}
    for k, sampler in enumerate(SAMPLERS, first):
        if k % 5 != fifth:
            continue
        objective = objectives[features if sampler == "adapted" else parts.new_models]
        points = maker(sampler, parts.problem.domain.dimension)()
        adam, *others = [optimizer() for optimizer in optimizers()]
        points.begin_stage(objective.problem)
        objective.batch = {}
        for step, optimizer in enumerate((adam, others[k % len(others)])):
            batch = points.draw(step, objective.problem, objective)
            objective.begin(batch, points.factors())
            assert isfinite(float(torch.as_tensor(optimizer.step(objective).values["loss/total"]))), sampler
        inside = [X for name, X in batch.items() if objective.constraints[name].region == "interior"]
        assert all(objective.problem.domain.contains(X).all() for X in inside), sampler


@pytest.mark.parametrize("scaling", ["none", "unit", "standard"])
def test_derivatives_are_right_under_every_input_scaling(scaling):
    config = deepcopy(composed())
    config.problem, config.scaling, config.periodic = settings_of("problem", "wave"), scaling, ["x"]
    objective = plan.preview(assemble(config))
    X = objective.problem.domain.grid(4)
    names = ["u", "u_x", "u_tt", "u_xt"]
    fast, slow = (with_engine(objective, engine).evaluate(names, X) for engine in (Taylor, Autograd))
    for name in names:
        torch.testing.assert_close(fast[name], slow[name], rtol=1e-9, atol=1e-9)
    left, right = (X.clone() for _ in range(2))
    left[:, 0], right[:, 0] = objective.problem.domain.lower[0], objective.problem.domain.upper[0]
    if scaling != "none":  # a periodic coordinate has the same value at both ends
        torch.testing.assert_close(objective.evaluate(["u"], left)["u"], objective.evaluate(["u"], right)["u"])
