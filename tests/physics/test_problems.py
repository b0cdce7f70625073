"""Every problem under conf/problem: its solution satisfies it, and it agrees with its source."""

from dataclasses import fields
from functools import partial
from importlib import import_module
from math import log, pi
from pathlib import Path

import pytest
import torch
import yaml
from torch import nn

from pinn_cli.configuration.check import check, function_of, symbols_of, tolerance
from pinn_cli.derivatives.engines import Autograd, Taylor
from pinn_cli.physics.points import trial_points
from pinn_cli.physics.references import reference_of
from pinn_cli.physics.references.cavity.reference import Cavity
from pinn_cli.physics.references.circle.allen_cahn import AllenCahn
from pinn_cli.physics.references.circle.kuramoto_sivashinsky import KuramotoSivashinsky
from pinn_cli.physics.references.circle.reaction_diffusion import ReactionDiffusion
from pinn_cli.physics.references.darcy import Darcy as Flow
from pinn_cli.physics.unknowns import Unknown
from pinn_cli.problems.boundary_layer import BoundaryLayer
from pinn_cli.problems.heat_inverse import HeatInverse
from pinn_cli.problems.helmholtz import Helmholtz
from pinn_cli.problems.kdv import KdV
from pinn_cli.problems.klein_gordon import KleinGordon
from pinn_cli.problems.poisson_1d import Poisson1D
from pinn_cli.training.model import Features, Model
from pinn_cli.training.objective import Objective
from tests.conftest import VARIED, each

CONF = Path(__file__).parents[2] / "conf" / "problem"
NAMES = sorted(path.stem for path in CONF.glob("*.yaml"))
# Solutions by collocation are less accurate than formulas. ERRORS: their own error. SATISFIED: the residual that their
# derivatives leave, third ones beside the ends of the lid, second ones where a corner of the initial value spreads.
CAVITIES = ("lid_driven_cavity", "lid_driven_cavity_streamfunction", "lid_driven_cavity_inverse")
SPECTRAL = ("allen_cahn", "kuramoto_sivashinsky", "reaction_diffusion")
# On fewer nodes; fluxes are bilinear beside a jump, slopes those of a spline.
FLOWS = ("darcy", "darcy_smooth", "permeability")
SQUARES = ("poisson", "advection_diffusion")  # the periodic source has a small kink at the boundary
ERRORS = dict.fromkeys(CAVITIES, 1e-5) | dict.fromkeys(SPECTRAL, 1e-10) | dict.fromkeys(SQUARES, 2e-9)
ERRORS |= {"permeability": 1e-3, "heat_conductivity": 2e-6}
ERRORS |= {"darcy": 1e-2, "darcy_streamfunction": 1e-2, "darcy_smooth": 3e-4, "burgers_family": 1e-11}
ERRORS |= {"lotka_volterra": 1e-10}
SATISFIED = dict.fromkeys(CAVITIES, 5e-3) | dict.fromkeys(SPECTRAL, 1e-5) | dict.fromkeys(SQUARES, 1e-7)
SATISFIED |= {"darcy": 0.2, "darcy_streamfunction": 0.2, "darcy_smooth": 2e-2, "burgers_family": 1e-9,
              "heat_conductivity": 5e-3, "permeability": 2e-2}  # fmt: skip


# In the place of solutions that take seconds. The slow tests have those of the problems.
COARSE = {
    "allen_cahn": ("allen_cahn.Spectral", partial(AllenCahn, modes=511, times=48, steps=512)),
    "kuramoto_sivashinsky": (
        "kuramoto_sivashinsky.Spectral", partial(KuramotoSivashinsky, modes=127, times=64, steps=1024)),
    "reaction_diffusion": (
        "reaction_diffusion.SOLUTIONS", {"converged": partial(ReactionDiffusion, modes=127, times=48, steps=512)}),
    **dict.fromkeys(CAVITIES, ("lid_driven_cavity.Cavity", partial(Cavity, nodes=40))),
}  # fmt: skip


def settings(name):
    return yaml.safe_load((CONF / f"{name}.yaml").read_text())


def problem_called(name, **changes):
    keywords = settings(name)
    module, _, cls = keywords.pop("_target_").rpartition(".")
    return getattr(import_module(module), cls)(**keywords | changes)


@pytest.fixture
def few(monkeypatch):
    """Residuals are evaluated at few points, and flows through a medium are solved on few nodes."""
    monkeypatch.setattr("pinn_cli.configuration.check.POINTS", 256)
    for flow in FLOWS:
        monkeypatch.setattr(f"pinn_cli.problems.{flow}.Reference", partial(Flow, nodes=81))


@pytest.fixture(params=NAMES)
def name(request, few, monkeypatch):
    """Each problem, with a reference that is solved fast."""
    if request.param in COARSE:
        place, solver = COARSE[request.param]
        monkeypatch.setattr(f"pinn_cli.problems.{place}", solver)
    return request.param


def test_the_yaml_holds_the_coefficients_and_nothing_else(name):
    problem, keywords = problem_called(name), settings(name)
    assert list(keywords) == ["_target_", *(f.name for f in fields(problem))]
    assert type(problem)() == problem  # the defaults of the class are those of the YAML
    assert (CONF / f"{name}.yaml").read_text().startswith("# ")


def test_dimensions_agree(name):
    problem = problem_called(name)
    assert problem.domain.coordinates == problem.coordinates
    X = problem.domain.grid(5)
    assert X.shape == (5 ** len(problem.coordinates), len(problem.coordinates))
    reference = reference_of(problem)
    assert set(problem.fields) <= set(reference.fields) <= {*problem.fields, *problem.observables()}
    assert {v.shape for v in reference(X).values()} == {X.shape[:1]}


@pytest.mark.parametrize(
    "name",
    [name for name in NAMES if name not in CAVITIES],
    indirect=True,  # these need all of their nodes
)
def test_the_solution_satisfies_every_constraint(name):
    check_solution(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", COARSE)
def test_the_solution_of_the_resolution_of_the_problem_satisfies_every_constraint(name, few):
    check_solution(name)


def check_solution(name):
    problem = problem_called(name)
    report = check(problem)
    assert report.ok, report.findings
    for found in report.findings:
        assert found.residual < (1.3e-2 if found.region == "data" else SATISFIED.get(name, 1e-11)), found
        assert found.engine == ("taylor" if hasattr(problem, "exact") else "autograd")


# Of every kind, and those whose sources or values at the boundary are long formulas. Others take seconds.
FAST = (*VARIED, "lid_driven_cavity", "convection", "darcy_smooth", "helmholtz", "klein_gordon", "nls", "kdv",
        "plane_elasticity", "poisson_5d", "heat_rod", "reaction", "outflow_layer", "oscillator")  # fmt: skip
OTHERS = each(NAMES, [name for name in FAST if name not in (*SPECTRAL, "lid_driven_cavity")])


@pytest.mark.parametrize("name", OTHERS)
def test_the_solution_satisfies_every_constraint_for_other_coefficients_too(name, few, monkeypatch):
    """Sources and boundary values follow the coefficients. The flow of a cavity is solved on fewer nodes."""
    monkeypatch.setattr("pinn_cli.problems.lid_driven_cavity.Cavity", partial(Cavity, nodes=40))
    numbers = {k: v for k, v in settings(name).items() if isinstance(v, int | float)}
    changes = {k: v + 1 if isinstance(v, int) else 1.1 * v + 0.05 for k, v in numbers.items()}
    report = check(problem_called(name, **changes))
    assert report.ok, report.findings
    least = max(2e-2, SATISFIED.get(name, 0))
    assert all(found.residual < least for found in report.findings if found.region != "data"), report.findings


def network(problem):
    torch.manual_seed(0)
    features = Features(problem.domain)
    inner = nn.Sequential(nn.Linear(features.outputs, 8), nn.Tanh(), nn.Linear(8, len(problem.fields)))
    return Model(features, inner, problem.unknowns).double()


def test_the_objective_reads_the_same_symbols_with_either_engine(name):
    """`pinn check` and training evaluate the same residuals."""
    problem = problem_called(name)
    model = network(problem)
    for k, value in model.unknowns.items():
        start, truth = problem.unknowns[k], getattr(problem, k)
        bounded = isinstance(start, Unknown)
        value.data.fill_(Unknown(truth, low=start.low, high=start.high).free if bounded else truth)
    for engine in (Taylor, Autograd):
        objective = Objective(problem, model, engine, lambda batch, residuals: {})
        for c in problem.constraints():
            X = trial_points(problem, c, 20)
            r = c.residual(**symbols_of(problem, c, model, X)[0])
            if c.against is not None:
                r = r - c.residual(**symbols_of(problem, c, model, c.against(X))[0])
            assert torch.allclose(objective.residual(c.name, X), r, rtol=1e-9, atol=1e-9), (c.name, engine)


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow if n in COARSE else ()) for n in NAMES])
def test_the_reference_is_as_accurate_as_its_tolerance_allows(name, few):
    reference = reference_of(problem_called(name))
    assert 0 < reference.error <= ERRORS.get(name, 1e-13)
    assert tolerance(reference) <= 10**5 * ERRORS.get(name, 1e-13)


# --- A network that is zero -------------------------------------------------------------------------------------------


class Zero(nn.Module):
    """u = 0."""

    def __init__(self):
        super().__init__()
        self.nothing = nn.Linear(2, 1, bias=False).double()
        nn.init.zeros_(self.nothing.weight)

    def forward(self, X):
        return self.nothing(X)


def losses_of_zero(problem, n=400):
    """mean r^2 by constraint for u = 0, on the midpoints of n x n cells."""
    axis = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    cells = torch.cartesian_prod(axis, axis)
    objective = Objective(problem, Zero(), Taylor, lambda batch, residuals: {})
    objective.begin({c.name: problem.domain.sample(c.region, cells) for c in problem.constraints()})
    objective.loss()
    return {k: float(v) for k, v in objective.losses().items()}


@pytest.mark.parametrize(
    ("problem", "expected"),
    [
        (Helmholtz(), {"pde": 6954.17, "wall": 0}),
        (Helmholtz(a1=1, a2=1), {"pde": 87.789, "wall": 0}),
        (KleinGordon(), {"pde": 10094.5, "left": 0, "right": 0.618934, "displacement": 1 / 3, "velocity": 0}),
    ],
)
def test_a_zero_network_has_the_published_losses(problem, expected):
    assert losses_of_zero(problem) == pytest.approx(expected, rel=1e-5, abs=1e-25)


# --- Single problems --------------------------------------------------------------------------------------------------


def test_the_boundary_of_an_interval_is_two_points():
    X = Poisson1D().domain.sample("boundary", torch.rand(2, 1, dtype=torch.float64))
    assert sorted(X.flatten().tolist()) == [0.0, 1.0]


def test_the_source_of_klein_gordon_does_not_depend_on_an_unknown_coefficient():
    class Inverse(KleinGordon):
        unknowns = {"gamma": 0.0}

    X = trial_points(KleinGordon(), "interior", 50)
    assert torch.equal(Inverse().source(*X.T), KleinGordon().source(*X.T))
    assert Inverse().coefficients["gamma"] == 0.0
    assert not any(finding.warnings for finding in check(Inverse()).findings)  # gamma itself is not determined


def test_the_measurements_are_always_the_same_with_the_stated_noise():
    torch.manual_seed(1)
    first, second, clean = HeatInverse().data, HeatInverse().data, HeatInverse(noise=0.0).data
    assert first.shape == (200, 3)
    assert torch.equal(first, second)
    noise = (first - clean)[:, 2]
    assert float(noise.std() / clean[:, 2].std()) == pytest.approx(0.01, rel=0.1)
    assert abs(float(noise.mean())) < 3 * float(noise.std()) / 200**0.5


def test_the_measurements_identify_the_diffusivity():
    """The misfit of the exact solution, as a function of kappa, has its minimum near the truth."""
    x, t, u = HeatInverse().data.T
    tried = torch.linspace(0.09, 0.11, 41).tolist()
    misfit = [float((HeatInverse(kappa=k).exact(x, t) - u).square().sum()) for k in tried]
    assert tried[misfit.index(min(misfit))] == pytest.approx(0.1, rel=0.02)


def test_functions_of_a_reference_have_the_shape_of_a_network():
    problem = problem_called("burgers")
    assert function_of(reference_of(problem), problem.fields)(problem.domain.grid(3)).shape == (9, 1)


# --- Settings of other authors ----------------------------------------------------------------------------------------

SETTINGS = {
    "helmholtz": {"a1": 10.0, "a2": 10.0},
    "convection": {"beta": 80.0},
    "wave": {"c": 2.0, "overtone": 0.5},
    "poisson_1d": {"C": 2 * pi, "ripple": 0.1},
    "kdv": {"speed": 4.0, "second": 9.0},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_the_settings_of_other_authors_are_solved_too(name):
    report = check(problem_called(name, **SETTINGS[name]))
    assert report.ok, report.findings
    assert all(finding.residual < 1e-11 for finding in report.findings)


@pytest.mark.parametrize("eps", [1.0, 1e-2, 1e-3, 1e-4, 1e-6])
def test_a_boundary_layer_of_any_width_is_solved_without_overflow(eps):
    """To rounding, of which the layer leaves some in its terms of size 1 / eps."""
    problem = BoundaryLayer(eps)
    u = problem.exact(torch.tensor([0.0, 37 * eps, 1.0], dtype=torch.float64))
    assert u.isfinite().all()
    assert u[[0, 2]].abs().max() < 1e-15
    report = check(problem)
    assert report.ok, report.findings
    x = torch.linspace(0, 1, 1001, dtype=torch.float64) * min(1.0, 40 * eps)
    x.requires_grad_()
    (u_x,) = torch.autograd.grad(problem.exact(x).sum(), x, create_graph=True)
    (u_xx,) = torch.autograd.grad(u_x.sum(), x)
    assert (eps * u_xx + u_x - 1).abs().max() < 1e-14 / eps
    with pytest.raises(ValueError, match="eps=0: expected a number above 0"):
        BoundaryLayer(0.0)


def test_a_second_soliton_of_speed_zero_is_none():
    x, t = KdV().domain.grid(40).T
    alone = 2 / torch.cosh(x + 2 - 4 * t) ** 2
    torch.testing.assert_close(KdV().exact(x, t), alone, rtol=1e-13, atol=1e-15)


def test_a_fast_soliton_overtakes_a_slow_one():
    """Long before and long after, both are alone; in between, each is displaced by 2 log((k2 + k1) / (k2 - k1)) / k."""
    problem, k = KdV(speed=4.0, second=9.0), (2.0, 3.0)
    gain = log((k[1] + k[0]) / (k[1] - k[0]))
    x = torch.linspace(-60, 60, 2001, dtype=torch.float64)
    for time, sign in ((-6.0, -1), (6.0, 1)):
        centres = (-2 + 4 * time - (sign - 1) * gain / k[0], -5 + 9 * time + (sign + 1) * gain / k[1])
        alone = sum(c**2 / 2 / torch.cosh(c / 2 * (x - at)) ** 2 for c, at in zip(k, centres, strict=True))
        torch.testing.assert_close(problem.exact(x, torch.full_like(x, time)), alone, rtol=0, atol=1e-6)
    with pytest.raises(ValueError, match=r"speed=4, second=-1: expected a speed above 0, and a second one or 0"):
        KdV(second=-1.0)
