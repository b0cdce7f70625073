"""Advection and diffusion on the torus: the numbers of the paper's set-up, the equation, and the values at the rim."""

from math import sqrt

import pytest
import torch

from pinn_cli.basics.errors import UsageError
from pinn_cli.configuration import plan
from pinn_cli.configuration.assemble import assemble
from pinn_cli.configuration.compose import compose
from pinn_cli.physics.references.torus.series import Series
from pinn_cli.physics.references.torus.transport import Transport
from pinn_cli.problems.advection_diffusion import AdvectionDiffusion
from pinn_cli.problems.poisson import Poisson
from tests.conftest import each

CASES = {  # class, sigma, range of u, rms of u, mean of f^2, error of the exact solution in the centred measure
    "TC1": (Poisson, 0.1, (-0.0367, 0.0743), 0.03059, 6.958, 5.2e-3),
    "TC2": (Poisson, 0.01, (-0.0419, 0.2521), 0.04077, 794.8, 4.5e-3),
    "TC3": (AdvectionDiffusion, 0.1, (-0.0090, 0.0240), 0.00723, 6.958, 2.7e-3),
    "TC4": (AdvectionDiffusion, 0.01, (-0.0119, 0.1225), 0.01181, 794.8, 1.8e-3),
}


def nodes(n=257):
    axis = torch.linspace(0, 1, n, dtype=torch.float64)
    return torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)


@pytest.mark.parametrize("case", each(CASES, ()))
def test_the_four_cases_have_the_numbers_of_the_set_up(case):
    kind, sigma, (low, high), rms, square, floor = CASES[case]
    X = nodes()
    problem = kind(sigma=sigma)
    u = problem.reference()(X)["u"]
    assert (round(float(u.min()), 4), round(float(u.max()), 4)) == (low, high)
    assert float(u.square().mean().sqrt()) == pytest.approx(rms, abs=5e-6)
    inside = (X < 1).all(1)
    f = problem.solution.source(*X[inside].T)
    assert float(f.square().mean()) == pytest.approx(square, rel=1e-3)
    assert abs(float(u[inside].mean())) < 1e-12
    assert abs(float(f.mean())) < 1e-9
    measured = problem.metrics(lambda names, at: problem.reference()(at))
    assert measured["plain"] == 0.0
    assert measured["centred"] == pytest.approx(measured["centred_floor"])
    assert measured["centred"] == pytest.approx(floor, abs=5e-5)
    assert problem.reference().error < 2e-9


@pytest.mark.parametrize(("speed", "contrast"), [(1.0, 0.0), (1.0, 0.6), (0.0, 0.6)])
def test_the_solution_satisfies_the_equation_of_the_problem(speed, contrast):
    """By automatic differentiation of the series, at points that are no nodes."""
    problem = AdvectionDiffusion(sigma=0.05, speed=speed, contrast=contrast, waves=2)
    P = torch.rand(50, 2, dtype=torch.float64, requires_grad=True, generator=torch.Generator().manual_seed(0))
    x, y = P.unbind(1)
    (slope,) = torch.autograd.grad(problem.solution.series(x, y).sum(), P, create_graph=True)
    (of_x,) = torch.autograd.grad(slope[:, 0].sum(), P, retain_graph=True)
    (of_y,) = torch.autograd.grad(slope[:, 1].sum(), P)
    x, y, slope = x.detach(), y.detach(), slope.detach()
    residual = problem.pde(x, y, slope[:, 0], slope[:, 1], of_x[:, 0], of_x[:, 1], of_y[:, 1])
    assert float(residual.abs().max()) < 1e-7 * float(problem.solution.source(x, y).abs().max())


def test_values_at_the_rim_are_those_of_the_series_in_every_precision():
    solution = AdvectionDiffusion().solution
    s = torch.rand(40, dtype=torch.float64)
    for x, y in ((torch.zeros(40), s), (torch.ones(40), s), (s, torch.zeros(40)), (s, torch.ones(40))):
        x, y = x.double(), y.double()
        torch.testing.assert_close(solution.rim(x, y), solution.series(x, y), rtol=0, atol=1e-14)
        assert solution.rim(x.float(), y.float()).dtype == torch.float32


def test_a_series_is_the_function_whose_nodes_it_goes_through():
    X = nodes(17)[:-1].reshape(-1, 2)
    axis = torch.arange(16, dtype=torch.float64) / 16
    x, y = torch.meshgrid(axis, axis, indexing="ij")

    def f(x, y):
        return torch.cos(2 * torch.pi * (3 * x - 2 * y)) + torch.sin(2 * torch.pi * x) - 0.5

    series = Series.through(f(x, y).numpy())
    torch.testing.assert_close(series(*X.T), f(*X.T), rtol=0, atol=1e-13)
    assert sqrt(series.square) == pytest.approx(sqrt(0.5 + 0.5 + 0.25))
    for axis in (0, 1):
        s = torch.rand(9, dtype=torch.float64)
        at = (torch.zeros_like(s), s) if axis == 0 else (s, torch.zeros_like(s))
        torch.testing.assert_close(series.side(axis)(s), f(*at), rtol=0, atol=1e-13)


@pytest.mark.parametrize("kind", [Poisson, pytest.param(AdvectionDiffusion, marks=pytest.mark.slow)])
def test_observations_are_exact_values_at_different_nodes_of_the_interior(kind):
    torch.manual_seed(1)
    problem = kind(observations=300)
    assert [(c.name, c.kind) for c in problem.constraints()][2:] == [("measured", "data")]
    X, seen = problem.data[:, :2], problem.data[:, 2]
    torch.testing.assert_close(X, (256 * X).round() / 256, rtol=0, atol=0)
    assert 0 < float(X.min()) < 0.1 < 0.9 < float(X.max()) < 1
    assert len(X.unique(dim=0)) == 300
    torch.testing.assert_close(seen, problem.reference()(X)["u"], rtol=0, atol=0)
    assert torch.equal(kind(observations=300).data, problem.data)  # whatever the generator of torch has drawn before
    assert torch.equal(problem.measured(seen, seen), torch.zeros(300))
    every = kind(observations=255**2).data
    assert len(every[:, :2].unique(dim=0)) == 255**2


def test_without_observations_there_is_no_such_residual():
    assert [c.name for c in Poisson().constraints()] == ["pde", "rim"]
    assert Poisson().data_columns == {}
    for wrong in (-1, 255**2 + 1):
        with pytest.raises(ValueError, match="expected 0 to 65025"):
            Poisson(observations=wrong)


def test_observations_enter_the_loss_with_weight_one_beside_the_published_weights():
    """Of TC1: 1e-4 mean r^2 + mean of the squared errors at the boundary + the same at the observed nodes."""
    words = ["recipe=adaptive/tc1", "problem.observations=5", "points.interior=20", "points.face=4", "device=cpu"]
    objective = plan.preview(assemble(compose(words)))
    assert objective.weights == {"pde": 1e-4, "rim": 1.0, "measured": 1.0}
    assert objective.batch["measured"].shape == (5, 3)
    error = objective.evaluate(["u"], objective.batch["measured"])["u"] - objective.batch["measured"][:, 2]
    loss, means = objective.loss().detach(), objective.losses()
    torch.testing.assert_close(means["measured"], error.square().mean())
    torch.testing.assert_close(loss, 1e-4 * means["pde"] + means["rim"] + error.square().mean())


@pytest.mark.parametrize("settings", [
    {"sigma": 0.0}, {"sigma": 0.001}, {"contrast": 1.0}, {"waves": 0}, {"waves": 65}, {"K": (1.0, 2.0, 1.0)},
])  # fmt: skip
def test_impossible_settings_are_refused(settings):
    """Among them a source, and waves of the material, that the nodes of the reference do not resolve."""
    with pytest.raises(UsageError, match="expected"):
        Transport(**{"sigma": 0.1, "K": (1.0, 0.0, 1.0), **settings})
