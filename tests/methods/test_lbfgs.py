"""L-BFGS and its line search, on functions whose minimum is known, beside SciPy's."""

import io

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize, rosen, rosen_der
from torch import Tensor, nn

from pinn_cli.basics.errors import UsageError
from pinn_cli.methods.optimizers.lbfgs import LBFGS
from pinn_cli.methods.optimizers.line_search import StrongWolfe, Trial
from tests.objectives import Function


def two_tensors(function, theta: Tensor) -> Function:
    return Function(function, *theta.split([len(theta) // 2, len(theta) - len(theta) // 2]))


def rosenbrock(x: Tensor) -> Tensor:
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def quadratic(condition: float, size: int = 30):
    """0.5 x.A x with eigenvalues spread over [1, condition] in a random basis."""
    generator = torch.Generator().manual_seed(0)
    basis = torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=torch.float64))[0]
    A = basis @ torch.diag(torch.logspace(0, np.log10(condition), size, dtype=torch.float64)) @ basis.T
    return lambda x: 0.5 * x @ (A @ x)


def wrong_way(x: Tensor) -> Tensor:
    """0, with the gradient -1."""
    return (x.detach() - x).sum()


def run(optimizer: LBFGS, objective, steps: int = 5000):
    losses = []
    for _ in range(steps):
        report = optimizer.step(objective)
        losses.append(report.values["loss/total"])
        if report.stop:
            break
    return losses, report


def start(size: int) -> Tensor:
    return torch.tensor([-1.2, 1.0] * (size // 2), dtype=torch.float64)


@pytest.mark.parametrize("size", [2, 10, 100])
def test_rosenbrock_to_rounding_with_no_more_evaluations_than_scipy(size):
    objective = two_tensors(rosenbrock, start(size))
    losses, report = run(LBFGS(history=10), objective)
    assert report.stop in ("grad_tol", "line_search_failed", "stagnated")
    assert losses[-1] < 1e-25
    theirs = minimize(rosen, start(size).numpy(), jac=rosen_der, method="L-BFGS-B",
                      options={"maxcor": 10, "ftol": 0, "gtol": 0, "maxiter": 5000, "maxfun": 10**6})
    print(objective.evaluations, theirs.nfev)
    assert objective.evaluations <= 1.5 * theirs.nfev + 20
    assert torch.allclose(objective.theta, torch.ones(size, dtype=torch.float64), atol=1e-11)


@pytest.mark.parametrize("condition", [1e2, *(pytest.param(c, marks=pytest.mark.slow) for c in (1e5, 1e8))])
def test_an_ill_conditioned_quadratic_needs_no_more_work_than_in_scipy(condition):
    f, x = quadratic(condition), torch.ones(30, dtype=torch.float64)
    target = 1e-10 * float(f(x))

    def value_and_gradient(v):
        z = torch.tensor(v, requires_grad=True)
        value = f(z)
        return value.item(), torch.autograd.grad(value, z)[0].numpy()

    theirs = minimize(value_and_gradient, x.numpy(), jac=True, method="L-BFGS-B", options={
        "maxcor": 20, "ftol": 0, "gtol": 0, "maxiter": 20000, "maxfun": 10**6}, callback=_until(f, target))
    objective, optimizer = two_tensors(f, x), LBFGS(history=20)
    while optimizer.step(objective).values["loss/total"] > target:
        assert objective.evaluations < 20000
    assert objective.evaluations <= 1.3 * theirs.nfev + 10


@pytest.mark.parametrize("theta", [[0.1, -0.2, 0.3], [3.0, 1.0, -2.0]])
@pytest.mark.parametrize("first_step", [0.5, 1.0])
def test_searches_begin_at_the_step_of_torch(first_step, theta):
    """At its learning rate, in three steps on a quadratic that accepts the first trial of each."""
    f, x = quadratic(2, 3), torch.tensor(theta, dtype=torch.float64)
    objective, theirs = two_tensors(f, x), nn.Parameter(x.clone())
    run(LBFGS(first_step=first_step), objective, steps=3)
    other = torch.optim.LBFGS([theirs], lr=first_step, max_iter=3, max_eval=99, line_search_fn="strong_wolfe")

    def closure():
        other.zero_grad()
        loss = f(theirs)
        loss.backward()
        return loss

    other.step(closure)
    torch.testing.assert_close(objective.theta, theirs.detach(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("first_step", [0.0, -1.0, float("nan")])
def test_a_first_step_that_is_not_positive_is_refused(first_step):
    with pytest.raises(UsageError, match=r"first_step=.*: expected a step above 0"):
        LBFGS(first_step=first_step)


def _until(f, target):
    def callback(v):
        if f(torch.tensor(v)) <= target:
            raise StopIteration

    return callback


def test_every_accepted_step_of_a_search_meets_the_wolfe_conditions():
    objective, optimizer = two_tensors(rosenbrock, start(10)), LBFGS()
    for _ in range(40):
        theta, loss, g = objective.theta, float(rosenbrock(objective.theta)), gradient_at(rosenbrock, objective.theta)
        report = optimizer.step(objective)
        s = objective.theta - theta
        assert report.values["loss/total"] <= loss + 1e-4 * float(g @ s) + 1e-14
        assert abs(float(gradient_at(rosenbrock, objective.theta) @ s)) <= -0.9 * float(g @ s) + 1e-14


def gradient_at(f, theta: Tensor) -> Tensor:
    theta = theta.clone().requires_grad_()
    return torch.autograd.grad(f(theta), theta)[0]


@settings(max_examples=60, deadline=None)
@given(depth=st.floats(0.01, 1e3), at=st.floats(1e-6, 1e6), bend=st.floats(0, 5))
def test_the_search_finds_a_minimum_at_any_distance(depth, at, bend):
    """phi(t) = depth ((t/at - 1)^2 + bend (t/at - 1)^4), first tried at t = 1."""

    def phi(t: float) -> Trial:
        z = t / at - 1
        slope = depth * (2 * z + 4 * bend * z**3) / at
        return Trial(t, depth * (z**2 + bend * z**4), slope, torch.zeros(1, dtype=torch.float64))

    found = StrongWolfe()(phi, phi(0.0), 1.0)
    assert found is not None
    assert found.loss < phi(0.0).loss
    assert abs(found.slope) <= 0.9 * abs(phi(0.0).slope)


def test_the_search_returns_from_points_where_the_loss_is_nan():
    f = lambda x: (x - torch.log(x)).sum()  # noqa: E731  NaN for x < 0; minimum 1 at x = 1
    objective = Function(f, torch.tensor([0.01, 3.0], dtype=torch.float64))
    losses, _ = run(LBFGS(), objective)
    assert losses[-1] == pytest.approx(2.0, abs=1e-14)


@pytest.mark.parametrize(("function", "theta", "options", "reason"), [
    (lambda x: x.square().sum(), [0.0, 0.0], {}, "grad_tol"),
    (lambda x: x.square().sum(), [3.0, 4.0], {"gradient_tolerance": 10.0}, "grad_tol"),
    (lambda x: (x**4).sum(), [3.0, 4.0], {"step_tolerance": 1e-3}, "step_tol"),
    (lambda x: (x**4).sum(), [3.0, 4.0], {"loss_tolerance": 1e-3}, "loss_tol"),
    (lambda x: (x * torch.nan).sum(), [1.0, 1.0], {}, "nonfinite"),
    (lambda x: x.detach().square().sum() + wrong_way(x), [1.0, 2.0], {}, "line_search_failed"),
    (lambda x: 1e10 + (x**4).sum(), [1.0, 2.0], {}, "stagnated"),
])
def test_lbfgs_says_why_it_stops(function, theta, options, reason):
    objective = Function(function, torch.tensor(theta, dtype=torch.float64))
    _, report = run(LBFGS(**options), objective)
    assert report.stop == reason


def test_a_failed_search_leaves_the_parameters_where_they_were():
    theta = torch.tensor([1.0, 2.0], dtype=torch.float64)
    objective = Function(lambda x: x.detach().square().sum() + wrong_way(x), theta)
    report = LBFGS().step(objective)
    assert report.stop == "line_search_failed"
    assert torch.equal(objective.theta, theta)


def test_a_failed_search_clears_the_memory_once_and_continues():
    objective, optimizer = two_tensors(rosenbrock, start(4)), LBFGS()
    run(optimizer, objective, 5)
    optimizer.s = [-s for s in optimizer.s]  # a memory that points uphill
    report = optimizer.step(objective)
    assert report.stop is None
    assert report.values["restarts"] == 1
    assert report.values["pairs"] == 1


def test_the_memory_is_dropped_with_the_weights_of_points():
    objective, optimizer = Function(rosenbrock, start(4)), LBFGS()
    objective.weights = {"pde": torch.ones(3), "wall": 1.0}
    run(optimizer, objective, 3)
    objective.weights = {"pde": torch.ones(3), "wall": 1.0}
    assert optimizer.step(objective).values["pairs"] == 4
    objective.weights = {"pde": torch.tensor([1.0, 1.0, 2.0]), "wall": 1.0}
    assert optimizer.step(objective).values["pairs"] == 1
    objective.weights = {"pde": 1.0, "wall": 1.0}
    assert optimizer.step(objective).values["pairs"] == 1


def test_no_tensor_is_made_on_the_default_device():
    objective = Function(rosenbrock, start(4))
    objective.weights = {"wall": 1.0}
    with torch.device("meta"):
        losses, _ = run(LBFGS(), objective, 30)
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("change", [{"points_changed": True}, {"weights": {"wall": 2.0}}])
def test_the_memory_is_dropped_with_the_points_or_the_weights(change):
    objective, optimizer = two_tensors(rosenbrock, start(4)), LBFGS()
    _, report = run(optimizer, objective, 6)
    assert report.values["pairs"] == 6
    for name, value in change.items():
        setattr(objective, name, value)
    assert optimizer.step(objective).values["pairs"] == 1


def test_a_resumed_run_has_the_same_bits():
    whole, optimizer = two_tensors(rosenbrock, start(10)), LBFGS(history=4)
    run(optimizer, whole, 30)
    first, optimizer = two_tensors(rosenbrock, start(10)), LBFGS(history=4)
    run(optimizer, first, 12)
    saved = io.BytesIO()
    torch.save(optimizer.state_dict(), saved)
    saved.seek(0)
    second, optimizer = two_tensors(rosenbrock, first.theta), LBFGS(history=4)
    optimizer.load_state_dict(torch.load(saved, weights_only=True))
    run(optimizer, second, 18)
    assert torch.equal(second.theta, whole.theta)
    assert second.evaluations < 3 * 18


def test_a_memory_that_is_kept_if_positive_has_the_curvature_of_the_new_loss():
    """y = B s for the new quadratic x.B x / 2; the steps along which it is not positive are dropped."""
    f, objective = quadratic(10), two_tensors(quadratic(10), torch.ones(30, dtype=torch.float64))
    optimizer = LBFGS(keep="if_positive")
    run(optimizer, objective, steps=6)
    steps = optimizer.s
    negative = steps[2] / steps[2].norm()
    curved = lambda x: f(x) - 40 * (negative @ x) ** 2  # noqa: E731
    objective.function, objective.points_changed = curved, True
    optimizer._start(objective)
    kept = [s for s in steps if curved(s) > 0]  # s.B s / 2
    assert 0 < len(kept) < len(steps)
    assert len(optimizer.s) == len(kept)
    for s, y, same in zip(optimizer.s, optimizer.y, kept, strict=True):
        assert torch.equal(s, same)
        torch.testing.assert_close(y, gradient_at(curved, same), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("keep", "pairs"), [(False, 0), (True, 6), ("if_positive", 6)])
def test_the_memory_at_a_change_of_points(keep, pairs):
    objective, optimizer = two_tensors(quadratic(10), torch.ones(30, dtype=torch.float64)), LBFGS(keep=keep)
    run(optimizer, objective, steps=6)
    objective.points_changed = True
    optimizer._start(objective)
    assert len(optimizer.s) == pairs


def test_what_to_carry_is_said_for_one_change_of_points():
    objective, optimizer = two_tensors(quadratic(10), torch.ones(30, dtype=torch.float64)), LBFGS()
    run(optimizer, objective, steps=6)
    objective.points_changed = True
    optimizer.carry(True)
    optimizer._start(objective)
    assert len(optimizer.s) == 6
    optimizer._start(objective)
    assert not optimizer.s


def test_another_word_for_keep_is_refused():
    with pytest.raises(ValueError, match="keep=some: expected false, true or if_positive"):
        LBFGS(keep="some")
