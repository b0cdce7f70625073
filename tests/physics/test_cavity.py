"""The lid-driven cavity: its exact walls, the flow in its corners, its weights, and the paper's set-up."""

from functools import partial

import pytest
import torch
from torch import nn

from pinn_cli.basics.errors import UsageError
from pinn_cli.configuration import cost
from pinn_cli.configuration.assemble import assemble
from pinn_cli.configuration.compose import compose
from pinn_cli.configuration.plan import preview
from pinn_cli.derivatives.engines import Autograd, Taylor
from pinn_cli.physics.ansatz import written_ansatz
from pinn_cli.physics.points import measured_points
from pinn_cli.physics.references.cavity.reference import Cavity
from pinn_cli.problems.lid_driven_cavity import LidDrivenCavity
from pinn_cli.problems.lid_driven_cavity_inverse import LidDrivenCavityInverse
from pinn_cli.problems.lid_driven_cavity_streamfunction import LidDrivenCavityStreamfunction
from pinn_cli.training.objective import Objective

SMALL = ["points.interior=32", "points.face=8", "architecture.width=6", "architecture.depth=2"]
FORMS = {"velocity": LidDrivenCavity, "streamfunction": LidDrivenCavityStreamfunction}


def network(fields):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, fields)).double()


class Flow(nn.Module):
    """A given flow in the place of a trained model."""

    def __init__(self, f):
        super().__init__()
        self.f, self.p = f, nn.Parameter(torch.zeros((), dtype=torch.float64))

    def forward(self, X):
        return self.f(X)


def velocity(u, X):
    slopes = Taylor({(1, 0), (0, 1)})(u, X)
    return slopes[0, 1][:, 0], -slopes[1, 0][:, 0]


def test_any_network_meets_the_walls_with_exact_constraints():
    problem, unit = LidDrivenCavityStreamfunction(lid="regularised"), torch.rand(400, 2, dtype=torch.float64)
    ansatz, outputs = written_ansatz(problem, "impose"), network(2)
    fields = lambda X: ansatz(X, outputs(X))  # noqa: E731
    X = problem.domain.sample("boundary", unit)
    u, v = velocity(fields, X)
    torch.testing.assert_close(u, problem.wall_speed(*X.T), rtol=0, atol=1e-10)
    for nothing in (fields(X)[:, 0], v):
        torch.testing.assert_close(nothing, torch.zeros_like(v), rtol=0, atol=1e-10)


@pytest.mark.parametrize("lid", ["unit", "parabolic"])
@pytest.mark.parametrize("form", FORMS)
def test_the_corner_flow_is_differentiated_as_by_autograd(form, lid):
    problem = FORMS[form](lid=lid)
    ansatz, outputs = written_ansatz(problem), network(len(problem.fields))
    fields = lambda X: ansatz(X, outputs(X))  # noqa: E731
    highest = {(2, 0), (0, 2)} if form == "velocity" else {(3, 0), (2, 1), (1, 2), (0, 3)}  # of its equations
    X, wanted = torch.rand(40, 2, dtype=torch.float64), {*highest, (1, 1)}
    fast, slow = Taylor(wanted)(fields, X), Autograd(wanted)(fields, X)
    for key in wanted:
        torch.testing.assert_close(fast[key], slow[key], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("lid", ["unit", "parabolic"])
def test_both_forms_have_the_same_corner_flow(lid):
    """u = psi_y, v = -psi_x, and the same pressure, where the networks give 0."""
    X = torch.rand(60, 2, dtype=torch.float64)
    stream, velocities = (written_ansatz(form(re=40.0, lid=lid)) for form in reversed(FORMS.values()))
    psi = lambda X: stream(X, 0 * X)  # noqa: E731
    u, v = velocity(psi, X)
    expected = torch.stack([u, v, psi(X)[:, 1]], 1)
    torch.testing.assert_close(velocities(X, torch.zeros(60, 3, dtype=torch.float64)), expected, rtol=1e-9, atol=1e-9)


def test_beside_its_corners_the_residual_of_the_corner_flow_is_bounded():
    """Each of its terms grows like 1 / r^2, and without the second term of the expansion their sum like 1 / r."""
    problem = LidDrivenCavity(re=50.0, corner=0.0)
    ansatz = written_ansatz(problem)
    corner_flow = lambda X: ansatz(X, 0 * X[:, [0, 0, 0]])  # noqa: E731
    objective = Objective(problem, Flow(corner_flow), Taylor, lambda batch, residuals: {})
    largest, angle = [], torch.linspace(0.1, 1.4, 20, dtype=torch.float64)
    for r in (1e-2, 1e-3, 1e-4):
        X, y = r * torch.cos(angle), 1 - r * torch.sin(angle)
        points = torch.cat([torch.stack([x, y], 1) for x in (X, 1 - X)])
        largest.append(float(objective.residual("momentum_x", points).abs().max()))
    assert largest[2] < 1.1 * largest[1] < 1.3 * largest[0] < 20


def test_the_corner_flow_has_the_speed_of_the_lid_and_stands_still_on_the_walls_beside_it():
    ansatz, along = written_ansatz(LidDrivenCavity()), torch.linspace(0.01, 0.99, 30, dtype=torch.float64)
    at = lambda x, y: ansatz(torch.stack([x, y], 1), torch.zeros(30, 3, dtype=torch.float64))[:, :2]  # noqa: E731
    one = torch.ones_like(along)
    torch.testing.assert_close(at(along, one), torch.stack([one, 0 * one], 1), rtol=0, atol=1e-12)
    for wall in (0 * one, one):
        torch.testing.assert_close(at(wall, along), torch.zeros(30, 2, dtype=torch.float64), rtol=0, atol=1e-12)


def test_a_smooth_lid_has_no_corner_flow_and_a_setting_leaves_it_out():
    assert written_ansatz(LidDrivenCavity(lid="regularised")) is None
    assert written_ansatz(LidDrivenCavity(corner_flow=False)) is None


@pytest.mark.parametrize("lid", ["unit", "parabolic"])
def test_walls_of_a_lid_that_jumps_are_not_imposed(lid):
    words = ["problem=lid_driven_cavity_streamfunction", f"problem.lid={lid}", "problem.corner_flow=false"]
    with pytest.raises(UsageError, match=f"lid={lid}: constraints=exact is for lid=regularised"):
        preview(assemble(compose([*words, "constraints=exact", *SMALL])))


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


def test_the_inverse_cavity_has_u_on_one_centre_line_and_v_on_the_other():
    clean, one, other = (LidDrivenCavityInverse(noise=p, noise_seed=s) for p, s in ((0.0, 0), (0.01, 0), (0.01, 1)))
    u, v = (measured_points(clean, c) for c in clean.constraints() if c.region == "data")
    k = torch.arange(1, 16, dtype=torch.float64) / 16
    assert torch.equal(u[:, :2], torch.stack([torch.full_like(k, 0.5), k], 1))
    assert torch.equal(v[:, :2], torch.stack([k, torch.full_like(k, 0.5)], 1))
    exact = clean.reference()(v[:, :2])["v"]
    torch.testing.assert_close(v[:, 3], exact)
    assert abs(float(u[7, 2]) + 0.2091491) < 1e-6  # u(1/2, 1/2) of Marchi, Suero & Araki (2009)
    difference = (one.data - other.data)[:, 2:].nan_to_num()
    assert float(difference.square().sum().sqrt()) == pytest.approx(0.01 * 0.1913 * 60**0.5, rel=0.3)


@pytest.mark.parametrize("lid", ["unit", "parabolic"])
def test_an_unknown_reynolds_number_has_the_corner_flow_of_the_value_that_the_search_has_reached(lid):
    """Not that of the true one, which would tell it, nor that of the start, which would hold it there."""
    torch.manual_seed(0)
    X, outputs = torch.rand(20, 2, dtype=torch.float64), torch.rand(20, 2, dtype=torch.float64)
    expected = written_ansatz(LidDrivenCavityStreamfunction(re=80.0, lid=lid))(X, outputs)
    for truth in (60.0, 150.0):
        sought = written_ansatz(LidDrivenCavityInverse(re=truth, lid=lid))
        for re in (torch.tensor(80.0), torch.full((20,), 80.0)):
            torch.testing.assert_close(sought(X, outputs, re=re.double()), expected, rtol=1e-13, atol=1e-13)


SEARCH = ["problem=lid_driven_cavity_inverse", "recipe=random_features", "problem.corner=1", "sampler=[adapted]",
          "architecture.finer=2"]  # fmt: skip


def search(truth: float, steps: int, *words: str) -> list[float]:
    """The Reynolds numbers of some Newton steps."""
    parts = assemble(compose([*SEARCH, f"problem.re={truth}", "problem.noise=0", *words]))
    objective, newton, found = preview(parts), parts.schedule[0].optimizer(), []
    for _ in range(steps):
        stop = newton.step(objective).stop
        objective.begin(objective.batch)
        found.append(float(objective.unknowns["re"].detach()))
        if stop:
            break
    return found


def test_the_same_measurements_give_the_same_search_whatever_the_true_reynolds_number_is(tmp_path, monkeypatch):
    """The ansatz, the units and the equations do not know the truth, so they cannot tell it.

    Such a step fits: counting its memory would take longer than all the rest.
    """
    monkeypatch.setattr(cost, "free_memory", lambda device: None)
    monkeypatch.setattr("pinn_cli.problems.lid_driven_cavity.Cavity", partial(Cavity, nodes=32))
    (tmp_path / "lines.csv").write_text("x,y,u,v\n0.5,0.25,-0.14,\n0.5,0.75,0.01,\n0.25,0.5,,0.18\n0.75,0.5,,-0.18\n")
    small = [f"problem.data={tmp_path}/lines.csv", "architecture.width=30", "architecture.frequency=4",
             "points.interior=60", "points.face=10"]  # fmt: skip
    words = [*small, "weights.data=100"]
    assert search(60.0, 2, *words) == search(100.0, 2, *words)


@pytest.mark.slow
@pytest.mark.parametrize("truth", [60.0, 150.0])
def test_the_measurements_of_another_flow_give_its_reynolds_number(truth):
    enough = ["architecture.width=400", "architecture.frequency=18", "points.interior=800", "points.face=100",
              "weights.data=100", "problem.unknowns.re={start: 100, low: 5, high: 500}"]  # fmt: skip
    assert search(truth, 10, *enough)[-1] == pytest.approx(truth, rel=0.05)
