"""The plan that is printed before the first step, and the parts of a run."""

import re

import pytest
import torch

from pinn_cli.configuration import plan
from pinn_cli.configuration.assemble import assemble, by_constraint
from pinn_cli.configuration.compose import compose, read
from pinn_cli.configuration.sources import Sources
from pinn_cli.runs.job import Job
from pinn_cli.training import compilation


def planned(*words: str) -> str:
    request = read(["problem=helmholtz", *words])
    parts = assemble(request.config, request.typed, request.notes)
    return plan.text(request.config, request.problem, parts, plan.preview(parts), compiled=False)


def test_the_plan_shows_constraints_network_machine_and_memory():
    text = planned("points.interior=300", "points.wall=10", "weights.wall=7", "threads=1")
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "pde interior 300 points weight 600 unit 17.6 x, y, u, lap_u 4 streams" in lines
    assert "wall boundary 40 points weight 7 unit 0.893 x, y, u 1 stream" in lines
    assert "field u = 0.893 (sources)" in lines
    assert "MLP  1297 parameters  width=24  depth=3" in text
    assert "340 residuals  seed 0" in text
    assert "float64  taylor  eager" in text
    assert "340 x 340 matrix of residuals" in text
    assert re.search(r"memory +\d+ MB a step  \d+ GB free", text)


def test_the_plan_counts_the_features_and_the_points_of_a_correction():
    small = ["points.interior=40", "points.face=4", "strategy.correction.features=70"]
    newton = ["optimizer.newton.points.interior=60", "optimizer.newton.points.face=5"]
    text = planned("recipe=corrected", "architecture.width=4", "architecture.depth=1", *small, *newton)
    assert "levenberg_marquardt: 17 x 17 matrix of parameters" in text
    assert "newton: 71 x 71 matrix of parameters" in text
    request = read(["problem=helmholtz", "recipe=corrected", *small, *newton, "sampler.focused.add=3"])
    parts = assemble(request.config, request.typed, request.notes)
    objective = plan.preview(parts)
    assert parts.step_shape["newton"] == (71, 60 * (1 + 3) + 4 * 5)
    assert parts.step_memory["newton"] > 2 * 71 * 260 * 8
    assert all(p.requires_grad for p in objective.parameters), "the network itself is not frozen"


def test_the_plan_fits_a_terminal_of_80_columns_and_breaks_no_word(monkeypatch):
    words = ("problem=klein_gordon", "recipe=adam", "optimizer=lbfgs", "constraints=exact")
    whole = planned(*words)
    monkeypatch.setattr(plan, "terminal_width", lambda: 80)
    narrow = planned(*words)
    assert max(map(len, narrow.splitlines())) <= 80 < max(map(len, whole.splitlines()))
    assert re.sub(r"\d+ MB|\d+ GB", "", narrow).split() == re.sub(r"\d+ MB|\d+ GB", "", whole).split()
    assert "\n              x, t, u, u_tt, u_xx, alpha, beta, gamma  5 streams\n" in narrow


def test_the_plan_names_the_constraints_that_are_exact():
    text = planned("constraints=exact")
    assert "wall: exact by construction" in text
    assert "boundary" not in text


def test_a_first_order_weighting_under_least_squares_gets_a_note():
    assert "to study it add recipe=adam" in planned("weighting=lr_annealing")
    assert "to study it" not in planned("weighting=fixed")
    assert "to study it" not in planned("weighting=lr_annealing", "recipe=adam")


def test_the_plan_names_the_settings_of_a_recipe_that_it_leaves_out():
    text = planned("recipe=adam", "optimizer=lbfgs")
    assert "note     optimizer.adam is not selected; left out of the recipe:  lr=0.001  schedule.factor=0.9" in text


def test_the_line_of_the_network_has_no_settings_that_it_does_not_take():
    text = planned("problem=poisson_1d", "architecture=random_features", "architecture.width=30", "points.interior=40")
    line = next(line for line in text.splitlines() if line.startswith("network"))
    assert "width=30  scale=6  activation=tanh  inputs" in line


def test_a_setting_that_is_left_to_the_network_is_shown_as_what_it_has_found():
    """A user compares it with the finest wave of the solution."""
    words = ["recipe=random_features", "architecture.width=100", "points.interior=200", "points.face=20"]
    assert "width=100  frequency=8.86  finer=1" in planned(*words)
    assert "width=100  frequency=5  finer=1" in planned(*words, "architecture.frequency=5")


def test_a_network_whose_hidden_layers_nothing_trains_gets_a_note():
    small = ["architecture.width=10", "architecture.depth=2", "points.interior=40", "points.face=4"]
    note = "newton trains 11 of 151 parameters: the hidden layers stay as they are"
    assert note in planned("optimizer=newton", *small)
    assert "stay as they are" not in planned("optimizer=[levenberg_marquardt,newton]", *small,
                                             "optimizer.levenberg_marquardt.steps=5")  # fmt: skip
    assert "stay as they are" not in planned("recipe=random_features", "architecture.width=30", *small[2:])


def test_a_name_counts_more_than_its_region_and_a_region_more_than_its_kind():
    constraints = assemble(compose(["problem=klein_gordon"])).problem.constraints()
    table = {"interior": 2.0, "face": 3.0, "initial": 4.0, "velocity": 5.0}
    found = by_constraint(table, constraints)
    assert found == {"pde": 2.0, "left": 3.0, "right": 3.0, "displacement": 4.0, "velocity": 5.0}


def test_initial_values_depend_on_the_seed_alone():
    first, same, other = (assemble(compose(["problem=helmholtz", f"seed={s}"])) for s in (0, 0, 1))
    torch.manual_seed(7)
    weights = [next(parts.new_models()(parts.problem).parameters()) for parts in (first, same, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    new_model = first.new_models()
    assert not torch.equal(*(next(new_model(first.problem).parameters()) for _ in range(2)))


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ((), None),
        (("architecture=fourier",), None),
        (("architecture.activation=sin",), "the activation is sin;"),
        (("architecture.width=129",), "a layer has 129 features;"),
        (("dtype=float64",), "it is not all float32 on the CPU;"),
        (("architecture=modified_mlp",), None),
        (("architecture=modified_mlp", "architecture.gate=legacy"), "the gate is legacy;"),
        (("architecture=sine",), "Sine computes them in its own way;"),
    ],
)
def test_the_plan_says_why_layers_are_compiled_one_by_one(words, reason):
    request = read(["problem=helmholtz", "recipe=adam", "points.interior=20", "points.face=4", *words])
    parts = assemble(request.config, request.typed, request.notes)
    notes = plan.layer_by_layer(plan.preview(parts), 1)
    assert [note.startswith(f"layers are compiled one by one: {reason}") for note in notes] == [True] * bool(reason)


def test_the_network_of_an_unknown_field_does_not_speak_for_that_of_the_solution():
    words = ["recipe=adam", "dtype=float32", "architecture=sine", "points.interior=20", "points.face=4"]
    request = read(["problem=heat_conductivity", *words])
    parts = assemble(request.config, request.typed, request.notes)
    (note,) = plan.layer_by_layer(plan.preview(parts), 1)
    assert "Sine computes them in its own way;" in note


@pytest.mark.parametrize(("recipe", "said"), [(["recipe=adam"], True), ([], False)])
def test_only_a_plan_with_first_order_steps_speaks_of_compiled_layers(recipe, said, monkeypatch):
    monkeypatch.setattr(compilation, "_failure", lambda: None)
    words = ["dtype=float64", "compile=on", "points.interior=20", "points.face=4"]
    config = read(["problem=helmholtz", *recipe, *words]).config
    text = Job(config, "helmholtz", assemble(config), Sources()).plan()
    assert ("layers are compiled one by one" in " ".join(text.split())) is said


def test_the_plan_of_many_runs_says_that_they_share_a_computation():
    request = read(["problem=helmholtz", "recipe=adam", "points.interior=20", "points.face=4"])
    parts = assemble(request.config, request.typed, request.notes)
    (note,) = plan.layer_by_layer(plan.preview(parts), 64)
    assert "runs that share a computation have them so" in note
