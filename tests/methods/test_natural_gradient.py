"""Energy natural gradients, SPRING and their grid search against known answers of least squares."""

import io

import pytest
import torch

from pinn_cli.methods.optimizers.energy_natural_gradient import EnergyNaturalGradient
from pinn_cli.methods.optimizers.grid_search import best_step
from pinn_cli.methods.optimizers.levenberg_marquardt import LevenbergMarquardt
from pinn_cli.methods.optimizers.spring import SPRING
from tests.conftest import refused
from tests.methods.test_levenberg_marquardt import Polynomial, objective_of, tanh_network
from tests.objectives import Function

BOTH_SPACES = pytest.mark.parametrize("points", [20, 200], ids=["residual space", "parameter space"])


def solution(objective):
    """J, F and theta of an objective."""
    linear = objective.linearise()
    return linear.dense(), linear.F, objective.flat(objective.parameters).detach()


def least_loss(objective) -> float:
    J, F, _ = solution(objective)
    best = torch.linalg.lstsq(J, -F[:, None]).solution[:, 0]
    return float((F + J @ best).square().sum())


def begin(objective, shift=0.0):
    objective.begin({**objective.batch, "pde": objective.batch["pde"] + shift})


# --- the grid -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("power", [0, 3, 12])
def test_the_grid_finds_the_best_power_of_a_half(power):
    """(theta - 1)^2 along a direction that is 2^power too long."""
    objective = Function(lambda theta: (theta - 1).square().sum(), torch.zeros(3, dtype=torch.float64))
    objective.vector = lambda: objective.flat(objective.parameters) - 1
    eta, loss = best_step(objective, lambda eta: torch.full((3,), eta * 2.0**power, dtype=torch.float64), 3.0)
    assert (eta, loss) == (0.5**power, 0.0)
    assert torch.equal(objective.theta, torch.ones(3))


def test_a_direction_that_is_not_finite_moves_nothing():
    objective = Function(lambda theta: theta.square().sum(), torch.ones(3, dtype=torch.float64))
    objective.vector = lambda: objective.flat(objective.parameters)
    assert best_step(objective, lambda eta: torch.full((3,), torch.nan, dtype=torch.float64), 3.0) == (0.0, 3.0)


# --- energy natural gradient ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("points", [3, 40], ids=["residual space", "parameter space"])
def test_the_first_step_solves_linear_least_squares(points):
    objective = objective_of(Polynomial(6), points)
    report = EnergyNaturalGradient(damping=1e-13).step(objective)
    assert report.values["step_size"] == 1
    assert report.values["loss/total"] == pytest.approx(least_loss(objective), rel=1e-6, abs=1e-12)


@BOTH_SPACES
@pytest.mark.parametrize("damping", [1e-6, 0.99], ids=["relative", "the loss"])
def test_the_step_is_that_of_the_formula(points, damping):
    objective = objective_of(tanh_network(), points)
    J, F, theta = solution(objective)
    matrix = J.T @ J if points == 200 else J @ J.T
    mu = min(damping * float(matrix.diagonal().max()), float(F @ F))
    assert (mu == float(F @ F)) == (damping == 0.99)
    d = torch.linalg.solve(J.T @ J + mu * torch.eye(J.shape[1]), -J.T @ F)
    report = EnergyNaturalGradient(damping, geodesic=False).step(objective)
    moved = objective.flat(objective.parameters).detach() - theta
    torch.testing.assert_close(moved, report.values["step_size"] * d, rtol=1e-6, atol=1e-9)


@BOTH_SPACES
def test_a_network_is_trained_to_a_small_loss(points):
    objective, optimizer = objective_of(tanh_network(), points), EnergyNaturalGradient()
    losses = []
    for _ in range(60):
        report = optimizer.step(objective)
        losses.append(float(report.values["loss/total"]))
        begin(objective)
        if report.stop:
            break
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 1e-6


def test_at_the_solution_it_says_why_it_stops():
    objective, optimizer = objective_of(Polynomial(2)), EnergyNaturalGradient()
    for _ in range(60):
        report = optimizer.step(objective)
        if report.stop:
            break
    assert report.stop in ("stagnated", "line_search_failed")
    assert report.values["loss/total"] == pytest.approx(least_loss(objective))


# --- SPRING -----------------------------------------------------------------------------------------------------------


@BOTH_SPACES
def test_without_momentum_a_whole_step_is_that_of_levenberg_marquardt(points):
    one, other, damping = objective_of(tanh_network(), points), objective_of(tanh_network(), points), 10.0
    SPRING(damping=damping, momentum=0.0, step_size=1.0).step(one)
    report = LevenbergMarquardt(damping=damping, geodesic=False).step(other)
    assert report.values["rejected"] == 0
    assert torch.equal(one.flat(one.parameters), other.flat(other.parameters))


@BOTH_SPACES
def test_steps_are_those_of_the_formula(points):
    """Two steps at different points, in the kernel form of the paper."""
    objective, optimizer = objective_of(tanh_network(), points), SPRING(damping=0.1, momentum=0.8, step_size=0.5)
    phi = 0
    for shift in (0.0, 1e-3):
        begin(objective, shift)
        J, F, theta = solution(objective)
        before = 0.8 * phi * torch.ones_like(J[0])
        phi = before + J.T @ torch.linalg.solve(J @ J.T + 0.1 * torch.eye(len(F)), F - J @ before)
        optimizer.step(objective)
        torch.testing.assert_close(objective.flat(objective.parameters).detach(), theta - 0.5 * phi,
                                   rtol=1e-7, atol=1e-9)


def test_a_linear_problem_with_fewer_rows_than_parameters_converges_to_the_least_norm_solution():
    """From theta = 0 and without damping every step lies in the row space, and so does the limit."""
    objective = objective_of(Polynomial(12), points=4)
    objective.place(torch.zeros_like(objective.flat(objective.parameters)).detach())
    J, F, _ = solution(objective)
    least = torch.linalg.lstsq(J, -F[:, None], driver="gelsd").solution[:, 0]
    optimizer = SPRING(damping=1e-9, momentum=0.5, step_size=0.5)
    for _ in range(60):
        report = optimizer.step(objective)
    assert report.values["loss/total"] < 1e-12
    torch.testing.assert_close(objective.flat(objective.parameters).detach(), least, rtol=1e-4, atol=1e-5)


def test_fresh_points_at_every_step_train_a_network():
    objective, optimizer = objective_of(tanh_network(), points=12), SPRING()
    start = float(objective.loss().detach())
    generator = torch.Generator().manual_seed(0)
    for _ in range(80):
        assert optimizer.step(objective).stop is None
        x = torch.rand(12, 1, generator=generator, dtype=torch.float64)
        objective.begin({**objective.batch, "pde": x})
    assert float(objective.loss().detach()) < 1e-4 * start


def test_a_restored_optimizer_continues_bit_for_bit():
    one, other, a = objective_of(tanh_network()), objective_of(tanh_network()), SPRING()
    for _ in range(3):
        a.step(one)
    file = io.BytesIO()
    torch.save(a.state_dict(), file)
    file.seek(0)
    b = SPRING()
    b.load_state_dict(torch.load(file, weights_only=True))
    other.model.load_state_dict(one.model.state_dict())
    for _ in range(3):
        a.step(one)
        b.step(other)
    assert torch.equal(one.flat(one.parameters), other.flat(other.parameters))


def test_a_damping_below_rounding_is_raised_until_the_matrix_can_be_factored():
    objective = objective_of(Polynomial(40), points=200)  # monomials that float64 cannot tell apart
    report = SPRING(damping=1e-30).step(objective)
    assert 1e-30 < report.values["damping"] < 1e-6


@pytest.mark.parametrize(("make", "message"), [
    (lambda: EnergyNaturalGradient(damping=0.0), "optimizer.energy_natural_gradient.damping=0: expected a number"),
    (lambda: EnergyNaturalGradient(damping=1.0), "optimizer.energy_natural_gradient.damping=1: expected a number"),
    (lambda: SPRING(damping=-1.0), "optimizer.spring.damping=-1: expected a number above 0"),
    (lambda: SPRING(momentum=1.0), "optimizer.spring.momentum=1: expected a number"),
    (lambda: SPRING(step_size=0.0), "optimizer.spring.step_size=0: expected a number above 0, or null"),
])
def test_a_setting_out_of_range_is_refused_in_one_line(make, message):
    with refused(message):
        make()
