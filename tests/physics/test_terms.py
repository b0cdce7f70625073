"""The sizes of terms: deviations from the mean count, each field in its own size."""

from math import pi

import pytest
import torch

from pinn_cli import Box, Problem, on
from pinn_cli.configuration.check import check
from pinn_cli.physics.terms import at_rest, coupled, scales_of, terms_of


class Rod(Problem):
    """T_t = 0.1 T_xx, T = 300 + sin(pi x) exp(-0.1 pi^2 t), and a decay that acts on T itself."""

    coordinates, fields = ("x", "t"), ("T",)

    def __init__(self):
        self.domain = Box(x=(0, 1), t=(0, 1))

    def exact(self, x, t):
        return 300 + torch.sin(pi * x) * torch.exp(-0.1 * pi**2 * t)

    @on("interior")
    def heat(self, T_t, T_xx):
        return T_t - 0.1 * T_xx

    @on("initial")
    def start(self, x, T):
        return T - 300 - torch.sin(pi * x)

    @on("boundary")
    def ends(self, T):
        return T - 300


def sizes(problem):
    return {finding.name: finding.terms for finding in check(problem).findings}


def test_an_offset_is_no_term():
    found = sizes(Rod())
    assert found["heat"] == pytest.approx({"T_t": 0.46, "T_xx": 0.46, "source": 0}, rel=0.05)
    assert max(found["start"].values()) < 1
    assert max(found["ends"].values()) < 1


def test_a_value_that_acts_is_a_term():
    class Decay(Rod):
        @on("interior")
        def heat(self, T, T_t):
            return T_t + 0.5 * T

    assert sizes(Decay())["heat"]["source"] == pytest.approx(150, rel=0.01)


def test_a_constant_field_is_measured_in_a_small_part_of_its_value():
    class Even(Rod):
        def exact(self, x, t):
            return 300 + 0 * x

        @on("initial")
        def start(self, T):
            return T - 300

    report = check(Even())
    assert report.ok
    assert all(max(terms.values()) == pytest.approx(3e-2) for name, terms in sizes(Even()).items() if name != "heat")


class Flow(Problem):
    """Two fields of different size, coupled by u_x + v_y, as velocities are."""

    coordinates, fields = ("x", "y"), ("u", "v")

    def __init__(self):
        self.domain = Box(x=(0, 1), y=(0, 2))

    @on("interior")
    def mass(self, u_x, v_y):
        return u_x + v_y

    @on("boundary")
    def wall(self, v):
        return v


def of(problem, name, values, fields):
    constraint = next(c for c in problem.constraints() if c.name == name)
    return terms_of(problem, constraint, values, scales_of(fields))


def test_every_field_is_measured_in_its_own_size():
    n = torch.linspace(-1, 1, 101, dtype=torch.float64)
    terms = of(Flow(), "wall", {"v": 0 * n}, torch.stack([1e5 * n, n], 1))
    assert terms["v"] == pytest.approx(float(n.std(correction=0)))


def test_a_derivative_that_vanishes_has_the_size_that_the_extents_give_it():
    n = torch.linspace(-1, 1, 101, dtype=torch.float64)
    terms = of(Flow(), "mass", {"u_x": 0 * n, "v_y": 0 * n}, torch.stack([n, n], 1))
    assert terms["u_x"] == pytest.approx(2 * terms["v_y"])


def test_a_field_that_vanishes_gets_a_part_of_the_size_that_its_equations_allow():
    n = torch.linspace(-1, 1, 101, dtype=torch.float64)
    scales = coupled(Flow(), scales_of(torch.stack([n, 0 * n], 1)), {"mass": {"u_x": 0 * n + 1, "v_y": 0 * n}})
    assert scales.deviation[1] == pytest.approx(2e-3)


@pytest.mark.parametrize(("value", "size"), [(0.0, 1.0), (5.0, 5.0)])
def test_a_field_that_nothing_moves_gets_a_part_of_its_natural_size(value, size):
    class Even(Rod):
        @on("initial")
        def start(self, T):
            return T - value

        @on("boundary")
        def ends(self, T):
            return T - value

    still = value + 1e-9 * torch.linspace(-1, 1, 101, dtype=torch.float64)[:, None]
    assert at_rest(Even(), scales_of(still)).deviation.item() == pytest.approx(0.01 * size)
    assert at_rest(Rod(), scales_of(still)) == scales_of(still)  # its initial values move this one


def test_a_source_that_is_infinite_for_a_constant_field_does_not_count():
    class Singular(Flow):
        @on("interior")
        def mass(self, u, u_x):
            return u_x + 1 / u

    n = torch.linspace(-1, 1, 100, dtype=torch.float64)
    terms = of(Singular(), "mass", {"u": n, "u_x": 0 * n + 1}, torch.stack([n, n], 1))
    assert all(size < 1e6 for size in terms.values())
