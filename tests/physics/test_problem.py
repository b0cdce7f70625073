"""The language of problems: symbols, regions, periodic pairs, overrides, changed copies; and what is refused."""

from dataclasses import dataclass

import pytest
import torch
from torch import nn

from pinn_cli.derivatives.engines import Taylor
from pinn_cli.derivatives.keys import Lap
from pinn_cli.methods.samplers.counts import plan
from pinn_cli.methods.weightings.fixed import Fixed
from pinn_cli.physics.domains import Box, Interval
from pinn_cli.physics.problem import Problem, observable, on, periodic
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


def test_a_periodic_pair_looks_at_the_opposite_face():
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
def test_any_other_symbol_is_refused_with_what_is_allowed(symbol, region):
    grammar = Grammar(("x", "y", "t"), ("u", "psi"), ("nu",), ("seen",), "t")
    with pytest.raises(
        TypeError, match=rf"Plate.pde: `{symbol}` is no symbol of the region `{region}`; expected .*lap_u"
    ):
        grammar.parse(symbol, "Plate.pde", region)


@pytest.mark.parametrize(
    ("coordinates", "fields"),
    [(("xy",), ("u",)), (("n",), ("u",)), (("x",), ("u_1",)), (("x",), ("x",)), (("x",), ("lap",))],
)
def test_names_that_would_be_ambiguous_are_refused(coordinates, fields):
    with pytest.raises(TypeError, match=r"(coordinate|field) `"):
        Grammar(coordinates, fields)


def test_a_region_that_does_not_exist_names_those_that_do():
    class Bad(Plate):
        @on("top")
        def wall(self, u):
            return u

    with pytest.raises(
        TypeError, match=r"Bad.wall: no region `top`; expected one of: interior, boundary, initial, lid, x=0"
    ):
        Bad().constraints()


def test_a_residual_may_not_hide_a_part_of_every_problem():
    class Bad(Plate):
        @on("interior")
        def data(self, u):
            return u

    with pytest.raises(TypeError, match="every problem has `data` already"):
        Bad().constraints()


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


def test_a_point_with_a_name_is_a_region_of_one_point():
    class Pinned(Plate):
        def __post_init__(self):
            self.domain = Box(x=(0, 1), y=(0, 2), t=(0, 1), names={"lid": ["y=2"]}, points={"gauge": (0, 2, 0.5)})

        @on("gauge")
        def level(self, u):
            return u

    problem, unit = Pinned(), torch.rand(3, 3, dtype=torch.float64)
    assert problem.domain.sample("gauge", unit).tolist() == [[0.0, 2.0, 0.5]] * 3
    assert [(d.count, d.rows) for d in plan(problem, {"interior": 9, "face": 8}) if d.region == "gauge"] == [(1, 1)]
    objective = Objective(problem, Model(Features(problem.domain), nn.Linear(3, 2).double()), Taylor, Fixed())
    X = torch.tensor([[0.0, 2.0, 0.5]], dtype=torch.float64)
    torch.testing.assert_close(objective.residual("level", X), objective.model(X)[:, 0])


def test_a_point_has_no_normal():
    class Pinned(Plate):
        def __post_init__(self):
            self.domain = Box(x=(0, 1), y=(0, 2), t=(0, 1), names={"lid": ["y=2"]}, points={"gauge": (0, 0, 0)})

        @on("gauge")
        def slope(self, u_n):
            return u_n

    with pytest.raises(TypeError, match="`u_n` is no symbol"):
        Pinned().constraints()


@pytest.mark.parametrize("point", [(0, 3), (0,)])
def test_a_point_outside_the_box_is_refused(point):
    with pytest.raises(ValueError, match="expected 2 coordinates inside the box"):
        Box(x=(0, 1), y=(0, 2), points={"gauge": point})


@pytest.mark.parametrize("name", ["interior", "boundary", "lid", "x=0"])
def test_a_point_with_the_name_of_another_region_is_refused(name):
    with pytest.raises(ValueError, match=f"point {name}: there is a region of this name already"):
        Box(x=(0, 1), y=(0, 2), names={"lid": ["y=2"]}, points={name: (0, 0)})


def test_a_side_of_no_length_is_refused():
    with pytest.raises(ValueError, match="expected the lower end first"):
        Box(x=(1, 1))


def test_sides_in_another_order_than_the_coordinates_are_refused():
    class Swapped(Plate):
        def __post_init__(self):
            self.domain = Box(y=(0, 2), x=(0, 1), t=(0, 1))

    with pytest.raises(TypeError, match=r"found the sides y, x, t; expected self.domain = Box\(x=\(0, 1\), y="):
        Swapped().constraints()


def test_a_problem_without_a_domain_is_told_to_have_one():
    class Nowhere(Plate):
        def __post_init__(self):
            pass

    with pytest.raises(TypeError, match=r"found no domain; expected self\.domain = Box"):
        Nowhere().constraints()


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
