"""Every YAML file under conf/. A new file is tested because it is there."""

from functools import cache

import pytest
from omegaconf import OmegaConf

from pinn_cli.configuration import catalogue
from pinn_cli.configuration.build import Builder
from pinn_cli.configuration.compose import compose, read
from tests.conftest import each

CHOICES = [(group, name) for group in catalogue.groups() if group != "recipe" for name in catalogue.options(group)]
RECIPES = catalogue.options("recipe")
WEIGHTINGS = catalogue.options("weighting")
FIRST = {name.partition("/")[0]: name for name in reversed(RECIPES) if "/" in name}.values()  # one of each folder
NEEDED = {  # settings that have no value until the user gives one, and a recipe that has no settings for other parts
    "adapted_features": ["recipe=adapted_features_in_time"],
    "random_gaussians": ["recipe=random_features"],
    "random_features": ["recipe=random_features"],
    "random_fourier_features": ["recipe=random_features"],
    "sine": ["recipe=random_features"],
    "constrained": ["recipe=hard_constraints/convection"],
    "deeponet": ["recipe=hard_constraints/convection_soft"],
    "continuation": ["strategy.continuation.coefficient=k", "strategy.continuation.through=[1]"],
    "pseudo_time": ["strategy.pseudo_time.evolves={pde: u}"],
}


@cache
def composed(*typed: str):
    """A configuration that several tests only read."""
    return compose(typed)


def words(group: str, name: str) -> list[str]:
    """A run in which the choice is in force."""
    outer = {"sampler": f"[sobol,{name}]", "weighting": f"[{name}]"}
    inner = {"sampler": ("adapted", "sobol", "graded", "uniform", "grid", "grid_subset")}
    value = outer[group] if group in outer and name not in inner.get(group, ()) else name
    return [f"{group}={value}", *([] if group == "problem" else ["problem=helmholtz"]), *NEEDED.get(name, [])]


@pytest.mark.parametrize(("group", "name"), CHOICES, ids=[f"{g}={n}" for g, n in CHOICES])
def test_a_choice_composes_and_every_keyword_is_its_constructors(group, name):
    config = composed(*words(group, name))
    node = config[group][name] if group in catalogue.LISTS else config[group]
    phase = ("steps", "points", "sampler") if group == "optimizer" else ()
    keys = [key for key in node if key not in phase]
    builder = Builder(typed={f"{group}.{key}" for key in keys})  # as if typed: an unknown one is refused
    builder.part(type(node)({key: node[key] for key in keys}), group)
    assert not builder.notes


@pytest.mark.parametrize("group", catalogue.groups())
def test_every_choice_has_a_line_that_says_what_it_is(group):
    assert all(catalogue.descriptions(group).values())


@pytest.mark.parametrize("recipe", each(RECIPES, ("adam", "accurate", "random_functions", *FIRST)))
def test_a_recipe_counts_more_than_the_defaults_less_than_the_command_line_and_takes_every_weighting(recipe):
    """With all weightings at once, and with one, so that the settings of all others are left out."""
    problem = [] if "/" in recipe else ["problem=helmholtz"]
    double = ("accurate", "corrected", "discovery", "random_features", "random_features_in_time",
              "adapted_features_in_time", "failure_modes/expressivity")  # fmt: skip
    family = recipe.startswith(("hard_constraints/", "random_functions"))  # its network is made of another one
    plain = compose([f"recipe={recipe}", *problem, "weighting=[fixed]"])
    assert list(plain.weighting) == ["fixed"]
    assert plain.dtype == ("float64" if family or recipe in double else "float32")
    key, weightings = "architecture.basis.width" if family else "architecture.width", ",".join(WEIGHTINGS)
    other = {"float32": "float64", "float64": "float32"}[plain.dtype]
    config = compose([f"recipe={recipe}", *problem, f"weighting=[{weightings}]", f"dtype={other}", f"{key}=7"])
    assert sorted(config.weighting) == sorted(WEIGHTINGS)
    assert (config.dtype, OmegaConf.select(config, key)) == (other, 7)


def test_published_recipes_are_the_published_runs():
    m4 = composed("recipe=gradient_pathologies/klein_gordon_m4")
    assert (m4.architecture.width, m4.architecture.depth, m4.stop.steps) == (50, 5, 40000)
    assert m4.architecture._target_.endswith("ModifiedMLP")
    assert list(m4.weighting) == ["lr_annealing_code"]
    assert m4.weighting.lr_annealing_code.groups.walls == ["left", "right"]
    assert (m4.points.interior, m4.points.face, m4.sampler.uniform.every) == (128, 128, 1)
    assert (m4.scaling, m4.dtype) == ("standard", "float32")
    assert composed("recipe=gradient_pathologies/helmholtz_m2").weights.wall == 4


def test_the_notes_name_what_a_recipe_sets_for_a_part_that_is_not_selected():
    request = read(["problem=helmholtz", "recipe=adam", "optimizer=levenberg_marquardt", "sampler=sobol"])
    uniform, adam = request.notes
    assert uniform == "sampler.uniform is not selected; left out of the recipe:  every=1"
    assert adam == (
        "optimizer.adam is not selected; left out of the recipe:  lr=0.001  schedule.factor=0.9  schedule.every=1000"
    )
    assert list(request.config.optimizer) == ["levenberg_marquardt"]


def test_no_problem_sets_the_method():
    settings = {"architecture", "points", "weights", "optimizer", "sampler", "weighting", "recipe"}
    for name in catalogue.options("problem"):
        assert not settings & set(composed(f"problem={name}").problem)
