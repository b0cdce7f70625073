"""Unknown coefficients: start values, bounds, and how they are written."""

import copy

import pytest
import torch

from pinn_cli.basics.errors import UsageError
from pinn_cli.configuration.assemble import assemble
from pinn_cli.configuration.compose import compose
from pinn_cli.configuration.contradictions import refuse_contradictions
from pinn_cli.configuration.plan import preview
from pinn_cli.physics.unknowns import Unknown, unknowns_of, values_of
from pinn_cli.training.jacobian import row_by_row

KINDS = [Unknown(0.3), Unknown(0.3, positive=True), Unknown(0.3, high=2), Unknown(0.3, low=-1, high=1)]


@pytest.mark.parametrize("unknown", KINDS, ids=str)
def test_the_value_starts_where_it_is_told_and_stays_between_its_bounds(unknown):
    at = torch.tensor([unknown.free, -700.0, 700.0], dtype=torch.float64)
    start, *ends = unknown.value(at).tolist()
    assert start == pytest.approx(0.3)
    assert all(unknown.low <= end <= unknown.high for end in ends)
    assert float(unknown) == 0.3


def test_a_copy_keeps_bounds_and_rate():
    unknown = copy.deepcopy(Unknown(0.5, low=0, high=1, lr=0.1))
    assert (unknown, unknown.low, unknown.high, unknown.lr) == (0.5, 0, 1, 0.1)


def test_a_list_is_a_vector_whose_numbers_have_names_of_their_own():
    found = unknowns_of({"lam": [0, 0.5], "nu": {"start": [1, 2], "positive": True}, "a": 3, "b": None}, "problem")
    assert found == {"lam1": 0, "lam2": 0.5, "nu1": 1, "nu2": 2, "a": 3}
    assert found["nu2"].low == 0


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({"k": {"start": -1, "positive": True}}, "it starts at -1; expected a number between 0 and inf"),
        ({"k": {"start": 3, "low": 0, "high": 3}}, "it starts at 3; expected a number between 0 and 3"),
        ({"k": {"positive": True}}, "no start value; type problem.unknowns.k.start=1"),
        ({"k": {"start": 1, "postive": True}}, "did you mean `positive`?"),
        ({"k": {"start": "a"}}, "`start` is 'a'; expected a finite number"),
        ({"k": {"start": 1, "positive": 1}}, "`positive` is 1; expected true or false"),
        ({"k": {"start": 1, "lr": 0}}, "lr=0: expected a learning rate above 0"),
        ({"k": {"start": 0.5, "low": 1, "high": 0}}, "its bounds are 1 and 0; expected a lower and a higher one"),
        ({"k": {"start": 1, "low": 1, "high": 1}}, "its bounds are 1 and 1; expected a lower and a higher one"),
        ({"k": "abc"}, "problem.unknowns.k=abc: expected a finite number, e.g. problem.unknowns.k=1"),
        ({"k": []}, "problem.unknowns.k=[]: expected a finite number"),
    ],
)
def test_what_is_no_unknown_is_refused(written, message):
    with pytest.raises(UsageError, match="problem") as refused:
        unknowns_of(written, "problem.unknowns")
    assert message in str(refused.value)


SMALL = ["architecture.width=4", "architecture.depth=1"]
BURGERS = ["problem=burgers", "problem.data={points: 20, seed: 1}", "points.interior=16", "points.face=4"]


def test_any_coefficient_becomes_an_unknown_from_the_command_line_and_its_rows_are_those_of_autograd():
    words = [*BURGERS, "problem.unknowns.nu={start: 0.01, positive: true}", *SMALL]
    objective = preview(assemble(compose(words)))
    assert float(objective.unknowns["nu"].detach()) == pytest.approx(0.01)
    linear = objective.linearise()
    assert torch.allclose(linear.dense(), row_by_row(objective.vector(), objective.parameters), rtol=1e-9, atol=1e-12)
    assert linear.dense()[:, objective.layout["unknowns.nu"]].abs().max() > 0


def test_null_takes_an_unknown_away():
    assert not assemble(compose(["problem=heat_inverse", "problem.unknowns.kappa=null"])).problem.unknowns


def test_the_loss_must_react_to_an_unknown():
    config = compose([*BURGERS, "problem.unknowns.nuu=1"])
    parts = assemble(config)
    objective = preview(parts)
    with pytest.raises(UsageError, match=r"no residual changes with `nuu`; add .* did you mean `nu`\?"):
        refuse_contradictions(config, parts, objective, None)


def test_adam_moves_an_unknown_with_its_own_rate():
    words = [*BURGERS, "recipe=adam", *SMALL, "optimizer.adam.lr=1e-4"]
    moved = {}
    for lr in (0.5, None):
        parts = assemble(compose([*words, f"problem.unknowns.nu={{start: 0.1, lr: {'null' if lr is None else lr}}}"]))
        objective, optimizer = preview(parts), parts.schedule[0].optimizer()
        optimizer.step(objective)
        moved[lr] = abs(float(values_of(objective.model)["nu"].detach()) - 0.1)
        again = parts.schedule[0].optimizer()
        again.load_state_dict(optimizer.state_dict())
        again.step(objective)
    assert moved[0.5] == pytest.approx(0.5, rel=1e-3)
    assert moved[None] == pytest.approx(1e-4, rel=1e-2)


def test_more_unknowns_than_measured_values_are_refused():
    config = compose(["problem=burgers", "problem.data.points=1", "problem.unknowns.nu=0.1", *SMALL])
    parts = assemble(config)
    objective = preview(parts)
    refuse_contradictions(config, parts, objective, None)
    objective.batch["measured_u"] = objective.batch["measured_u"][:0]
    with pytest.raises(UsageError, match=r"1 unknowns \(nu\) and 0 measured values"):
        refuse_contradictions(config, parts, objective, None)
