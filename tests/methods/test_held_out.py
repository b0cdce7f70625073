"""The held-out guard adds points where the residual is large between the points, and none elsewhere."""

from dataclasses import dataclass

import pytest
import torch
from torch import nn

from pinn_cli.derivatives.engines import Taylor
from pinn_cli.methods.contracts import Sampler
from pinn_cli.methods.samplers.focused import Focused
from pinn_cli.methods.samplers.held_out import HeldOut
from pinn_cli.physics.domains import Interval
from pinn_cli.physics.problem import Problem, on
from pinn_cli.training.model import Features, Model
from pinn_cli.training.objective import Objective
from pinn_cli.training.verdict import Verdict, examine


@dataclass
class Fit(Problem):
    """u = f(x) on [0, 1], with a residual that is the misfit itself."""

    coordinates = ("x",)
    fields = ("u",)

    def __post_init__(self):
        self.domain = Interval(x=(0, 1))

    @on("interior")
    def misfit(self, x, u):
        return u - 1 - x

    @on("x=0")
    def start(self, u):
        return u - 1


class Between(nn.Module):
    """1 + x at the nodes k/20, and a bump of height `size` between them on [0.5, 1]."""

    def __init__(self, size):
        super().__init__()
        self.size, self.ripple = nn.Parameter(torch.tensor(size)), 1e-3

    def forward(self, X):
        x = X[:, :1]
        bump = torch.sin(20 * torch.pi * x) ** 2 * torch.sigmoid(200 * (x - 0.5))
        return 1 + x + self.size * bump + self.ripple * torch.sin(7 * x)


class Nodes(Sampler):
    """The nodes k/20, always the same tensors."""

    def __init__(self):
        interior = torch.arange(21, dtype=torch.float64)[:, None] / 20
        self.batch = {"misfit": interior, "start": torch.zeros(1, 1, dtype=torch.float64)}

    def begin_stage(self, problem):
        pass

    def draw(self, step, problem, objective):
        return self.batch

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


def objective_with(size):
    problem = Fit()
    model = Model(Features(problem.domain, "none"), Between(size)).double()
    return problem, Objective(problem, model, Taylor, lambda batch, residuals: {})


def draw(sampler, problem, objective, steps):
    for step in steps:
        objective.begin(sampler.draw(step, problem, objective))
        objective.vector()
    return objective.batch["misfit"]


def test_points_are_added_where_the_residual_is_large_between_them():
    problem, objective = objective_with(1.0)
    sampler = HeldOut(Nodes(), every=4, candidates=20)
    draw(sampler, problem, objective, range(4))
    assert not sampler.ratios
    points = draw(sampler, problem, objective, range(4, 5))
    assert sampler.ratios["misfit"] > 100
    assert len(points) == 21 + 3  # 15 % of 21 points
    assert objective.points_changed
    assert (points[21:] > 0.45).all()
    torch.testing.assert_close(points[:21], sampler.inner.batch["misfit"])


def test_no_points_are_added_where_the_residual_is_the_same_everywhere():
    problem, objective = objective_with(0.0)
    sampler = HeldOut(Nodes(), every=4, candidates=20)
    points = draw(sampler, problem, objective, range(9))
    assert sampler.ratios["misfit"] == pytest.approx(1, abs=0.3)
    assert points is sampler.inner.batch["misfit"]
    assert not objective.points_changed


def test_the_oldest_added_points_are_removed_first():
    problem, objective = objective_with(1.0)
    sampler = HeldOut(Nodes(), every=1, candidates=20, most=2, ratio=0.1)
    first = draw(sampler, problem, objective, range(2))[21:24].clone()
    draw(sampler, problem, objective, range(2, 3))
    assert torch.equal(sampler.added["misfit"][:3], first)
    points = draw(sampler, problem, objective, range(3, 4))
    assert len(points) == 21 + 6
    assert not torch.equal(sampler.added["misfit"][:3], first)


def test_the_guard_looks_at_once_when_the_optimizer_has_stopped():
    problem, objective = objective_with(1.0)
    sampler = HeldOut(Nodes(), every=8, candidates=20, most=3, ratio=0.1)
    draw(sampler, problem, objective, range(2))
    rounds = 0
    while sampler.refine(problem, objective):
        rounds += 1
        points = draw(sampler, problem, objective, range(2, 3))
        assert objective.points_changed
        assert len(points) == 21 + 3 * rounds
    assert rounds == 3, "it ends"


@pytest.mark.parametrize(("size", "more"), [(0.0, False), (1e-6, False), (1.0, True)])
def test_a_stop_is_final_where_the_residual_is_small_between_the_points(size, more):
    """At the rounding floor the ratio says nothing: both residuals are small against the terms of the equation."""
    problem, objective = objective_with(size)
    objective.model.network.ripple = 0.0
    sampler = HeldOut(Nodes(), candidates=20)
    draw(sampler, problem, objective, range(1))
    assert sampler.refine(problem, objective) is more
    assert (sampler.ratios["misfit"] > 2) is (size > 0)


def test_a_sampler_asks_the_one_that_it_wraps():
    problem, objective = objective_with(1.0)
    sampler = Focused(HeldOut(Nodes(), candidates=20, ratio=0.1), add=0.5)
    before = len(draw(sampler, problem, objective, range(1)))
    assert sampler.refine(problem, objective)
    assert len(draw(sampler, problem, objective, range(1, 2))) == before + 3


def test_a_restored_sampler_continues_bit_for_bit():
    problem, objective = objective_with(1.0)
    one = HeldOut(Nodes(), every=2, candidates=20)
    draw(one, problem, objective, range(5))
    other = HeldOut(Nodes(), every=2, candidates=20)
    other.load_state_dict(one.state_dict())
    torch.testing.assert_close(other.batch["misfit"], one.batch["misfit"], rtol=0, atol=0)
    expected = draw(one, problem, objective, range(5, 9)).clone()
    _, again = objective_with(1.0)
    again.resume(other.batch)
    torch.testing.assert_close(draw(other, problem, again, range(5, 9)), expected, rtol=0, atol=0)


def test_the_verdict_tells_a_broken_solution_from_a_sound_one():
    broken = "broken between the points: the held-out residual is misfit"
    small = "ok: residuals at unseen points are as small as at the training points"
    for size, words in ((1.0, broken), (0.0, small)):
        problem, objective = objective_with(size)
        objective.begin(Nodes().batch)
        assert words in str(examine(problem, objective))
        assert examine(problem, objective).ok is (size == 0.0)


def test_a_sound_verdict_needs_a_small_ratio_and_small_residuals():
    """q = 1 holds for any underfitted run: the residual must also be small against the equation's terms."""
    verdict = Verdict({"pde": 1.0}, {"pde": 0.4})
    assert "not satisfied yet" in str(verdict)
    assert "as small as" in str(Verdict({"pde": 1.2}, {"pde": 1e-5}))
    assert "broken" in str(Verdict({"pde": float("nan")}, {"pde": 1e-5}))


def test_the_guard_accepts_a_residual_that_is_not_finite_between_the_points():
    class Hole(Fit):
        @on("interior")
        def misfit(self, x, u):
            return (u - 1 - x) / (abs(x - 0.512) > 0.02)

    objective = Objective(Hole(), objective_with(0.0)[1].model, Taylor, lambda batch, residuals: {})
    assert len(draw(HeldOut(Nodes(), every=2, candidates=20), objective.problem, objective, range(3))) == 24
