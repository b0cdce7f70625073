"""What a step over a family needs: its own points cost once, however many points are trained."""

from pinn_cli.configuration.assemble import assemble
from pinn_cli.configuration.compose import read
from pinn_cli.configuration.cost import StepCost
from pinn_cli.configuration.plan import _settings, first_stage


def test_the_memory_of_a_solve_does_not_grow_with_the_points_that_are_trained():
    words = ["recipe=hard_constraints/convection", "architecture.instances=2", "architecture.basis.width=8",
             "architecture.functions=10"]  # fmt: skip
    request = read(words)
    parts = assemble(request.config, request.typed, request.notes)
    (phase,) = parts.schedule
    cost = StepCost(first_stage(parts), parts)
    few, many = cost.of(phase, {"interior": 100, "face": 100}), cost.of(phase, {"interior": 10_000, "face": 100})
    solve = cost.model_of(phase.name).at_any_points
    assert solve > 1500 * 10 * 8  # at least J at 1500 points
    assert solve < few < 2 * solve
    per_point = (many - few) / 9_900
    assert 100 < per_point < 100_000


def test_a_part_of_a_part_is_shown_by_its_class():
    config = read(["recipe=hard_constraints/convection"]).config
    assert "basis=Fourier (width=200  depth=0" in _settings(config.architecture)
