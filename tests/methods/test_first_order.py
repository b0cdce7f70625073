"""First-order optimizers of torch by name, and the schedules of their learning rate."""

import io
from inspect import signature
from math import cos, pi

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pinn_cli.basics.errors import UsageError
from pinn_cli.methods.optimizers.first_order import FirstOrder
from pinn_cli.methods.optimizers.schedules import Constant, Cosine, Exponential, Plateau, WarmUp
from tests.conftest import refused
from tests.objectives import Function


def parabola() -> Function:
    """sum of a (theta - 1)^2, a = 1 for the first six entries, 2 for the others."""
    a = torch.tensor([1.0] * 6 + [2.0] * 2)
    return Function(lambda theta: (a * (theta - 1) ** 2).sum(), torch.zeros(2, 3), torch.full((2,), 3.0))


@pytest.mark.parametrize(("name", "options"), [
    *((name, {}) for name in ("Adam", "AdamW", "SGD", "RMSprop", "NAdam", "Adagrad")),
    ("SGD", {"momentum": 0.5, "nesterov": True}),
])
def test_a_step_equals_that_of_torch_and_evaluates_the_loss_once(name, options):
    ours, theirs = parabola(), parabola()
    optimizer = FirstOrder(name, lr=1e-2, **options)
    kind = getattr(torch.optim, name)
    fused = {"fused": True} if "fused" in signature(kind).parameters else {}
    reference = kind(theirs.parameters, lr=1e-2, **options, **fused)
    for _ in range(20):
        before = [p._version for p in ours.parameters]
        report = optimizer.step(ours)
        changed = [p._version > v for p, v in zip(ours.parameters, before, strict=True)]
        assert all(changed), "or what is kept for these parameters would be used again"
        reference.zero_grad()
        loss = theirs.loss()
        loss.backward()
        reference.step()
        assert torch.equal(report.values["loss/total"], loss.detach())
        assert report.stop is None
    assert torch.equal(ours.theta, theirs.theta)
    assert ours.evaluations == 20


def test_the_rate_in_force_is_reported_and_used():
    objective, optimizer = parabola(), FirstOrder("SGD", lr=0.1, schedule=Exponential(0.5, every=2))
    for n in range(5):
        before, gradient = objective.theta, torch.cat([torch.full((6,), 2.0), torch.full((2,), 4.0)])
        gradient *= before - 1
        report = optimizer.step(objective)
        assert report.values["learning_rate"] == pytest.approx(0.1 * 0.5 ** (n / 2))
        torch.testing.assert_close(objective.theta, before - report.values["learning_rate"] * gradient)


@pytest.mark.parametrize("schedule", [
    lambda: Exponential(0.9, 3), lambda: WarmUp(4, Plateau(0.5, patience=2, threshold=0.5)),
])
def test_a_resumed_run_has_the_same_bits(schedule):
    whole, optimizer = parabola(), FirstOrder("Adam", lr=0.1, schedule=schedule())
    for _ in range(20):
        optimizer.step(whole)
    first, optimizer = parabola(), FirstOrder("Adam", lr=0.1, schedule=schedule())
    for _ in range(8):
        optimizer.step(first)
    saved = io.BytesIO()
    torch.save(optimizer.state_dict(), saved)
    saved.seek(0)
    resumed = FirstOrder("Adam", lr=0.1, schedule=schedule())
    resumed.load_state_dict(torch.load(saved, weights_only=True))
    assert resumed.state_dict()["steps"] == 8  # saved again before its first step
    for _ in range(12):
        resumed.step(first)
    assert torch.equal(first.theta, whole.theta)


def test_new_parameters_begin_a_new_training():
    optimizer = FirstOrder("Adam", lr=0.1, schedule=Exponential(0.5, every=1))
    for objective in (parabola(), parabola()):
        rates = [optimizer.step(objective).values["learning_rate"] for _ in range(3)]
        assert rates == [0.1, 0.05, 0.025]


def test_a_parameter_that_no_residual_uses_is_left_alone():
    objective = parabola()
    objective.parameters.append(torch.nn.Parameter(torch.ones(1)))
    objective.loss = lambda: objective.parameters[0].square().sum()
    FirstOrder().step(objective)
    assert objective.parameters[2].item() == 1.0


@pytest.mark.parametrize(("name", "options", "message"), [
    ("Adamm", {}, "unknown optimizer 'Adamm': expected one of .*SGD.*; did you mean Adam?"),
    ("LBFGS", {}, "unknown optimizer 'LBFGS': .*; type optimizer=lbfgs"),
    ("Adam", {"beta": 0.9}, "torch.optim.Adam: .*'beta'.*; it takes params, lr, betas"),
    ("SGD", {"momentum": -1.0}, "torch.optim.SGD: Invalid momentum"),
])
def test_an_option_that_torch_refuses_is_refused_in_one_line(name, options, message):
    with refused(message):
        FirstOrder(name, **options)


def test_schedules_follow_their_formulas():
    assert Constant()(7) == 1
    assert Exponential(0.9, 1000)(40_000) * 1e-3 == pytest.approx(1.48e-5, rel=2e-3)  # the code of arXiv:2001.04536
    assert [Exponential(0.5, 10, staircase=True)(n) for n in (0, 9, 10, 25)] == [1, 1, 0.5, 0.25]
    assert Cosine(100, last=0.1, exponent=0.8)(25) == pytest.approx(0.1 + 0.9 * ((1 + cos(pi / 4)) / 2) ** 0.8)
    assert [Cosine(100, last=0.1)(n) for n in (0, 100, 500)] == [1, pytest.approx(0.1), pytest.approx(0.1)]
    warm = WarmUp(4, Exponential(0.5, 1))
    assert [warm(n) for n in range(6)] == [0.25, 0.5, 0.75, 1, 1, 0.5]


@given(st.integers(0, 10**6), st.floats(0.1, 1), st.integers(1, 10**5))
def test_factors_stay_between_zero_and_one(step, factor, every):
    for schedule in (Exponential(factor, every), Exponential(factor, every, True), Cosine(every), WarmUp(every)):
        assert 0 <= schedule(step) <= 1


def test_a_plateau_halves_the_rate_when_progress_ends_and_stops_at_its_last():
    schedule = Plateau(factor=0.5, patience=3, threshold=0.01, last=0.2)
    losses = [10, 9, 8.99, 8.98, 8.97, 8.96, 8.95, 8.94, 5.0, *[5.0] * 12]
    factors = []
    for loss in losses:
        schedule.observe(torch.tensor(loss))
        factors.append(schedule(0))
    assert factors[:9] == [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25]
    assert factors[-1] == 0.2


@pytest.mark.parametrize("make", [
    lambda: Exponential(every=0), lambda: Exponential(factor=-1.0), lambda: Cosine(steps=None),
    lambda: Plateau(patience=0), lambda: WarmUp(steps=-5),
])
def test_schedules_refuse_what_is_not_positive(make):
    with pytest.raises(UsageError, match="expected a positive number"):
        make()
