"""Newton's method for the output layer: exact where the equations are linear, damped where it must be, and its end."""

import math
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from pinn_cli.basics.errors import UsageError
from pinn_cli.derivatives.engines import Autograd, Taylor
from pinn_cli.methods.architectures.fourier import Fourier
from pinn_cli.methods.architectures.mlp import MLP
from pinn_cli.methods.architectures.modified_mlp import ModifiedMLP
from pinn_cli.methods.architectures.random_features import RandomFeatureNetwork
from pinn_cli.methods.optimizers.newton import Newton
from pinn_cli.physics.domains import Interval
from pinn_cli.physics.problem import Problem, on
from pinn_cli.training.model import Features, Model
from pinn_cli.training.objective import Objective


@dataclass
class Growth(Problem):
    """u_x = rate u^power on [0, 1], u(0) = 1 and u(1) as for rate 1."""

    coordinates = ("x",)
    fields = ("u",)
    rate: float = 1.0
    power: int = 1
    unknowns: dict = field(default_factory=dict)

    def __post_init__(self):
        self.domain = Interval(x=(0, 1))

    @on("interior")
    def pde(self, u, u_x, rate):
        return u_x - rate * u**self.power

    @on("x=0")
    def start(self, u):
        return u - 1

    @on("x=1")
    def end(self, u):
        return u - math.e


def objective_of(network, problem=None, engine=Taylor, points=60, dtype=torch.float64):
    torch.manual_seed(0)
    problem = problem or Growth()
    model = Model(Features(problem.domain), network, problem.unknowns).to(dtype)
    objective = Objective(problem, model, engine, lambda batch, residuals: {})
    x = torch.linspace(0.01, 0.99, points, dtype=dtype)[:, None]
    ends = torch.tensor([[0.0], [1.0]], dtype=dtype)
    objective.begin({"pde": x, "start": ends[:1], "end": ends[1:]})
    return objective


def random_features(width=40, scale=3.0):
    torch.manual_seed(0)
    return RandomFeatureNetwork(1, 1, width=width, scale=scale)


def error(objective):
    x = torch.linspace(0, 1, 101, dtype=objective.dtype)[:, None]
    with torch.no_grad():
        return float((objective.model(x) - x.exp()).abs().max())


def test_one_step_solves_a_linear_problem_and_says_so():
    objective = objective_of(random_features())
    report = Newton().step(objective)
    assert (report.stop, report.values["damping"]) == ("stagnated", 0.0)
    assert error(objective) < 1e-12


def test_the_step_is_the_least_squares_solution_of_numpy():
    objective = objective_of(random_features(width=6))
    linear = objective.linearise()
    expected = np.linalg.lstsq(linear.dense().numpy(), -linear.F.numpy(), rcond=None)[0]
    Newton().step(objective)
    assert objective.flat(objective.parameters).detach().numpy() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("rows", [1, 7, 1000])
def test_rows_in_pieces_give_the_same_step(rows):
    whole, pieces = objective_of(random_features(width=6)), objective_of(random_features(width=6))
    Newton().step(whole)
    Newton(memory=rows * 7 * 8e-9).step(pieces)
    assert pieces.flat(pieces.parameters).detach().numpy() == pytest.approx(
        whole.flat(whole.parameters).detach().numpy(), rel=1e-6
    )


@pytest.mark.parametrize("engine", [Taylor, Autograd])
def test_both_engines_find_the_same_solution(engine):
    objective = objective_of(random_features(width=20), engine=engine)
    Newton().step(objective)
    assert error(objective) < 1e-8


def test_single_precision_stays_single():
    objective = objective_of(random_features(width=20), dtype=torch.float32)
    Newton().step(objective)
    assert objective.dtype == torch.float32
    assert error(objective) < 1e-3


def test_convergence_is_quadratic_where_the_equation_is_not_linear():
    problem = Growth(power=2)  # u = 1 / (1 - x) has no end, so the rate is smaller
    problem.rate = 0.5
    objective, newton, losses = objective_of(random_features(), problem), Newton(), []
    del objective.batch["end"]
    for _ in range(12):
        report = newton.step(objective)
        losses.append(report.values["loss/total"])
        if report.stop:
            break
    x = torch.linspace(0, 1, 50, dtype=torch.float64)[:, None]
    with torch.no_grad():
        assert (objective.model(x) - 1 / (1 - 0.5 * x)).abs().max() < 1e-9
    assert report.stop == "stagnated"
    assert min(b / a for a, b in pairwise(losses)) < 1e-6


def test_an_unknown_coefficient_is_found_with_the_solution():
    objective = objective_of(random_features(), Growth(unknowns={"rate": 0.2}))
    newton = Newton()
    for _ in range(15):
        if newton.step(objective).stop:
            break
    assert float(objective.unknowns["rate"].detach()) == pytest.approx(1, abs=1e-10)


def test_the_loss_never_rises_from_a_start_where_a_whole_step_would_fail():
    class Steep(Growth):
        @on("interior")
        def pde(self, u, u_x):
            return u_x - torch.exp(3 * u)  # grows without bound within the interval: no solution

    objective, newton = objective_of(random_features(width=12), Steep()), Newton()
    losses, damped = [float(objective.loss().detach())], []
    for _ in range(8):
        report = newton.step(objective)
        losses.append(float(report.values["loss/total"]))
        damped.append(report.values["damping"])
        assert float(objective.loss().detach()) == pytest.approx(losses[-1], rel=1e-9)
    assert losses == sorted(losses, reverse=True)
    assert any(damped)


def test_hidden_layers_stay_as_they_are():
    torch.manual_seed(0)
    objective = objective_of(MLP(1, 1, width=12, depth=2))
    *hidden, weight, bias = [p.detach().clone() for p in objective.parameters]
    linear = objective.linearise()
    J = linear.dense()[:, -13:].numpy()
    b = J @ torch.cat([weight[0], bias]).numpy() - linear.F.numpy()
    best = np.linalg.lstsq(J, b, rcond=None)[0]
    report = Newton().step(objective)
    assert all(torch.equal(a, b) for a, b in zip(hidden, objective.parameters[:-2], strict=True))
    assert not torch.equal(weight, objective.parameters[-2])
    assert report.values["loss/total"] == pytest.approx(float(np.square(J @ best - b).sum()), rel=1e-4)
    assert report.stop == "stagnated"


@pytest.mark.parametrize("make", [MLP, ModifiedMLP, Fourier, RandomFeatureNetwork])
def test_every_network_has_an_output_layer(make):
    objective = objective_of(make(1, 2, width=5))
    Newton().refuse(objective)
    assert int(objective.output_layer.sum()) == objective.model.network.output_layer.weight.numel() + 2


def test_a_network_that_names_no_output_layer_is_refused_in_one_line():
    with pytest.raises(UsageError, match=r"^optimizer=newton solves for the output layer, and Sequential names none;"):
        Newton().refuse(objective_of(nn.Sequential(nn.Linear(1, 1), nn.Tanh())))


def test_a_step_that_is_not_better_leaves_the_parameters_as_they_are():
    objective, newton = objective_of(random_features(width=6)), Newton()
    newton.step(objective)
    before = objective.flat(objective.parameters).detach().clone()
    for _ in range(3):
        report = newton.step(objective)
    assert report.stop == "stagnated"
    assert float(objective.loss().detach()) <= report.values["loss/total"] * (1 + 1e-9)
    assert torch.allclose(objective.flat(objective.parameters), before, rtol=1e-3)


def test_a_resumed_step_is_the_same():
    first, second = (objective_of(random_features(width=12), Growth(power=2)) for _ in range(2))
    one, other = Newton(damping=1.0, idle=2), Newton()
    other.load_state_dict(one.state_dict())
    for newton, objective in ((one, first), (other, second)):
        newton.step(objective)
    assert torch.equal(first.flat(first.parameters), second.flat(second.parameters))
    assert one.state_dict() == other.state_dict()


def test_the_plan_counts_the_operations_of_qr():
    """Householder: 2 P^2 (M - P / 3), and 2 P^3 / 3 for the triangle of the ridge below that of J."""
    P, M = 300, 900
    assert Newton().operations(P, M) == pytest.approx(2 * P**2 * (M - P / 3) + 2 * P**3 / 3)
    assert Newton().operations(P, P // 2) > 0
