"""What is refused in one line before a run: names that mean two things, and numbers that are none."""

from dataclasses import dataclass, field, make_dataclass
from math import inf, nan
from typing import Any

import numpy as np
import pytest
import torch

from pinn_cli import Box, Problem, observable, on, periodic
from pinn_cli.configuration.trainable import trainable_constraints
from pinn_cli.physics.references.table import read_table
from tests.conftest import refused


@dataclass
class Rod(Problem):
    """u_t = k u_xx."""

    coordinates = ("x", "t")
    fields = ("u",)
    k: float = 0.1

    def __post_init__(self):
        self.domain = Box(x=(0, 1), t=(0, 1))

    @on("interior")
    def heat(self, u_t, u_xx, k):
        return u_t - k * u_xx

    @on("boundary")
    def cold(self, u):
        return u


def rod(**members: Any) -> Problem:
    """A rod with other members; a number is a coefficient."""
    numbers = {name: value for name, value in members.items() if isinstance(value, float)}
    others = {name: value for name, value in members.items() if name not in numbers}
    cls = type(Rod)("Bar", (Rod,), others)
    return make_dataclass("Bar", [(n, float, v) for n, v in numbers.items()], bases=(cls,))()


def residual(region="interior"):
    return on(region)(lambda self, u_x: u_x)


def columns(**more):
    return {"measurements": lambda self: {n: np.array([0.25, 0.5]) for n in ("x", "t", *more)},
            "seen": on("data")(more.pop("residual", lambda self, u, u_data: u - u_data))}  # fmt: skip


AMBIGUOUS = {
    "coefficient and field": (rod, {"u": 1.0}, "field `u` and coefficient `u`"),
    "coefficient and coordinate": (rod, {"x": 1.0}, "coordinate `x` and coefficient `x`"),
    "unknown and field": (rod, {"unknowns": {"u": 1.0}}, "field `u` and unknown `u`"),
    "unknown and coordinate": (rod, {"unknowns": {"t": 1.0}}, "coordinate `t` and unknown `t`"),
    "observable and field": (rod, {"u": observable(lambda self, u_x: u_x)}, "field `u` and observable `u`"),
    "observable and coordinate": (rod, {"x": observable(lambda self, u_x: u_x)}, "coordinate `x` and observable `x`"),
    "observable and unknown": (rod, {"unknowns": {"q": 1.0}, "q": observable(lambda self, u_x: u_x)},
                               "unknown `q` and observable `q`"),
    "observable and constraint": (rod, {"cold": observable(lambda self, u_x: u_x)},
                                  "observable `cold` and constraint `cold`"),
    "constraint and field": (rod, {"u": residual()}, "field `u` and constraint `u`"),
    "constraint and unknown": (rod, {"unknowns": {"q": 1.0}, "q": residual()}, "unknown `q` and constraint `q`"),
    "two fields": (rod, {"fields": ("u", "u")}, "field `u` and field `u`"),
    "coefficient and derivative": (rod, {"u_x": 1.0}, "the coefficient `u_x` has the name of a derivative"),
    "coefficient and normal derivative": (rod, {"u_n": 1.0}, "the coefficient `u_n` has the name of a derivative"),
    "coefficient and Laplacian": (rod, {"lap_u": 1.0}, "the coefficient `lap_u` has the name of a derivative"),
    "unknown and derivative": (rod, {"unknowns": {"u_t": 1.0}}, "the unknown `u_t` has the name of a derivative"),
    "observable and derivative": (rod, {"u_x": observable(lambda self, u: u)}, "the observable `u_x` has the name"),
    "coefficient and method": (rod, {"exact": 1.0}, "the coefficient `exact` has the name of a method"),
    "coefficient and attribute of all": (rod, {"metrics": 1.0}, "the coefficient `metrics` has the name of a method"),
    "coefficient and method of all": (rod, {"share": 1.0}, "the coefficient `share` has the name of a method"),
    "unknown and method": (rod, {"unknowns": {"speed": 1.0}, "speed": lambda self: 1.0}, "`speed` has the name of a m"),
    "observable and method": (rod, {"metrics": observable(lambda self, u: u)}, "`metrics` has the name of a method"),
    "constraint and method": (rod, {"exact": residual()}, "the constraint `exact` has the name of a method"),
    "constraint and region": (rod, {"boundary": residual()}, "`weights.boundary` would mean both"),
    "constraint and kind": (rod, {"face": residual()}, "`weights.face` would mean both"),
    "a word of Python": (rod, {"fields": ("lambda",)}, "the field 'lambda' is no name in Python"),
    "no word": (rod, {"fields": ("u v",)}, "the field 'u v' is no name in Python"),
    "no text": (rod, {"fields": (1,)}, "the field 1 is no name in Python"),
    "letters that Python spells otherwise": (rod, {"fields": ("\u00b5",)}, "is no name in Python"),
    "self": (rod, {"fields": ("self",)}, "`self` has a reserved name"),
    "source": (rod, {"fields": ("u", "source")}, "`source` has a reserved name"),
    "a name of torch": (rod, {"unknowns": {"half": 1.0}}, "`half` has a reserved name"),
    "a word in place of names": (rod, {"fields": "psi"}, r"fields = 'psi': expected a tuple .* \(\"psi\",\)"),
    "no field": (rod, {"fields": ()}, r"fields = \(\): expected a tuple"),
    "a field called lap": (rod, {"fields": ("lap",)}, "field `lap`"),
    "a field with an underscore": (rod, {"fields": ("u", "u_x")}, "field `u_x`"),
    "a coordinate called n": (rod, {"coordinates": ("x", "n"), "__post_init__": lambda self: None,
                                    "domain": Box(x=(0, 1), n=(0, 1))}, "coordinate `n`"),
    "a coordinate of two letters": (rod, {"coordinates": ("x", "xt"), "__post_init__": lambda self: None,
                                          "domain": Box(x=(0, 1), xt=(0, 1))}, "coordinate `xt`"),
}  # fmt: skip


@pytest.mark.parametrize("case", AMBIGUOUS)
def test_two_things_of_one_name_are_refused(case):
    make, members, message = AMBIGUOUS[case]
    with refused(message):
        trainable_constraints(make(**members))


def test_a_coefficient_named_like_a_field_is_refused_and_hides_it_no_more():
    @dataclass
    class Fin(Problem):
        """T_xx = m^2 T; T_x = -2 at x = 0, T_x + T = 0 at x = 1."""

        coordinates = ("x",)
        fields = ("T",)
        m: float = 1.0
        T: float = 1.0  # the length of the fin

        def __post_init__(self):
            self.domain = Box(x=(0, self.T))

        @on("interior")
        def fin(self, T, T_xx, m):
            return T_xx - m**2 * T

    with refused(r"^Fin: field `T` and coefficient `T`; give each a name of its own$"):
        trainable_constraints(Fin())


@pytest.mark.parametrize(
    ("column", "residual", "message"),
    [
        ("u", lambda self, u: u, "field `u` and measured column `u`"),
        ("k", lambda self, u, k: u - k, "coefficient `k` and measured column `k`"),
        ("u_x", lambda self, u_x: u_x, "the measured column `u_x` has the name of a derivative"),
        ("w", lambda self, u, v: u - v, r"`v` is no symbol of the region `data`; .* a measured column \(w\)"),
    ],
)
def test_a_measured_column_has_a_name_of_its_own(column, residual, message):
    with refused(message):
        trainable_constraints(rod(**columns(**{column: None, "residual": residual})))


def test_a_column_that_nobody_asks_for_may_have_any_name_and_any_values():
    def measurements(self):
        return {"x": [0.5], "t": [0.5], "v": [1.0], "k": ["dry"], "u_x": [nan]}

    def as_arrays(self):
        return {name: np.array(values) for name, values in measurements(self).items()}

    problem = rod(measurements=as_arrays, seen=on("data")(lambda self, u, v: u - v))
    trainable_constraints(problem)
    assert problem.data.tolist() == [[0.5, 0.5, 1.0]]


def test_the_true_value_of_an_unknown_may_be_a_coefficient():
    trainable_constraints(rod(unknowns={"k": 1.0}))


@pytest.mark.parametrize("name", ["coordinates", "fields", "imposes", "unknowns", "scale", "offset"])
def test_a_number_in_the_place_of_names_is_no_coefficient_without_a_type(name):
    with refused(f"^Mine: {name} = 3: expected .*, e\\.g\\. ", TypeError):
        type("Mine", (Rod,), {name: 3})


def test_a_word_in_the_place_of_imposed_names_is_refused():
    with refused(r"^Bar: imposes = 'cold': expected a tuple of names of constraints"):
        trainable_constraints(rod(imposes="cold"))


def test_a_residual_that_is_written_twice_is_refused():
    with refused("`cold` is written twice in one class, and Python drops the first; rename one of them", TypeError):

        class Twice(Rod):
            @on("x=0")
            def cold(self, u):
                return u

            @on("x=1")
            def cold(self, u):  # noqa: F811
                return u - 1


def test_residuals_of_one_name_in_two_bases_are_refused():
    class Hot(Rod):
        @on("x=0")
        def end(self, u):
            return u - 1

    class Cold(Rod):
        @on("x=1")
        def end(self, u):
            return u

    with refused("Both: Hot and Cold both have `end`; rename one of them", TypeError):

        class Both(Hot, Cold):
            pass

    class Neither(Hot, Cold):
        end = None

    assert [c.name for c in Neither().constraints()] == ["heat", "cold"]


def test_an_override_and_a_property_are_no_second_thing():
    class Own(Rod):
        @on("x=0")
        def cold(self, u):
            return u

        @property
        def depth(self):
            return self._depth

        @depth.setter
        def depth(self, value):
            self._depth = value

    assert [c.region for c in Own().constraints()] == ["interior", "x=0"]


NUMBERS = {
    "nan": ({"k": nan}, "k = nan; expected a finite number"),
    "nan that no residual names": ({"z": nan}, "z = nan; expected a finite number"),
    "infinite": ({"k": inf}, "k = inf; expected a finite number"),
    "an unknown that is nan": ({"unknowns": {"k": nan}}, "unknowns: `k` starts at nan; expected a finite number"),
    "an unknown that is nothing": ({"unknowns": {"k": None}}, "unknowns: `k` starts at None"),
    "an unknown that is a word": ({"unknowns": {"k": "1"}}, "unknowns: `k` starts at '1'"),
    "an unknown that is complex": ({"unknowns": {"k": 1j}}, "unknowns: `k` starts at 1j"),
    "unknowns without values": ({"unknowns": ("k",)}, r"unknowns = \('k',\): expected start values by name"),
    "a tensor": ({"q": torch.tensor(2.0)}, r"`q` is a Tensor; a coefficient is a number, e\.g\. q: float = 1\.0"),
    "complex": ({"q": 1j}, "`q` is a complex; a coefficient is a number"),
    "a word": ({"q": "2"}, "`q` is a str; a coefficient is a number"),
    "nothing": ({"q": None}, "`q` is a NoneType; a coefficient is a number"),
    "a switch": ({"q": True}, "`q` is a bool; a coefficient is a number"),
}


@pytest.mark.parametrize("case", NUMBERS)
def test_a_coefficient_that_is_no_number_is_refused(case):
    members, message = NUMBERS[case]
    start = {"__post_init__": lambda self: (Rod.__post_init__(self), vars(self).update(q=members.get("q", 1.0)))[0]}
    named = {"more": on("interior")(lambda self, u, q: q * u)} if "q" in members else {}
    with refused(message):
        trainable_constraints(rod(**{k: v for k, v in members.items() if k != "q"} | start | named))


def test_numbers_of_numpy_and_whole_numbers_are_coefficients():
    class Numpy(Rod):
        def __post_init__(self):
            super().__post_init__()
            self.a, self.b, self.c = np.float32(0.5), np.int64(3), 2

        @on("x=0")
        def end(self, u, a, b, c):
            return a * u - b * c

    problem = Numpy()
    trainable_constraints(problem)
    assert problem.coefficients == {"k": 0.1, "a": 0.5, "b": 3, "c": 2}


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (lambda self, u_x, k=2.0: k * u_x, "`k` has a default, which no symbol has; write the name alone"),
        (lambda self, u_x, *more: u_x, r"found `\*more`; expected symbols, each by its name"),
        (lambda self, **all: all["u_x"], r"found `\*\*all`; expected symbols, each by its name"),
        (lambda self, u_k: u_k, "`u_k` is no symbol of the region `interior`"),
        (lambda self, u_n: u_n, "`u_n` is no symbol of the region `interior`"),
        (lambda self, v_x: v_x, "`v_x` is no symbol of the region `interior`"),
        (lambda self, v_xt: v_xt, "`v_xt` is no symbol of the region `interior`"),
        (lambda self, u_xn: u_xn, "`u_xn` is no symbol of the region `interior`"),
        (lambda self, lap_lap_u: lap_lap_u, "`lap_lap_u` is no symbol of the region `interior`"),
        (lambda self, lap_u_x: lap_u_x, "`lap_u_x` is no symbol of the region `interior`"),
        (lambda self: 1.0, "no field|shape|type"),
    ],
)
def test_a_parameter_that_is_no_symbol_is_refused(method, message):
    with refused(message):
        trainable_constraints(rod(more=on("interior")(method)))


@pytest.mark.parametrize(
    ("member", "message"),
    [
        (on("interior")(lambda self, u: u * 1j), "the residual has values of torch.complex128; expected real numbers"),
        (on("interior")(lambda self, u: (u > 0).long()), "the residual has values of torch.int64"),
        (observable(lambda self, u: u.mean()), r"the observable of 16 points has shape \(\); expected \(16,\)"),
        (observable(lambda self, u: u - u.mean()), "a change at one point changes the observable at 15 others"),
        (observable(lambda self, u: 1.0), "the observable of 16 points has type float"),
        (observable(lambda self, u: u / self.w), "Bar.more: AttributeError"),
    ],
)
def test_a_method_that_gives_no_real_number_per_point_is_refused(member, message):
    with refused(message):
        trainable_constraints(rod(more=member))


def test_measurements_may_be_lists():
    lists = {"x": [0.25, 0.5], "t": (0, 1), "v": [1, 2]}
    problem = rod(measurements=lambda self: lists, seen=on("data")(lambda self, u, v: u - v))
    trainable_constraints(problem)
    assert problem.data.tolist() == [[0.25, 0.0, 1.0], [0.5, 1.0, 2.0]]


def test_a_laplacian_without_a_coordinate_in_space_is_refused():
    class Decay(Problem):
        coordinates = ("t",)
        fields = ("y",)
        domain = Box(t=(0, 1))

        @on("interior")
        def ode(self, lap_y):
            return lap_y

    with refused("Decay.ode: `lap_y` is the Laplacian in space, and the only coordinate is time; write e.g. `y_tt`"):
        trainable_constraints(Decay())


BOXES = {
    "reversed": ({"x": (1, 0)}, "expected the lower end first"),
    "no length": ({"x": (1, 1)}, "expected the lower end first"),
    "nan": ({"x": (0, nan)}, "expected two finite numbers"),
    "infinite": ({"x": (0, inf)}, "expected two finite numbers"),
    "one number": ({"x": 1}, "expected two finite numbers"),
    "three numbers": ({"x": (0, 1, 2)}, "expected two finite numbers"),
    "words": ({"x": ("a", "b")}, "expected two finite numbers"),
    "nothing": ({"x": None}, "expected two finite numbers"),
    "complex": ({"x": (0, 1j)}, "expected two finite numbers"),
    "no side": ({}, "expected at least one side"),
    "no such time": ({"x": (0, 1), "time": "s"}, "time='s': no such side; expected one of x, or time=None"),
    "a name of all": ({"x": (0, 1), "names": {"boundary": ["x=0"]}}, "name boundary: there is a region of this name"),
    "a name of data": ({"x": (0, 1), "names": {"data": ["x=0"]}}, "name data: there is a region of this name"),
    "a name of a face": ({"x": (0, 1), "names": {"x=0": ["x=1"]}}, "name x=0: there is a region of this name"),
    "a word in place of faces": ({"x": (0, 1), "names": {"end": "x=1"}}, "name end: expected a list of faces"),
}


@pytest.mark.parametrize("case", BOXES)
def test_a_box_with_wrong_sides_or_names_is_refused(case):
    settings, message = BOXES[case]
    with refused(message, ValueError):
        Box(**settings)


def test_the_faces_of_a_short_box_far_from_zero_have_two_names():
    """`t=1.7e+09` would be the name of both."""
    box = Box(t=(1.7e9, 1.7e9 + 3000))
    assert box.regions[-2:] == ["t=1700000000.0", "t=1700003000.0"]
    assert [box.faces(region) for region in box.regions[-2:]] == [[(0, 0)], [(0, 1)]]
    assert box.faces("t=1700003000") == [(0, 1)]
    with refused("no region `t=1.70001e.09`", ValueError):
        box.faces("t=1.70001e+09")


@dataclass
class FromTable(Rod):
    """The rod with unknown conductivity, measured."""

    path: str = "probe.csv"
    unknowns: dict = field(default_factory=lambda: {"k": 1.0})

    def measurements(self):
        return read_table(self.path)

    @on("data")
    def measured(self, u, u_data):
        return u - u_data


TABLES = {
    "byte-order mark": ("\ufeffx,t,u_data\n0.125,0.2,0.257862\n", None),
    "text that nobody asks for": ("x,t,station,u_data\n0.125,0.2,north,0.257862\n", None),
    "two columns of one name": ("x,t,u_data,u_data\n0.125,0.2,0.257862,9\n", "two columns are named `u_data`"),
    "a missing value": ("x,t,u_data\n0.1,0.2,0.3\n0.1,0.4,\n", r"probe\.csv\): line 3: u_data is ``, which is a m"),
    "text that is asked for": ("x,t,u_data\n0.1,0.2,dry\n", r"probe\.csv\): line 2: u_data is `dry`, which is no n"),
    "text for a coordinate": ("x,t,u_data\n0.1,noon,1\n", r"probe\.csv\): line 2: t is `noon`, which is no number"),
    "no such column": ("x,t,u_meas\n0.1,0.2,1\n", r"`u_data` is no symbol of .* a measured column \(u_meas\)"),
    "no coordinate": ("x,u_data\n0.1,1\n", "no column `t`"),
}


@pytest.mark.parametrize("case", TABLES)
def test_measurements_from_a_spreadsheet(case, tmp_path):
    text, message = TABLES[case]
    (tmp_path / "probe.csv").write_text(text, encoding="utf-8")
    problem = FromTable(path=str(tmp_path / "probe.csv"))
    if message is None:
        trainable_constraints(problem)
        assert problem.data.tolist() == [[0.125, 0.2, 0.257862]]
    else:
        with refused(message):
            trainable_constraints(problem)


def test_measurements_that_are_no_columns_are_refused():
    with refused("Bar.measurements: found ndarray; expected a dict of columns by name"):
        trainable_constraints(rod(measurements=lambda self: np.zeros((3, 3)), seen=on("data")(lambda self, u: u)))


def test_no_measurement_at_all_is_refused():
    empty = {name: np.zeros(0) for name in ("x", "t", "v")}
    with refused("Bar.measurements: no rows; expected at least one"):
        trainable_constraints(rod(measurements=lambda self: empty, seen=on("data")(lambda self, u, v: u - v)))


def test_a_periodic_pair_has_a_name_of_its_own_too():
    with refused("field `u` and constraint `u`"):
        trainable_constraints(rod(u=periodic("x")(lambda self, u: u)))
