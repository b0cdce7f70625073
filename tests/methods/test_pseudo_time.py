"""Steps in pseudo-time: the term that is added, the rounds, refusals."""

import re

import pytest
import torch

from pinn_cli.basics.errors import UsageError
from pinn_cli.configuration.assemble import Parts, assemble
from pinn_cli.configuration.compose import compose
from pinn_cli.configuration.plan import preview
from pinn_cli.derivatives.engines import Autograd, Taylor
from pinn_cli.training.objective import Objective

SMALL = ["architecture.width=6", "architecture.depth=2", "points.interior=64", "points.face=8"]


def parts_of(problem: str, evolves: str, *more: str) -> Parts:
    words = [f"problem={problem}", "strategy=pseudo_time", f"strategy.pseudo_time.evolves={evolves}", *SMALL, *more]
    return assemble(compose(words))


@pytest.mark.parametrize("engine", [Taylor, Autograd])
@pytest.mark.parametrize(
    ("problem", "evolves", "constraint", "value"),
    [
        ("helmholtz", "{pde: u}", "pde", "u"),
        ("lid_driven_cavity_streamfunction", "{momentum_x: u, momentum_y: v}", "momentum_y", "v"),
    ],
)
def test_a_round_adds_the_distance_from_the_previous_network(engine, problem, evolves, constraint, value) -> None:
    parts = parts_of(problem, evolves, "strategy.pseudo_time.tau=0.25")
    stage = next(iter(parts.strategy(parts.problem, parts.new_models())))
    X = parts.problem.domain.sample("interior", torch.rand(9, 2, dtype=torch.float64))
    steady = Objective(parts.problem, stage.model, engine, parts.weighting)
    held = Objective(stage.problem, stage.model, engine, parts.weighting)
    before = steady.evaluate([value], X)[value]
    torch.testing.assert_close(held.residual(constraint, X), steady.residual(constraint, X))  # nothing has moved yet
    with torch.no_grad():
        for p in stage.model.parameters():
            p.add_(0.1)
    rate = (steady.evaluate([value], X)[value] - before) / 0.25
    torch.testing.assert_close(held.residual(constraint, X), steady.residual(constraint, X) + rate)


def test_the_rounds_end_with_the_steady_problem_and_its_solution() -> None:
    words = ["strategy.pseudo_time.steps=5", "strategy.pseudo_time.rounds=3", "problem.a2=1"]
    words += ["units=raw", "weights.interior=1"]
    parts = parts_of("helmholtz", "{pde: u}", *words)
    names = []
    for stage in parts.strategy(parts.problem, parts.new_models()):
        names.append((stage.name, stage.steps, stage.underway, stage.problem is parts.problem))
        objective = Objective(stage.problem, stage.model, parts.engine, parts.weighting, parts.weights)
        for step in range(stage.steps or 40):
            objective.begin(stage.sampler.draw(step, stage.problem, objective))
            loss = float(stage.optimizer.step(objective).values["loss/total"])
    steady = [(f"tau={tau}: levenberg_marquardt", 5, True, False) for tau in ("0.5", "1", "2")]
    assert names == [*steady, ("levenberg_marquardt", None, False, True)]
    assert loss < 0.5, "the mean square of the source is 88"


@pytest.mark.parametrize(
    ("evolves", "more", "says"),
    [
        ("{wall: u}", (), "evolves: found `wall`; expected of pde"),
        ("{pde: w}", (), "evolves: found `w`; expected of u"),
        ("u", (), "evolves=u: expected names and values, e.g. {name: value}"),
        ("{pde: u}", ("strategy.pseudo_time.tau=0",), "found tau=0, growth=2; expected numbers above 0"),
        ("{pde: u}", ("strategy.pseudo_time.growth=-1",), "found tau=0.5, growth=-1; expected numbers above 0"),
    ],
)
def test_a_wrong_setting_is_refused(evolves: str, more: tuple[str, ...], says: str) -> None:
    with pytest.raises(UsageError, match=re.escape(says)):
        preview(parts_of("helmholtz", evolves, *more))
