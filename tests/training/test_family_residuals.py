"""Several instances of a family at once: residuals, gradients and errors, against one instance after the other."""

from dataclasses import dataclass

import pytest
import torch

from pinn_cli import Box, Family, on, periodic
from pinn_cli.basics.errors import UsageError
from pinn_cli.configuration.assemble import assemble
from pinn_cli.configuration.compose import read
from pinn_cli.configuration.family_models import family_model
from pinn_cli.derivatives.engines import Taylor
from pinn_cli.methods.architectures.constrained import Constrained
from pinn_cli.methods.architectures.mlp import MLP
from pinn_cli.physics.coefficient_fields.base import CoefficientField
from pinn_cli.physics.distributions import GaussianField, Range
from pinn_cli.physics.family_scales import family_scales
from pinn_cli.physics.scales import Scale, field_scales
from pinn_cli.training.error_estimate import Estimate
from pinn_cli.training.family_residuals import _reads_itself
from pinn_cli.training.metrics import FamilyComparison, mean_errors
from pinn_cli.training.model import Features
from pinn_cli.training.objective import Objective, units_of
from pinn_cli.training.residuals import Residuals
from pinn_cli.training.verdict import examine, judge, judge_instances

FAST = [("burgers_family", "hard"), ("darcy", "hard"), ("helmholtz_family", "soft")]
FAMILIES = ["convection_family", "helmholtz_family", "burgers_family", "reaction_family", "darcy", "darcy_smooth"]
SMALL = ["dtype=float64", "optimizer=adam", "sampler=[sobol]", "weighting=[fixed]", "points.interior=24",
         "points.face=8", "architecture.functions=5", "architecture.instances=3", "architecture.validation=2",
         "architecture.basis.width=8", "architecture.basis.depth=1"]  # fmt: skip
HARD = ["architecture=constrained", "architecture.points={interior: 40, face: 10}", "architecture.ridge=1e-6"]


def objective_of(problem: str, *words: str) -> Objective:
    """The objective of the first step of a run."""
    request = read([f"problem={problem}", *words, *SMALL])
    parts = assemble(request.config, request.typed, request.notes)
    model = parts.new_models()(parts.problem)
    units = units_of(parts.problem, parts.scales, model)
    objective = Objective(parts.problem, model, parts.engine, parts.weighting, parts.weights, units)
    sampler = parts.schedule[0].sampler()
    sampler.begin_stage(parts.problem)
    objective.begin(sampler.draw(0, parts.problem, objective))
    return objective


@pytest.mark.parametrize(
    ("problem", "architecture"),
    [
        pytest.param(problem, architecture, marks=() if (problem, architecture) in FAST else pytest.mark.slow)
        for problem in FAMILIES
        for architecture in ("hard", "soft")
    ],
)
def test_residuals_are_those_of_one_instance_after_the_other(problem, architecture):
    objective = objective_of(problem, *(HARD if architecture == "hard" else ["architecture=deeponet"]))
    together = objective.residuals()
    for i, instance in enumerate(objective.at.instances):
        alone = Residuals(instance, objective.at.solution(instance), objective.engine)
        slow = alone(objective.batch)
        assert together.keys() == slow.keys()
        for name, r in slow.items():
            size = float(r.detach().abs().max()) + 1e-3
            torch.testing.assert_close(together[name].unflatten(0, (3, -1))[i], r, rtol=1e-6, atol=1e-6 * size)


@dataclass
class Strange(Family):
    """Symbols of every kind: a normal derivative, a seam with a coordinate, `self`, an offset, a field of one axis."""

    coordinates = ("x", "t")
    fields = ("u", "v")
    k: float | None = None
    f: CoefficientField | None = None
    power: float | None = None
    offset = {"u": 300.0}
    scale = {"u": 2.0, "v": 3.0}
    parameters = {"k": Range(1, 2), "f": GaussianField({"x": (0, 1)}, 5.0, 3.0, 2.0, modes=4), "power": Range(1, 5)}

    def __post_init__(self):
        super().__post_init__()
        self.domain = Box(x=(0, 1), t=(0, 2))

    @on("interior")
    def pde(self, x, u, u_t, lap_u, v, f, f_x, k):
        return u_t - k * lap_u + torch.tanh(f * v) + x * u + f_x + torch.where(v > self.power, v, 0)

    @on("interior")
    def other(self, u, v_xt):
        return v_xt - u**2 / 1e5

    @on("boundary")
    def flux(self, u_n, f):
        return u_n - f

    @periodic("x")
    def seam(self, x, u, v_x):
        return u * v_x + x


def strange() -> Objective:
    """An objective of that family."""
    torch.manual_seed(0)
    family, features = Strange(), Features(Strange().domain)
    network = Constrained(2, 2, lambda inputs, outputs: MLP(inputs, outputs, 8, 1), 5,
                          {"interior": 40, "face": 10}, instances=3, train=9, ridge=1e-6)  # fmt: skip
    scales = {"u": Scale(offset=300.0, size=2.0), "v": Scale(size=3.0)}
    model = family_model(family, network, features, [], scales, 0).to(torch.float64)
    objective = Objective(family, model, Taylor, lambda batch, residuals: {})
    X = torch.rand(12, 2, dtype=torch.float64)
    faces = {"flux": family.domain.sample("boundary", X), "seam": family.domain.sample("x=0", X)}
    objective.begin({"pde": X, "other": X, **faces})
    return objective


def test_every_kind_of_symbol_is_read_as_for_one_instance():
    objective = strange()
    together = objective.residuals()
    for i, instance in enumerate(objective.at.instances):
        slow = Residuals(instance, objective.at.solution(instance), objective.engine)(objective.batch)
        for name, r in slow.items():
            torch.testing.assert_close(together[name].unflatten(0, (3, -1))[i], r, rtol=1e-6, atol=1e-6)
    X = objective.batch["pde"]
    fields = objective.at.fields_of(objective.at.instances, X)
    one = objective.at.solution(objective.at.instances[1])(X)
    torch.testing.assert_close(torch.stack([fields["u"][1], fields["v"][1]], 1), one, rtol=1e-9, atol=1e-9)


def test_a_residual_that_uses_self_is_computed_for_each_instance():
    constraints = {c.name: c for c in Strange().constraints()}
    assert {name for name, c in constraints.items() if _reads_itself(c)} == {"pde"}


@pytest.mark.parametrize("architecture", ["hard", pytest.param("soft", marks=pytest.mark.slow)])
def test_the_gradient_is_that_of_finite_differences_through_the_solve(architecture):
    objective = objective_of("burgers_family", *(HARD if architecture == "hard" else ["architecture=deeponet"]))
    parameters = objective.parameters
    gradient = objective.flat(torch.autograd.grad(objective.loss(), parameters, allow_unused=True))
    theta = objective.flat([p.detach() for p in parameters])
    generator = torch.Generator().manual_seed(0)
    for _ in range(2):
        direction = torch.randn(len(theta), generator=generator, dtype=theta.dtype)
        losses = []
        for h in (1e-5, -1e-5):
            objective.place(theta + h * direction)
            losses.append(float(objective.loss().detach()))
        objective.place(theta)
        assert float(gradient @ direction) == pytest.approx((losses[0] - losses[1]) / 2e-5, rel=1e-4)


def test_instances_of_a_step_are_a_function_of_its_number_and_belong_to_the_training_set():
    objective = objective_of("convection_family", *HARD)
    model, seen = objective.model, set()
    for step in range(5):
        seeds = model.step_seeds(step)
        assert seeds == model.step_seeds(step)
        assert len(set(seeds)) == 3
        assert set(seeds) <= set(range(2000, 3000))
        seen |= set(seeds)
    assert len(seen) > 9
    before = objective.residuals()["pde"].detach()
    objective.begin(objective.batch, step=1)
    assert objective.points_changed
    assert not torch.equal(before, objective.residuals()["pde"])
    objective.begin(objective.batch, step=1)
    assert not objective.points_changed


def test_coefficients_that_are_kept_are_those_of_the_parameters_at_hand():
    objective = objective_of("convection_family", *HARD)
    with torch.no_grad():
        before = objective.at.coefficients(objective.at.instances)
        assert objective.at.coefficients(objective.at.instances) is before
        objective.parameters[0].add_(0.1)
        assert not torch.equal(objective.at.coefficients(objective.at.instances), before)


def test_how_often_a_point_counts_is_the_same_for_all_instances():
    objective = objective_of("convection_family", *HARD)
    f = torch.linspace(0.5, 1.5, len(objective.batch["pde"]), dtype=torch.float64)
    objective.begin(objective.batch, {"pde": f})
    r = {name: one.unflatten(0, (3, -1)) for name, one in objective.residuals().items()}
    expected = sum(objective.base[n] * ((f if n == "pde" else 1.0) * one.square()).mean() for n, one in r.items())
    torch.testing.assert_close(objective.loss(), expected)


def test_errors_of_the_validation_set_are_those_of_each_solution():
    objective = objective_of("convection_family", *HARD)
    comparison = FamilyComparison(objective.at.held_out("validation"), objective)
    each = comparison.each(objective)
    for one, instance, errors in zip(comparison.comparisons, comparison.instances, each, strict=True):
        assert instance.seed in (1000, 1001)
        slow = one.errors(objective.of(instance).evaluate)["u"]
        assert errors["u"].relative_l2 == pytest.approx(slow.relative_l2, rel=1e-6)
    mean = mean_errors(each)["u"]
    assert mean.relative_l2 == pytest.approx(sum(e["u"].relative_l2 for e in each) / 2)


@dataclass
class Sizes(Family):
    """u' = -u from values that differ by six orders of magnitude."""

    coordinates = ("t",)
    fields = ("u",)
    a: float | None = None
    parameters = {"a": Range(1e-6, 1, logarithmic=True)}

    def __post_init__(self):
        super().__post_init__()
        self.domain = Box(t=(0, 1))

    @on("interior")
    def pde(self, u, u_t):
        return u_t + u

    @on("initial")
    def initial(self, u, a):
        return u - a


def test_natural_units_are_the_medians_over_the_family_whatever_the_instance_of_the_run():
    units, sizes, own = [], [], []
    for seed in range(3):
        family = Sizes(seed=seed)
        network = Constrained(1, 1, lambda inputs, outputs: MLP(inputs, outputs, 8, 1), 5, {"interior": 9, "face": 1})
        scales = family_scales(family)
        model = family_model(family, network, Features(family.domain), [], scales, 0).to(torch.float64)
        units.append(units_of(family, scales, model))
        sizes.append(scales["u"].size)
        own.append(units_of(family, field_scales(family), torch.nn.Identity())["initial"])
    assert units[0] == units[1] == units[2]
    assert len(set(own)) == 3  # a network of one instance has the units of that one
    each = sorted(field_scales(Sizes(seed=seed))["u"].size for seed in range(2000, 2016))
    assert sizes == pytest.approx([(each[7] + each[8]) / 2] * 3)


def test_the_verdict_is_that_of_the_worst_instance_and_names_it():
    objective = objective_of("convection_family", *HARD, "architecture.test=3")
    objective.begin(objective.batch, step=1)
    others, own = judge_instances(objective), objective.of(objective.problem)
    verdict = judge(objective.problem, own, Estimate(why="it is not asked"), others=others)
    alone = [examine(own.problem, own).relative["pde"], *(v.relative["pde"] for v in others)]
    seed = (0, 0, 1, 2)[alone.index(max(alone))]
    assert verdict.relative["pde"] == max(alone) > min(alone)
    assert verdict.windows["relative", "pde"] == f"instance {seed}"
    assert f"(instance {seed})" in str(verdict)
    slow = [examine(one.problem, one).relative["pde"] for one in map(objective.of, objective.at.held_out("test"))]
    assert alone[1:] == pytest.approx(slow, rel=0.1)  # at other points
    assert judge_instances(own) == []


def test_a_small_output_scale_begins_near_zero_and_changes_nothing_else():
    like, small = (objective_of("burgers_family", "architecture=deeponet", f"architecture.output_scale={scale}")
                   for scale in (1, 0.125))  # fmt: skip
    with torch.no_grad():
        w, fewer = (one.at.coefficients(one.at.instances) for one in (like, small))
    torch.testing.assert_close(fewer, 0.125 * w)
    with pytest.raises(UsageError, match="output_scale=0: expected a number above 0"):
        objective_of("burgers_family", "architecture=deeponet", "architecture.output_scale=0")


def test_coefficients_of_some_instances_are_rows_of_those_that_are_known():
    objective = objective_of("convection_family", *HARD)
    tested = objective.at.held_out("validation")
    with torch.no_grad():
        both = objective.at.coefficients(tested)
        second = objective.at.coefficients(tested[1:])
        assert torch.equal(second, both[1:])
        alone = objective.at.coefficients([objective.at.model.family])  # another object: it is solved
        assert alone.shape == second.shape
        assert not torch.equal(alone, second)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["problem=convection_family", "dtype=float32"], "type dtype=float64"),
        (["problem=convection_family", "constraints=exact"], "type constraints=soft"),
        (["problem=convection_family", "architecture.functions=70"], "70 coefficients and 60 equations"),
        (["problem=convection_family", "architecture.instances=2000"], "expected a whole number from 1 to 1000"),
        (["problem=convection_family", "architecture.points={inside: 4}"], "architecture.points.inside: no such"),
        (["problem=convection_family", "architecture@architecture.basis=random_features",
          "architecture.basis.width=3", "architecture.functions=5"], "type architecture.functions=4, or archit"),
    ],
)  # fmt: skip
def test_what_a_family_network_cannot_do_is_refused(words, says):
    def model() -> None:
        request = read([*SMALL[:6], *HARD[:2], *words])
        parts = assemble(request.config, request.typed, request.notes)
        parts.new_models()(parts.problem)

    with pytest.raises(UsageError, match=says):
        model()
