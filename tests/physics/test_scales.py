"""Natural units: what is found of fields and residuals, and that a change of units changes nothing."""

from dataclasses import dataclass
from functools import cache
from math import pi

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import cos, exp, sin

from pinn_cli.configuration.assemble import assemble
from pinn_cli.configuration.catalogue import CONF
from pinn_cli.configuration.compose import compose
from pinn_cli.configuration.plan import first_stage, preview
from pinn_cli.physics.domains import Box, Interval
from pinn_cli.physics.problem import Problem, on
from pinn_cli.physics.scales import Scale, field_scales, natural_units
from pinn_cli.problems.daily_temperature import DailyTemperature
from pinn_cli.problems.heat_rod import HeatRod
from pinn_cli.problems.kovasznay import Kovasznay
from pinn_cli.problems.lid_driven_cavity import LidDrivenCavity
from pinn_cli.problems.plane_elasticity import PlaneElasticity
from pinn_cli.problems.plate import Plate
from pinn_cli.problems.poisson_2d import Poisson2D

SMALL = ["architecture.width=6", "architecture.depth=1", "points.interior=64", "points.face=16", "threads=1"]


DEFAULT = compose(["problem=heat_rod", *SMALL])


# --- residuals --------------------------------------------------------------------------------------------------------


def test_the_unit_of_a_linear_residual_is_its_largest_term_for_a_plain_function():
    assert natural_units(Poisson2D(length=4), {"u": Scale(size=3)}) == pytest.approx(
        {"pde": 3 * 2 * (2 * pi / 4) ** 2, "rim": 3})  # fmt: skip
    assert natural_units(Plate(length=2), {"u": Scale()}) == pytest.approx(
        {"pde": 2 * (2 * pi / 2) ** 4, "rim": 1, "clamp": 2 * pi / 2})  # fmt: skip


@dataclass
class Nonlinear(Problem):
    """u u_x = 100 and log u = 0."""

    coordinates = ("x",)
    fields = ("u",)

    def __post_init__(self):
        self.domain = Interval(x=(0, pi))

    @on("interior")
    def pde(self, u, u_x):
        return u * u_x - 100

    @on("x=0")
    def start(self, u):
        return torch.log(u)


def test_slopes_are_taken_where_the_field_is():
    """u u_x is the offset times u_x; log u has the slope 1 / offset."""
    assert natural_units(Nonlinear(), {"u": Scale(offset=50, size=1)}) == pytest.approx(
        {"pde": 100, "start": 1 / 50}, rel=1e-2)  # fmt: skip


def test_a_residual_that_is_not_finite_or_does_not_react_has_unit_1():
    assert natural_units(Nonlinear(), {"u": Scale(offset=-50, size=1)})["start"] == pytest.approx(1 / 50, rel=1e-2)
    assert natural_units(Nonlinear(), {"u": Scale(size=0.0)}) == {"pde": 1.0, "start": 1.0}


# --- fields -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("problem", "name", "offset", "size", "origin"),
    [
        (HeatRod(), "T", 305, 5, "values"),
        (DailyTemperature(), "T", 293, 13, "sources"),
        (Poisson2D(length=1e-3, size=1e-6), "u", 0, 1e-6, "sources"),
        (Plate(), "u", 0, 1, "sources"),
        (PlaneElasticity(size=1e-5), "u", 5e-6, 5e-6, "values"),
        (Kovasznay(), "u", 10.3, 15.9, "values"),
        (Kovasznay(), "p", 0, 2.1e5, "balance"),
        (LidDrivenCavity(), "u", 0.5, 0.5, "values"),
    ],
)
def test_the_scale_of_a_field_is_found(problem, name, offset, size, origin):
    found = field_scales(problem)[name]
    assert found.origin == origin
    assert found.offset == pytest.approx(offset, rel=0.02, abs=0.1 * size)
    assert found.size == pytest.approx(size, rel=0.15)


@dataclass
class Bare(Problem):
    """u_xx = 0 with u = `level` at both ends."""

    coordinates = ("x",)
    fields = ("u",)
    level: float = 0.0

    def __post_init__(self):
        self.domain = Interval(x=(0, 1))

    @on("interior")
    def pde(self, u_xx):
        return u_xx

    @on("boundary")
    def ends(self, x, u):
        return u - self.level - sin(pi * x) * 1e-3 * (self.level == 0)


def test_where_nothing_is_found_a_field_has_size_1_or_that_of_its_offset():
    assert field_scales(Bare())["u"] == Scale(0, 1, "not found")  # sin(pi) is the rounding of 0
    assert field_scales(Bare(level=300))["u"] == Scale(300, 300, "not found")


@dataclass
class Given(HeatRod):
    scale = {"T": 7.0}
    offset = {"T": 290.0}


def test_the_problem_may_say_the_scale():
    assert field_scales(Given())["T"] == Scale(290, 7, "given")


@pytest.mark.parametrize(
    ("table", "says"),
    [({"u": 1}, "`u` is no field; expected of T"), ({"T": 0}, "T = 0; expected a number above 0")],
)
def test_a_wrong_scale_is_refused(table, says):
    problem = HeatRod()
    problem.scale = table
    with pytest.raises(ValueError, match=says):
        field_scales(problem)


# --- a change of units ------------------------------------------------------------------------------------------------


@dataclass
class Fisher(Problem):
    """u = base + size v(x / length, t / time) with v_t = v_xx / 10 + v - v^2: one problem in any units."""

    coordinates = ("x", "t")
    fields = ("u",)
    length: float = 1.0
    time: float = 1.0
    size: float = 1.0
    base: float = 0.0

    def __post_init__(self):
        self.domain = Box(x=(0, self.length), t=(0, self.time))

    @on("interior")
    def pde(self, u, u_t, u_xx):
        v = (u - self.base) / self.size
        return u_t - self.length**2 / self.time / 10 * u_xx - self.size / self.time * (v - v**2)

    @on("boundary")
    def flux(self, u_n):
        return u_n

    @on("initial")
    def initial(self, x, u):
        return u - self.base - self.size * exp(-cos(pi * x / self.length))


def trained(problem, steps=0):
    """The losses of some steps of the default, with a small network, and the model."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pinn_cli.configuration.assemble.build_problem", lambda config, builder: problem)
        parts = assemble(DEFAULT)
    objective, stage = preview(parts), first_stage(parts)
    losses = [float(objective.loss().detach())]
    losses += [float(stage.optimizer.step(objective).values["loss/total"]) for _ in range(steps)]
    return losses, objective.model


positive = st.floats(min_value=-6, max_value=6).map(lambda e: 10.0**e)


@settings(max_examples=8, deadline=None)
@given(length=positive, time=positive, size=positive)
def test_a_change_of_units_leaves_the_loss_unchanged(length, time, size):
    (other,), _ = trained(Fisher(length, time, size))
    assert other == pytest.approx(loss_in_plain_units(), rel=1e-9)


@cache
def loss_in_plain_units():
    (loss,), _ = trained(Fisher())
    return loss


def test_a_rod_in_kelvin_trains_like_its_dimensionless_twin():
    kelvin, of_kelvin = trained(HeatRod(), 12)
    twin = HeatRod(base=0.0, swing=1.0, length=1.0, seconds=1.0, conductivity=0.1)
    assert HeatRod().conductivity * HeatRod().seconds / HeatRod().length ** 2 == pytest.approx(twin.conductivity)
    plain, of_plain = trained(twin, 12)
    assert kelvin == pytest.approx(plain, rel=1e-6)
    assert kelvin[-1] < 0.1 * kelvin[0]
    X = torch.rand(9, 2, dtype=torch.float64)
    scaled = X * torch.tensor([0.1, 100.0], dtype=torch.float64)
    assert torch.allclose((of_kelvin(scaled) - 300) / 10, of_plain(X), rtol=1e-6, atol=1e-9)


# --- what is published keeps its meaning ------------------------------------------------------------------------------

RECIPES = sorted(
    path.relative_to(CONF / "recipe").with_suffix("").as_posix() for path in (CONF / "recipe").glob("**/*.yaml")
)


OWN = "hard_constraints/"  # the work is published, these settings are not


@pytest.mark.parametrize("recipe", [n for n in RECIPES if n == "adam" or ("/" in n and not n.startswith(OWN))])
def test_a_published_recipe_has_raw_units(recipe):
    problem = [] if "/" in recipe and "expressivity" not in recipe else ["problem=helmholtz"]
    assert compose([*problem, f"recipe={recipe}"]).units == "raw"


def test_raw_units_are_the_residuals_and_the_network_as_they_are():
    parts = assemble(compose(["problem=heat_rod", "units=raw", *SMALL]))
    o = preview(parts)
    assert set(o.units.values()) == {1.0}
    assert o.base == o.stated == parts.weights
    assert not any(name in ("size", "offset") for name in o.model.state_dict())
    X = o.batch["pde"]
    assert torch.equal(o.model(X), o.model.network(o.model.features(X)))
    means = {name: float(r.detach().square().mean()) for name, r in o.residuals().items()}
    assert float(o.loss().detach()) == pytest.approx(sum(parts.weights[n] * m for n, m in means.items()), rel=1e-14)


@pytest.mark.slow
def test_the_default_solves_a_plate_in_few_steps_and_raw_units_do_not():
    small = ["problem=plate", "architecture.width=12", "points.interior=256", "points.face=32", "threads=1"]
    for words, solved in (([], True), (["units=raw", "weights.interior=1"], False)):
        parts = assemble(compose([*small, *words]))
        objective, stage = preview(parts), first_stage(parts)
        for _ in range(50):
            stage.optimizer.step(objective)
        X = parts.problem.domain.grid(20)
        exact = parts.problem.exact(*X.T)
        with torch.no_grad():
            error = float((objective.model(X)[:, 0] - exact).norm() / exact.norm())
        assert (error < 1e-2) is solved, error
