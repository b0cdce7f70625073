"""SOAP, Muon and schedule-free learning against known answers, and the bits of a resumed run."""

import io

import pytest
import torch

from pinn_cli.methods.optimizers.first_order import FirstOrder
from pinn_cli.methods.optimizers.muon import Muon, orthogonal
from pinn_cli.methods.optimizers.schedule_free import ScheduleFree
from pinn_cli.methods.optimizers.schedules import WarmUp
from pinn_cli.methods.optimizers.soap import SOAP
from tests.conftest import refused
from tests.objectives import Function

MAKERS = {
    "soap": lambda: SOAP(lr=0.05, every=2),
    "muon": lambda: Muon(lr=0.05, smallest=2),
    "schedule_free": lambda: ScheduleFree("Adam", lr=0.05, schedule=WarmUp(3), betas=(0.0, 0.99)),
}
EVERY = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


def bowl(*shapes: tuple[int, ...]) -> Function:
    """A convex quadratic of some tensors, with a minimum of 0 that is not at the start."""
    generator = torch.Generator().manual_seed(0)
    start = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]
    size = sum(p.numel() for p in start)
    A = torch.randn(size, size, generator=generator, dtype=torch.float64) / size**0.5
    return Function(lambda theta: (A @ (theta - 1)).square().sum(), *start)


def train(optimizer, objective, steps):
    for _ in range(steps):
        report = optimizer.step(objective)
    return report


def gradient(shape: tuple[int, int]) -> Function:
    """A linear function with this gradient, a random matrix; and the matrix."""
    G = torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return Function(lambda theta: theta @ G.flatten(), torch.zeros(shape, dtype=torch.float64)), G


@EVERY
def test_a_quadratic_is_minimised(make):
    objective = bowl((4, 3), (4,))
    first = float(make().step(objective).values["loss/total"])
    assert float(train(make(), objective, 400).values["loss/total"]) < 1e-2 * first


@EVERY
def test_a_resumed_run_has_the_same_bits(make):
    whole, first = bowl((4, 3), (4,)), bowl((4, 3), (4,))
    train(make(), whole, 20)
    optimizer, saved = make(), io.BytesIO()
    train(optimizer, first, 9)
    torch.save(optimizer.state_dict(), saved)
    saved.seek(0)
    resumed = make()
    resumed.load_state_dict(torch.load(saved, weights_only=True))
    train(resumed, first, 11)
    assert torch.equal(first.theta, whole.theta)


@EVERY
def test_a_parameter_that_no_residual_uses_is_left_alone(make):
    objective = bowl((4, 3))
    objective.parameters.append(torch.nn.Parameter(torch.ones(2, 2, dtype=torch.float64)))
    used = objective.parameters[:1]
    objective.loss = lambda: objective.function(objective.flat(used))
    train(make(), objective, 3)
    assert torch.equal(objective.parameters[1], torch.ones(2, 2))


@pytest.mark.parametrize("shape", [(1, 1), (5,)])
def test_soap_of_numbers_and_vectors_is_adam(shape):
    """The eigenvectors of a 1 x 1 matrix are 1 or -1."""
    one, other, options = bowl(shape), bowl(shape), {"betas": (0.8, 0.9), "eps": 1e-6}
    train(SOAP(lr=0.01, **options), one, 30)
    train(FirstOrder("Adam", lr=0.01, **options), other, 30)
    torch.testing.assert_close(one.theta, other.theta, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("make", [lambda: SOAP(lr=1.0), lambda: Muon(lr=1.0, smallest=2, iterations=30)])
@pytest.mark.parametrize("shape", [(4, 4), (6, 3), (3, 6)])
def test_the_first_step_along_a_gradient_u_s_v_is_along_u_v(make, shape):
    objective, G = gradient(shape)
    make().step(objective)
    U, _, Vt = torch.linalg.svd(G, full_matrices=False)
    step = -objective.theta.view(shape)
    torch.testing.assert_close(step / step.norm(), U @ Vt / min(shape) ** 0.5, rtol=1e-5, atol=1e-6)


def test_the_entries_of_a_step_of_muon_are_as_large_as_those_of_adam():
    objective, _ = gradient((32, 32))
    Muon(lr=1.0, iterations=30).step(objective)
    assert objective.theta.square().mean().sqrt() == pytest.approx(0.2, rel=1e-6)


def test_muon_leaves_vectors_and_thin_matrices_to_adam():
    one, other = bowl((4, 2), (4,)), bowl((4, 2), (4,))
    train(Muon(lr=0.01, smallest=3), one, 10)
    train(FirstOrder("Adam", lr=0.01), other, 10)
    torch.testing.assert_close(one.theta, other.theta, rtol=1e-12, atol=1e-12)


def test_the_orthogonal_factor_of_zero_is_zero_and_small_singular_values_stay_below_one():
    assert not orthogonal(torch.zeros(3, 4), 10).any()
    X = orthogonal(torch.diag(torch.tensor([1.0, 1e-2, 1e-6])), 10).diagonal()
    assert X[:2].tolist() == pytest.approx([1, 1], abs=1e-3)
    assert 0 < X[2] < 1


def test_the_average_without_interpolation_is_that_of_the_iterates_of_torch():
    """beta = 0: the gradient is taken at z, so z is plain gradient descent, and x its running mean (Polyak)."""
    averaged, plain = bowl((4, 3)), bowl((4, 3))
    optimizer, iterates = torch.optim.SGD(plain.parameters, lr=0.1), []
    for _ in range(8):
        plain.loss().backward()
        optimizer.step()
        optimizer.zero_grad()
        iterates.append(plain.theta)
    train(ScheduleFree("SGD", lr=0.1, interpolation=0.0), averaged, 8)
    torch.testing.assert_close(averaged.theta, torch.stack(iterates).mean(0))


def test_schedule_free_steps_are_those_of_the_formula():
    objective = bowl((3,))
    x = z = objective.theta
    rates, total = [0.05, 0.1, 0.1, 0.1], 0.0
    for rate in rates:
        y = (0.1 * z + 0.9 * x).requires_grad_()
        (g,) = torch.autograd.grad(objective.function(y), y)
        z, total = z - rate * g, total + rate**2
        x = x + rate**2 / total * (z - x)
    report = train(ScheduleFree("SGD", lr=0.1, schedule=WarmUp(2)), objective, 4)
    torch.testing.assert_close(objective.theta, x.detach())
    assert float(report.values["loss/total"]) == pytest.approx(float(objective.function(y.detach())))


@pytest.mark.parametrize(("make", "message"), [
    (lambda: SOAP(every=0), "optimizer.soap.every=0: expected a number of steps"),
    (lambda: Muon(momentum=1.0), "optimizer.muon.momentum=1: expected a number"),
    (lambda: Muon(smallest=0), "optimizer.muon: found iterations=10 and smallest=0; expected numbers above 0"),
    (lambda: ScheduleFree(interpolation=1.5), "optimizer.schedule_free.interpolation=1.5: expected a number"),
    (lambda: ScheduleFree("Adamm"), "unknown optimizer 'Adamm'"),
])
def test_a_setting_out_of_range_is_refused_in_one_line(make, message):
    with refused(message):
        make()


def test_averages_out_of_range_are_refused():
    with pytest.raises(ValueError, match=r"betas=\[1.5, 0.9\]: expected two numbers from 0 to below 1"):
        SOAP(betas=(1.5, 0.9))
