"""The lid-driven cavity: its exact walls, the Stokes flow of its corners, its weights, and the paper's set-up."""

import pytest
import torch
from torch import nn

from pinn_cli.basics.errors import UsageError
from pinn_cli.configuration.assemble import assemble
from pinn_cli.configuration.compose import compose
from pinn_cli.configuration.plan import preview
from pinn_cli.derivatives.engines import Autograd, Taylor
from pinn_cli.physics.ansatz import written_ansatz
from pinn_cli.problems.lid_driven_cavity import LidDrivenCavity
from pinn_cli.problems.lid_driven_cavity_streamfunction import INNER, LidDrivenCavityStreamfunction
from pinn_cli.training.objective import Objective

LIDS = ("unit", "regularised")
SMALL = ["points.interior=32", "points.face=8", "architecture.width=6", "architecture.depth=2"]


def imposed(lid):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 2)).double()
    ansatz = written_ansatz(LidDrivenCavityStreamfunction(lid=lid), "impose")
    return lambda X: ansatz(X, network(X))


def velocity(u, X):
    slopes = Taylor({(1, 0), (0, 1)})(u, X)
    return slopes[0, 1][:, 0], -slopes[1, 0][:, 0]


@pytest.mark.parametrize("lid", LIDS)
def test_any_network_meets_the_walls_with_exact_constraints(lid):
    problem, unit = LidDrivenCavityStreamfunction(lid=lid), torch.rand(400, 2, dtype=torch.float64)
    X = problem.domain.sample("boundary", unit)
    psi = imposed(lid)(X)[:, 0]
    u, v = velocity(imposed(lid), X)
    torch.testing.assert_close(u, problem.wall_speed(*X.T), rtol=0, atol=1e-10)
    for nothing in (psi, v):
        torch.testing.assert_close(nothing, torch.zeros_like(v), rtol=0, atol=1e-10)


@pytest.mark.parametrize("lid", LIDS)
def test_the_lift_is_differentiated_as_by_autograd(lid):
    X, wanted = torch.rand(40, 2, dtype=torch.float64), {(3, 0), (2, 1), (1, 2), (0, 3), (1, 1)}
    fast, slow = Taylor(wanted)(imposed(lid), X), Autograd(wanted)(imposed(lid), X)
    for key in wanted:
        torch.testing.assert_close(fast[key], slow[key], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("at_the_right", [False, True])
def test_beside_a_corner_the_lift_is_stokes_flow(at_the_right):
    """lap lap psi = 0 and grad p = lap (u, v) / re for r < INNER."""
    problem = LidDrivenCavityStreamfunction(re=7.0)

    def corner(X):
        psi, p = problem._corner(1 - X[:, 0] if at_the_right else X[:, 0], 1 - X[:, 1])
        return torch.stack([psi, p if at_the_right else -p], -1)

    offset = INNER * 0.6 * torch.rand(60, 2, dtype=torch.float64) + 1e-3
    x = 1 - offset[:, 0] if at_the_right else offset[:, 0]
    indices = [(4, 0), (2, 2), (0, 4), (3, 0), (2, 1), (1, 2), (0, 3), (1, 0), (0, 1)]
    d = Taylor(set(indices))(corner, torch.stack([x, 1 - offset[:, 1]], 1))
    psi, p = ({i: d[i][:, k] for i in indices} for k in (0, 1))
    size = psi[4, 0].abs() + psi[0, 4].abs()
    assert ((psi[4, 0] + 2 * psi[2, 2] + psi[0, 4]).abs() / size).max() < 1e-9
    size = p[1, 0].abs() + p[0, 1].abs()
    assert ((p[1, 0] - (psi[2, 1] + psi[0, 3]) / 7).abs() / size).max() < 1e-9
    assert ((p[0, 1] + (psi[3, 0] + psi[1, 2]) / 7).abs() / size).max() < 1e-9


def test_a_lid_without_a_lift_is_refused():
    words = ["problem=lid_driven_cavity_streamfunction", "problem.lid=parabolic", "constraints=exact", *SMALL]
    with pytest.raises(UsageError, match="lid=parabolic: constraints=exact knows the lids unit and regularised only"):
        preview(assemble(compose(words)))


def test_an_unknown_lid_is_refused():
    with pytest.raises(UsageError, match="lid=open: expected unit, regularised, parabolic"):
        assemble(compose(["problem=lid_driven_cavity", "problem.lid=open", *SMALL]))


@pytest.mark.parametrize("wrong", ["problem.re=-5", "problem.re=0", "problem.corner=-1"])
def test_a_wrong_reynolds_number_or_radius_is_refused(wrong):
    with pytest.raises(UsageError, match="expected a Reynolds number above 0, and a radius from 0 on or null"):
        assemble(compose(["problem=lid_driven_cavity", wrong, *SMALL]))


def test_residuals_weigh_less_only_near_a_singular_corner():
    at = torch.tensor([[0.0, 1.0], [0.03, 0.96], [1.0, 0.95], [0.5, 1.0], [0.2, 0.9]], dtype=torch.float64).T
    torch.testing.assert_close(LidDrivenCavity().near_corner(*at).tolist(), [0.0, 0.5, 0.5, 1.0, 1.0])
    for problem in (LidDrivenCavity(lid="regularised"), LidDrivenCavity(corner=0.0)):
        assert problem.near_corner(*at).eq(1).all()
    assert LidDrivenCavity(re=1000).near_corner(*at).equal(LidDrivenCavity().near_corner(*at)), "independent of Re"


def test_both_forms_have_the_same_residuals_of_the_same_flow():
    """psi = sin x sinh y + x^2 y^3 in one form, its velocities in the other."""

    def stream(X):
        x, y = X[:, 0], X[:, 1]
        return torch.stack([torch.sin(x) * torch.exp(y) + x**2 * y**3, torch.cos(x * y)], -1)

    def velocities(X):
        x, y = X[:, 0], X[:, 1]
        u = torch.sin(x) * torch.exp(y) + 3 * x**2 * y**2
        return torch.stack([u, -torch.cos(x) * torch.exp(y) - 2 * x * y**3, torch.cos(x * y)], -1)

    class Flow(nn.Module):
        def __init__(self, f):
            super().__init__()
            self.f, self.p = f, nn.Parameter(torch.zeros((), dtype=torch.float64))

        def forward(self, X):
            return self.f(X)

    X = torch.rand(50, 2, dtype=torch.float64)
    plain = lambda batch, residuals: {}  # noqa: E731
    one = Objective(LidDrivenCavity(re=40), Flow(velocities), Taylor, plain)
    other = Objective(LidDrivenCavityStreamfunction(re=40), Flow(stream), Taylor, plain)
    for name in ("momentum_x", "momentum_y", "wall_u"):
        torch.testing.assert_close(one.residual(name, X), other.residual(name, X), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(one.residual("wall_v", X), -other.residual("wall_v", X), rtol=1e-10, atol=1e-10)
    assert one.residual("continuity", X).abs().max() < 1e-12
    torch.testing.assert_close(*(o.evaluate(["vorticity"], X)["vorticity"] for o in (one, other)))


@pytest.mark.parametrize("form", ["velocity", "streamfunction"])
def test_the_recipes_weigh_the_walls_as_the_paper_does(form):
    """For u = 0 the paper's sum of the walls' means is 1: the lid's."""
    parts = assemble(compose([f"recipe=gradient_pathologies/cavity_{form}_m1", "dtype=float64", *SMALL]))
    objective = preview(parts)
    for p in objective.parameters:
        p.data.zero_()
    objective.loss()
    walls = {name: float(objective.weights[name] * loss) for name, loss in objective.losses().items()}
    assert walls == pytest.approx(dict.fromkeys(walls, 0.0) | {"wall_u": 1.0})
