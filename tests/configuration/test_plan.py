"""What is said before the first step."""

import pytest
import torch

from pinn_cli.basics.errors import UsageError
from pinn_cli.configuration import cost, plan
from pinn_cli.configuration.assemble import assemble, by_constraint
from pinn_cli.configuration.compose import compose

CPU = torch.device("cpu")


def planned(*words: str) -> str:
    config = compose(["problem=helmholtz", *words])
    parts = assemble(config)
    return plan.text(config, "helmholtz", parts, plan.preview(parts), compiled=False)


def test_the_plan_says_what_is_in_force():
    text = planned("points.interior=300", "points.wall=10", "weights.wall=7", "threads=1")
    lines = [line.split() for line in text.splitlines()]
    assert ["pde", "interior", "300", "points", "weight", "1", "x,", "y,", "u,", "lap_u", "4", "streams"] in lines
    assert ["wall", "boundary", "40", "points", "weight", "7", "x,", "y,", "u", "1", "stream"] in lines
    assert "MLP  1297 parameters  width=24  depth=3" in text
    assert "340 residuals  seed 0" in text
    assert "float64  taylor  eager" in text
    assert "340 x 340 matrix of residuals" in text


def test_the_plan_names_what_is_made_exact():
    text = planned("constraints=exact")
    assert "wall: exact by construction" in text
    assert "boundary" not in text


def test_a_first_order_weighting_under_least_squares_gets_a_line():
    assert "to study it add recipe=adam" in planned("weighting=lr_annealing")
    assert "to study it" not in planned("weighting=fixed")
    assert "to study it" not in planned("weighting=lr_annealing", "recipe=adam")


def test_what_a_recipe_sets_in_vain_gets_a_line():
    assert "optimizer.adam is not selected" in planned("recipe=adam", "optimizer=lbfgs")


def test_the_cost_of_a_step_is_that_of_the_smaller_space():
    few, many = cost.cost(100, 5000, torch.float64, CPU), cost.cost(5000, 100, torch.float64, CPU)
    assert few.memory == many.memory == 2 * 100 * 100 * 8
    assert "100 x 100 matrix of parameters" in str(few)
    assert "100 x 100 matrix of residuals" in str(many)


def test_a_matrix_that_cannot_fit_is_refused_with_what_to_type(monkeypatch):
    monkeypatch.setattr(cost, "free_memory", lambda device: 1e9)
    cost.refuse_too_large(cost.Cost(1, 1, 0.8e9, 1.0), CPU)
    with pytest.raises(UsageError, match="optimizer=lbfgs"):
        cost.refuse_too_large(cost.Cost(1, 1, 1e9, 1.0), CPU)


def test_a_name_counts_before_its_region_and_a_region_before_its_kind():
    constraints = assemble(compose(["problem=klein_gordon"])).problem.constraints()
    table = {"interior": 2.0, "face": 3.0, "initial": 4.0, "velocity": 5.0}
    found = by_constraint(table, constraints)
    assert found == {"pde": 2.0, "left": 3.0, "right": 3.0, "displacement": 4.0, "velocity": 5.0}


def test_initial_values_depend_on_the_seed_alone():
    first, same, other = (assemble(compose(["problem=helmholtz", f"seed={s}"])) for s in (0, 0, 1))
    torch.manual_seed(7)
    weights = [next(parts.new_model(parts.problem).parameters()) for parts in (first, same, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    new_model = first.new_model
    assert not torch.equal(*(next(new_model(first.problem).parameters()) for _ in range(2)))
