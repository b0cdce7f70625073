"""Adam as a function of tensors: the steps of torch's own, and a resume with the same bits."""

import io

import pytest
import torch

from pinn_cli.methods.optimizers.adam import Adam
from pinn_cli.methods.optimizers.schedules import Exponential, Plateau, WarmUp
from tests.conftest import refused
from tests.objectives import Function


def parabola() -> Function:
    a = torch.tensor([1.0] * 6 + [2.0] * 2, dtype=torch.float64)
    start = torch.zeros(2, 3, dtype=torch.float64), torch.full((2,), 3.0, dtype=torch.float64)
    return Function(lambda theta: (a * (theta - 1) ** 2).sum(), *start)


@pytest.mark.parametrize("options", [{}, {"betas": (0.5, 0.6), "eps": 0.1}, {"betas": (0.0, 0.9)}])
def test_its_steps_are_those_of_torch(options):
    ours, theirs = parabola(), parabola()
    optimizer, reference = Adam(lr=0.1, **options), torch.optim.Adam(theirs.parameters, lr=0.1, **options)
    for _ in range(30):
        report = optimizer.step(ours)
        reference.zero_grad()
        loss = theirs.loss()
        loss.backward()
        reference.step()
        torch.testing.assert_close(report.values["loss/total"], loss.detach(), rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(ours.theta, theirs.theta, rtol=1e-12, atol=1e-14)
    assert ours.evaluations == 30


@pytest.mark.parametrize("schedule", [
    lambda: Exponential(0.9, 3), lambda: WarmUp(4, Plateau(0.5, patience=2, threshold=0.5)),
])
def test_a_resumed_run_has_the_same_bits(schedule):
    whole, optimizer = parabola(), Adam(lr=0.1, schedule=schedule())
    for _ in range(20):
        optimizer.step(whole)
    first, optimizer = parabola(), Adam(lr=0.1, schedule=schedule())
    for _ in range(8):
        optimizer.step(first)
    saved = io.BytesIO()
    torch.save(optimizer.state_dict(), saved)
    saved.seek(0)
    resumed = Adam(lr=0.1, schedule=schedule())
    resumed.load_state_dict(torch.load(saved, weights_only=True))
    assert resumed.state_dict()["steps"] == 8  # saved again before its first step
    for _ in range(12):
        resumed.step(first)
    assert torch.equal(first.theta, whole.theta)


def test_new_parameters_begin_a_new_training():
    optimizer = Adam(lr=0.1, schedule=Exponential(0.5, every=1))
    ends = []
    for objective in (parabola(), parabola()):
        assert [optimizer.step(objective).values["learning_rate"] for _ in range(3)] == [0.1, 0.05, 0.025]
        ends.append(objective.theta)
    assert torch.equal(*ends)


def test_a_parameter_that_no_residual_uses_is_left_alone():
    objective = parabola()
    objective.parameters.append(torch.nn.Parameter(torch.ones(1, dtype=torch.float64)))
    objective.loss = lambda: objective.parameters[0].square().sum()
    Adam().step(objective)
    assert objective.parameters[2].item() == 1.0


@pytest.mark.parametrize(("options", "message"), [
    ({"betas": (0.9, 1.0)}, r"betas=\[0.9, 1.0\]: expected two numbers in \[0, 1\)"),
    ({"betas": (0.9,)}, r"betas=\[0.9\]: expected two numbers"),
    ({"eps": -1.0}, "eps=-1: expected a number that is not negative"),
])
def test_settings_that_are_not_possible_are_refused_in_one_line(options, message):
    with refused(message):
        Adam(**options)
