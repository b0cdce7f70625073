"""The families of conf/problem: their references, what they are described as, and their statistics."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hydra.utils import get_class

from pinn_cli.basics.errors import UsageError
from pinn_cli.configuration import catalogue
from pinn_cli.configuration.assemble import assemble
from pinn_cli.configuration.check import check
from pinn_cli.configuration.compose import compose
from pinn_cli.configuration.instances import instance_of
from pinn_cli.configuration.trainable import trainable_constraints
from pinn_cli.methods.linear_algebra import least_squares
from pinn_cli.physics.coefficient_fields.base import CoefficientField
from pinn_cli.physics.coefficient_fields.gridded import Gridded
from pinn_cli.physics.distributions.base import generator
from pinn_cli.physics.family import Family
from pinn_cli.physics.points import trial_points
from pinn_cli.physics.references import reference_of
from pinn_cli.physics.references.circle.burgers import PeriodicBurgers
from pinn_cli.physics.references.darcy import Darcy as Flow
from pinn_cli.physics.references.darcy import solve, streamfunction
from pinn_cli.problems.burgers_family import BurgersFamily
from pinn_cli.problems.convection_family import ConvectionFamily
from pinn_cli.problems.darcy import Darcy
from pinn_cli.problems.darcy_smooth import DarcySmooth
from pinn_cli.problems.darcy_streamfunction import DarcyStreamfunction
from pinn_cli.problems.helmholtz_family import HelmholtzFamily
from pinn_cli.problems.reaction_family import ReactionFamily
from pinn_cli.training.metrics import compare

FAMILIES = {
    "burgers_family": BurgersFamily,
    "convection_family": ConvectionFamily,
    "darcy": Darcy,
    "darcy_streamfunction": DarcyStreamfunction,
    "darcy_smooth": DarcySmooth,
    "helmholtz_family": HelmholtzFamily,
    "reaction_family": ReactionFamily,
}


@pytest.fixture(autouse=True, scope="module")
def home(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


def test_a_family_is_listed_as_one_and_nothing_else_is():
    described = catalogue.descriptions("problem")
    assert {name for name, text in described.items() if text.startswith("a family over ")} == set(FAMILIES)
    classes = {name: get_class(catalogue.read(catalogue.file("problem", name)).split("_target_:")[1].split()[0])
               for name in described}  # fmt: skip
    assert {name for name, cls in classes.items() if issubclass(cls, Family)} == set(FAMILIES)


@pytest.mark.parametrize("name", FAMILIES)
def test_an_instance_by_the_command_line_is_that_of_python(name):
    typed, made = assemble(compose([f"problem={name}", "problem.seed=1003"])).problem, FAMILIES[name]().instance(1003)
    assert typed.coefficients == made.coefficients
    assert typed.coefficient_fields == made.coefficient_fields
    assert instance_of(typed) == instance_of(made) != instance_of(FAMILIES[name]())


@pytest.mark.parametrize("name", FAMILIES)
def test_draws_and_given_fields_stay_on_the_cpu_whatever_the_default_device_is(name):
    plain = FAMILIES[name](seed=4)
    with torch.device("meta"):
        family = FAMILIES[name](seed=4)
        assert family == plain
        given = {n: getattr(plain, n) for n in plain.distributions}
        assert FAMILIES[name](**given, seed=5) == FAMILIES[name](seed=5).with_(**given)
        assert trainable_constraints(family)


@pytest.mark.parametrize("cls", [HelmholtzFamily, ConvectionFamily, ReactionFamily])
def test_closed_forms_satisfy_every_instance(cls):
    family = cls()
    for which in ("test", "validation", "train"):
        report = check(family.instances(which, 2)[1])
        assert report.ok
        assert all(found.residual < 1e-11 for found in report.findings)
        assert [one.set for one in report.instances] == ["test", "validation", "train"]


# --- Darcy ------------------------------------------------------------------------------------------------------------


def slabs(x, y, low=3.0, high=12.0, terms=120):
    """u and p for f = 1 and nu = low at x < 1/2, high beyond: a sine series in y, two exponentials in each slab."""
    u, p = np.zeros_like(x), np.zeros_like(x)
    for m in range(1, 2 * terms, 2):
        w = m * np.pi
        # X = part + a exp(-w d) + b exp(-w (1/2 - d)), d the distance from the wall
        part, e = {nu: 4 / (nu * w**3) for nu in (low, high)}, np.exp(-w / 2)
        # rows: X = 0 at both walls; X and nu X' continuous at 1/2
        rows = np.array([[1, e, 0, 0], [0, 0, 1, e], [e, 1, -e, -1], [-low * e, low, -high * e, high]])
        a, b, c, d = np.linalg.solve(rows, [-part[low], -part[high], part[high] - part[low], 0])
        left, far = x < 0.5, np.where(x < 0.5, x, 1 - x)
        near, other = np.exp(-w * far), np.exp(-w * (0.5 - far))
        X = np.where(left, part[low] + a * near + b * other, part[high] + c * near + d * other)
        slope = np.where(left, low * w * (-a * near + b * other), -high * w * (-c * near + d * other))
        u += X * np.sin(w * y)
        p += slope * np.sin(w * y)
    return u, p


class Slabs(CoefficientField):
    coordinates, state, smooth = ("x", "y"), {}, False

    def values(self, x, y):
        return torch.where(x < 0.5, 3.0, 12.0).to(x) + 0 * y


@pytest.mark.parametrize(("nodes", "errors"), [(102, (1e-3, 1e-2)), (101, (2e-2, 5e-2))])
def test_flow_through_two_slabs_is_that_of_the_series(nodes, errors):
    """Second order where the jump lies between two nodes; first order where it goes through nodes."""
    X = torch.rand(500, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    X[:, 1] = 0.05 + 0.9 * X[:, 1]
    found, (u, p) = Flow(Slabs(), nodes=nodes)(X), slabs(*X.numpy().T)
    assert np.linalg.norm(found["u"].numpy() - u) < errors[0] * np.linalg.norm(u)
    assert np.linalg.norm(found["p"].numpy() - p) < errors[1] * np.linalg.norm(p)


def test_the_harmonic_mean_is_second_order_across_a_jump_between_nodes():
    distances = []
    for n in (26, 52, 104):
        x, y = np.meshgrid(*[np.linspace(0, 1, n)] * 2, indexing="ij")
        u = solve(np.where(x < 0.5, 3.0, 12.0), 1.0)[0]
        distances.append(np.linalg.norm(u - slabs(x, y)[0]) / np.linalg.norm(u))
    assert distances[0] / distances[1] > 3.3 < distances[1] / distances[2]


def test_the_fluxes_balance_the_source_in_every_volume():
    nu = Darcy(seed=3, modes=8).nu
    X = 0.02 + 0.96 * torch.rand(300, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    X.requires_grad_()
    values = Flow(nu, f=2.0, nodes=61)(X)
    (of_p,) = torch.autograd.grad(values["p"].sum(), X, retain_graph=True)
    (of_q,) = torch.autograd.grad(values["q"].sum(), X)
    torch.testing.assert_close(of_p[:, 0] + of_q[:, 1], torch.full((300,), -2.0).double(), rtol=0, atol=1e-9)


def test_the_streamfunction_has_the_fluxes_as_slopes_on_every_path():
    """It is summed along y once and then along x; its slopes along y elsewhere follow from the balance."""
    nu = Darcy(seed=3, modes=8).nu.on_lattice([torch.linspace(0, 1, 41, dtype=torch.float64)] * 2).numpy()
    _, p, q = solve(nu, 2.0)
    corners, psi = streamfunction(p, q, 2.0)
    h, inner = 1 / 40, corners[1:-1] - 0.5
    np.testing.assert_allclose(np.diff(psi[1:-1, 1:-1], axis=1) / h, p[:, 1:-1] + inner[:, None], atol=1e-11)
    np.testing.assert_allclose(np.diff(psi[1:-1, 1:-1], axis=0) / h, -q[1:-1] - inner, atol=1e-11)
    assert abs(psi[:2, :2].mean()) < 1e-14
    flow = DarcyStreamfunction(seed=3, modes=8).reference()
    assert flow.fields == ("u", "psi")
    assert abs(float(flow(torch.zeros(1, 2, dtype=torch.float64))["psi"][0])) < 1e-14


def test_smooth_fields_see_the_geometric_mean_of_two_materials_with_the_power_three_quarters():
    """A board of fine squares, which conducts like sqrt(3 12) = 6 (Keller 1964), and waves that do not resolve it.

    With the power 0.5 they see the arithmetic mean, 7.5, and with 1 the harmonic one, 4.8.
    """

    class Checkers(Slabs):
        def values(self, x, y):
            return torch.where(((64 * x).floor() + (64 * y).floor()) % 2 == 0, 3.0, 12.0).to(x)

    alone = pressure_of_waves(DarcyStreamfunction(nu=Gridded(CORNERS, np.full((2, 2), 3.0), 1)))
    for power, expected in ((0.5, 7.5), (0.75, 6.0), (1.0, 4.8)):
        u = pressure_of_waves(DarcyStreamfunction(nu=Checkers(), power=power))
        assert float(3 * alone @ alone / (u @ alone)) == pytest.approx(expected, rel=1e-6)


CORNERS = {"x": np.array([0.0, 1.0]), "y": np.array([0.0, 1.0])}


def pressure_of_waves(problem, cells=128, modes=3):
    """u (N,) in the middles of cells, of sines for u and cosines for psi whose flux equations are satisfied best."""
    x = (torch.arange(cells, dtype=torch.float64) + 0.5) / cells
    k = torch.arange(modes + 1) * torch.pi
    sin, cos = torch.sin(x[:, None] * k), torch.cos(x[:, None] * k)

    def waves(a, b):
        return torch.einsum("ik,jl->ijkl", a, b).reshape(cells**2, -1)

    X = torch.cartesian_prod(x, x)
    at = {"x": X[:, :1], "y": X[:, 1:], "nu": problem.nu(*X.T)[:, None], "f": problem.f, "power": problem.power}
    u_x, u_y, psi_x, psi_y = waves(cos * k, sin), waves(sin, cos * k), waves(-sin * k, cos), waves(cos, -sin * k)
    none = torch.zeros(1, 1)

    def flux(u_x, u_y, psi_x, psi_y):
        along_x = problem.flux_x(at["x"], psi_y, u_x, at["nu"], at["f"], at["power"])
        return torch.cat([along_x, problem.flux_y(at["y"], psi_x, u_y, at["nu"], at["f"], at["power"])])

    b = flux(none, none, none, none)
    A = torch.cat([flux(u_x, u_y, none, none) - b, flux(none, none, psi_x, psi_y) - b], 1)
    return waves(sin, sin) @ least_squares(A, -b, ridge=1e-14)[: u_x.shape[1], 0]


@pytest.mark.parametrize("family", [Darcy(modes=8), DarcySmooth()], ids=["jumps", "smooth"])
def test_the_stated_error_is_that_of_a_finer_grid(family):
    """`error` compares with a coarser grid: it is at least the distance to a much finer one, and not ten times it."""
    X = trial_points(family, "interior", 400)
    for problem in family.instances("test", 2):
        fine, rough = (Flow(problem.nu, fields=("u",), nodes=n) for n in (201, 51))
        distance = compare(rough(X)["u"], fine(X)["u"]).relative_l2
        assert rough.error / 10 < distance < 1.5 * rough.error


def test_flow_needs_a_permeability_above_zero():
    class Negative(Slabs):
        def values(self, x, y):
            return x - 0.5

    with pytest.raises(UsageError, match=r"nu=-0\.5 at a node: expected a permeability above 0 everywhere"):
        Flow(Negative(), nodes=11).error  # noqa: B018


# --- Burgers ----------------------------------------------------------------------------------------------------------


def test_burgers_from_an_initial_value_keeps_its_mean_and_is_resolved():
    problem = BurgersFamily(seed=5, modes=16)
    coarse = replace(problem.reference(), modes=127, times=96, steps=512)
    assert isinstance(coarse, PeriodicBurgers)
    assert coarse.error < 1e-7
    x = torch.arange(64, dtype=torch.float64) / 64
    for t in (0.0, 0.3, 1.0):
        u = coarse(torch.stack([x, torch.full_like(x, t)], 1))["u"]
        assert abs(float(u.mean())) < 1e-12
    torch.testing.assert_close(coarse(torch.stack([x, 0 * x], 1))["u"], problem.u0(x))


@pytest.mark.slow
def test_fifty_instances_of_burgers_have_the_published_size():
    """Published: rms 0.206 of the initial values, mean square 0.02638 of the solutions; both within two deviations."""
    axis = torch.linspace(0, 1, 101, dtype=torch.float64)
    squares, errors, starts = [], [], []
    for problem in BurgersFamily().instances("test", 50):
        reference = problem.reference()
        squares.append(float(reference(torch.cartesian_prod(axis, axis))["u"].square().mean()))
        errors.append(reference.error)
        starts.append(float(problem.u0(axis).square().mean()))
    assert max(errors) < 1e-9
    for found, published in ((squares, 0.02638), (starts, 0.206**2)):
        assert abs(np.mean(found) - published) < 2 * 2**0.5 * np.std(found) / 50**0.5
    law = BurgersFamily().distributions["u0"]
    values = torch.stack([law.draw(generator("u0", seed))(axis) for seed in range(2000)])
    assert float(values.square().mean().sqrt()) == pytest.approx(law.rms, rel=0.03)


# --- Given fields -----------------------------------------------------------------------------------------------------


def on_line(formula):
    x = np.linspace(0, 1, 41)
    return Gridded({"x": x}, formula(x))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BurgersFamily(u0=on_line(lambda x: x)), "u0: found other values at x = 0 and x = 1; expected"),
        (lambda: PeriodicBurgers(0.01, on_line(lambda x: x)), "u0 has the value 0 at x = 0 and 1 at x = 1"),
        (lambda: PeriodicBurgers(0.01, on_line(lambda x: x * (1 - x))), "u0 has the slope 1 at x = 0 and -1 at x = 1"),
        (lambda: PeriodicBurgers(0.01, Darcy(modes=2).nu), "u0 is a field of x, y; expected one of x"),
        (lambda: Flow(BurgersFamily().u0), "nu is a field of x; expected one of x, y, in this order"),
    ],
)
def test_a_given_field_that_the_reference_cannot_take_is_refused_in_one_line(make, message):
    with pytest.raises((ValueError, UsageError), match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


ZERO = Gridded({c: np.linspace(-1, 1, 5) for c in "xy"}, np.zeros((5, 5)))


def test_a_source_that_is_no_sum_of_sines_has_no_closed_form():
    assert reference_of(HelmholtzFamily(q=ZERO)) is None
    assert reference_of(HelmholtzFamily()) is not None


def test_a_given_field_trains_and_one_on_a_part_of_the_domain_does_not():
    x = np.linspace(0, 1, 41)
    given = Darcy(nu=Gridded({"x": x, "y": x}, np.where(np.hypot(*np.meshgrid(x, x)) < 0.5, 3.0, 12.0), 1), modes=2)
    assert trainable_constraints(given.instance(5))
    assert given.instance(5).nu == given.nu
    with pytest.raises(ValueError, match=r"Darcy\.nu: found a field known for x from 0 to 0\.5; expected 0 to 1"):
        Darcy(nu=Gridded({"x": x / 2, "y": x}, np.full((41, 41), 5.0), 1), modes=2)


def test_a_field_whose_formula_has_changed_is_another_one():
    """A stored reference of the old one would be wrong."""

    class Before(Slabs):
        pass

    class After(Slabs):
        def values(self, x, y):
            return 2 * super().values(x, y)

    After.__name__ = "Before"
    assert Before() == Before() != After()
