"""Coefficients that vary: their values, their derivatives, and their symbols in residuals, conditions and checks."""

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch

from pinn_cli import Box, Problem, on, periodic
from pinn_cli.basics.errors import UsageError
from pinn_cli.configuration.check import check
from pinn_cli.configuration.trainable import trainable_constraints
from pinn_cli.derivatives import Lap
from pinn_cli.derivatives.engines import Autograd, Taylor
from pinn_cli.methods.strategies.pseudo_time import Step
from pinn_cli.methods.weightings.fixed import Fixed
from pinn_cli.physics.ansatz import derive, prescribed
from pinn_cli.physics.coefficient_fields.base import CoefficientField
from pinn_cli.physics.coefficient_fields.formula import Formula
from pinn_cli.physics.coefficient_fields.given import field_from
from pinn_cli.physics.coefficient_fields.gridded import Gridded
from pinn_cli.physics.coefficient_fields.pointwise import Exponential, TwoValues
from pinn_cli.physics.coefficient_fields.series import Series, waves
from pinn_cli.physics.jumps import jumps_of
from pinn_cli.physics.scales import field_scales, natural_units
from pinn_cli.physics.symbols import Place
from pinn_cli.physics.time_window import Window
from pinn_cli.runs.inputs import inputs_of
from pinn_cli.training.model import Features, Model
from pinn_cli.training.objective import Objective

WAVES = waves("neumann", (0, 1), 2)[0]
ENDS = ("periodic", "neumann", "dirichlet")
X = torch.rand(30, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def series(first="periodic", second="neumann", seed=0):
    axes = [waves(first, (0, 1), 3)[0], waves(second, (0, 1), 4)[0]]
    shape = tuple(map(len, axes))
    amplitudes = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) / 20
    return Series(("x", "y"), amplitudes, axes)


class Written(CoefficientField):
    """One of a user's own: only its values are written, in functions of torch."""

    coordinates, state = ("x", "y"), {}

    def values(self, x, y):
        return 2 + torch.sin(3 * x) * y**2


def gridded(degree=5):
    x, y = np.linspace(0, 1, 14) ** 1.1, np.linspace(0, 1, 11)
    return Gridded({"x": x, "y": y}, np.sin(3 * x)[:, None] * np.cos(y), degree)


SMOOTH = {
    **{f"{one} {other}": series(one, other) for one in ENDS for other in ENDS},
    "exponential": Exponential(series(), 0.5),
    "gridded": gridded(),
    "written": Written(),
}


@pytest.mark.parametrize("name", SMOOTH)
def test_derivatives_are_those_of_autograd_alone_and_inside_jets(name):
    """Three ways: the field's own derivative, nested autograd through its values, and jets through a function of it."""
    f, keys = SMOOTH[name], {(0, 0), (1, 0), (0, 2), (2, 1), Lap((0, 1), 2)}
    slow = Autograd(keys)(lambda X: f.values(X[:, 0], X[:, 1])[:, None], X.clone())
    fast = Taylor(keys)(lambda X: f(X[:, 0], X[:, 1])[:, None], X)
    for key in keys:
        torch.testing.assert_close(fast[key], slow[key].detach(), rtol=1e-9, atol=1e-9)
        if not isinstance(key, Lap):
            torch.testing.assert_close(f.derivative(key)(*X.T), slow[key][:, 0].detach(), rtol=1e-9, atol=1e-9)

    def bent(X):  # the field at points that are functions of X themselves
        return (X[:, 1] * f(0.3 * X[:, 0] * X[:, 1], torch.sin(X[:, 0])))[:, None]

    slow, fast = Autograd(keys)(bent, X.clone()), Taylor(keys)(bent, X)
    for key in keys:
        torch.testing.assert_close(fast[key], slow[key].detach(), rtol=1e-9, atol=1e-9)
    of_slope = Taylor({(0, 1)})(lambda X: f.derivative((1, 0))(X[:, 0], X[:, 1])[:, None], X)[0, 1]
    torch.testing.assert_close(of_slope[:, 0], f.derivative((1, 1))(*X.T), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", [*SMOOTH, "two"])
def test_a_lattice_has_the_values_of_its_points_and_equal_fields_are_equal(name):
    f = TwoValues(series(), 3, 12) if name == "two" else SMOOTH[name]
    axes = [torch.linspace(0, 1, 5, dtype=torch.float64), torch.linspace(0, 1, 4, dtype=torch.float64)]
    torch.testing.assert_close(f.on_lattice(axes).flatten(), f(*torch.cartesian_prod(*axes).T), rtol=1e-12, atol=1e-13)
    assert f(*X.float().T).dtype == torch.float32
    assert f == f.derivative((0, 0))
    assert f != series(seed=1)


def test_series_have_the_slopes_and_values_of_their_ends():
    y = torch.tensor([0.2, 0.7, 0.0, 1.0], dtype=torch.float64)
    low, high = torch.zeros_like(y), torch.ones_like(y)
    f = series("periodic")
    torch.testing.assert_close(f(low, y), f(high, y))
    torch.testing.assert_close(f.derivative((1, 0))(low, y), f.derivative((1, 0))(high, y))
    for end in (low, high):
        torch.testing.assert_close(series("neumann").derivative((1, 0))(end, y), low, rtol=0, atol=1e-13)
        torch.testing.assert_close(series("dirichlet")(end, y), low, rtol=0, atol=1e-14)


def test_the_eigenfunctions_have_the_stated_norms():
    node, weight = (torch.from_numpy(a) for a in np.polynomial.legendre.leggauss(60))
    for ends in ENDS:
        basis, norms = waves(ends, (-1.0, 1.0), 4)
        gram = basis(node).T @ (weight[:, None] * basis(node))
        torch.testing.assert_close(gram, torch.diag(norms**2), rtol=1e-12, atol=1e-12)


def test_a_spline_goes_through_its_values_and_a_cubic_one_is_fourth_order():
    errors = []
    for n in (10, 20):
        x = np.linspace(0, 1, n)
        f = Gridded({"x": x, "y": x}, np.exp(x)[:, None] * np.cos(2 * x))
        nodes = torch.from_numpy(x)
        torch.testing.assert_close(f.on_lattice([nodes, nodes]).numpy(), np.exp(x)[:, None] * np.cos(2 * x))
        errors.append(float((f(*X.T) - torch.exp(X[:, 0]) * torch.cos(2 * X[:, 1])).abs().max()))
    assert errors[1] < errors[0] / 10 < 1e-4
    assert (gridded(1).smooth, gridded(3).smooth, gridded(3).derivative((0, 2)).smooth) == (False, True, False)
    linear = gridded(1)(*X.T)
    assert linear.min() >= gridded(1).on_lattice([torch.from_numpy(t[1:-1].numpy()) for t in gridded(1).knots]).min()


def test_a_periodic_spline_is_smooth_across_the_ends():
    x = np.linspace(0, 1, 41)
    f = Gridded({"x": x}, np.sin(2 * np.pi * x) + 1e-12 * x, periodic=["x"])
    ends = torch.tensor([0.0, 1.0], dtype=torch.float64)
    for order in (0, 1, 2):
        left, right = f.derivative((order,))(ends)
        assert float(left) == pytest.approx(float(right), abs=1e-10)
    between = torch.rand(50, dtype=torch.float64)
    torch.testing.assert_close(f(between), torch.sin(2 * torch.pi * between), rtol=0, atol=4e-6)
    assert f.shape == (41,)
    for degree in (1, 3):
        with pytest.raises(ValueError, match="other values at both ends of x; expected the same"):
            Gridded({"x": x}, x, degree, ["x"])


def test_a_field_may_be_given_as_a_function_a_mapping_or_points_in_any_order():
    like = series()
    x, y = np.linspace(-1, 1, 21), np.linspace(0, 2, 17)
    X, Y = np.meshgrid(x, y, indexing="ij")
    values = np.sin(X) + Y**2
    order = np.random.default_rng(0).permutation(X.size)
    points = {"x": X.ravel()[order], "y": Y.ravel()[order], "nu": values.ravel()[order]}
    fields = [
        field_from("nu", given, like)
        for given in ({"x": x, "y": y, "nu": values}, {"x": X, "y": Y, "other": values}, points)
    ]
    at = torch.tensor([0.3, -0.9]).double(), torch.tensor([0.2, 1.7]).double()
    for f in fields:
        assert f.coordinates == ("x", "y")
        torch.testing.assert_close(f(*at), torch.sin(at[0]) + at[1] ** 2, rtol=0, atol=1e-4)
        torch.testing.assert_close(f(*at), fields[0](*at))
    formula = field_from("nu", lambda x, y: torch.sin(x) + y**2, like)
    torch.testing.assert_close(formula.derivative((1, 0))(*at), torch.cos(at[0]))
    torch.testing.assert_close(field_from("nu", lambda x, y: 3.0, like)(*at), torch.full((2,), 3.0).double())
    assert field_from("nu", 3.0, like) == 3.0
    two = TwoValues(like, 1.0, 2.0)
    assert field_from("nu", {"x": x, "y": y, "nu": values}, two).degrees == [1, 1]


def test_a_function_of_numpy_has_values_and_no_derivatives():
    f = Formula(lambda x: np.sin(x), ["x"])
    torch.testing.assert_close(f(torch.ones(1).double()), torch.sin(torch.ones(1).double()))
    with pytest.raises(ValueError, match="no function of torch, so it has no derivatives"):
        f.derivative((1,))


def test_a_table_is_copied_to_a_device_and_a_precision_once():
    for f in (series(), Gridded({"x": range(5)}, range(5))):
        like = torch.zeros(3, dtype=torch.float32)
        columns = [like] * len(f.coordinates)
        f(*columns)
        kept = dict(f._moved)
        assert kept
        f(*columns)
        assert all(f._moved[key] is table for key, table in kept.items())
        assert len(f._moved) == len(kept)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Gridded({"x": [0, 1, 2, 3]}, [1, 2, 3]), r"shape \(3,\); expected \(4,\), .* \(x: 4\)"),
        (lambda: Gridded({"x": [0, 1, 2, 3]}, [1, 2, np.nan, 4]), "1 of 4 values are not finite"),
        (lambda: Gridded({"x": [0, 2, 1, 3]}, [1, 2, 3, 4]), "the axis x does not increase"),
        (lambda: Gridded({"x": [0, 1]}, [1, 2]), "2 nodes along x; expected at least 4"),
        (lambda: Gridded({"x": [0, 1]}, [1, 2], 2), "degree=2: expected 1, 3 or 5"),
        (lambda: Gridded({"x": [0, 1]}, [1, 2], 1).derivative((1,)), "degree 1 in x, .* order 1 is not continuous"),
        (lambda: gridded(3).derivative((0, 3)), "degree 3 in y, .* order 3 is not continuous"),
        (lambda: TwoValues(series(), 1, 2).derivative((1, 0)), "it jumps between two values"),
        (lambda: Series(("x",), torch.ones(3, 4), [WAVES]), r"shape \(3, 4\); expected \(3,\)"),
    ],
)
def test_a_wrong_field_is_refused_in_one_line(make, message):
    with pytest.raises(ValueError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


# --- In a problem -----------------------------------------------------------------------------------------------------


@dataclass
class Medium(Problem):
    """-div(nu grad u) = f, with u = x (1 - x) sin(3 y) and an initial value for later use."""

    coordinates = ("x", "y")
    fields = ("u",)
    domain = Box(x=(0, 1), y=(0, 1))
    nu: CoefficientField = field(default_factory=lambda: Exponential(series(), 2.0))
    rate: float = 2.0

    def exact(self, x, y):
        return x * (1 - x) * torch.sin(3 * y)

    @on("interior")
    def pde(self, x, y, u_x, u_y, lap_u, nu, nu_x, nu_y, rate):
        u_xx_yy = -2 * torch.sin(3 * y) - 9 * self.exact(x, y)
        slopes = nu_x * (1 - 2 * x) * torch.sin(3 * y) + nu_y * 3 * x * (1 - x) * torch.cos(3 * y)
        return rate * (nu * lap_u + nu_x * u_x + nu_y * u_y - nu * u_xx_yy - slopes)

    @on("boundary")
    def rim(self, x, y, u):
        return u - self.exact(x, y)


def objective_of(problem, engine=Taylor, dtype=torch.float64):
    torch.manual_seed(0)
    features = Features(problem.domain)
    inner = torch.nn.Sequential(torch.nn.Linear(2, 5), torch.nn.Tanh(), torch.nn.Linear(5, len(problem.fields)))
    return Objective(problem, Model(features, inner, problem.unknowns).to(dtype), engine, Fixed())


def test_a_field_is_a_symbol_that_every_part_reads_from_the_points():
    problem = Medium()
    assert check(problem).ok
    assert list(problem.coefficients) == ["rate"]
    fast, slow = objective_of(problem), objective_of(problem, Autograd)
    torch.testing.assert_close(fast.residual("pde", X), slow.residual("pde", X))
    values = fast.evaluate(["nu", "nu_x", "nu_xy", "residual/pde"], X)
    torch.testing.assert_close(values["nu_xy"], problem.nu.derivative((1, 1))(*X.T))
    scales = field_scales(problem)
    assert natural_units(problem, scales)["pde"] > 1
    rows = torch.func.jacrev(lambda Y: fast.residual("pde", Y))(X[:4])
    assert rows[0, 1:].abs().max() == 0 < rows[0, 0].abs().max()
    assert objective_of(problem, dtype=torch.float32).residual("pde", X.float()).dtype == torch.float32


@pytest.mark.parametrize("nu", [Exponential(series(), 2.0), gridded(), TwoValues(series(), 3, 12)])
def test_a_field_compiles_to_one_graph(nu):
    grammar = Medium(nu).grammar
    symbols = [grammar.parse(name, "pde", "interior") for name in (["nu", "nu_x"] if nu.smooth else ["nu"])]

    def read(Y):
        return torch.stack([s.read(Place({}, Y, None, {})) for s in symbols])

    torch.testing.assert_close(torch.compile(read, fullgraph=True, backend="aot_eager")(X), read(X))


@pytest.mark.slow
def test_a_residual_with_a_field_compiles_to_one_graph():
    objective = objective_of(Medium())
    eager = objective.residual("pde", X)
    graph = torch.compile(lambda Y: objective.residual("pde", Y), fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(graph(X), eager)


def test_a_window_and_a_pseudo_time_step_see_the_field():
    class Heat(Evolving):
        @on("interior")
        def pde(self, u, u_t, u_xx, u0, u0_xx):
            return u_t - u_xx + u0 * u - u0_xx

    problem = Heat()
    window = Window(problem, 0.0, 0.5)
    assert window.coefficient_fields == problem.coefficient_fields
    model = objective_of(problem).model
    step = Step(problem, model, {"pde": "u"}, tau=0.5)
    for changed in (window, step, Window(problem, 0.5, 1.0, model)):
        assert objective_of(changed).residual("pde", X).isfinite().all()
    there = X[:5] * torch.tensor([1.0, 0.0]).double()
    torch.testing.assert_close(objective_of(step).residual("pde", X), objective_of(problem).residual("pde", X))
    assert objective_of(problem).residual("initial", there).isfinite().all()


@dataclass
class Evolving(Problem):
    """An initial value that is a field of x alone."""

    coordinates = ("x", "t")
    fields = ("u",)
    domain = Box(x=(0, 1), t=(0, 1))
    u0: CoefficientField = field(
        default_factory=lambda: Series(("x",), torch.tensor([0.0, 0.3, 0.2]).double(), [WAVES])
    )

    @on("interior")
    def pde(self, u_t, u_xx):
        return u_t - u_xx

    @on("initial")
    def initial(self, u, u0):
        return u - u0

    @periodic("x")
    def seam(self, u):
        return u


def test_an_initial_value_that_is_a_field_can_be_imposed_exactly():
    problem = Evolving()
    ansatz, names = derive(problem)
    assert names == ["initial"]
    at_start = torch.stack([X[:, 0], torch.zeros(30).double()], 1)
    torch.testing.assert_close(ansatz(at_start, torch.randn(30, 1).double())[:, 0], problem.u0(X[:, 0]))
    keys = {(0, 0), (2, 0), (1, 1)}
    fast, slow = (engine(keys)(lambda X: ansatz(X, X[:, :1] * X[:, 1:]), X.clone()) for engine in (Taylor, Autograd))
    for key in keys:
        torch.testing.assert_close(fast[key], slow[key].detach(), rtol=1e-9, atol=1e-9)
    jumping = Evolving(TwoValues(problem.u0, 0.0, 1.0))
    initial = next(c for c in jumping.constraints() if c.name == "initial")
    assert prescribed(jumping, initial) is None
    assert field_scales(problem)["u"].size == pytest.approx(float(problem.u0(X[:, 0]).abs().max()), rel=0.5)


def test_a_jump_of_a_field_before_a_second_derivative_is_found():
    class Jumping(Medium):
        @on("interior")
        def pde(self, lap_u, nu):
            return nu * lap_u + 1

    assert {j.coordinate for j in jumps_of(Jumping(TwoValues(series(), 3, 12)))} == {"x", "y"}
    assert not jumps_of(Jumping())


def test_another_field_is_another_input_of_the_run():
    same, other = Medium(), Medium(Exponential(series(seed=1), 2.0))
    assert inputs_of(Medium()) == inputs_of(same) != inputs_of(other)


class Columns(CoefficientField):
    coordinates, state = ("x",), {}

    def values(self, x):
        return torch.stack([x, x], 1)


class Rootless(Columns):
    def values(self, x):
        return torch.sqrt(x - 0.5)


class Looking(Columns):
    def values(self, x):
        return x - x.mean()


class Foreign(Columns):
    coordinates = ("z",)


@pytest.mark.parametrize(
    ("nu", "message"),
    [
        (Columns(), r"Medium\.nu: the field at 16 points has shape \(16, 2\); expected \(16,\)"),
        (Rootless(), r"Medium\.nu: the field is not finite at \d+ of 16 points"),
        (Looking(), r"Medium\.nu: the value at one point depends on others"),
        (Foreign(), "coefficient field `nu` is a function of z; expected of x, y"),
        (None, "Medium.pde: `nu` is a NoneType; a coefficient is a number, .*, a CoefficientField, or"),
        (TwoValues(series(), 3, 12), "Medium.pde: `nu_x` is no symbol, because `nu` has no such derivative: it jumps"),
        (gridded(1), "`nu_x` is no symbol, because `nu` has no such derivative: it is a spline of degree 1"),
    ],
)
def test_a_wrong_field_of_a_problem_is_refused_in_one_line(nu, message):
    class Plain(Medium):
        @on("interior")
        def pde(self, lap_u, nu):
            return nu * lap_u

    Plain.__name__ = "Medium"
    cls = Plain if isinstance(nu, Columns) else Medium
    with pytest.raises(UsageError, match=message) as caught:
        trainable_constraints(cls(nu))
    assert "\n" not in str(caught.value)


class Special(Written):
    def values(self, x, y):
        return torch.lgamma(1 + x * y)


def test_names_of_fields_are_checked():
    with pytest.raises(ValueError, match="it jumps between two values"):
        Exponential(TwoValues(series(), 1, 2)).derivative((1, 0))
    with pytest.raises(ValueError, match="no Taylor rule for `lgamma`"):
        Special().derivative((0, 1))
    with pytest.raises(TypeError, match="`u0_t` vanishes, because `u0` is a function of x and not of t; leave it out"):
        Evolving().grammar.parse("u0_t", "Evolving.pde", "interior")
    with pytest.raises(TypeError, match=r"`nu_q` is no symbol .* a coefficient \(rate, nu\)"):
        Medium().grammar.parse("nu_q", "Medium.pde", "interior")

    @dataclass
    class Clash(Medium):
        nu_x: float = 1.0

    with pytest.raises(TypeError, match="the coefficient `nu_x` has the name of a derivative"):
        _ = Clash().grammar

    class Unknown(Medium):
        unknowns = {"nu": 1.0}

    with pytest.raises(TypeError, match="coefficient field `nu` and unknown `nu`"):
        _ = Unknown().grammar
