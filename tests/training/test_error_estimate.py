"""The error estimate against known errors: an exact solution plus a perturbation, and cases that must not lie."""

import importlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf, nan, pi
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from pinn_cli import Box, Interval, Problem, observable, on
from pinn_cli.configuration import plan
from pinn_cli.configuration.assemble import assemble
from pinn_cli.configuration.catalogue import options
from pinn_cli.configuration.compose import compose
from pinn_cli.derivatives.engines import Autograd, Taylor
from pinn_cli.physics.ansatz import derive
from pinn_cli.physics.piecewise import Marched, Piecewise
from pinn_cli.problems.convection import Convection
from pinn_cli.problems.helmholtz import Helmholtz
from pinn_cli.training import error_estimate
from pinn_cli.training.conclusion import Conclusion
from pinn_cli.training.defect_correction import sobol
from pinn_cli.training.error_estimate import POOR, Estimate, estimate
from pinn_cli.training.estimate_records import EstimateRecords
from pinn_cli.training.model import Features, Model
from pinn_cli.training.objective import Objective
from pinn_cli.training.stopping import Progress
from pinn_cli.training.verdict import Verdict, examine
from tests.conftest import ROOT, each

pytestmark = pytest.mark.usefixtures("all_windows")


class Written(nn.Module):
    """A network written as a formula of the columns of its inputs, which may be jets."""

    def __init__(self, formula: Callable[..., Tensor]):
        super().__init__()
        self.formula = formula
        self.unused = nn.Parameter(torch.zeros(1, dtype=torch.float64))

    def forward(self, X):
        fields = self.formula(*(X[:, i] for i in range(X.shape[1])))
        return torch.stack(list(fields) if isinstance(fields, tuple) else [fields], -1)


def estimated(problem: Problem, model: nn.Module | Callable, engine=Taylor, **options) -> tuple[Estimate, Tensor]:
    """The estimate for a model, or for a formula of the coordinates, and the points at which it was made."""
    model = model if isinstance(model, nn.Module) else Written(model)
    objective = Objective(problem, model, engine, lambda batch, residuals: {})
    X = problem.domain.grid(round(1500 ** (1 / problem.domain.dimension)))
    return estimate(objective, X, **options), X


def relative(error: Tensor, truth: Tensor) -> float:
    return float(error.norm() / truth.norm())


# --- errors that are known ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", [Taylor, Autograd])
def test_an_error_that_the_features_express_is_found(engine):
    def perturbation(x, y):
        return 1e-3 * torch.exp(0.7 * x + 0.3) * torch.sin(2 * y + 0.5)

    problem = Helmholtz()
    found, X = estimated(problem, lambda x, y: problem.exact(x, y) + perturbation(x, y), engine)
    true = perturbation(*X.T)
    assert min(found.explained, found.peaks) > 0.99
    assert found.error["u"] == pytest.approx(relative(true, problem.exact(*X.T)), rel=0.01)
    assert (found.correction["u"] + true).norm() < 0.01 * true.norm()
    assert found.lines() == [f"estimated error u {found.error['u']:.0e} (relative L2; 100 % of the residual explained)"]


def test_an_error_that_the_features_cannot_express_is_no_guide():
    problem = Helmholtz()
    found, _ = estimated(
        problem, lambda x, y: problem.exact(x, y) + 1e-3 * torch.sin(60 * pi * x) * torch.sin(55 * pi * y)
    )
    assert found.is_bound
    assert "no guide: the corrected solution has no smaller residual" in found.lines()[0]


def test_an_error_that_the_features_express_in_part_is_called_a_lower_bound():
    assert Estimate({"u": 0.01}, 0.12).lines() == [
        "estimated error u 1e-02 (relative L2; a rough lower bound: only 12 % of the residual explained)"
    ]


@dataclass
class Root(Problem):
    """2 u u_x = 1, u(0) = 0: u = sqrt(x), whose slope at 0 is infinite."""

    coordinates = ("x",)
    fields = ("u",)

    def __post_init__(self):
        self.domain = Box(x=(0, 1))

    @on("interior")
    def pde(self, u, u_x):
        return 2 * u * u_x - 1

    @on("x=0")
    def start(self, u):
        return u


def smooth_root(x):
    """An approximation of sqrt(x) that is smooth at 0."""
    return torch.sqrt(x + 1e-4) - 1e-2 * torch.exp(-1e4 * x) + 1e-3 * x * torch.cos(3 * x)


def test_an_estimate_that_leaves_the_largest_residuals_is_called_a_lower_bound():
    found, _ = estimated(Root(), smooth_root)
    assert found.explained > POOR > found.peaks
    assert found.is_bound
    assert re.search(r"a rough lower bound: 6\d % of the residual explained, but only \d+ % where", found.lines()[0])


@pytest.mark.parametrize(("problem", "model", "trusted"), [
    (Root(), smooth_root, False),
    (Convection(beta=2.0), lambda x, t: torch.sin(x - 2 * t) * (1 + 1e-4 * t), True),
])  # fmt: skip
def test_only_an_estimate_that_may_be_trusted_counts_for_the_end_of_a_run(problem, model, trusted, monkeypatch):
    monkeypatch.setattr(error_estimate, "COLUMNS", (200,))
    objective = Objective(problem, Written(model), Taylor, lambda batch, residuals: {})
    run, stage = SimpleNamespace(progress=Progress()), SimpleNamespace(problem=problem, underway=True)
    columns = EstimateRecords(0).take(run, stage, objective, None, print)
    assert columns["estimate/trusted"] == trusted
    assert 1e-6 < columns["estimated_error/u"] < 1e-2
    assert run.progress.estimated == (columns["estimated_error/u"] if trusted else inf)


@dataclass
class Spike(Problem):
    """u_xx = -pi^2 sin(pi x) - a source that is 1e-6 wide, u = 0 at both ends: u = sin(pi x) without the source."""

    coordinates = ("x",)
    fields = ("u",)
    at: float = 0.7

    def __post_init__(self):
        self.domain = Box(x=(0, 1), names={"ends": ["x=0", "x=1"]})

    @on("interior")
    def pde(self, x, u_xx):
        return u_xx + pi**2 * torch.sin(pi * x) + 1e6 * torch.exp(-(((x - self.at) / 1e-6) ** 2))

    @on("ends")
    def wall(self, u):
        return u


def test_a_residual_that_only_a_point_of_the_solve_sees_leaves_no_guide():
    hit = float(sobol(Spike().domain, "interior", 1, seed=0))
    found, _ = estimated(Spike(at=hit), lambda x: torch.sin(pi * x))
    assert found.error["u"] > 1e-3
    assert "no guide" in found.lines()[0]
    assert not found.is_trusted(solved=True)


def test_residuals_that_are_rounding_errors_everywhere_are_called_so():
    found, _ = estimated(Spike(), lambda x: torch.sin(pi * x))  # no point sees the source
    assert found.error["u"] < 1e-14
    assert found.lines() == [f"estimated error u {found.error['u']:.0e} (relative L2; at the rounding floor)"]
    assert "rough" in found.trust(solved=False)
    assert found.is_trusted(solved=True)
    assert not found.is_trusted(solved=False)


def test_an_error_in_a_front_is_found_along_it():
    """A narrow error along an oblique line, which isotropic features of few scales cannot express."""

    def perturbation(x, t):
        return 1e-3 / (1 + ((x - 2 - 2 * t) / 0.15) ** 2)

    problem = Convection(beta=2.0)
    found, X = estimated(problem, lambda x, t: torch.sin(x - 2 * t) + perturbation(x, t))
    assert found.error["u"] == pytest.approx(relative(perturbation(*X.T), problem.exact(*X.T)), rel=0.5)


@dataclass
class Parabola(Problem):
    """u_xx = -2 on [0, 1], u = 0 at both ends: u = x (1 - x)."""

    coordinates = ("x",)
    fields = ("u",)

    def __post_init__(self):
        self.domain = Interval(x=(0, 1))

    @on("interior")
    def pde(self, u_xx):
        return u_xx + 2

    @on("boundary")
    def ends(self, u):
        return u


def test_a_correction_of_an_ansatz_meets_its_conditions():
    problem = Parabola()
    ansatz, imposed = derive(problem)
    assert imposed == ["ends"]
    inputs = Features(problem.domain)
    plain, perturbed = (
        Model(inputs, Written(lambda z, a=a: 0.25 + a * torch.cos(2 * z)), ansatz=ansatz, imposed=imposed)
        for a in (0.0, 0.01)
    )
    found, X = estimated(problem, perturbed)
    true = (perturbed(X) - plain(X))[:, 0]
    assert true.norm() > 0
    assert found.correction["u"] == pytest.approx(-true.detach(), abs=1e-6)
    assert found.correction["u"][[0, -1]].abs().max() == 0


@dataclass
class Decay(Problem):
    """u_t + k u = 0 on [0, 2], u(0) = 1."""

    coordinates = ("t",)
    fields = ("u",)
    k: float = 1.0

    def __post_init__(self):
        self.domain = Box(t=(0, 2))

    @on("interior")
    def ode(self, u, u_t, k):
        return u_t + k * u

    @on("initial")
    def start(self, u):
        return u - 1


def test_errors_of_windows_in_time_are_carried_on():
    """The second window starts from the wrong end of the first one, and adds an error of its own."""
    first, second = (lambda t: torch.exp(-t) * (1 + 1e-3 * t)), (lambda t: torch.exp(-t) * (1 + 2e-3 * t * t))
    model = Marched([Written(first), Written(second)], [(0, 1), (1, 2)], 0)
    found, X = estimated(Decay(), model, Piecewise(Taylor))
    t = X[:, 0]
    true = torch.where(t < 1, first(t), second(t)) - torch.exp(-t)
    assert found.explained > 0.9
    assert (found.correction["u"] + true).norm() < 0.02 * true.norm()


@dataclass
class Measured(Decay):
    """The same with an unknown k and noisy measurements."""

    unknowns: dict = field(default_factory=lambda: {"k": 1.05})
    noise: float = 0.0

    def measurements(self):
        generator = torch.Generator().manual_seed(1)
        t = torch.linspace(0, 2, 40, dtype=torch.float64)
        return {"t": t, "u_data": torch.exp(-t) + self.noise * torch.randn(40, generator=generator, dtype=t.dtype)}

    @on("data")
    def measured(self, u, u_data):
        return u - u_data


def inverse(noise: float) -> Estimate:
    """The estimate for k = 1.05 and its exact solution, where k = 1 is true."""
    problem = Measured(noise=noise)
    model = Model(Features(problem.domain, "none"), Written(lambda t: torch.exp(-1.05 * t)), problem.unknowns).double()
    return estimated(problem, model)[0]


def test_an_unknown_coefficient_is_corrected_with_the_fields():
    found = inverse(0.0)
    assert found.unknowns["k"] == pytest.approx(0.05, rel=0.1)
    assert found.changes["k"] == pytest.approx(0.05, rel=0.1)
    assert "estimated error k 5e-02 (relative; " in found.lines()[-1]


def test_the_estimated_error_of_a_coefficient_near_0_is_told_in_absolute_terms():
    told = Estimate({}, 0.9, unknowns={"c": 7e6, "k": 0.05}, changes={"c": 1e-7, "k": 0.05}).lines()
    assert told == ["estimated error c 7e+06 (relative; 1e-07 in absolute terms; 90 % of the residual explained)",
                    "estimated error k 5e-02 (relative; 90 % of the residual explained)"]  # fmt: skip


def test_noise_of_measurements_is_part_of_the_error():
    clean, noisy = inverse(0.0), inverse(0.2)
    assert noisy.unknowns["k"] > 1.2 * clean.unknowns["k"]
    t = torch.linspace(0, 2, 40, dtype=torch.float64)
    deviation = 0.2 / float((t * torch.exp(-t)).norm())  # of k by linear regression
    assert 0.5 * deviation < noisy.unknowns["k"] < 3 * deviation


def test_residuals_that_no_feature_expresses_do_not_move_an_unknown():
    """k is right as far as noise allows; the network follows the noise a little, in ripples finer than the features."""
    problem = Measured(noise=0.02)

    def rippled(t):
        return torch.exp(-t) + sum(1e-4 * torch.sin(n * t + n) for n in (301, 383))

    model = Model(Features(problem.domain, "none"), Written(rippled), {"k": 1.0}).double()
    found = estimated(problem, model)[0]
    t = torch.linspace(0, 2, 40, dtype=torch.float64)
    assert found.unknowns["k"] < 3 * 0.02 / float((t * torch.exp(-t)).norm())  # 3 deviations by linear regression


# --- where there is no estimate -------------------------------------------------------------------------------------


@dataclass
class Loose(Problem):
    """Two fields; v is nowhere prescribed, only its slope."""

    coordinates = ("x",)
    fields = ("u", "v")

    def __post_init__(self):
        self.domain = Interval(x=(0, 1))

    @on("interior")
    def first(self, u_x):
        return u_x - 1

    @on("interior")
    def second(self, x, v_x):
        return v_x - x

    @on("x=0")
    def start(self, u):
        return u

    @observable
    def both(self, u, v):
        return u + v


def test_what_the_constraints_leave_open_has_no_estimate():
    found, _ = estimated(Loose(), lambda x: (x + 0.01 * x * x, 0.5 * x * x + 7), observables=["both"])
    assert found.error.keys() == found.correction.keys() == {"u"}
    assert found.error["u"] == pytest.approx(0.0077, rel=0.1)


@dataclass
class Nothing(Loose):
    """No condition at all."""

    start = None


def test_without_any_condition_the_reason_is_given():
    found, _ = estimated(Nothing(), lambda x: (x, x))
    assert found.lines() == [f"estimated error: none ({found.why})"]
    assert "do not determine" in found.why or "only up to" in found.why


def test_a_residual_that_fails_ends_no_run():
    class Broken(Parabola):
        @on("interior")
        def pde(self, u_xx):
            raise RuntimeError("no such thing")

    found, _ = estimated(Broken(), lambda x: x)
    assert found.why == "RuntimeError: no such thing"
    assert found.explained is nan or found.explained != found.explained


def test_a_residual_that_is_not_finite_somewhere_is_the_reason_for_no_estimate():
    class Root(Parabola):
        @on("interior")
        def pde(self, x, u_xx):
            return u_xx - 2 + 0 * torch.sqrt(x - 0.01)

    found, _ = estimated(Root(), lambda x: x)
    assert found.why == "ArithmeticError: a residual is not finite at some points of the domain"


def test_the_error_of_a_solution_that_is_0_is_told_in_absolute_terms():
    @dataclass
    class Rest(Decay):
        @on("initial")
        def start(self, u):
            return u

    found, _ = estimated(Rest(), lambda t: 1e-6 * torch.cos(t))
    assert "(relative L2; 6e-07 in absolute terms; " in found.lines()[0], found.lines()


def test_a_field_that_vanishes_does_not_take_all_the_weight(monkeypatch):
    """v = 0 in a channel: the network's v is 1e-8, and the equations must not be traded for the last digit of it."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks" / "verdicts")
    problem = importlib.import_module("equations").Channel()

    def network(x, y):
        wrong = torch.sin(3 * x + y), 1e-3 * torch.cos(20 * x - 30 * y), torch.cos(x + 2 * y)
        return tuple(e + 5e-6 * w for e, w in zip((y * (1 - y), 0 * x, 2 - 2 * x), wrong, strict=True))

    found, X = estimated(problem, network)
    true = network(*X.T)[2] - (2 - 2 * X[:, 0])
    assert relative(found.correction["p"] + true, true) < 0.5


def test_a_correction_that_makes_the_equations_worse_is_not_called_an_estimate():
    """Near u = 0, u_t = 40 u (1 - u) is linear; the linearised growth is far from the truth."""

    @dataclass
    class Growth(Decay):
        @on("interior")
        def ode(self, u, u_t):
            return u_t - 40 * u * (1 - u)

        @on("initial")
        def start(self, u):
            return u - 0.01

    found, _ = estimated(Growth(), lambda t: 0.01 * torch.exp(-30 * t))
    assert found.is_bound
    assert "a rough lower bound: only" in found.lines()[0]


def test_no_share_is_printed_of_a_run_whose_equations_do_not_hold():
    """Lorenz's equations (1963) about a point where nothing moves: u = 0 beside the start (1, 1, 1)."""

    @dataclass
    class Lorenz(Problem):
        coordinates = ("t",)
        fields = ("x", "y", "z")

        def __post_init__(self):
            self.domain = Box(t=(0, 8))

        @on("interior")
        def convection(self, x, y, x_t):
            return x_t - 10 * (y - x)

        @on("interior")
        def difference(self, x, y, z, y_t):
            return y_t - x * (28 - z) + y

        @on("interior")
        def distortion(self, x, y, z, z_t):
            return z_t - x * y + 8 / 3 * z

        @on("initial")
        def start(self, x):
            return x - 1

        @on("initial")
        def start_y(self, y):
            return y - 1

        @on("initial")
        def start_z(self, z):
            return z - 1

    problem = Lorenz()
    model = Written(lambda t: (0.02 * torch.cos(3 * t), 0.02 * torch.sin(3 * t), torch.exp(-8 / 3 * t)))
    found, _ = estimated(problem, model)
    objective = Objective(problem, model, Taylor, lambda batch, residuals: {})
    objective.begin({c.name: problem.domain.grid(64) if c.kind == "interior" else torch.zeros(1, 1).double()
                     for c in problem.constraints()})  # fmt: skip
    verdict = examine(problem, objective)
    assert not verdict.solved
    assert max(found.error.values()) < 1e3
    for line in found.lines(verdict.solved):
        assert "many times as large" in line
        assert "%" not in line


@pytest.mark.parametrize(
    ("measured", "solved"),
    [
        ({}, True),
        ({"relative": {"pde": 0.02}}, False),
        ({"relative": {"pde": 5e-3}, "trusted": False}, False),
        ({"ratio": {"pde": 9.0}, "relative": {"pde": 5e-3}}, False),
        ({"doubts": ["the constraints do not determine u"]}, False),
        ({"biased": {"data": 0.3}}, False),
        ({"estimated": {"u": 0.5}}, True),
    ],
)
def test_an_estimate_is_trusted_only_as_far_as_the_verdict_on_the_equations_is_good(measured, solved):
    verdict = Verdict(**measured)
    line = Conclusion({}, Estimate({"u": 0.01}, 0.92), {}, verdict).estimates()[0]
    assert verdict.solved == solved
    share = "92 % of the residual explained" if solved else "rough: the verdict is not ok, and the error may be many"
    assert line.startswith(f"estimated error u 1e-02 (relative L2; {share}")


# --- every problem, and every kind of model -------------------------------------------------------------------------


def started(*words: str) -> Objective:
    """The objective of a small run at its first points."""
    small = ["points.interior=64", "points.face=16", "architecture.width=8", "architecture.depth=2"]
    return plan.preview(assemble(compose([*small, *words])))


@pytest.fixture
def _few_columns(monkeypatch):
    monkeypatch.setattr(error_estimate, "COLUMNS", (60,))


FAST = ("burgers_family", "conductivity", "heat_inverse", "kovasznay", "plate")


@pytest.mark.usefixtures("_few_columns")
@pytest.mark.parametrize("name", each(options("problem"), FAST))
def test_every_problem_has_an_estimate(name):
    """An unknown field has a standard error instead."""
    objective = started(f"problem={name}")
    found = estimate(objective, objective.problem.domain.grid(5))
    if objective.problem.unknown_fields:
        assert found.why.startswith("k is sought from measurements")
        return
    assert found.why == ""
    assert found.error.keys() == set(objective.problem.fields)
    assert all(e > 0 for e in found.error.values())


@pytest.mark.usefixtures("_few_columns")
@pytest.mark.parametrize(
    "words",
    [
        ["problem=burgers", "dtype=float32"],
        ["problem=helmholtz", "constraints=exact"],
        pytest.param(["problem=wave", "constraints=exact", "dtype=float32"], marks=pytest.mark.slow),
        pytest.param(
            ["problem=lid_driven_cavity_streamfunction", "constraints=exact", "problem.lid=regularised"],
            marks=pytest.mark.slow,
        ),
        ["problem=reaction_diffusion", "periodic=[x]"],
        ["problem=diffusion", "derivatives=autograd"],
        pytest.param(["problem=convection", "architecture=fourier"], marks=pytest.mark.slow),
        ["problem=convection", "architecture=modified_mlp", "scaling=none"],
    ],
)
def test_every_kind_of_model_has_an_estimate(words):
    objective = started(*words)
    before = {name: value.clone() for name, value in objective.model.state_dict().items()}
    found = estimate(objective, objective.problem.domain.grid(5))
    assert found.why == ""
    assert all(torch.equal(value, before[name]) for name, value in objective.model.state_dict().items())
    assert objective.dtype == (torch.float32 if "dtype=float32" in words else torch.float64)


@pytest.mark.usefixtures("_few_columns")
def test_the_estimate_is_the_same_every_time_and_leaves_random_numbers_alone():
    objective = started("problem=poisson_1d")
    state = torch.get_rng_state()
    first, second = (estimate(objective, objective.problem.domain.grid(50)) for _ in range(2))
    assert first.error == second.error
    assert torch.equal(torch.get_rng_state(), state)
