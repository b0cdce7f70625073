"""The language of problems: symbols, regions, periodic pairs, overrides, changed copies, and refusals."""

from dataclasses import dataclass

import pytest
import torch
from torch import nn

from pinn_cli.derivatives.engines import Taylor
from pinn_cli.derivatives.keys import Lap
from pinn_cli.methods.samplers.counts import plan
from pinn_cli.methods.weightings.fixed import Fixed
from pinn_cli.physics.domains import Box, Interval
from pinn_cli.physics.problem import Problem, asked_once, given, observable, on, periodic
from pinn_cli.physics.symbols import Column, Derivative, Grammar, Normal
from pinn_cli.physics.wrapped import Wrapped
from pinn_cli.training.model import Features, Model
from pinn_cli.training.objective import Objective


@dataclass
class Plate(Problem):
    """A field with every kind of symbol."""

    coordinates = ("x", "y", "t")
    fields = ("u", "psi")
    nu: float = 0.5
    depth: int = 3

    def __post_init__(self):
        self.domain = Box(x=(0, 1), y=(0, 2), t=(0, 1), names={"lid": ["y=2"]})

    @on("interior")
    def pde(self, x, u_t, lap_u, psi_xyy, nu):
        return u_t - nu * lap_u + psi_xyy * x

    @on("lid")
    def flux(self, u_n):
        return u_n

    @periodic("x")
    def seam(self, u):
        return u

    @observable
    def slope(self, psi_x):
        return psi_x


class Changed(Plate):
    """One residual changed without its mark, one taken away, one added."""

    seam = None

    def flux(self, u_n, u):
        return u_n + u

    @on("initial")
    def start(self, u):
        return u


def test_symbols_are_read_from_the_signature():
    pde, flux, seam = Plate().constraints()
    assert pde.symbols["x"] == Column(0)
    assert pde.symbols["u_t"] == Derivative(0, (0, 0, 1))
    assert pde.symbols["lap_u"] == Derivative(0, Lap((0, 1), 3))  # the Laplacian leaves time out
    assert pde.symbols["psi_xyy"] == Derivative(1, (1, 2, 0))
    assert flux.symbols["u_n"] == Normal(0, (0, 1), 3)
    assert [c.kind for c in (pde, flux, seam)] == ["interior", "face", "face"]
    assert list(Plate().observables()) == ["slope"]


def test_a_periodic_pair_is_compared_with_the_opposite_face():
    seam = Plate().constraints()[2]
    assert seam.region == "x=0"
    torch.testing.assert_close(seam.against(torch.tensor([[0.0, 1.5, 0.2]])), torch.tensor([[1.0, 1.5, 0.2]]))


def test_an_override_counts_once_and_keeps_its_place():
    constraints = {c.name: c for c in Changed().constraints()}
    assert list(constraints) == ["pde", "flux", "start"]
    assert list(constraints["flux"].symbols) == ["u_n", "u"]


def test_a_changed_copy_leaves_the_original():
    problem = Plate()
    other = problem.with_(nu=0.1)
    assert (problem.nu, other.nu) == (0.5, 0.1)
    assert other.coefficients == {"nu": 0.1, "depth": 3}
    with pytest.raises(TypeError, match="Plate has no coefficient `mu`; it has nu, depth"):
        problem.with_(mu=1)


@pytest.mark.parametrize(
    ("symbol", "region"),
    [("u_xz", "interior"), ("w", "interior"), ("u_n", "interior"), ("u_n", "initial"), ("lap_x", "interior"),
     ("u_", "interior"), ("seen", "interior"), ("nu_x", "lid")],
)  # fmt: skip
def test_an_unknown_symbol_is_refused_with_those_that_are_allowed(symbol, region):
    grammar = Grammar(("x", "y", "t"), ("u", "psi"), ("nu",), ("seen",), "t")
    with pytest.raises(
        TypeError, match=rf"Plate.pde: `{symbol}` is no symbol of the region `{region}`; expected .*lap_u"
    ):
        grammar.parse(symbol, "Plate.pde", region)


@pytest.mark.parametrize(
    ("coordinates", "fields"),
    [(("xy",), ("u",)), (("n",), ("u",)), (("x",), ("u_1",)), (("x",), ("x",)), (("x",), ("lap",))],
)
def test_ambiguous_names_are_refused(coordinates, fields):
    with pytest.raises(TypeError, match=r"(coordinate|field) `"):
        Grammar(coordinates, fields)


BOX = {"x": (0, 1), "y": (0, 2), "t": (0, 1)}
PINNED = Box(**BOX, names={"lid": ["y=2"]}, points={"gauge": (0, 2, 0.5)})


def vanishing(region):
    return on(region)(lambda self, u: u)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"wall": vanishing("top")}, r"Bad\.wall: no region `top`; expected one of: interior, boundary, initial, lid"),
        ({"data": vanishing("interior")}, "the constraint `data` has the name of a method"),
        ({"domain": PINNED, "tilt": on("gauge")(lambda self, u_n: u_n)}, "`u_n` is no symbol of the region `gauge`"),
        ({"domain": Box(y=(0, 2), x=(0, 1), t=(0, 1))}, r"the sides y, x, t; expected self\.domain = Box\(x=\(0, 1\)"),
        ({"domain": None}, r"found no domain; expected self\.domain = Box"),
        ({"seam": periodic("z")(lambda self, u: u)}, r"@periodic\('z'\); expected a coordinate \(x, y, t\)"),
    ],
    ids=["region", "name", "normal", "order", "domain", "period"],
)
def test_a_wrong_problem_is_refused_in_one_line(members, message):
    bad = type("Bad", (Plate,), members | ({"__post_init__": lambda self: None} if "domain" in members else {}))
    with pytest.raises(TypeError, match=message):
        bad().constraints()


def test_a_condition_on_two_faces_is_refused_with_what_to_write():
    with pytest.raises(TypeError, match=r'expected one region; type Box\(\.\.\., names=\{"ends": \["x=0", "x=1"\]'):
        on("x=0", "x=1")


def test_points_of_regions():
    box = Plate().domain
    unit = torch.rand(40, 3, dtype=torch.float64)
    assert len(box.parts("boundary")) == 4
    boundary = box.sample("boundary", unit)
    on_faces = torch.stack([(boundary[:, i] == end).double() for i in (0, 1) for end in (box.lower[i], box.upper[i])])
    assert on_faces.sum(1).eq(10).all()  # dealt out evenly
    assert box.sample("lid", unit)[:, 1].eq(2).all()
    assert box.sample("initial", unit)[:, 2].eq(0).all()
    assert box.contains(box.sample("interior", unit)).all()
    assert box.grid(5).shape == (125, 3)
    assert Interval(x=(0, 1)).parts("boundary") == [(), ()]


def test_normals_point_outwards_and_a_corner_takes_the_first_face():
    box = Plate().domain
    X = torch.tensor([[0.0, 1.0, 0.5], [1.0, 1.0, 0.5], [0.5, 2.0, 0.5], [0.0, 2.0, 0.5]], dtype=torch.float64)
    expected = torch.tensor([[-1, 0, 0], [1, 0, 0], [0, 1, 0], [-1, 0, 0]], dtype=torch.float64)
    torch.testing.assert_close(box.normal("boundary", X) + 0.0, expected)


def test_a_named_point_is_a_region_of_one_point():
    members = {"domain": PINNED, "__post_init__": lambda self: None, "level": vanishing("gauge")}
    problem, unit = type("Pinned", (Plate,), members)(), torch.rand(3, 3, dtype=torch.float64)
    assert problem.domain.sample("gauge", unit).tolist() == [[0.0, 2.0, 0.5]] * 3
    assert [(d.count, d.rows) for d in plan(problem, {"interior": 9, "face": 8}) if d.region == "gauge"] == [(1, 1)]
    objective = Objective(problem, Model(Features(problem.domain), nn.Linear(3, 2).double()), Taylor, Fixed())
    X = torch.tensor([[0.0, 2.0, 0.5]], dtype=torch.float64)
    torch.testing.assert_close(objective.residual("level", X), objective.model(X)[:, 0])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"x": (1, 1)}, "expected the lower end first"),
        ({"points": {"gauge": (0, 3)}}, "expected 2 coordinates inside the box"),
        ({"points": {"gauge": (0,)}}, "expected 2 coordinates inside the box"),
        *(({"points": {name: (0, 0)}}, f"point {name}: there is a region of this name already")
          for name in ("interior", "boundary", "lid", "x=0")),
    ],
)  # fmt: skip
def test_a_wrong_box_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Box(**{"x": (0, 1), "y": (0, 2), "names": {"lid": ["y=2"]}} | settings)


def test_a_wrapper_answers_for_the_problem_inside():
    inner = Plate(nu=0.25)
    inner.exact = lambda x, y, t: x
    outer = Wrapped(inner)
    declared = [name for name in {**vars(Problem), **Problem.__annotations__} if not name.startswith("_")]
    assert not [name for name in declared if name not in vars(Wrapped) and name not in vars(outer)]
    assert isinstance(outer, Problem)
    assert outer.domain is inner.domain
    assert (outer.coefficients, outer.share("lid"), outer.grammar) == (inner.coefficients, 1.0, inner.grammar)
    assert [c.name for c in outer.constraints()] == [c.name for c in inner.constraints()]
    assert (outer.exact, outer.depth) == (inner.exact, 3)
    assert not hasattr(outer, "reference")
    outer.hidden = ("exact",)
    assert not hasattr(outer, "exact")


def test_a_coefficient_without_a_type_is_told_to_have_one():
    """A dataclass takes only what has a type: the number could be neither overridden nor used as a symbol."""
    with pytest.raises(TypeError, match=r"Untyped: `D = 0\.001` has no type, .*; write `D: float = 0\.001`"):

        class Untyped(Plate):
            D = 0.001

    class Typed(Plate):
        D: float = 0.001
        _cache = 3
        name = "not a number"


def test_a_residual_on_data_is_left_out_where_nothing_was_measured_and_refused_where_measurements_are_not_written():
    class Unmeasured(Plate):
        @on("data")
        def seen(self, u, u_seen):
            return u - u_seen

    class Sometimes(Unmeasured):
        columns = {}

        def measurements(self):
            return self.columns

    plain = [c.name for c in Plate().constraints()]
    assert [c.name for c in Sometimes().constraints()] == plain
    there = Sometimes()
    there.columns = dict.fromkeys(["x", "y", "t", "u_seen"], torch.zeros(2))
    assert [c.name for c in there.constraints()] == [*plain, "seen"]
    with pytest.raises(TypeError, match="u_seen"):
        Unmeasured().constraints()


def test_a_question_about_a_problem_is_answered_once_and_again_for_a_changed_copy():
    asked = []

    @asked_once
    def times_nu(problem, factor=1):
        """The coefficient times a factor."""
        asked.append(factor)
        return factor * problem.nu

    plate = Plate()
    assert [times_nu(plate), times_nu(plate, 2), times_nu(plate), times_nu(plate, 2)] == [0.5, 1.0, 0.5, 1.0]
    assert asked == [1, 2]
    assert times_nu(plate.with_(nu=3.0)) == 3.0
    assert times_nu(Wrapped(plate)) == 0.5
    assert times_nu(given(plate, unknowns={"nu": 1.0})) == 0.5
    assert asked == [1, 2, 1, 1, 1]
