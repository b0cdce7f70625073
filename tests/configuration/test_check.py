"""`pinn check`: its findings and its refusals."""

import json
import math
from dataclasses import dataclass
from math import exp, pi
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, sin

from pinn_cli.basics.errors import UsageError
from pinn_cli.cli import main
from pinn_cli.commands.check import page
from pinn_cli.configuration.check import check
from pinn_cli.configuration.trainable import trainable_constraints
from pinn_cli.physics.domains import Box
from pinn_cli.physics.problem import Problem, on, periodic
from pinn_cli.physics.references import reference_of
from pinn_cli.physics.references.table import Table, read_table
from pinn_cli.physics.scales import field_scales
from pinn_cli.training.metrics import own_metrics
from tests.conftest import refused


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

    @on("x=0")
    def inflow(self, t, u, c):
        return u + sin(c * t)


def finding(problem, name="pde"):
    return next(f for f in check(problem).findings if f.name == name)


def test_a_sound_problem_passes():
    report = check(Advection())
    assert report.ok
    assert (report.problem, report.equation, report.reference) == ("Advection", "u_t + c u_x = 0.", "Exact")
    assert finding(Advection()).residual < 1e-14
    assert finding(Advection()).terms["u_t"] == pytest.approx(finding(Advection()).terms["u_x"])


def test_a_problem_that_is_not_determined_gets_a_warning():
    class NoInflow(Advection):
        inflow = None

    report = check(NoInflow())
    assert not report.ok
    assert "WARN  the constraints do not determine u; add a boundary or initial condition" in page(report, {})


def test_a_wrong_sign_gets_a_warning_and_the_size_of_the_residual():
    class WrongSign(Advection):
        @on("interior")
        def pde(self, u_t, u_x, c):
            return u_t - c * u_x

    found = finding(WrongSign())
    assert found.residual == pytest.approx(2.0)
    assert "does not satisfy it" in found.warnings[0]


def test_a_condition_on_the_wrong_face_gets_a_warning_where_the_solution_is_small():
    class WrongFace(Advection):
        @on("x=0")
        def wall(self, x, u):
            return u - 1e-3 * x - 1e-4

    assert finding(WrongFace(c=0.0), "wall").warnings


def test_a_symbol_that_acts_on_one_side_only_is_not_called_useless():
    problem = with_residual(lambda self, u_t, u_x: u_t + torch.relu(-u_x))
    assert not any("changes nothing" in warning for warning in finding(problem).warnings)


def test_a_symbol_that_changes_nothing_gets_a_warning():
    class Idle(Advection):
        @on("interior")
        def pde(self, u_t, u_x, u_xx):
            return u_t + self.c * u_x

    assert finding(Idle()).warnings == ["`u_xx` is asked for and changes nothing"]


def test_a_solution_without_taylor_rules_is_differentiated_by_autograd():
    class Odd(Advection):
        def exact(self, x, t):
            return torch.special.entr(x - self.c * t + 3)

        @on("initial")
        def initial(self, x, u):
            return u - torch.special.entr(x + 3)

        @on("x=0")
        def inflow(self, t, u, c):
            return u - torch.special.entr(3 - c * t)

    assert check(Odd()).ok
    assert finding(Odd()).engine == "autograd"


def test_without_a_solution_the_rest_is_still_checked():
    class Unsolved(Advection):
        exact = property()  # hidden: hasattr is False

    report = check(Unsolved())
    assert report.ok
    assert report.reference is None
    assert {f.residual for f in report.findings} == {None}


class Cooling(Problem):
    """u_t = u_xx on a ring, from sin x, with measurements."""

    coordinates, fields = ("x", "t"), ("u",)
    table = Path("cooling.csv")

    def __init__(self) -> None:
        self.domain = Box(x=(0, 2 * pi), t=(0, 1), names={"late": ["t=1"]})

    def reference(self):
        return Table(self.table, self.coordinates, self.fields, error=1e-6)

    def measurements(self):
        return {"x": torch.tensor([0.0, 1.0]), "t": torch.tensor([0.5, 0.1]), "u_seen": torch.tensor([0.1, 0.1])}

    @on("interior")
    def pde(self, u_t, u_xx):
        return u_t - u_xx

    @on("initial")
    def start(self, x, u):
        return u - sin(x)

    @on("late")
    def end(self, x, u):
        return u - sin(x)

    @periodic("x")
    def ring(self, u):
        return u

    @on("data")
    def seen(self, u, u_seen):
        return u - u_seen


def cooling(folder: Path, times: list[float]) -> Cooling:
    """The problem with the table of its solution on a grid of 9 nodes at these times."""
    rows = [f"{x:.9g},{t:g},{math.sin(x) * exp(-t):.9g}\n"
            for t in times for x in (2 * pi * k / 8 for k in range(9))]  # fmt: skip
    (folder / "cooling.csv").write_text("x,t,u\n" + "".join(rows))
    problem = Cooling()
    problem.table = folder / "cooling.csv"
    return problem


def test_conditions_on_values_are_compared_with_a_table_at_its_points_on_their_region(tmp_path):
    report = check(cooling(tmp_path, [0.0, 0.5, 1.0]))
    found = {f.name: f for f in report.findings}
    assert found["start"].residual < 1e-7
    assert found["ring"].residual < 1e-7
    assert found["end"].residual == pytest.approx(1 - exp(-1), rel=1e-3)  # relative to sin x, its largest term
    table = torch.tensor([math.sin(k * pi / 4) * exp(-t) for t in (0, 0.5, 1) for k in range(9)])
    size = float(table.square().mean().sqrt())  # of u, which is 0 at the one measured point that the table knows
    assert found["seen"].residual == pytest.approx(0.1 / size)
    assert [f.name for f in report.findings if f.warnings] == ["end"]
    assert not report.ok


def test_a_constraint_that_a_table_cannot_check_is_named_and_is_no_error(tmp_path):
    problem = cooling(tmp_path, [0.5])
    report = check(problem)
    assert {f.name: f.unchecked for f in report.findings} == {
        "pde": "a table has no derivatives (u_t, u_xx)",
        "start": "no point of the table lies on initial",
        "end": "no point of the table lies on late",
        "ring": None,
        "seen": None,
    }
    assert report.ok
    text = page(report, POINTS)
    assert "Table of 9 points, relative error 1e-06" in text
    assert "WARN  pde on interior" in text
    assert "        not checked against the reference: a table has no derivatives (u_t, u_xx)" in text


def test_a_reference_checks_the_constraints_of_the_fields_that_it_knows():
    class Pair(Advection):
        fields = ("u", "v")

        def exact(self, x, t):
            return sin(x - self.c * t), 0 * x

        @on("initial")
        def other(self, v):
            return v

        @on("interior")
        def still(self, v_t):
            return v_t

    exact = Pair().exact
    Half = type("Half", (Pair,), {"exact": None, "reference": lambda self: Known(("u",), exact)})
    assert check(Pair()).ok
    found = {f.name: f for f in check(Half()).findings}
    assert found["pde"].residual < 1e-9
    assert found["other"].unchecked == "the reference does not know v"


class Known:
    """A reference that knows some fields everywhere."""

    at, error = None, 1e-15

    def __init__(self, fields, exact):
        self.fields, self.exact = fields, exact

    def __call__(self, X):
        return dict(zip(self.fields, self.exact(X[:, 0], X[:, 1]), strict=False))


def test_a_solution_that_is_not_finite_gets_a_warning():
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
    "random numbers": (lambda self, u: u + torch.rand_like(u), r"Mine\.pde: called twice with the same numbers, it"),
    "a symbol changed in place": (lambda self, u: u.mul_(2), r"Mine\.pde: changes `u` in place, .* v = u \+ 1 and"),
    "a coordinate changed in place": (lambda self, x, u: u - x.zero_(), r"Mine\.pde: changes `x` in place"),
    "no field": (lambda self, x, t: x - t, "no field changes the residual"),
    "a field that is cancelled": (lambda self, u: u - u, "no field changes the residual"),
    "a field that is cut off": (lambda self, u: u.detach() - 1, "the residual has no gradient"),
    "a function of numpy": (lambda self, u: torch.as_tensor(np.sin(u.numpy())), "requires grad"),
    "a function of math": (lambda self, x: math.sin(x), r"Mine\.pde: .*use the functions of torch"),
    "a name that is no parameter": (
        lambda self, u: u + undefined,  # noqa: F821
        r"Mine\.pde: NameError.*line \d+ of .*test_check\.py.*add `undefined` to the parameters",
    ),
    "an unknown symbol": (lambda self, u_z: u_z, "u_z"),
    "an unknown region": (None, "no region `lid`"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_residual_that_cannot_be_trained_is_refused_in_one_line(case):
    residual, message = REFUSED[case]
    problem = with_residual(residual) if residual else with_residual(lambda self, u: u, "lid")
    with refused(message):
        check(problem)


EXTREME = {
    "divides": lambda self, u, k: u / k**2,
    "grows": lambda self, u, k: k**2 * u - 1,
    "decays": lambda self, u, k: torch.exp(-k * u * u) - 1,
    "a power of Python": lambda self, u: u * self.k**2,
    "a division of Python": lambda self, u: u / self.k**-2,
}


@pytest.mark.parametrize("case", EXTREME)
def test_a_coefficient_that_leaves_the_range_of_numbers_is_named(case):
    @dataclass
    class Mine(Advection):
        k: float = 1.0
        other: float = 1e-40
        pde = on("interior")(EXTREME[case])

    assert check(Mine())
    with refused(
        r"Mine\.pde: with k = 1e\+300 the residual leaves the range of numbers \(.*\), and with k = 1 it does not"
    ):
        check(Mine(k=1e300))


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
        trainable_constraints(Mixed())
    with pytest.raises(UsageError, match=r"Column\.ansatz: shape"):
        trainable_constraints(Column())
    trainable_constraints(Sound())


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"x": [0.0, 0.5], "t": [0.0, 0.5], "v": [1.0]}, r"Measured\.measurements: columns of shapes .*\(1,\)"),
        ({"x": [0.0], "v": [1.0]}, "no column `t`"),
        ({"x": [0.0, 0.5], "t": [0.0, 1.7], "v": [1.0, 1.0]}, r"row 2: t = 1\.7 lies outside .* 0 <= t <= 1$"),
        ({"x": [0.0, 0.5], "t": [0.0, 0.5], "v": [1.0, torch.nan]}, "row 2: v is `nan`; expected a finite number"),
    ],
)
def test_measurements_that_cannot_be_used_are_refused(columns, message):
    class Measured(Advection):
        def measurements(self) -> dict[str, Tensor]:
            return {name: torch.tensor(values) for name, values in columns.items()}

        @on("data")
        def seen(self, u, v):
            return u - v

    with pytest.raises(UsageError, match=message):
        trainable_constraints(Measured())


def test_a_measured_row_outside_the_domain_names_its_file(tmp_path):
    class Measured(Advection):
        def measurements(self):
            return read_table(file)

        @on("data")
        def seen(self, u, v):
            return u - v

    file = tmp_path / "probe.csv"
    file.write_text("x, t, v\n0.5, 0.5, 1\n-2, 3, 1\n")
    expected = r"measurements \(.*probe\.csv\): line 3: x = -2, t = 3 lies .* expected 0 <= x <= 1, 0 <= t <= 1$"
    with pytest.raises(UsageError, match=expected):
        trainable_constraints(Measured())


def test_a_problem_without_constraints_is_refused():
    class Empty(Problem):
        coordinates, fields, domain = ("x",), ("u",), Box(x=(0, 1))

    with pytest.raises(UsageError, match="has no constraint"):
        trainable_constraints(Empty())


# --- The command ------------------------------------------------------------------------------------------------------

POINTS = {"pde": 2048, "initial": 128}


def test_the_page_shows_the_problem_its_residuals_and_their_cost():
    text = page(check(Advection()), POINTS)
    for words in (
        "Advection: u_t + c u_x = 0.",
        "x in [0, 1], t in [0, 1]",
        "coefficients  c = 2",
        "Exact, relative error 1e-15",
        "OK    pde on interior, 2048 points: u_t, u_x, c",
        "of the largest term",
        "streams 3   nested autograd 2",
    ):
        assert words in text
    assert "\033" not in text
    assert "WARN" not in text


def test_the_page_fits_a_narrow_terminal_and_breaks_no_word():
    whole = page(check(Advection()), POINTS)
    narrow = page(check(Advection()), POINTS, width=60)
    assert max(map(len, narrow.splitlines())) <= 60 < max(map(len, whole.splitlines()))
    assert narrow.split() == whole.split()
    assert "OK    pde on interior" in narrow


def test_the_page_shows_a_warning_in_colour_on_a_terminal():
    report = check(with_residual(lambda self, u_t, u_x: u_t - u_x))
    assert "\nWARN  pde on interior" in page(report, POINTS)
    assert "does not satisfy it" in page(report, POINTS)
    assert "\n\033[33mWARN\033[0m  pde" in page(report, POINTS, colour=True)
    assert "\n\033[32mOK\033[0m    initial" in page(report, POINTS, colour=True)


def test_the_exit_code_is_1_if_something_is_wrong(monkeypatch, capsys):
    wrong = check(with_residual(lambda self, u_t, u_x: u_t - u_x))
    monkeypatch.setattr("pinn_cli.configuration.check.check", lambda *_: wrong)
    assert main(["check", "problem=helmholtz"]) == 1
    assert main(["check", "problem=helmholtz", "--json"]) == 1
    assert '"ok": false' in capsys.readouterr().out


@pytest.mark.parametrize("name", ["helmholtz", "heat_inverse"])  # test_problems.py checks all of them
def test_the_command_checks_a_problem_by_name(name, capsys):
    assert main(["check", f"problem={name}", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["ok"]
    assert found["points"]["pde"] == 512


def test_the_command_takes_overrides(capsys):
    assert main(["check", "problem=helmholtz", "problem.a2=1", "points.wall=50", "points.interior=300"]) == 0
    text = capsys.readouterr().out
    assert "a2 = 1" in text
    assert "pde on interior, 300 points" in text
    assert "wall on boundary, 200 points" in text


def test_a_condition_that_is_imposed_exactly_has_no_points(capsys):
    assert main(["check", "problem=helmholtz", "constraints=exact"]) == 0
    assert "wall on boundary, imposed exactly" in capsys.readouterr().out


def test_a_problem_of_ones_own_is_checked_and_refused(own_folder, one_line):
    yaml, module = own_folder / "conf" / "problem" / "mixed.yaml", own_folder / "problems" / "mixed.py"
    for file, text in ((yaml, "# mixes points\n_target_: problems.mixed.Mixed\n"), (module, MIXED)):
        file.parent.mkdir(parents=True)
        file.write_text(text)
    assert main(["check", "problem=mixed"]) == 2
    assert "Mixed.pde: a change at one point changes the residual at 15 others" in one_line()
    assert sorted(p.name for p in own_folder.iterdir()) == ["conf", "problems"]  # nothing is made


MIXED = """
from dataclasses import dataclass
from pinn_cli.physics.domains import Box
from pinn_cli.physics.problem import Problem, on, periodic

@dataclass
class Mixed(Problem):
    coordinates = ("x", "y")
    fields = ("u",)

    def __post_init__(self):
        self.domain = Box(x=(0, 1), y=(0, 1))

    @on("interior")
    def pde(self, u, lap_u):
        return lap_u + u - u.mean()
"""


def test_typed_coefficients_without_a_dataclass_are_told_to_become_one(own_folder, capsys):
    assert main(["new", "problem", "mine"]) == 0
    file = Path("problems/mine.py")
    file.write_text(file.read_text().replace("@dataclass\n", ""))
    assert main(["check", "problem=mine"]) == 2
    assert "is no dataclass; write @dataclass above the class" in capsys.readouterr().err


def test_typed_class_variables_and_private_attributes_need_no_dataclass(own_folder, capsys):
    Path("conf/problem").mkdir(parents=True)
    Path("conf/problem/plain.yaml").write_text("_target_: problems.plain.Plain\n")
    Path("problems").mkdir()
    Path("problems/plain.py").write_text(
        "from typing import ClassVar\nfrom pinn_cli import Box, Problem, on\n\n\nclass Plain(Problem):\n"
        "    coordinates, fields = ('x',), ('u',)\n    domain = Box(x=(0, 1))\n"
        "    factor: ClassVar[float] = 2.0\n    _shift: float = 1.0\n\n"
        "    @on('interior')\n    def pde(self, u_x):\n        return u_x - self.factor - self._shift\n\n"
        "    @on('x=0')\n    def start(self, u):\n        return u\n"
    )
    assert main(["check", "problem=plain"]) == 0, capsys.readouterr().err


def test_a_number_of_a_class_that_its_yaml_does_not_list_is_told_where_to_write(own_folder, one_line):
    assert main(["new", "problem", "mine"]) == 0
    yaml = Path("conf/problem/mine.yaml")
    yaml.write_text("\n".join(line for line in yaml.read_text().splitlines() if not line.startswith("kappa")))
    assert main(["check", "problem=mine", "problem.kappa=0.2"]) == 2
    assert "write a line `kappa: ...` into its YAML, or type +problem.kappa=..." in one_line()
    assert main(["check", "problem=mine", "+problem.kappa=0.2"]) == 0


def test_a_field_beside_a_large_source_changes_the_residual():
    class Grain(Advection):
        @on("interior")
        def pde(self, x, u_xx):
            return u_xx + 1e20 * sin(x)

    assert check(Grain())


class Failing(Advection):
    """Each method fails in its own way, if it is asked for."""

    def reference(self):
        return {}["x"]

    def ansatz(self, x, t, u):
        return undefined  # noqa: F821

    def metrics(self, evaluate):
        return {"a": 1 / 0}


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({"exact": None, "reference": Failing.reference}, r"Mine\.reference: KeyError: 'x' \(line \d+ of .*test_check"),
        ({"ansatz": Failing.ansatz}, r"Mine\.ansatz: NameError: name 'undefined' is not defined \(line \d+ of"),
    ],
)
def test_a_method_of_the_user_that_raises_gets_one_line_with_its_place(members, says):
    problem = type("Mine", (Advection,), members)()
    with refused(says):
        trainable_constraints(problem)
        reference_of(problem)


def test_metrics_that_raise_get_one_line_with_their_place():
    with refused(r"Failing\.metrics: ZeroDivisionError: division by zero \(line \d+ of .*test_check"):
        own_metrics(Failing(), SimpleNamespace())


def test_a_problem_whose_making_raises_gets_one_line_with_its_place(own_folder, one_line):
    assert main(["new", "problem", "mine"]) == 0
    file = Path("problems/mine.py")
    file.write_text(file.read_text().replace("self.domain =", "1 / 0; self.domain ="))
    assert main(["check", "problem=mine"]) == 2
    assert "problem: ZeroDivisionError: division by zero (line " in one_line()


def test_a_scale_that_is_no_number_is_refused():
    with refused(r"Mine\.scale: u = big; expected a number above 0", ValueError):
        field_scales(type("Mine", (Advection,), {"scale": {"u": "big"}})())


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        (lambda self: {"x": [0.1, "a"], "t": [0.1, 0.2]}, r"Mine\.measurements: x: .*; expected a list of numbers"),
        (lambda self: [][1], r"Mine\.measurements: IndexError: list index out of range \(line \d+ of"),
    ],
)
def test_measurements_that_raise_or_hold_text_get_one_line(columns, says):
    with refused(says, (TypeError, UsageError)):
        trainable_constraints(type("Mine", (Advection,), {"measurements": columns})())
