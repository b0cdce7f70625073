"""`pinn check`: what it finds, and what it refuses."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, sin

from pinn_cli.checks import check
from pinn_cli.domains import Box
from pinn_cli.errors import UsageError
from pinn_cli.problem import Problem, on
from pinn_cli.refusals import refuse
from pinn_cli.streams import nested_passes
from pinn_cli.symbols import Lap


@dataclass
class Advection(Problem):
    """u_t + c u_x = 0."""

    coordinates = ("x", "t")
    fields = ("u",)
    c: float = 2.0

    def __post_init__(self) -> None:
        self.domain = Box(x=(0, 1), t=(0, 1))

    def exact(self, x, t):
        return sin(x - self.c * t)

    @on("interior")
    def pde(self, u_t, u_x, c):
        return u_t + c * u_x

    @on("initial")
    def initial(self, x, u):
        return u - sin(x)


def finding(problem, name="pde"):
    return next(f for f in check(problem).findings if f.name == name)


def test_a_sound_problem_passes():
    report = check(Advection())
    assert report.ok
    assert (report.problem, report.equation, report.reference) == ("Advection", "u_t + c u_x = 0.", "Exact")
    assert finding(Advection()).residual < 1e-14
    assert finding(Advection()).terms["u_t"] == pytest.approx(finding(Advection()).terms["u_x"])


def test_a_wrong_sign_is_found_and_its_size_told():
    class WrongSign(Advection):
        @on("interior")
        def pde(self, u_t, u_x, c):
            return u_t - c * u_x

    found = finding(WrongSign())
    assert found.residual == pytest.approx(2.0)
    assert "does not satisfy it" in found.warnings[0]


def test_a_condition_on_the_wrong_face_is_found_where_the_solution_is_small():
    class WrongFace(Advection):
        @on("x=0")
        def wall(self, x, u):
            return u - 1e-3 * x - 1e-4

    assert finding(WrongFace(c=0.0), "wall").warnings


def test_a_symbol_that_changes_nothing_is_named():
    class Idle(Advection):
        @on("interior")
        def pde(self, u_t, u_x, u_xx):
            return u_t + self.c * u_x

    assert finding(Idle()).warnings == ["`u_xx` is asked for and changes nothing"]


def test_a_solution_without_taylor_rules_goes_through_autograd():
    class Odd(Advection):
        def exact(self, x, t):
            return torch.special.entr(x - self.c * t + 3)

        @on("initial")
        def initial(self, x, u):
            return u - torch.special.entr(x + 3)

    assert check(Odd()).ok
    assert finding(Odd()).engine == "autograd"


def test_without_a_solution_the_rest_is_still_checked():
    class Unsolved(Advection):
        exact = property()  # hidden: hasattr is False

    report = check(Unsolved())
    assert report.ok
    assert report.reference is None
    assert {f.residual for f in report.findings} == {None}


def test_a_solution_that_is_not_finite_is_told():
    class Infinite(Advection):
        def exact(self, x, t):
            return 1 / (x - x)

    assert "the solution is not finite here" in finding(Infinite()).warnings


# --- Refusals ---------------------------------------------------------------------------------------------------------


def with_residual(residual, region="interior"):
    """Advection with another equation."""
    return type("Mine", (Advection,), {"pde": on(region)(residual)})()


REFUSED = {
    "mixes points": (lambda self, u: u - u.mean(), r"Mine\.pde: a change at one point changes .* at 15 others"),
    "sorts points": (lambda self, u: u.sort().values, "at one point"),
    "a column": (lambda self, u: u[:, None], r"has shape \(16, 1\); expected \(16,\)"),
    "a broadcast": (lambda self, x, u: u - x[:, None], r"has shape \(16, 16\); expected \(16,\)"),
    "a sum": (lambda self, u: u.sum(), r"has shape \(\); expected \(16,\)"),
    "nothing": (lambda self, u: None, r"has type NoneType; expected \(16,\)"),
    "no field": (lambda self, x, t: x - t, "no field changes the residual"),
    "a field that is cancelled": (lambda self, u: u - u, "no field changes the residual"),
    "a mistake": (lambda self, u: u + undefined, r"Mine\.pde: NameError"),  # noqa: F821
    "an unknown symbol": (lambda self, u_z: u_z, "u_z"),
    "an unknown region": (None, "no region `lid`"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_residual_that_cannot_be_trained_is_refused_in_one_line(case):
    residual, message = REFUSED[case]
    problem = with_residual(residual) if residual else with_residual(lambda self, u: u, "lid")
    with pytest.raises(UsageError, match=message) as error:
        check(problem)
    assert "\n" not in str(error.value)


def test_an_ansatz_that_mixes_points_or_changes_shape_is_refused():
    class Mixed(Advection):
        def ansatz(self, x, t, u):
            return u - u.mean()

    class Column(Advection):
        def ansatz(self, x, t, u):
            return (x * u)[:, None]

    class Sound(Advection):
        def ansatz(self, x, t, u):
            return sin(x) + t * u

    with pytest.raises(UsageError, match=r"Mixed\.ansatz: a change at one point"):
        refuse(Mixed())
    with pytest.raises(UsageError, match=r"Column\.ansatz: shape"):
        refuse(Column())
    refuse(Sound())


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"x": 3, "t": 3, "v": 2}, r"columns of shapes .*\(2,\)"),
        ({"x": 3, "v": 3}, "no column `t`"),
    ],
)
def test_measurements_of_the_wrong_shape_are_refused(columns, message):
    class Measured(Advection):
        def measurements(self) -> dict[str, Tensor]:
            return {name: torch.zeros(n) for name, n in columns.items()}

        @on("data")
        def seen(self, u, v):
            return u - v

    with pytest.raises(UsageError, match=message):
        refuse(Measured())


def test_a_problem_without_constraints_is_refused():
    class Empty(Problem):
        coordinates, fields, domain = ("x",), ("u",), Box(x=(0, 1))

    with pytest.raises(UsageError, match="has no constraint"):
        refuse(Empty())


# --- Cost -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "D", "F", "passes"),
    [
        ({(0, 0)}, 2, 1, 1),
        ({(0, 1), (1, 0), (2, 0)}, 2, 1, 4),  # Burgers
        ({Lap((0, 1), 2)}, 2, 1, 6),  # Helmholtz
        ({Lap((0, 1, 2), 3)}, 3, 1, 8),  # Poisson in space
        ({(0, 1), (1, 0), (3, 0)}, 2, 1, 8),  # Korteweg-de Vries
        ({(4,)}, 1, 1, 16),
        ({Lap((0, 1), 2)}, 2, 3, 16),  # three fields: 1 + F (1 + 2 D)
    ],
)
def test_passes_of_nested_differentiation(wanted, D, F, passes):
    assert nested_passes(wanted, D, F) == passes


def test_the_plan_joins_constraints_of_one_region():
    streams = {s.region: s for s in check(Advection()).streams}
    assert streams["interior"].taylor == 3
    assert streams["initial"].derivatives == ["1"]
    assert streams["interior"].constraints == ["pde"]
