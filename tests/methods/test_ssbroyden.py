"""Self-scaled Broyden and BFGS: the update against its definition, and functions whose minimum is known."""

import io

import pytest
import torch
from scipy.optimize import minimize, rosen, rosen_der

from pinn_cli.methods.optimizers.line_search import StrongWolfe
from pinn_cli.methods.optimizers.ssbroyden import SSBroyden, Update
from tests.methods.test_lbfgs import quadratic, rosenbrock, run, start, two_tensors

BOTH = pytest.mark.parametrize("self_scaled", [True, False], ids=["self-scaled", "BFGS"])


def pair(size=5, seed=0):
    """H, symmetric and positive definite, and s, y with s.y > 0."""
    generator = torch.Generator().manual_seed(seed)
    A, B = (torch.randn(size, size, generator=generator, dtype=torch.float64) for _ in range(2))
    H, hessian = A @ A.T + torch.eye(size), B @ B.T + torch.eye(size)
    s = torch.randn(size, generator=generator, dtype=torch.float64)
    return (H + H.T) / 2, s, hessian @ s


def updated(H, s, y, self_scaled):
    optimizer = SSBroyden(self_scaled)
    optimizer.H = H
    optimizer._remember(s, y, torch.linalg.solve(H, s))
    return optimizer.H


@BOTH
@pytest.mark.parametrize("seed", range(8))
def test_an_update_meets_the_secant_equation_and_stays_positive_definite(self_scaled, seed):
    H, s, y = pair(seed=seed)
    before = H.clone()
    new = updated(H, s, y, self_scaled)
    assert torch.equal(H, before)  # an interrupted step is undone with the old one
    torch.testing.assert_close(new @ y, s, rtol=1e-9, atol=1e-9)
    assert torch.equal(new, new.T)
    assert torch.linalg.eigvalsh(new).min() > 0


@pytest.mark.parametrize("seed", range(4))
def test_bfgs_is_the_update_of_the_textbook(seed):
    H, s, y = pair(seed=seed)
    V = torch.eye(5) - torch.outer(y, s) / (s @ y)
    torch.testing.assert_close(updated(H, s, y, False), V.T @ H @ V + torch.outer(s, s) / (s @ y))


def test_the_scalars_of_the_self_scaled_update():
    """By hand: b = 1/2, h = 4, P = 3, so a = 1, c = sqrt(1/2), r = 1, zeta = max(0, min(1, 1)) = 1."""
    update = Update.of(0.5, 4.0, 3)
    assert update.phi == 0
    assert update.tau == pytest.approx(min(1.0, 2.0) * min(2 ** -0.5, 1.0))
    large = Update.of(2.0, 0.75, 3)  # a = 1/2, c = sqrt(1/3), r = 0.75 (1 - c), zeta = max((r - 1) / a, -1/2)
    r = 0.75 * (1 - 3 ** -0.5)
    zeta = max((r - 1) / 0.5, -0.5)
    whole = 1 + 0.5 * zeta
    assert (large.phi, large.tau) == pytest.approx(((1 - zeta) / whole, min(0.5 * whole**-0.5, whole)))


@BOTH
def test_exact_searches_find_the_minimum_of_a_quadratic_in_as_many_steps_as_parameters(self_scaled):
    f, x = quadratic(100, 6), torch.ones(6, dtype=torch.float64)
    objective, optimizer = two_tensors(f, x), SSBroyden(self_scaled)
    optimizer.search = StrongWolfe(curvature=1e-7)
    losses, _ = run(optimizer, objective, steps=6)
    assert losses[-1] < 1e-12 * float(f(x))
    assert losses[-2] > 1e-9 * float(f(x))  # not before


@BOTH
@pytest.mark.parametrize("size", [2, 10])
def test_rosenbrock_to_rounding_with_no_more_evaluations_than_bfgs_of_scipy(self_scaled, size):
    objective = two_tensors(rosenbrock, start(size))
    losses, report = run(SSBroyden(self_scaled), objective)
    assert report.stop in ("grad_tol", "line_search_failed", "stagnated")
    assert losses[-1] < 1e-25
    assert torch.allclose(objective.theta, torch.ones(size, dtype=torch.float64), atol=1e-11)
    theirs = minimize(rosen, start(size).numpy(), jac=rosen_der, method="BFGS", options={"gtol": 1e-10})
    assert objective.evaluations <= 1.5 * theirs.nfev + 40


def test_a_restored_optimizer_continues_bit_for_bit():
    one, a = two_tensors(rosenbrock, start(6)), SSBroyden()
    run(a, one, steps=7)
    file = io.BytesIO()
    torch.save(a.state_dict(), file)
    file.seek(0)
    b = SSBroyden()
    b.load_state_dict(torch.load(file, weights_only=True))
    other = two_tensors(rosenbrock, one.theta)
    assert run(a, one, steps=7)[0] == run(b, other, steps=7)[0]
    assert torch.equal(one.theta, other.theta)


def test_new_points_clear_the_memory():
    objective, optimizer = two_tensors(rosenbrock, start(4)), SSBroyden()
    run(optimizer, objective, steps=5)
    assert optimizer.remembers
    objective.points_changed = True
    optimizer._start(objective)
    assert not optimizer.remembers


@BOTH
def test_a_memory_that_is_kept_if_positive_stays_as_long_as_it_has_a_cholesky_factor(self_scaled):
    objective, optimizer = two_tensors(rosenbrock, start(4)), SSBroyden(self_scaled, keep="if_positive")
    run(optimizer, objective, steps=5)
    before = optimizer.H.clone()
    assert torch.equal(before, before.T), "it needs no symmetrising"
    objective.points_changed = True
    optimizer._start(objective)
    assert torch.equal(optimizer.H, before)
    values, vectors = torch.linalg.eigh(before)
    optimizer.H = before - 1.1 * values[0] * torch.outer(vectors[:, 0], vectors[:, 0])
    optimizer._start(objective)
    assert not optimizer.remembers
