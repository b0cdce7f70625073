"""Levenberg-Marquardt: exact on linear least squares, the same step in both spaces, and why it stops."""

import math
from itertools import pairwise

import pytest
import torch
from torch import nn

from pinn_cli.derivatives.engines import Taylor
from pinn_cli.methods import symmetric
from pinn_cli.methods.architectures.mlp import MLP
from pinn_cli.methods.optimizers.levenberg_marquardt import LevenbergMarquardt
from pinn_cli.methods.optimizers.normal_equations import NormalEquations
from pinn_cli.methods.symmetric import Buffers
from pinn_cli.training.model import Features, Model
from pinn_cli.training.objective import Objective
from tests.objectives import Growth


class Polynomial(nn.Module):
    """sum_k c_k x^k: the residual is linear in c."""

    def __init__(self, degree):
        super().__init__()
        self.last, self.degree = nn.Linear(degree, 1), degree

    @property
    def output_layer(self):
        return self.last

    def forward(self, X):
        return self.last(torch.cat([X**k for k in range(1, self.degree + 1)], -1))


def objective_of(network, points=40):
    torch.manual_seed(0)
    problem = Growth()
    model = Model(Features(problem.domain, "none"), network).double()
    objective = Objective(problem, model, Taylor, lambda batch, residuals: {}, {"start": 10.0})
    x = torch.linspace(0.01, 0.99, points, dtype=torch.float64)[:, None]
    objective.begin({"pde": x, "start": torch.zeros(1, 1, dtype=torch.float64)})
    return objective


def tanh_network(width=8):
    return nn.Sequential(nn.Linear(1, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1))


def test_one_undamped_step_solves_linear_least_squares():
    objective = objective_of(Polynomial(6))
    linear = objective.linearise()
    best = torch.linalg.lstsq(linear.dense(), -linear.F[:, None]).solution[:, 0]
    report = LevenbergMarquardt(damping=1e-20).step(objective)
    assert report.values["loss/total"] == pytest.approx(
        float((linear.F + linear.dense() @ best).square().sum()), rel=1e-6
    )
    assert report.values["gain_ratio"] == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("points", [20, 200], ids=["residual space", "parameter space"])
@pytest.mark.parametrize("last", [1e-3, 1.0, 10.0])
def test_the_step_is_that_of_the_formula_in_both_spaces(points, last):
    objective = objective_of(MLP(1, 1, width=8, depth=2), points)
    linear = objective.linearise()
    J, D = linear.dense(), torch.ones(linear.parameters, dtype=torch.float64)
    D[-9:] = last  # of 8 weights and a bias
    equations = NormalEquations(linear, LevenbergMarquardt(output_layer=last).scale(objective), 1e9, Buffers())
    assert equations.small == (points == 200)
    assert equations.damp(0.1)
    formula = -torch.linalg.solve(J.T @ J + 0.1 * torch.diag(D), J.T @ linear.F)
    torch.testing.assert_close(equations.step(linear.F), formula, rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(equations.norm(formula), (formula @ torch.diag(D) @ formula).sqrt())


@pytest.mark.parametrize("points", [20, 200], ids=["residual space", "parameter space"])
def test_equal_damping_has_the_bits_of_the_plain_formula(points):
    objective, mu = objective_of(MLP(1, 1, width=8, depth=2), points), 0.1
    linear = objective.linearise()
    equations = NormalEquations(linear, LevenbergMarquardt(output_layer=1).scale(objective), 1e9, Buffers())
    equations.damp(mu)
    A = linear.gram(1e9) if equations.small else linear.kernel(1e9)
    A.diagonal().add_(mu)
    symmetric.factor(A)
    if equations.small:
        plain = -symmetric.solve(A, linear.gradient)
    else:
        plain = -linear.transposed(symmetric.solve(A, linear.F))
    assert torch.equal(equations.step(linear.F), plain)


@pytest.mark.parametrize("last", [1e-3, 10.0])
def test_the_predicted_decrease_counts_the_damping_of_the_last_layer(last):
    objective = objective_of(Polynomial(6))  # linear in its parameters: the prediction is exact
    report = LevenbergMarquardt(damping=10.0, output_layer=last).step(objective)
    assert report.values["gain_ratio"] == pytest.approx(1, rel=1e-9)


def test_a_network_that_names_no_last_layer_is_damped_alike():
    objective = objective_of(tanh_network())
    assert not objective.output_layer.any()
    assert (LevenbergMarquardt(output_layer=1e-3).scale(objective) == 1).all()


@pytest.mark.parametrize("points", [20, 200], ids=["fewer rows than parameters", "more rows than parameters"])
def test_levenberg_marquardt_trains_a_network_to_rounding(points):
    objective, optimizer = objective_of(tanh_network(), points), LevenbergMarquardt()
    for _ in range(60):
        report = optimizer.step(objective)
        objective.begin(objective.batch)
    assert float(report.values["loss/total"]) < 1e-10
    x = torch.linspace(0, 1, 11, dtype=torch.float64)[:, None]
    torch.testing.assert_close(objective.model(x)[:, 0].detach(), x[:, 0].exp(), rtol=1e-4, atol=1e-4)


def test_geodesic_acceleration_is_the_second_derivative_along_the_step():
    objective, optimizer = objective_of(tanh_network()), LevenbergMarquardt(difference=1e-4)
    linear = objective.linearise()
    equations = NormalEquations(linear, optimizer.scale(objective), 1e9, Buffers())
    equations.damp(10.0)
    v = equations.step(linear.F)
    half = equations.half_acceleration(objective, v, optimizer.difference)

    def along(s):
        objective.shift(s * v)
        F = objective.vector().detach()
        objective.shift(-s * v)
        return F

    second = (along(1e-3) - 2 * along(0.0) + along(-1e-3)) / 1e-6
    torch.testing.assert_close(half, equations.step(second) / 2, rtol=1e-2, atol=1e-8)


def test_every_accepted_step_lowers_the_loss():
    objective, optimizer, losses = objective_of(tanh_network()), LevenbergMarquardt(), []
    for _ in range(20):
        losses.append(optimizer.step(objective).values["loss/total"])
        objective.begin(objective.batch)
    assert all(b < a for a, b in pairwise(losses))


def test_levenberg_marquardt_says_why_it_stops():
    objective, optimizer = objective_of(Polynomial(2)), LevenbergMarquardt(damping=1e-12)
    for _ in range(60):
        report = optimizer.step(objective)
        objective.begin(objective.batch)
        if report.stop:
            break
    assert report.stop in ("stagnated", "damping_overflow")


def test_new_points_raise_the_damping_tenfold():
    objective, optimizer = objective_of(tanh_network()), LevenbergMarquardt()
    for _ in range(12):
        optimizer.step(objective)
        objective.begin(objective.batch)
    before = optimizer.damping
    objective.begin({**objective.batch, "pde": objective.batch["pde"] + 1e-3})
    assert optimizer.step(objective).values["damping"] >= 10 * before


def test_a_restored_optimizer_continues_bit_for_bit():
    one, other = objective_of(tanh_network()), objective_of(tanh_network())
    a, b = LevenbergMarquardt(), LevenbergMarquardt()
    a.step(one)
    b.load_state_dict(a.state_dict())
    other.model.load_state_dict(one.model.state_dict())
    for objective in (one, other):
        objective.begin(objective.batch)
    other.points_changed = False
    assert math.isclose(float(a.step(one).values["loss/total"]), float(b.step(other).values["loss/total"]), rel_tol=0)


def test_points_that_change_at_every_step_do_not_end_the_optimizer():
    objective, optimizer = objective_of(tanh_network()), LevenbergMarquardt()
    start = float(objective.loss().detach())
    for step in range(40):
        assert optimizer.step(objective).stop is None
        objective.begin({**objective.batch, "pde": objective.batch["pde"] + 1e-4 * (-1) ** step})
    assert float(objective.loss().detach()) < 1e-2 * start


def test_a_damping_that_is_not_positive_is_refused():
    with pytest.raises(ValueError, match="damping=0: expected a number above 0"):
        LevenbergMarquardt(damping=0)
    for value in (0, -1, math.inf, math.nan):
        with pytest.raises(ValueError, match=f"output_layer={value:g}: expected a number above 0"):
            LevenbergMarquardt(output_layer=value)
