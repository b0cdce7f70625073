"""strategy=correction: local features lie where the residual is, and a round that does not help is undone."""

import copy
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

from pinn_cli.basics.errors import UsageError
from pinn_cli.configuration.assemble import assemble
from pinn_cli.configuration.compose import compose
from pinn_cli.configuration.plan import preview
from pinn_cli.derivatives.engines import Taylor
from pinn_cli.methods.contracts import Optimizer, Report
from pinn_cli.methods.corrections import Corrected, LocalFeatures, fitted_to, focused, lead_to_defect, uncorrected
from pinn_cli.methods.optimizers.newton import Newton
from pinn_cli.methods.samplers.focused import Focused
from pinn_cli.methods.strategies.continuation import with_parameters
from pinn_cli.methods.strategies.correction import Judged
from pinn_cli.physics.domains import Box
from pinn_cli.physics.problem import Problem, on
from pinn_cli.training.model import Features, Model
from pinn_cli.training.objective import Objective
from tests.objectives import Growth

SMALL = ["architecture.width=5", "architecture.depth=2", "points.interior=16", "points.face=4"]


@dataclass
class Waves(Problem):
    """u = sin(k x + l y) on the left half of [0, 1]^2, and u = 0 on the right one."""

    coordinates = ("x", "y")
    fields = ("u",)
    k: float = 60.0
    l: float = 4.0

    def __post_init__(self):
        self.domain = Box(x=(0, 1), y=(0, 1))

    @on("interior")
    def misfit(self, x, y, u, k, l):
        return u - torch.sin(k * x + l * y) * (x < 0.5)


class Zeros(nn.Module):
    """A network that is 0, with a parameter."""

    def __init__(self, inputs=1):
        super().__init__()
        self.output_layer = nn.Linear(inputs, 1).double()
        nn.init.zeros_(self.output_layer.weight)
        nn.init.zeros_(self.output_layer.bias)

    def forward(self, z):
        return self.output_layer(z)


def objective_of(problem, count, points=200):
    inputs = len(problem.coordinates)
    network = Corrected(Zeros(inputs), 1, inputs, count).double()
    model = Model(Features(problem.domain), network, problem.unknowns).double()
    objective = Objective(problem, model, Taylor, lambda batch, residuals: {})
    generator = torch.Generator().manual_seed(3)
    unit = torch.rand(points, inputs, generator=generator, dtype=torch.float64)
    batch = {"interior": problem.domain.sample("interior", unit), "x=0": torch.zeros(1, inputs, dtype=torch.float64)}
    objective.begin({name: batch[c.region] for name, c in objective.constraints.items()})
    return objective


def generator(seed=1):
    return torch.Generator().manual_seed(seed)


def test_the_correction_of_a_network_of_zeros_is_the_least_squares_solution():
    objective = objective_of(Growth(), 12)
    network = objective.model.network
    lead_to_defect(network, objective, generator())
    assert Newton().step(objective).stop == "stagnated"
    x = torch.linspace(0, 1, 101, dtype=torch.float64)[:, None]
    with torch.no_grad():
        u = objective.model(x)[:, 0].numpy()
    # the slow way: the same functions and their slopes by autograd, and numpy's least squares
    X = objective.batch["pde"].clone().requires_grad_()
    phi = network.features(objective.model.features(X))
    slopes = [torch.autograd.grad(column.sum(), X, retain_graph=True)[0][:, 0] for column in phi.unbind(1)]
    phi, slopes = phi.detach().numpy(), torch.stack(slopes, 1).numpy()
    N = len(phi)
    rows = np.hstack([slopes - phi, -np.ones((N, 1))]) / N**0.5
    start = network.features(objective.model.features(torch.zeros(1, 1, dtype=torch.float64))).numpy()
    A = np.vstack([rows, np.hstack([start, np.ones((1, 1))])])
    c = np.linalg.lstsq(A, np.append(np.zeros(N), 1.0), rcond=1e-14)[0]
    expected = network.features(objective.model.features(x)).numpy() @ c[:-1] + c[-1]
    np.testing.assert_allclose(u, expected, atol=1e-8)
    np.testing.assert_allclose(u, np.exp(x[:, 0].numpy()), atol=1e-6)


def test_features_are_as_narrow_as_the_residual_and_lie_where_it_is():
    problem = Waves()
    objective = objective_of(problem, 400)
    network = objective.model.network
    lead_to_defect(network, objective, generator())
    A = network.features.weight.transpose(0, 1)
    centres = torch.linalg.solve(A, -network.features.bias.T[:, :, None])[:, :, 0]
    left = centres[:, 0] < -0.2  # well inside the left half, for z = 2 x - 1
    assert left.double().mean() > 0.5  # 0.4 if they were even
    squares = (A @ A.transpose(1, 2))[left]
    ratio = (squares[:, 0, 0].sqrt() / (problem.k / 2)).median()
    assert 0.1 < ratio < 0.6
    direction = torch.linalg.eigh(squares).eigenvectors[:, :, -1].abs().median(0).values
    wave = torch.tensor([problem.k, problem.l], dtype=torch.float64)
    torch.testing.assert_close(direction, wave / wave.norm(), atol=0.05, rtol=0)


def test_a_periodic_coordinate_has_features_on_the_circle():
    parts = assemble(compose(["problem=convection", "periodic=[x]", *SMALL]))
    objective = preview(parts)
    model = objective.model
    model.network = Corrected(model.network, 1, model.features.outputs, 30).double()
    objective = Objective(parts.problem, model, Taylor, lambda batch, residuals: {})
    lead_to_defect(model.network, objective, generator())
    low, high = parts.problem.domain.extent("x")
    ends = torch.tensor([[low, 0.3], [high, 0.3]], dtype=torch.float64)
    if parts.problem.coordinates[0] != "x":
        ends = ends.flip(1)
    phi = model.network.features(model.features(ends))
    assert float(phi.std()) > 0
    torch.testing.assert_close(phi[0], phi[1])


def test_points_lie_where_the_residual_is_large_and_some_everywhere():
    X = focused(objective_of(Waves(), 3), 1000, generator())
    assert X.shape == (1000, 2)
    share = float((X[:, 0] < 0.5).double().mean())
    assert 0.7 < share < 0.8  # half of them even, the others on the left


def test_the_sampler_keeps_its_points_and_adds_the_same_ones_for_the_same_seed():
    class Fixed:
        def __init__(self):
            self.batch = {"misfit": torch.rand(10, 2, dtype=torch.float64, generator=generator())}

        def begin_stage(self, problem):
            pass

        def draw(self, step, problem, objective):
            return self.batch

        def values(self):
            return {}

        def state_dict(self):
            return dict(self.batch)

        def load_state_dict(self, state):
            self.batch = state

    problem, objective = Waves(), objective_of(Waves(), 3)
    one, other = Focused(Fixed(), seed=2, add=3.0), Focused(Fixed(), seed=2, add=3.0)
    for sampler in (one, other):
        sampler.begin_stage(problem)
    first = one.draw(0, problem, objective)["misfit"]
    assert first.shape == (40, 2)
    torch.testing.assert_close(first[:10], one.inner.batch["misfit"], rtol=0, atol=0)
    assert one.draw(1, problem, objective)["misfit"] is first
    torch.testing.assert_close(other.draw(0, problem, objective)["misfit"], first, rtol=0, atol=0)
    again = Focused(Fixed(), seed=2, add=3.0)
    again.load_state_dict(copy.deepcopy(one.state_dict()))
    torch.testing.assert_close(again.draw(2, problem, objective)["misfit"], first, rtol=0, atol=0)
    with pytest.raises(UsageError, match="expected a number from 0 on"):
        Focused(Fixed(), add=-1.0)


class Worse(Optimizer):
    """Lowers the loss it reports, and spoils the function."""

    def step(self, objective):
        objective.shift(torch.ones_like(objective.flat(objective.parameters)))
        return Report({"loss/total": 0.0})

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


def test_a_step_that_fails_at_unseen_points_is_undone_and_says_so():
    objective = objective_of(Growth(), 5)
    judged = Judged(Worse(), left=0.25, seed=1)
    report = judged.step(objective)
    assert not objective.flat(objective.parameters).any()
    assert report.values["loss/total"] == pytest.approx(1.0)  # of u = 0: that of u(0) = 1
    assert report.values["unexplained"] == 0.25
    assert report.stop == (
        "a step that made the residual at unseen points larger is undone, 25 % of the residual there is unexplained"
    )


def test_the_share_that_is_left_counts_from_the_first_round():
    objective = objective_of(Growth(), 12)
    report = Judged(Newton(), left=0.5, seed=1).step(objective)
    assert report.values["unexplained"] < 1e-6
    assert report.stop.startswith("stagnated, ")
    assert report.stop.endswith(" % of the residual there is unexplained")


def test_a_judged_optimizer_goes_on_from_its_state():
    one, other = Judged(Newton(), 1.0, 1), Judged(Newton(), 1.0, 1)
    one.step(objective_of(Growth(), 12))
    other.load_state_dict(one.state_dict())
    assert (other.first, other.best, other.inner.damping) == (one.first, one.best, one.inner.damping)


def test_a_corrected_network_is_rebuilt_from_its_parameters():
    inner = Corrected(Zeros(), 1, 1, 3)
    outer = Corrected(inner, 1, 1, 4)
    plain = Zeros()
    rebuilt = fitted_to(plain, outer.state_dict())
    rebuilt.load_state_dict(outer.state_dict())
    assert uncorrected(rebuilt) is plain
    assert rebuilt.features.weight.shape == (1, 4, 1)
    assert fitted_to(rebuilt, outer.state_dict()) is rebuilt
    assert fitted_to(rebuilt, plain.state_dict()) is plain


def test_a_network_that_goes_on_leaves_its_corrections_behind():
    """Under continuation and from window to window."""
    domain = Growth().domain
    before, after = (Model(Features(domain), Zeros(), {"k": k}).double() for k in (2.0, 1.0))
    nn.init.ones_(before.network.output_layer.weight)
    before.network = Corrected(before.network, 1, 1, 3).double()
    with_parameters(after, before)
    assert isinstance(after.network, Zeros)
    assert after.network.output_layer.weight.detach().tolist() == [[1.0]]
    assert after.unknowns["k"].detach().item() == 2.0


def test_a_residual_that_is_not_finite_at_some_points_places_finite_features():
    @dataclass
    class Singular(Growth):
        @on("interior")
        def pde(self, x, u):
            return u - torch.where(x > 0.9, 1 / (0 * x), torch.sin(30 * x))

    objective = objective_of(Singular(), 20)
    lead_to_defect(objective.model.network, objective, generator())
    assert objective.model.network.features.weight.isfinite().all()


def test_only_the_output_layer_is_trained():
    network = Corrected(Zeros(), 1, 1, 3)
    assert [name for name, p in network.named_parameters() if p.requires_grad] == [
        "output_layer.weight", "output_layer.bias"]  # fmt: skip


def test_features_that_come_in_parts_are_the_same(monkeypatch):
    features = LocalFeatures(7, 2).double()
    features.lead(torch.rand(7, 2, 2, generator=generator()).double(), torch.rand(7, 2, generator=generator()).double())
    z = torch.rand(5, 2, generator=generator()).double()
    whole = features(z)
    monkeypatch.setattr("pinn_cli.methods.corrections.AT_ONCE", 3)
    torch.testing.assert_close(features(z), whole)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["optimizer=[levenberg_marquardt]"], "type optimizer=[levenberg_marquardt,newton]"),
        (["optimizer=[newton]"], "type optimizer=[levenberg_marquardt,newton]"),
        (["strategy.correction.features=0"], "strategy.correction.features=0: expected a whole number above 0"),
        (["strategy.correction.rounds=0"], "strategy.correction.rounds=0: expected a whole number above 0"),
        (["strategy=[correction,time_marching]", "strategy.time_marching.windows=2"],
         "type strategy=[time_marching,correction]"),
        (["strategy=[pseudo_time,correction]", "strategy.pseudo_time.evolves={pde: u}"],
         "type strategy=[correction,pseudo_time]"),
    ],
)  # fmt: skip
def test_what_it_cannot_take_is_refused_in_one_line(words, message):
    parts = assemble(compose(["problem=wave", "recipe=corrected", *SMALL, *words]))
    with pytest.raises(UsageError) as refused:
        preview(parts)
    assert message in str(refused.value)
