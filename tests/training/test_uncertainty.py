"""Standard errors of unknown coefficients: against posteriors in closed form, and the sensitivity of a solution."""

import re
from dataclasses import dataclass, field, replace

import pytest
import torch
from torch import Tensor, nn

from pinn_cli.derivatives.engines import Taylor
from pinn_cli.methods.optimizers.levenberg_marquardt import LevenbergMarquardt
from pinn_cli.physics.data_set import data_set
from pinn_cli.physics.domains import Interval
from pinn_cli.physics.problem import Problem, given, on
from pinn_cli.physics.unknowns import Unknown
from pinn_cli.training.model import Features, Model
from pinn_cli.training.objective import Objective
from pinn_cli.training.uncertainty import FRESH, LEAST, Uncertainty, dense_points, inverse, uncertainty

SIGMA = 0.05


class Polynomial(nn.Module):
    """c_0 + c_1 x + ... of degree 9: the solutions of the equation below are inside, or nearly so."""

    def __init__(self, degree: int = 9) -> None:
        super().__init__()
        self.output_layer = nn.Linear(degree, 1).double()
        self.degree = degree

    def forward(self, X):
        return self.output_layer(torch.cat([X**k for k in range(1, self.degree + 1)], -1))


@dataclass
class Source(Problem):
    """u_xx = a + b x + c on [0, 1], u(0) = u(1) = 0: linear in a and b, which are unknown, and c, which acts like a."""

    coordinates = ("x",)
    fields = ("u",)
    a: float = 2.0
    b: float = 1.0
    unknowns: dict[str, float] = field(default_factory=lambda: {"a": 2.0, "b": 1.0})

    def __post_init__(self) -> None:
        self.domain = Interval(x=(0, 1))

    def exact(self, x: Tensor) -> Tensor:
        return self.a * (x**2 - x) / 2 + self.b * (x**3 - x) / 6

    @on("interior")
    def pde(self, x, u_xx, a, b):
        return u_xx - a - b * x

    @on("boundary")
    def ends(self, u):
        return u


def fitted(problem: Problem, weight: float = 1e6, network: nn.Module | None = None, steps: int = 3) -> Objective:
    """The objective of a model after Gauss-Newton steps, at 40 points of the equation."""
    model = Model(Features(problem.domain), network or Polynomial(), problem.unknowns)
    for p in model.network.parameters():
        nn.init.zeros_(p)
    weights = {c.name: 1.0 if c.kind == "data" else weight for c in problem.constraints()}
    objective = Objective(problem, model, Taylor, lambda batch, r: {}, weights)
    inside = torch.linspace(0, 1, 40, dtype=torch.float64)[:, None]
    ends = inside[[0, -1]]
    measured = [c.name for c in problem.constraints() if c.kind == "data"]
    points = {"interior": inside, "boundary": ends}
    batch = {c.name: points[c.region] for c in problem.constraints() if c.name not in measured}
    batch |= dict.fromkeys(measured, problem.data) if measured else {}
    objective.begin(batch)
    for _ in range(steps):
        linear = objective.linearise()
        J = linear.dense().detach().clone()
        objective.shift(torch.linalg.lstsq(J, -linear.F.detach()[:, None]).solution[:, 0])
    return objective


def with_data(seed: int = 0, problem: Problem | None = None, sigma: float | None = SIGMA, count: int = 60) -> Problem:
    problem = problem or Source()
    clean = data_set({"points": count, "seed": 1}, problem)
    generator = torch.Generator().manual_seed(100 + seed)
    noise = SIGMA * torch.randn(count, generator=generator, dtype=torch.float64)
    clean.columns["u_data"] = clean.columns["u_data"] + noise
    clean.sigma = {"u": sigma}
    return given(problem, data_set=clean)


def regression(x: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    """The exact solution's linear regression on a and b: estimate and covariance, for noise SIGMA."""
    A = torch.stack([(x**2 - x) / 2, (x**3 - x) / 6], 1)
    information = A.T @ A / SIGMA**2
    return torch.linalg.solve(information, A.T @ u / SIGMA**2), torch.linalg.inv(information)


def test_the_posterior_of_a_linear_problem_is_that_of_linear_regression():
    """The equations are nearly exact, so the unknowns are those of a regression on du/da and du/db."""
    problem = with_data()
    found = uncertainty(fitted(problem))
    x, u = problem.data.unbind(1)
    estimate, covariance = regression(x, u)
    assert list(found.values.values()) == pytest.approx(estimate.tolist(), rel=1e-3)
    assert torch.allclose(found.covariance, covariance, rtol=1e-3)
    assert list(found.floor.values()) == pytest.approx(covariance.diagonal().sqrt().tolist(), rel=1e-3)
    correlation = float(covariance[0, 1] / covariance.diagonal().prod().sqrt())
    assert float(found.correlation[0, 1]) == pytest.approx(correlation, rel=1e-3)


def test_the_posterior_with_a_soft_equation_is_that_of_a_gaussian_with_correlated_noise():
    """u = exact solution for (a, b) + G e, with white noise e of the equation: prior precision S w per unit length.

    G is the Green function of u_xx with zero ends. A network that contains all of G e would see this covariance; a
    polynomial of degree 9 holds its smooth part, so the marginal covariance is computed in that space.
    """
    problem, weight = with_data(), 0.05
    found = uncertainty(fitted(problem, weight), seed=1)
    x = problem.data[:, 0]
    count = 10  # monomials of degree 0 to 9 in z = 2 x - 1
    S = len(x) / SIGMA**2 * SIGMA**2  # residuals are in units of sigma: w = 1, sigma = 1, so S = N
    z = torch.linspace(0, 1, 4001, dtype=torch.float64)
    powers = torch.stack([(2 * x - 1) ** k for k in range(count)], 1) / SIGMA
    second = torch.stack([4 * k * (k - 1) * (2 * z - 1) ** max(k - 2, 0) for k in range(count)], 1)
    equation = torch.cat([second, -torch.ones_like(z)[:, None], -z[:, None]], 1) / len(z) ** 0.5
    ends = torch.cat([torch.stack([(-1.0) ** torch.arange(count), torch.ones(count)]), torch.zeros(2, 2)], 1).double()
    rows = [torch.cat([powers, torch.zeros(len(x), 2)], 1).double(), (S * weight) ** 0.5 * equation,
            (S * weight / 2) ** 0.5 * ends]  # fmt: skip
    J = torch.cat(rows)
    expected = torch.linalg.inv(J.T @ J)[-2:, -2:]
    assert torch.allclose(found.covariance, expected, rtol=0.1)
    assert all(found.standard_errors[n] > 1.05 * found.floor[n] for n in found.names)  # a soft equation costs something


@pytest.mark.slow
def test_the_interval_covers_the_truth_as_often_as_it_says():
    """40 noise seeds with an estimated sigma: the number of hits is binomial with p = 0.95, at least 34 at 99.6 %."""
    hits, scores, noise = 0, [], []
    for seed in range(40):
        found = uncertainty(fitted(with_data(seed, sigma=None, count=12), steps=1))
        low, high = found.intervals["a"]
        hits += low < 2.0 < high
        scores.append((found.values["a"] - 2.0) / found.standard_errors["a"])
        noise.append(found.noise["measured_u"])
    assert hits >= 34
    assert 0.8 < float(torch.tensor(scores).std()) < 1.5  # Student's t with 10 degrees of freedom: 1.12
    assert all(n.fitted == pytest.approx(2, abs=0.05) for n in noise)
    assert sum(n.sigma**2 for n in noise) / 40 == pytest.approx(SIGMA**2, rel=0.25)


@dataclass
class Decay(Problem):
    """u_t = -k u, u(0) = 1."""

    coordinates = ("t",)
    fields = ("u",)
    k: float = 0.7
    unknowns: dict[str, float] = field(default_factory=lambda: {"k": 0.5})

    def __post_init__(self) -> None:
        self.domain = Interval(t=(0, 1))

    def exact(self, t: Tensor) -> Tensor:
        return torch.exp(-self.k * t)

    @on("interior")
    def pde(self, u, u_t, k):
        return u_t + k * u

    @on("t=0")
    def begin(self, u):
        return u - 1


@pytest.mark.parametrize("unknown", [0.5, Unknown(0.5, positive=True), Unknown(0.5, low=0.1, high=2)], ids=str)
def test_a_nonlinear_problem_has_the_floor_of_its_sensitivity_whatever_the_bounds(unknown):
    problem = with_data(problem=Decay(unknowns={"k": unknown}))
    model = Model(Features(problem.domain), Polynomial(7), problem.unknowns)
    objective = Objective(problem, model, Taylor, lambda batch, r: {}, {"measured_u": 1.0, "pde": 1e5, "begin": 1e5})
    t = torch.linspace(0, 1, 40, dtype=torch.float64)[:, None]
    objective.begin({"pde": t, "begin": t[:1], "measured_u": problem.data})
    optimizer = LevenbergMarquardt()
    for _ in range(20):
        optimizer.step(objective)
    found = uncertainty(objective)
    k, at = found.values["k"], problem.data[:, 0]
    floor = SIGMA / float((at * torch.exp(-k * at)).norm())
    assert found.floor["k"] == pytest.approx(floor, rel=1e-2)
    assert found.standard_errors["k"] == pytest.approx(floor, rel=1e-2)
    low, high = found.intervals["k"]
    assert (high - low) / 2 == pytest.approx(1.96 * floor, rel=0.05)
    assert low < k < high


@dataclass
class Blind(Source):
    """Only a + c is determined."""

    c: float = 0.0
    unknowns: dict[str, float] = field(default_factory=lambda: {"a": 2.0, "c": 0.0})

    @on("interior")
    def pde(self, x, u_xx, a, b, c):
        return u_xx - a - b * x - c


def test_unknowns_of_which_only_the_sum_is_determined_are_said_to_be_so():
    found = uncertainty(fitted(with_data(problem=Blind())))
    assert not any(found.is_determined(n) for n in ("a", "c"))
    assert found.lines()[0].startswith("the data do not determine a: the measurements do not react to it")


def test_an_unknown_whose_interval_is_wide_is_said_to_be_undetermined():
    found = Uncertainty(("g",), {"g": 1.0}, {"g": 1.0}, {"g": 1.0}, torch.tensor([[0.3**2]]), {"g": 0.28}, {"g": 0.0})
    assert found.lines() == ["the data do not determine g: its 95 % interval reaches from 0.412 to 1.59; take more "
                             "data, or data with less noise"]  # fmt: skip
    assert "g 1 +- 3.0e-01 (30.0%); 95 % interval 0.412011 to 1.58799; floor 2.8e-01" in found.shown("g")


def test_a_sigma_that_does_not_fit_the_residuals_is_said():
    found = uncertainty(fitted(with_data(sigma=SIGMA / 3)))
    assert any("times as large as sigma says" in line for line in found.lines())


def test_the_inverse_of_an_information_matrix_knows_what_it_does_not_determine():
    A = torch.tensor([[4.0, 0, 0], [0, 1, 1], [0, 1, 1]], dtype=torch.float64)
    covariance = inverse(A)
    assert covariance.diagonal().tolist() == [0.25, float("inf"), float("inf")]
    B = torch.tensor([[2.0, 1], [1, 3e-8]], dtype=torch.float64)
    B = B @ B.T
    assert torch.allclose(inverse(B), torch.linalg.inv(B), rtol=1e-6)


def test_without_measurements_or_unknowns_there_is_a_reason():
    assert uncertainty(fitted(Source())).why == "there are no measurements"
    assert uncertainty(fitted(with_data(problem=Source(unknowns={})))).why == "there are no unknowns"


def test_a_training_that_has_not_settled_is_said():
    objective = fitted(with_data())
    assert not uncertainty(objective)._moving()
    with torch.no_grad():
        objective.model.unknowns["a"] += 0.5
    assert any(line.startswith("training has not settled: another Gauss-Newton step would change a by")
               for line in uncertainty(objective).lines())  # fmt: skip


def test_equations_that_count_softly_are_said_with_their_cost():
    assert not uncertainty(fitted(with_data()))._softened()
    (line,) = uncertainty(fitted(with_data(), 0.05))._softened()
    assert line.startswith("the equations hold softly, which costs accuracy: the standard error is ")


def test_what_the_network_alone_seems_to_know_is_left_out():
    """A polynomial of degree 3 holds no solution for other values of k: it would fix k without any data."""
    problem = with_data(problem=Decay(unknowns={"k": 0.7}))
    model = Model(Features(problem.domain), Polynomial(3), problem.unknowns)
    objective = Objective(problem, model, Taylor, lambda batch, r: {}, {"measured_u": 1.0, "pde": 1e9, "begin": 1e9})
    t = torch.linspace(0, 1, 40, dtype=torch.float64)[:, None]
    objective.begin({"pde": t, "begin": t[:1], "measured_u": problem.data})
    optimizer = LevenbergMarquardt()
    for _ in range(30):
        optimizer.step(objective)
    found = uncertainty(objective)
    at = problem.data[:, 0]
    floor = SIGMA / float((at * torch.exp(-found.values["k"] * at)).norm())
    assert found.own["k"] > 0.5
    assert floor < 1.05 * found.standard_errors["k"] < 2 * floor
    assert any("more firmly than the measurements do" in line for line in found.lines())


def test_the_equations_have_many_points_for_each_parameter_and_fewer_for_a_large_network(monkeypatch):
    """Two points for each parameter leave a front with too few: the equations would seem to hold softly there."""
    objective = fitted(with_data())
    count = sum(p.numel() for p in objective.parameters)
    assert len(dense_points(objective, ["pde"], 0)["pde"]) == round(FRESH * count)
    monkeypatch.setattr("pinn_cli.training.uncertainty.MOST", 2.0)
    assert len(dense_points(objective, ["pde"], 0)["pde"]) == max(len(objective.batch["pde"]), round(LEAST * count))


def lines_with(noise):
    """What is said of measurements of the exact solution with this noise (60,) at 60 points, in order."""
    problem = with_data()
    x = torch.linspace(0.01, 0.99, 60, dtype=torch.float64)
    problem.data_set.columns["x"], problem.data_set.columns["u_data"] = x, problem.exact(x) + noise
    problem = given(problem, data_set=replace(problem.data_set, sigma={"u": None}))
    return uncertainty(fitted(problem)).lines()


def test_residuals_that_are_alike_at_neighbouring_points_are_told_since_intervals_are_those_of_independent_noise():
    x = torch.linspace(0.01, 0.99, 60, dtype=torch.float64)
    waves = 0.05 * torch.sin(40 * x)  # noise that is correlated over several points, or what another equation leaves
    (line,) = [line for line in lines_with(waves) if "alike at neighbouring points" in line]
    assert float(re.search(r"correlation ([\d.]+)", line)[1]) > 0.7
    normal = 0.05 * torch.randn(60, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    assert not any("alike" in line for line in lines_with(normal))


def test_an_unknown_at_its_bound_is_told_and_more_data_are_not_asked_for():
    bound = Unknown(0.3, low=0.2, high=1)
    near = Unknown(0.20007, low=0.2, high=1)
    found = Uncertainty(
        names=("k",), values={"k": float(near)}, free={"k": near.free}, slopes={"k": 7e-5}, own={"k": 0.0},
        floor={"k": 0.013}, covariance=torch.tensor([[4e4]], dtype=torch.float64), bounds={"k": bound},
    )  # fmt: skip
    (line,) = found.lines()
    assert line.startswith("k = 0.20007 is at its bound, 0.2, nearer than its standard error: the data may")
