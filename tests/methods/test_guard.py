"""The held-out guard on a steep reaction, whose loss becomes small on a wrong solution."""

import pytest

from pinn_cli.configuration.assemble import assemble
from pinn_cli.configuration.compose import compose
from pinn_cli.physics.references import reference_of
from pinn_cli.training.metrics import Comparison, points_of_comparison
from pinn_cli.training.objective import Objective
from pinn_cli.training.verdict import examine

SMALL = ["problem=reaction", "problem.rho=10", "architecture.width=16", "points.interior=256", "points.face=64"]
RAW = ["units=raw", "weights.interior=1"]  # in natural units the default finds the solution without the guard, too


def train(words, steps):
    """Objective after so many accepted steps of the default recipe."""
    parts = assemble(compose([*SMALL, "seed=1", *words]))
    stage = next(iter(parts.strategy(parts.problem, parts.new_models())))
    objective = Objective(stage.problem, stage.model, parts.engine, parts.weighting, parts.weights)
    parts.weighting.begin_stage(stage.problem)
    stage.sampler.begin_stage(stage.problem)
    for step in range(steps):
        objective.begin(stage.sampler.draw(step, stage.problem, objective))
        stage.optimizer.step(objective)
    return objective


def error(objective):
    reference = reference_of(objective.problem)
    X = points_of_comparison(objective.problem.domain, reference)
    return Comparison(reference, X).errors(objective.evaluate)["u"].relative_l2


@pytest.mark.slow  # a hundred steps
@pytest.mark.parametrize(("words", "steps", "cured"), [
    (["sampler=[sobol]", *RAW], 100, False), pytest.param(RAW, 160, True, marks=pytest.mark.slow)
])  # fmt: skip
def test_the_guard_flags_and_cures_a_reaction_that_is_wrong_between_its_points(words, steps, cured):
    objective = train(words, steps)
    verdict = examine(objective.problem, objective)
    assert float(objective.loss().detach()) < 1e-4  # the loss says nothing: it is small either way
    assert verdict.ok is cured, str(verdict)
    assert (error(objective) < 1e-2) is cured
    assert ("pde" in verdict.broken) is not cured
