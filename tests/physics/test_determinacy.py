"""What the constraints of a problem leave undetermined is found before training, and nothing else is."""

import inspect
from functools import partial
from math import pi

import pytest
import torch
from omegaconf import OmegaConf

from pinn_cli import Box, Problem, on, periodic
from pinn_cli.configuration import catalogue
from pinn_cli.configuration.assemble import build_problem
from pinn_cli.configuration.build import Builder
from pinn_cli.configuration.compose import compose
from pinn_cli.physics.determinacy import _is_affine, _Trial, undetermined
from pinn_cli.physics.references.cavity.reference import Cavity
from pinn_cli.problems.conductivity import Conductivity
from pinn_cli.problems.lid_driven_cavity import LidDrivenCavity
from tests.conftest import each

STRIP, SQUARE = Box(x=(0, 1), t=(0, 1)), Box(x=(0, 1), y=(0, 1))
ONE_U, ONE_V = on("initial")(lambda self, u: u - 1), on("initial")(lambda self, v: v - 1)
HEAT = on("interior")(lambda self, u_t, u_xx: u_t - 0.01 * u_xx)
WAVE = on("interior")(lambda self, u_tt, u_xx: u_tt - 100 * u_xx)
WALL = on("boundary")(lambda self, u: u)
WALL_V = on("boundary")(lambda self, v: v)
SLOPE = on("boundary")(lambda self, u_n: u_n)
START = on("initial")(lambda self, x, u: u - torch.sin(pi * x))
REST = on("initial")(lambda self, u_t: u_t)
SEAM = periodic("x")(lambda self, u: u)
SEAM_X = periodic("x")(lambda self, u_x: u_x)
PLATE = on("interior")(lambda self, u_xxxx, u_xxyy, u_yyyy: u_xxxx + 2 * u_xxyy + u_yyyy - 1)
NAVIER_STOKES = {
    "x_momentum": on("interior")(lambda self, u, v, u_x, u_y, p_x, lap_u: u * u_x + v * u_y + p_x - 0.01 * lap_u),
    "y_momentum": on("interior")(lambda self, u, v, v_x, v_y, p_y, lap_v: u * v_x + v * v_y + p_y - 0.01 * lap_v),
    "mass": on("interior")(lambda self, u_x, v_y: u_x + v_y),
    "wall": WALL, "wall_v": WALL_V,
}  # fmt: skip
UNSTEADY = NAVIER_STOKES | {
    "x_momentum": on("interior")(lambda self, u_t, u, u_x, p_x, lap_u: u_t + u * u_x + p_x - 0.01 * lap_u),
    "y_momentum": on("interior")(lambda self, v_t, v, v_y, p_y, lap_v: v_t + v * v_y + p_y - 0.01 * lap_v),
    "start": ONE_U, "start_v": ONE_V,
}  # fmt: skip
INVERSE = on("interior")(lambda self, u_t, u_xx, nu: u_t - nu * u_xx)


def problem(domain, constraints, fields=("u",), **more):
    cls = type("Given", (Problem,), {"coordinates": domain.coordinates, "fields": fields, **constraints, **more})
    made = cls()
    made.domain = domain
    return made


LEFT_OPEN = {
    "heat without initial value": (STRIP, {"heat": HEAT, "wall": WALL}, ("u",), {}, "do not determine u;"),
    "heat without a wall": (STRIP, {"heat": HEAT, "start": START}, ("u",), {}, "do not determine u;"),
    "heat with one seam of two": (STRIP, {"heat": HEAT, "seam": SEAM, "start": START}, ("u",), {}, "not determine u;"),
    "heat in three coordinates": (
        Box(x=(0, 1), y=(0, 1), t=(0, 1)),
        {"heat": on("interior")(lambda self, u_t, lap_u: u_t - 0.01 * lap_u), "wall": WALL}, ("u",), {}, "determine u;",
    ),
    "Poisson with slopes alone": (
        SQUARE, {"poisson": on("interior")(lambda self, lap_u: lap_u - 1), "slope": SLOPE}, ("u",), {},
        "u only up to a constant",
    ),
    "wave without velocity": (STRIP, {"wave": WAVE, "wall": WALL, "start": START}, ("u",), {}, "not determine u;"),
    "first-order equation with nothing": (
        Box(t=(0, 86400)), {"decay": on("interior")(lambda self, u, u_t: u_t + 1e-3 * u)}, ("u",), {}, "determine u;",
    ),
    "a field without a condition": (
        STRIP, {"heat": HEAT, "wall": WALL, "start": START,
                "other": on("interior")(lambda self, v_t, v_xx, u: v_t - v_xx - u)}, ("u", "v"), {}, "determine v;",
    ),
    "a field without an equation": (
        STRIP, {"heat": on("interior")(lambda self, u_t, u_xx, v: u_t - u_xx - v), "wall": WALL, "start": START},
        ("u", "v"), {}, "determine v;",
    ),
    "a plate that is not clamped": (SQUARE, {"plate": PLATE, "wall": WALL}, ("u",), {}, "not determine u;"),
    "pressure": (SQUARE, NAVIER_STOKES, ("u", "v", "p"), {}, "p only up to a constant"),
    "pressure in time": (
        Box(x=(0, 1), y=(0, 1), t=(0, 1)), UNSTEADY, ("u", "v", "p"), {}, "p only up to a function of t",
    ),
    "an unknown without data": (
        STRIP, {"heat": INVERSE, "wall": WALL, "start": START}, ("u",), {"unknowns": {"nu": 1.0}}, "determine nu;",
    ),
    "an ansatz without initial value": (
        STRIP, {"heat": HEAT}, ("u",), {"ansatz": lambda self, x, t, u: x * (1 - x) * u}, "not determine u;",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", LEFT_OPEN)
def test_what_is_left_open_is_named(case):
    domain, constraints, fields, more, words = LEFT_OPEN[case]
    assert words in str(undetermined(problem(domain, constraints, fields, **more)))


def test_few_measurements_leave_the_field_open():
    here = {"x": torch.tensor([0.5]), "u_data": torch.tensor([1.0])}
    given = problem(Box(x=(0, 1)), {"bend": on("interior")(lambda self, u_xx: u_xx),
                                    "measured": on("data")(lambda self, u, u_data: u - u_data)},
                    measurements=lambda self: here)  # fmt: skip
    assert "do not determine u;" in str(undetermined(given))


CLOSED = {
    "stiff reaction": (
        Box(t=(0, 1)), {"grow": on("interior")(lambda self, u, u_t: u_t - 50 * u * (1 - u)), "start": ONE_U},
        ("u",), {},
    ),
    "boundary layer": (
        Box(x=(0, 1)), {"flow": on("interior")(lambda self, u_x, u_xx: u_x - 1e-4 * u_xx - 1), "wall": WALL},
        ("u",), {},
    ),
    "fast waves": (STRIP, {"wave": WAVE, "wall": WALL, "start": START, "rest": REST}, ("u",), {}),
    "a thin rod for a long time": (
        Box(x=(0, 1e-3), t=(0, 1e5)),
        {"heat": on("interior")(lambda self, u_t, u_xx: u_t - 1e-12 * u_xx), "wall": WALL, "start": ONE_U}, ("u",), {},
    ),
    "periodic heat": (STRIP, {"heat": HEAT, "seam": SEAM, "seam_x": SEAM_X, "start": START}, ("u",), {}),
    "clamped plate": (SQUARE, {"plate": PLATE, "wall": WALL, "slope": SLOPE}, ("u",), {}),
    "first-order waves": (
        STRIP, {"flow": on("interior")(lambda self, u_x, u_t: u_t + 30 * u_x), "start": START,
                "inflow": on("x=0")(lambda self, u: u)}, ("u",), {},
    ),
    "fields of 1e-8 and of 1e8": (
        Box(x=(0, 1)),
        {"down": on("interior")(lambda self, u_xx, v: u_xx + 1e-15 * v),
         "up": on("interior")(lambda self, v_xx, u: v_xx + 1e17 * u),
         "left": on("x=0")(lambda self, u: u), "right": on("x=1")(lambda self, u: u),
         "held": on("x=0")(lambda self, v: v), "pulled": on("x=1")(lambda self, v_x: v_x + 1e8)}, ("u", "v"), {},
    ),
    "eikonal": (
        SQUARE, {"eikonal": on("interior")(lambda self, u_x, u_y: u_x**2 + u_y**2 - 1), "wall": WALL}, ("u",), {},
    ),
    "pressure with a level": (
        Box(x=(0, 1), y=(0, 1), points={"gauge": (0, 0)}),
        NAVIER_STOKES | {"level": on("gauge")(lambda self, p: p)}, ("u", "v", "p"), {},
    ),
    "three dimensions": (
        Box(x=(0, 1), y=(0, 1), z=(0, 1)),
        {"poisson": on("interior")(lambda self, lap_u: lap_u - 1), "wall": WALL}, ("u",), {},
    ),
    "an ansatz with everything": (
        STRIP, {"heat": HEAT}, ("u",), {"ansatz": lambda self, x, t, u: torch.sin(pi * x) + t * x * (1 - x) * u},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CLOSED)
def test_a_determined_problem_is_not_warned_of(case):
    domain, constraints, fields, more = CLOSED[case]
    assert undetermined(problem(domain, constraints, fields, **more)) is None


SENSOR = {"seen": on("data")(lambda self, u, u_data: u - u_data),
          "measurements": lambda self: dict.fromkeys(("x", "u_data"), torch.linspace(0.1, 0.9, 9))}  # fmt: skip
BY_K = {
    "a factor of the whole equation": {"pde": on("interior")(lambda self, x, u_xx, k: k * u_xx - k * torch.sin(x))},
    "a factor of a nonlinear one": {"pde": on("interior")(lambda self, u, u_xx, k: k**2 * (u_xx - u**3) * (2 + u))},
    "a factor of another equation": {
        "pde": on("interior")(lambda self, u_xx, v, v_x, u, k: u_xx - v + k * (v_x - u)),
        "other": on("interior")(lambda self, v_x, u: v_x - u), "start": on("x=0")(lambda self, v: v - 1),
    },
    "a factor of a condition": {"pde": on("interior")(lambda self, u_xx: u_xx),
                                "left": on("x=0")(lambda self, u, k: k * (u - 1))},
}  # fmt: skip
DETERMINE_K = {
    "a factor of one term": {"pde": on("interior")(lambda self, x, u_xx, k: k * u_xx - torch.sin(x))},
    "a factor of one term of a nonlinear one": {"pde": on("interior")(lambda self, u, u_xx, k: u_xx - k * u**3)},
    "a factor of the equation and a source": {
        "pde": on("interior")(lambda self, x, u, u_xx, k: k * (u_xx - u) - torch.sin(x))},
    "a value at an end": {"pde": on("interior")(lambda self, u_xx: u_xx), "left": on("x=0")(lambda self, u, k: u - k)},
}  # fmt: skip


@pytest.mark.parametrize("case", [*BY_K, *DETERMINE_K])
def test_an_unknown_that_vanishes_with_the_equations_is_not_determined(case):
    constraints = {**(BY_K | DETERMINE_K)[case], "wall": on("x=1")(lambda self, u: u), **SENSOR}
    constraints.setdefault("left", on("x=0")(lambda self, u: u))
    fields = ("u", "v") if "other" in constraints else ("u",)
    free = undetermined(problem(Box(x=(0, 1)), constraints, fields, unknowns={"k": 2.0}))
    if case in DETERMINE_K:
        assert free is None
    else:
        assert free.unseen == free.names == ("k",)
        assert "where the equations hold, no residual changes with k" in str(free)


@pytest.mark.parametrize(
    "pde",
    [
        lambda self, u_xx, a, b: a * b * u_xx + 2,
        lambda self, u, u_xx, a, b: u_xx - (a - b) * u + 2,
        lambda self, u, u_xx, a, b: a * u_xx + b * u + 2,  # one sensor for two unknowns
    ],
)
def test_unknowns_of_which_only_a_product_or_sum_is_determined_are_named_together(pde):
    constraints = {"pde": on("interior")(pde), "wall": WALL, **SENSOR}
    free = undetermined(problem(Box(x=(0, 1)), constraints, unknowns={"a": 1.0, "b": 1.5}))
    assert free is not None
    assert "determine a, b only together, as in a product or a sum" in str(free)


def test_two_unknowns_without_data_are_not_called_a_product():
    constraints = {"pde": on("interior")(lambda self, u, u_xx, a, b: a * u_xx + b * u + 2), "wall": WALL}
    free = undetermined(problem(Box(x=(0, 1)), constraints, unknowns={"a": 1.0, "b": 1.5}))
    assert free is not None
    assert "determine a, b; add" in str(free)


def times(factor, method, first):
    """The residual of `method` times a function of the coordinate `first`."""
    names = [name for name in inspect.signature(method).parameters if name != "self"]
    parameters = [
        inspect.Parameter(n, inspect.Parameter.POSITIONAL_OR_KEYWORD) for n in dict.fromkeys(["self", first, *names])
    ]

    def scaled(self, **symbols):
        return factor(symbols[first]) * method(self, **{name: symbols[name] for name in names})

    scaled.__signature__ = inspect.Signature(parameters)
    return on(method._region)(scaled)


FACTORS = {
    "exp(20 x)": lambda x: torch.exp(20 * x),
    "-1e-9 exp(-30 x)": lambda x: -1e-9 * torch.exp(-30 * x),
    "1 / (x + 1e-3)^4": lambda x: (x + 1e-3) ** -4.0,
}


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("case", ["heat without a wall", "wave without velocity", "Poisson with slopes alone",
                                  "an unknown without data", "boundary layer", "stiff reaction", "clamped plate",
                                  "first-order waves", "fields of 1e-8 and of 1e8"])  # fmt: skip
def test_an_equation_times_a_function_of_a_coordinate_is_the_same_one(case, factor):
    domain, constraints, fields, more, *_ = (LEFT_OPEN | CLOSED)[case]
    scaled = {name: times(FACTORS[factor], c, domain.coordinates[0]) for name, c in constraints.items()}
    assert undetermined(problem(domain, scaled, fields, **more)) == undetermined(
        problem(domain, constraints, fields, **more)
    )


def test_a_periodic_network_counts_as_a_condition():
    given = problem(STRIP, {"heat": HEAT, "start": START})
    assert undetermined(given, ("x",)) is None
    assert "not determine u;" in str(undetermined(problem(STRIP, {"heat": HEAT}), ("x",)))


# `test_the_solution_satisfies_every_constraint` asks this of all but the cavities.
@pytest.mark.parametrize("name", each(catalogue.options("problem"), ["lid_driven_cavity"]))
def test_no_problem_of_the_catalogue_is_undetermined(name, monkeypatch):
    """Measurements may leave an unknown field open at some points, such as the corners of `permeability`."""
    monkeypatch.setattr("pinn_cli.problems.lid_driven_cavity.Cavity", partial(Cavity, nodes=32))
    config = compose(["problem=helmholtz"])
    config.problem = OmegaConf.load(catalogue.file("problem", name))
    given = build_problem(config, Builder())
    free = undetermined(given)
    assert free is None or set(free.names) <= given.unknown_fields.keys()


def test_measurements_in_the_order_of_a_grid_count_in_the_whole_domain():
    assert undetermined(Conductivity(grid=50)) is None


def test_an_ansatz_that_is_affine_in_the_network_is_evaluated_once_for_each_field():
    trial = _Trial(LidDrivenCavity(), ())
    X = trial.points[:50]
    changes = trial._split(trial._fields(X))[1]
    assert trial.affine
    trial.affine = False
    torch.testing.assert_close(changes, trial._split(trial._fields(X))[1], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("ansatz", "affine"), [
    (lambda X, u: X[:, :1] * u + 1, True), (lambda X, u: u.exp(), False), (lambda X, u: u.abs(), False),
])  # fmt: skip
def test_whether_an_ansatz_is_affine_is_tried(ansatz, affine):
    assert _is_affine(ansatz, torch.rand(20, 2, dtype=torch.float64), 2) is affine
