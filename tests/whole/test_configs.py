"""Every file under conf/ is a test: adding a YAML adds its test."""

import pytest

from pinn_cli.configuration import catalogue
from pinn_cli.configuration.build import Builder
from pinn_cli.configuration.compose import compose, read

CHOICES = [(group, name) for group in catalogue.groups() if group != "recipe" for name in catalogue.options(group)]
RECIPES = catalogue.options("recipe")
WEIGHTINGS = catalogue.options("weighting")
NEEDED = {  # what has no value until it is typed
    "continuation": ["strategy.continuation.coefficient=k", "strategy.continuation.through=[1]"],
    "pseudo_time": ["strategy.pseudo_time.evolves={pde: u}"],
}


def words(group: str, name: str) -> list[str]:
    """A run in which the choice is in force."""
    outer = {"sampler": f"[sobol,{name}]", "weighting": f"[{name}]"}
    inner = {"sampler": ("sobol", "uniform", "grid", "grid_subset")}
    value = outer[group] if group in outer and name not in inner.get(group, ()) else name
    return [f"{group}={value}", *([] if group == "problem" else ["problem=helmholtz"]), *NEEDED.get(name, [])]


@pytest.mark.parametrize(("group", "name"), CHOICES, ids=[f"{g}={n}" for g, n in CHOICES])
def test_a_choice_composes_and_every_keyword_is_its_constructors(group, name):
    config = compose(words(group, name))
    node = config[group][name] if group in catalogue.LISTS else config[group]
    phase = ("steps", "points", "sampler") if group == "optimizer" else ()
    keys = [key for key in node if key not in phase]
    builder = Builder(typed={f"{group}.{key}" for key in keys})  # as if typed: an unknown one is refused
    builder.part(type(node)({key: node[key] for key in keys}), group)
    assert not builder.notes


@pytest.mark.parametrize(("group", "name"), [*CHOICES, *(("recipe", r) for r in RECIPES)])
def test_a_choice_says_in_a_line_what_it_is(group, name):
    assert catalogue.descriptions(group)[name]


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_with_every_weighting_composes(recipe, weighting):
    config = compose([f"recipe={recipe}", f"weighting={weighting}", "problem=helmholtz"])
    assert list(config.weighting) == [weighting]


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_has_the_last_word_before_the_command_line(recipe):
    problem = [] if "/" in recipe else ["problem=helmholtz"]
    double = ("accurate", "failure_modes/expressivity")
    assert compose([f"recipe={recipe}", *problem]).dtype == ("float64" if recipe in double else "float32")
    assert compose([f"recipe={recipe}", *problem, "dtype=float64", "architecture.width=7"]).architecture.width == 7


def test_published_recipes_are_the_published_runs():
    m4 = compose(["recipe=gradient_pathologies/klein_gordon_m4"])
    assert (m4.architecture.width, m4.architecture.depth, m4.stop.steps) == (50, 5, 40000)
    assert m4.architecture._target_.endswith("ModifiedMLP")
    assert list(m4.weighting) == ["lr_annealing_code"]
    assert m4.weighting.lr_annealing_code.groups.walls == ["left", "right"]
    assert (m4.points.interior, m4.points.face, m4.sampler.uniform.every) == (128, 128, 1)
    assert (m4.scaling, m4.dtype) == ("standard", "float32")
    assert compose(["recipe=gradient_pathologies/helmholtz_m2"]).weights.wall == 4


def test_what_a_recipe_sets_of_a_deselected_part_is_dropped_and_said():
    request = read(["problem=helmholtz", "recipe=adam", "optimizer=levenberg_marquardt"])
    assert request.notes == ("optimizer.adam is not selected; what the recipe sets for it is left out",)
    assert list(request.config.optimizer) == ["levenberg_marquardt"]


def test_no_problem_sets_the_method():
    settings = {"architecture", "points", "weights", "optimizer", "sampler", "weighting", "recipe"}
    for name in catalogue.options("problem"):
        assert not settings & set(compose([f"problem={name}"]).problem)


def test_hydras_own_settings_are_let_through():
    compose(["problem=helmholtz", "hydra.verbose=true"])
