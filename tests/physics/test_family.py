"""Families: distributions, instances, sets, and what is refused."""

from dataclasses import dataclass
from itertools import combinations
from math import log

import numpy as np
import pytest
import torch

from pinn_cli import Box, Problem, on
from pinn_cli.physics.coefficient_fields.base import CoefficientField
from pinn_cli.physics.coefficient_fields.gridded import Gridded
from pinn_cli.physics.distributions.base import generator
from pinn_cli.physics.distributions.numbers import Range
from pinn_cli.physics.distributions.random_fields import GaussianField, LogNormal, TwoMaterials
from pinn_cli.physics.family import SETS, Family, which_set
from tests.conftest import each

BOX = {"x": (0.0, 2.0), "y": (-1.0, 1.0)}
ROUND = GaussianField({"x": (0, 1)}, sigma=1.0, tau=3.0, gamma=2.0, ends="periodic", modes=4)
FIELD = GaussianField(BOX, sigma=2.0, tau=3.0, gamma=2.5, ends="neumann", modes=8)


# --- Distributions ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("ends", each(["periodic", "neumann", "dirichlet"], ("periodic",)))
def test_a_gaussian_field_has_the_covariance_of_its_law(ends):
    """E f(x) f(y) over 4000 draws, against sum_k sigma^2 (lambda_k + tau^2)^-gamma e_k(x) e_k(y) written out."""
    law = GaussianField({"x": (-1.0, 1.0)}, sigma=2.0, tau=3.0, gamma=2.5, ends=ends, modes=5)
    x = torch.linspace(-1, 1, 9, dtype=torch.float64)
    values = torch.stack([law.draw(generator("f", seed))(x) for seed in range(4000)])
    k = torch.arange(1, 6, dtype=torch.float64)[:, None]
    angle = torch.pi * k * (x + 1) / (1 if ends == "periodic" else 2)
    w = torch.pi * k[:, 0] / (1 if ends == "periodic" else 2)
    parts = {"periodic": (torch.cos, torch.sin), "neumann": (torch.cos,), "dirichlet": (torch.sin,)}[ends]
    basis = torch.cat([part(angle) for part in parts])  # of norm 1 on a length of 2
    variances = (4.0 * (w**2 + 9) ** -2.5).repeat(len(parts))
    expected = basis.T @ (variances[:, None] * basis)
    size = float(expected.diagonal().max())
    assert (values.T @ values / 4000 - expected).abs().max() < 0.1 * size
    assert values.mean(0).abs().max() < 4 * (size / 4000) ** 0.5
    assert float(basis.square().mul(variances[:, None]).sum(0).mean()) == pytest.approx(law.rms**2, rel=0.15)


def test_two_coordinates_and_any_box():
    """The rms over the box, and the slopes of the ends; a wide box has the law of its own eigenfunctions."""
    draws = [FIELD.draw(generator("f", seed)) for seed in range(300)]
    axes = [torch.linspace(*side, 33, dtype=torch.float64) for side in BOX.values()]
    weights = torch.ones(33, dtype=torch.float64)
    weights[[0, -1]] = 0.5
    mean = torch.outer(weights, weights) / 32**2  # the trapezoidal rule is exact for these waves
    values = torch.stack([f.on_lattice(axes) for f in draws])
    torch.testing.assert_close((values * mean).sum((1, 2)), torch.zeros(300).double(), rtol=0, atol=1e-12)
    assert float((values.square() * mean).sum((1, 2)).mean()) == pytest.approx(FIELD.rms**2, rel=0.1)
    y = torch.linspace(-1, 1, 5, dtype=torch.float64)
    assert draws[0].derivative((1, 0))(torch.full_like(y, 2.0), y).abs().max() < 1e-13


def test_the_field_of_the_burgers_family_has_the_published_amplitudes():
    """sqrt(2) sigma ((2 pi k)^2 + tau^2)^(-gamma / 2) N(0, 1) before cos and sin (2 pi k x)."""
    law = GaussianField({"x": (0.0, 1.0)}, sigma=625, tau=5, gamma=4, modes=3)
    f, xi = law.draw(generator("u0", 7)), generator("u0", 7).standard_normal(7)
    x = torch.rand(20, dtype=torch.float64)
    expected = 0
    for k in (1, 2, 3):
        size = 2**0.5 * 625 * ((2 * np.pi * k) ** 2 + 25) ** -2
        expected += size * (xi[2 * k - 1] * torch.cos(2 * np.pi * k * x) + xi[2 * k] * torch.sin(2 * np.pi * k * x))
    torch.testing.assert_close(f(x), expected)


@pytest.mark.parametrize("ends", ["periodic", "neumann", "dirichlet"])
def test_more_modes_are_the_same_field_with_finer_details(ends):
    few, many = (GaussianField(BOX, 1.0, 3.0, 2.0, ends, n).draw(generator("f", 3)) for n in (4, 7))
    shape = few.amplitudes.shape
    torch.testing.assert_close(many.amplitudes[: shape[0], : shape[1]], few.amplitudes, rtol=0, atol=0)


def test_draws_depend_on_name_and_seed_and_on_nothing_else():
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    random = generator("beta", 7)
    drawn = (random.random(), random.standard_normal())
    assert drawn == pytest.approx((0.527054089172478, 1.6332916513077842), rel=0, abs=1e-15)
    assert generator("beta", 7).random() != generator("gamma", 7).random() != generator("gamma", 8).random()


@pytest.mark.parametrize("logarithmic", [False, True])
def test_a_range_is_uniform(logarithmic):
    draws = [Range(1, 50, logarithmic).draw(generator("beta", seed)) for seed in range(2000)]
    shares = np.sort([log(b) / log(50) if logarithmic else (b - 1) / 49 for b in draws])
    assert np.abs(shares - np.arange(2000) / 2000).max() < 1.63 / 2000**0.5  # Kolmogorov-Smirnov, 1 %


def test_materials_and_log_normal_fields():
    x = torch.rand(2, 4000, dtype=torch.float64) * 2 - torch.tensor([[0.0], [1.0]])
    two = [TwoMaterials(FIELD, 3, 12).draw(generator("nu", seed))(*x) for seed in range(40)]
    assert {float(v) for v in torch.stack(two).unique()} == {3.0, 12.0}
    assert float(torch.stack(two).mean()) == pytest.approx(7.5, abs=0.7)
    smooth = LogNormal(FIELD, 5.0).draw(generator("nu", 0))
    torch.testing.assert_close(smooth(*x), 5 * torch.exp(FIELD.draw(generator("nu", 0))(*x)))
    assert smooth.derivative((1, 0))(*x).isfinite().all()


def values(low, high):
    table = np.linspace(low, high, 81).reshape(9, 9)
    return Gridded({c: np.linspace(*side, 9) for c, side in BOX.items()}, table, 1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Range(3, 1), r"Range\(3, 1\): expected two numbers, the smaller one first"),
        (lambda: Range(0, 1, logarithmic=True), r"Range\(0, 1, logarithmic=True\): expected numbers above 0"),
        (lambda: Range(1, 50).refuse(80), "found 80; expected a number from 1 to 50"),
        (lambda: Range(1, 50).refuse("fast"), "found 'fast'; expected a number from 1 to 50"),
        (lambda: Range(1, 50).refuse(float("nan")), "found nan; expected a number"),
        (lambda: GaussianField({}, 1, 1, 1), "expected ends by coordinate"),
        (lambda: GaussianField(BOX, 1, 1, 1, "open"), "ends='open': expected periodic, neumann or dirichlet"),
        (lambda: GaussianField(BOX, 1, -1, 1), "tau=-1, gamma=1: expected a whole number of modes and numbers above 0"),
        (lambda: FIELD.refuse(3.0), "found 3.0; expected a field of x, y, such as Gridded"),
        (lambda: FIELD.refuse(Gridded({"x": range(4)}, range(4))), "found a field of x; expected one of x, y"),
        (lambda: ROUND.refuse(Gridded({"x": np.linspace(0, 2, 9)}, np.sin(np.pi * np.linspace(0, 2, 9)), 3, ["x"])),
         "known for x from 0 to 2, one period; expected 0 to 1"),
        (lambda: LogNormal(FIELD).refuse(values(-1, 1)), "smallest value is -1; expected values above 0"),
        (lambda: LogNormal(FIELD, 0), "factor=0: expected a number above 0"),
        (lambda: TwoMaterials(FIELD, 3, 12).refuse(values(3, 14)), "from 3 to 14; expected values from 3 to 12"),
        (lambda: TwoMaterials(FIELD, 12, 3), "expected two numbers, the smaller one first"),
    ],
)
def test_what_is_no_distribution_and_no_value_of_one_is_refused_in_one_line(make, message):
    with pytest.raises(ValueError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


# --- Families ---------------------------------------------------------------------------------------------------------


@dataclass
class Rays(Family):
    """u_t + beta u_x = damping u from u0(x), on the unit square."""

    coordinates = ("x", "t")
    fields = ("u",)
    beta: float | None = None
    u0: CoefficientField | None = None
    damping: float = 0.5
    tau: float = 3.0

    def __post_init__(self):
        super().__post_init__()
        self.domain = Box(x=(0, 1), t=(0, 1))

    @property
    def parameters(self):
        return {"beta": (1, 30), "u0": GaussianField({"x": (0, 1)}, 1.0, self.tau, 2.0, modes=4)}

    @on("interior")
    def pde(self, u, u_t, u_x, beta, damping):
        return u_t + beta * u_x - damping * u

    @on("initial")
    def initial(self, u, u0):
        return u - u0


def test_an_instance_is_an_ordinary_problem_and_a_function_of_its_seed():
    family = Rays()
    one, again, other = family.instance(7), Rays(seed=7), family.instance(8)
    assert one == again != other
    assert (one.beta, one.u0) == (again.beta, again.u0)
    assert one.beta != other.beta != family.beta
    assert one.u0 != other.u0
    assert isinstance(one, Problem)
    assert one.coefficients == {"beta": one.beta, "damping": 0.5, "tau": 3.0}
    assert list(one.coefficient_fields) == ["u0"]
    assert other.instance(7) == one
    assert [c.name for c in one.constraints()] == ["pde", "initial"]


def test_a_given_parameter_keeps_its_value_and_a_drawn_one_follows_the_settings():
    fixed = Rays(beta=5.0, seed=3)
    assert fixed.instance(9).beta == 5.0
    assert fixed.instance(9).u0 == Rays(seed=9).u0
    assert fixed.with_(damping=0.1).u0 == fixed.u0
    assert fixed.with_(tau=9.0).u0 != fixed.u0 != fixed.with_(seed=4).u0
    assert Rays(seed=3).with_(beta=5.0) == fixed
    assert fixed.with_(beta=None).beta == Rays(seed=3).beta
    chained = Rays(seed=3).with_(beta=5.0).with_(beta=6.0)
    assert (chained.beta, chained.instance(4).beta) == (6.0, 6.0)


def test_the_sets_are_disjoint_and_stated_once():
    assert all(not set(range(a.start, a.stop)[:5000]) & set(range(b.start, b.stop)[:5000])
               for a, b in combinations(SETS.values(), 2))  # fmt: skip
    assert [p.seed for p in Rays().instances("validation", 2)] == [1000, 1001]
    sets = [which_set(seed) for seed in (0, 999, 1000, 2000, 2**40, -1)]
    assert sets == ["test", "test", "validation", "train", None, None]
    with pytest.raises(ValueError, match="1001 instances of the set test; expected 0 to 1000"):
        Rays().instances("test", 1001)
    with pytest.raises(ValueError, match="no set `tests`; expected one of test, validation, train"):
        Rays().instances("tests", 1)


def test_a_family_of_a_problem_that_exists():
    @dataclass
    class Decay(Problem):
        """u_t = -rate u."""

        coordinates = ("t",)
        fields = ("u",)
        rate: float = 2.0

        def __post_init__(self):
            self.domain, self.half = Box(t=(0, 1)), self.rate / 2

        @on("interior")
        def pde(self, u, u_t, rate):
            return u_t + rate * u

    @dataclass
    class Decays(Family, Decay):
        rate: float | None = None
        parameters = {"rate": Range(1, 3)}

    assert Decays(seed=5).half == Decays(seed=5).rate / 2
    assert Decays(seed=5).rate != Decays(seed=6).rate


class Bare(Rays):
    parameters = {}


class Misspelt(Rays):
    parameters = {"bta": Range(1, 30)}


class NoDistribution(Rays):
    parameters = {"beta": 30}


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (Bare, TypeError, r"Bare\.parameters = {}: expected a distribution by the name of each, e\.g\. {\"beta"),
        (Misspelt, TypeError, "`bta` is no field of the dataclass; write @dataclass above the class and `bta: float"),
        (NoDistribution, TypeError, "beta = 30: expected a distribution"),
        (lambda: Rays(seed=-1), ValueError, "Rays: seed=-1: expected a whole number from 0 to 2147483647"),
        (lambda: Rays(seed="test"), ValueError, "seed='test': expected a whole number"),
        (lambda: Rays(beta=31.0), ValueError, r"Rays\.beta: found 31; expected a number from 1 to 30"),
        (lambda: Rays(u0=2.0), ValueError, r"Rays\.u0: found 2\.0; expected a field of x, such as Gridded"),
        (lambda: Rays().with_(gamma=1), TypeError, "Rays has no coefficient `gamma`"),
    ],
)
def test_a_wrong_family_is_refused_in_one_line(make, error, message):
    with pytest.raises(error, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_a_field_that_has_no_distribution_is_told_to_have_one():
    @dataclass
    class Forgotten(Rays):
        parameters = {"beta": (1, 30)}

    with pytest.raises(TypeError, match=r"`u0` is a NoneType; .*, a CoefficientField, or drawn"):
        Forgotten().constraints()
