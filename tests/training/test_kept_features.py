"""Features that are kept give the same numbers as features that are computed anew."""

import pytest
import torch

from pinn_cli.configuration import plan
from pinn_cli.configuration.assemble import assemble
from pinn_cli.configuration.compose import compose
from pinn_cli.training import kept_features

NETWORKS = ("random_features", "random_fourier_features", "random_gaussians", "adapted_features", "mlp")


def objective_of(architecture: str):
    width = 16 if architecture == "adapted_features" else 30
    words = ["problem=burgers", "recipe=random_features", f"architecture={architecture}",
             f"architecture.width={width}", "points.interior=40", "points.face=8"]  # fmt: skip
    return plan.preview(assemble(compose(words)))


@pytest.mark.parametrize("architecture", NETWORKS)
def test_residuals_and_their_jacobian_are_the_same_bit_for_bit(architecture, monkeypatch):
    objective = objective_of(architecture)
    assert objective.model.frozen == (architecture != "mlp")
    theta = torch.linspace(-1, 1, objective.columns[-1].stop, dtype=torch.float64)
    objective.place(theta)
    first = objective.vector().detach(), objective.linearise(16).dense()
    again = objective.vector().detach(), objective.linearise(16).dense()
    assert bool(objective.at.kept.kept) == objective.model.frozen
    monkeypatch.setattr(kept_features, "MOST", 0.0)
    objective.at.kept.clear()
    anew = objective.vector().detach(), objective.linearise(16).dense()
    assert not objective.at.kept.kept
    for one, other, fresh in zip(first, again, anew, strict=True):
        assert torch.equal(one, fresh)
        assert torch.equal(other, fresh)


def test_points_that_change_in_place_are_other_points():
    objective = objective_of("random_features")
    X = torch.rand(10, 2, dtype=torch.float64)
    before = objective.evaluate(["u_x"], X)["u_x"]
    X.mul_(0.5)
    objective.shift(torch.ones(objective.columns[-1].stop, dtype=torch.float64))
    after = objective.evaluate(["u_x"], X)["u_x"]
    assert not torch.equal(before, after)
    assert torch.equal(after, objective.evaluate(["u_x"], X.clone())["u_x"])


def test_other_points_of_a_step_free_the_memory():
    objective = objective_of("random_features")
    objective.vector()
    assert objective.at.kept.kept
    objective.begin({name: X.clone() for name, X in objective.batch.items()})
    assert not objective.at.kept.kept
