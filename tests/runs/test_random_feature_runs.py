"""Runs of recipe=random_features, from the command line to the verdict: they are accurate, loaded, resumed, marched."""

import re

import numpy as np
import pytest

from pinn_cli import load
from pinn_cli.cli import STOPPED, USAGE, main
from pinn_cli.configuration.assemble import assemble
from pinn_cli.configuration.compose import compose
from pinn_cli.configuration.plan import preview
from pinn_cli.methods.optimizers.newton import Newton
from pinn_cli.records.results import Results
from pinn_cli.training.error_estimate import Estimate, estimate
from pinn_cli.training.verdict import judge
from tests.run_files import assert_same_run, told_to_stop_in

RECIPE = ["recipe=random_features", "figures=off"]
TINY = [*RECIPE, "architecture.width=60", "points.interior=120", "points.face=20"]
MARCH = "strategy.time_marching"
pytestmark = pytest.mark.usefixtures("here")


def trained(*words: str):
    """The objective of a run after its Newton steps, without a run folder."""
    objective, newton = preview(assemble(compose([*RECIPE, *words]))), Newton()
    for _ in range(20):
        if newton.step(objective).stop:
            return objective
    raise AssertionError("it does not end")


def error(objective) -> float:
    problem = objective.problem
    X = problem.domain.grid(30)
    exact = problem.exact(*X.unbind(1))
    return float((objective.model(X).detach()[:, 0] - exact).norm() / exact.norm())


@pytest.mark.parametrize(("problem", "bound"), [
    ("wave", 5e-6), ("plate", 2e-4), pytest.param("klein_gordon", 2e-3, marks=pytest.mark.slow)
])  # fmt: skip
def test_few_features_reach_many_digits(problem, bound):
    small = ["architecture.width=300", "points.interior=600", "points.face=100"]
    assert error(trained(f"problem={problem}", *small)) < bound


def estimated(objective):
    """The estimate, and whether it may be trusted."""
    problem = objective.problem
    made = estimate(objective, problem.domain.grid(30), 0, problem)
    verdict = judge(problem, objective, made)
    assert verdict.trusted is made.is_trusted(solved=True)
    return made, made.is_trusted(verdict.solved)


@pytest.mark.parametrize("words", [["problem=wave"],
                                   pytest.param(["problem=klein_gordon"], marks=pytest.mark.slow),
                                   pytest.param(["problem=helmholtz", "problem.a2=1"], marks=pytest.mark.slow),
                                   pytest.param(["problem=convection", "problem.beta=5"], marks=pytest.mark.slow),
                                   pytest.param(["problem=klein_gordon", "architecture=random_features"],
                                                marks=pytest.mark.slow)])  # fmt: skip
def test_the_estimated_error_is_right_within_a_factor_of_3_although_no_feature_explains_the_residual(words):
    objective = trained(*words, "architecture.width=400", "points.interior=800", "points.face=100")
    made, trusted = estimated(objective)
    assert trusted
    assert 1 / 3 < made.error["u"] / error(objective) < 3


def test_at_the_rounding_floor_estimate_and_verdict_say_no_more_than_this():
    objective = trained("problem=poisson_1d", "architecture.width=200", "points.interior=400")
    made, trusted = estimated(objective)
    assert trusted
    assert made.trust() == "at the rounding floor"
    assert max(made.error["u"], error(objective)) < 1e-13
    assert str(judge(objective.problem, objective, made)).endswith("are as small as at the training points")


UNRESOLVED = [
    pytest.param(["problem=convection", "problem.beta=80"], marks=pytest.mark.slow),  # waves finer than the features
    ["problem=boundary_layer", "problem.eps=1e-4"],  # its layer falls between the points
    pytest.param(["problem=burgers"], marks=pytest.mark.slow),
]


@pytest.mark.parametrize("words", UNRESOLVED)
def test_no_estimate_is_trusted_where_no_feature_resolves_the_solution(words):
    """Both solutions are wrong, and alike: what they differ by is no error."""
    _, trusted = estimated(trained(*words, "architecture.width=300", "points.interior=600", "points.face=100"))
    assert not trusted


def test_two_solutions_that_leave_the_same_residual_are_told_so():
    made = {common: Estimate({"u": 1e-9}, 0.1, common=common) for common in (0.3, 0.95)}
    assert made[0.3].trust() == "the difference to a second solution with other features"
    assert made[0.95].trust() == "a rough lower bound: a second solution with other features leaves the same residual"
    assert Estimate({"u": 1e-9}, -9.0, common=0.3).trust().startswith("no guide: the second solution has a larger")
    worse = Estimate({"u": 1e-9}, -0.7, common=0.95)  # measured: 25 times the error for the Allen-Cahn equation
    assert worse.trust().endswith("the error may be smaller or larger")
    assert not worse.is_trusted(solved=True)
    assert Estimate({"u": 1e-9}, 0.9, common=0.3).trust() == "90 % of the residual explained"


OTHER_SETTINGS = [["constraints=exact"], ["derivatives=autograd"],
                  *(pytest.param(how, marks=pytest.mark.slow) for how in (
                      ["units=raw"], ["scaling=none"], ["scaling=standard"],
                      ["architecture=random_features", "architecture.activation=tanh"]))]  # fmt: skip


@pytest.mark.parametrize("how", OTHER_SETTINGS)
def test_other_settings_reach_the_solution_too(how):
    assert error(trained("problem=poisson_1d", "architecture.width=80", "points.interior=160", *how)) < 1e-5


@pytest.mark.parametrize("network", [
    ["recipe=random_features", "architecture=random_gaussians"],
    pytest.param(["recipe=random_features", "architecture.finer=7"], marks=pytest.mark.slow),
    ["recipe=adapted_features_in_time"],
])  # fmt: skip
@pytest.mark.parametrize(("word", "message"), [
    ("scaling=none", r"scaling=none: \w+ needs inputs in \[-1, 1\]; type scaling=unit"),
    ("scaling=standard", r"scaling=standard: \w+ needs inputs in \[-1, 1\]; type scaling=unit"),
    ("periodic=[x]", r"periodic=\[x\]: the features of \w+ gather at the faces, and a periodic coordinate has none; "
                     r"type periodic=\[\], or architecture=random_features|found 3 inputs; expected one space coord"),
])  # fmt: skip
def test_features_that_gather_at_the_faces_need_inputs_with_faces_at_both_ends_of_unit_scaling(
    network, word, message, one_line
):
    assert main(["train", "problem=convection", *TINY[1:], *network, word]) == USAGE
    assert re.search(message, refusal := one_line()), refusal


@pytest.mark.slow
def test_a_periodic_input_has_its_features_on_the_circle():
    assert error(trained("problem=convection", "problem.beta=1", "periodic=[x]", "architecture.width=300",
                         "points.interior=600", "points.face=100")) < 2e-3  # fmt: skip


@pytest.mark.slow  # every kind of network is loaded by one function
def test_a_loaded_run_gives_the_stored_fields(here):
    assert main(["train", "problem=wave", *TINY, "folder=run"]) == 0
    results = Results(here / "run/results.h5")
    assert abs(results.read("error_estimate")["common"]) < 1
    u, stored = load(here / "run"), results.read("fields")
    X = stored["points"]
    np.testing.assert_allclose(u(x=X[:, 0], t=X[:, 1]), stored["prediction/u"], atol=1e-9)


def test_a_run_with_too_few_features_asks_for_more_and_not_for_more_steps(capsys):
    few = ["architecture.width=20", "points.interior=60", "points.face=20"]
    assert main(["train", "problem=wave", *RECIPE, *few, "folder=run"]) == 0
    assert "more steps change nothing: try a larger architecture.width" in capsys.readouterr().out


@pytest.mark.slow  # a resumed run gets the same points, below: its features are the same too
def test_a_resumed_run_has_the_same_bits():
    run = ["train", "problem=reaction", *TINY, "record.every=1"]
    assert main([*run, "stop.steps=4", "folder=whole"]) == 0
    assert main([*run, "stop.steps=2", "folder=parts"]) == 0
    assert main(["resume", "parts", "stop.steps=4"]) == 0
    assert_same_run("whole", "parts")


FEW_POINTS = ["train", "problem=wave", *RECIPE, "architecture.width=100", "points.interior=40", "points.face=15"]


@pytest.mark.slow
def test_a_run_with_too_few_points_gets_more_although_its_optimizer_has_stopped_and_a_resumed_one_gets_the_same():
    run = [*FEW_POINTS, "record.every=1"]
    assert main([*run, "sampler=[sobol]", "folder=few"]) == 0
    assert main([*run, "folder=more"]) == 0
    few, more = (Results(f"{name}/results.h5") for name in ("few", "more"))
    assert few.read_history()["step"][-1] < more.read_history()["step"][-1] < 40
    assert len(more.read("collocation")["pde"]) > 40
    assert more.read("error")["u"] < 0.05 * few.read("error")["u"]
    with told_to_stop_in(2):
        assert main([*run, "folder=parts"]) == STOPPED
    assert main(["resume", "parts"]) == 0
    assert_same_run("more", "parts")


@pytest.mark.slow  # those below are accurate too
def test_windows_in_time_have_features_of_their_own():
    windows = ["strategy=time_marching", "strategy.time_marching.windows=3"]
    assert main(["train", "problem=wave", *TINY, *windows, "folder=run"]) == 0


@pytest.mark.slow
def test_the_recipe_of_windows_solves_a_nonlinear_equation_with_few_features():
    small = ["architecture.width=150", "points.interior=320", "points.face=64", "strategy.time_marching.windows=5"]
    run = ["train", "problem=reaction", "recipe=random_features_in_time", *small, "figures=off", "folder=run"]
    assert main(run) == 0
    results = Results("run/results.h5")
    assert results.read("error")["u"] < 2e-3
    assert results.read_history()["step"][-1] <= 5 * 4


@pytest.mark.slow  # test_time_marching has their lengths
def test_windows_of_adapted_length_are_those_of_the_solution_and_a_resume_goes_through_the_same(capsys):
    march = "strategy.time_marching"
    run = ["train", "problem=reaction", *TINY, "architecture=random_features", "architecture.scale=[6,0.5]",
           "record.every=1", "strategy=time_marching", f"{march}.windows=1", f"{march}.loss=0.1"]  # fmt: skip
    assert main([*run, "folder=whole"]) == 0
    said = capsys.readouterr().out
    ends = [line.split(":")[0].partition("..")[2] for line in said.splitlines() if line.startswith("stage ")]
    assert ends[0] == "1", "all the time at once does not pass"
    spans = Results("whole/results.h5").read("network")["windows"]
    assert len(spans) < len(ends), "a window that was tried again is no part of the solution"
    assert spans[0, 0] == 0
    assert spans[-1, 1] == 1
    assert (spans[1:, 0] == spans[:-1, 1]).all()
    assert Results("whole/results.h5").read("error")["u"] < 0.1
    with told_to_stop_in(6):
        assert main([*run, "folder=parts"]) == STOPPED
    assert main(["resume", "parts"]) == 0
    assert_same_run("whole", "parts")


ADAPTED = ["recipe=adapted_features_in_time", "architecture.width=40", "architecture.degree=3", "points.interior=400",
           "points.face=80", "figures=off"]  # fmt: skip


@pytest.mark.slow
def test_adapted_features_become_narrower_as_a_front_becomes_steeper_and_their_error_is_estimated():
    more = ["architecture.width=60", "points.interior=600", f"{MARCH}.windows=5"]
    assert main(["train", "problem=burgers", "problem.nu=0.03", *ADAPTED, *more, "folder=run"]) == 0
    error = Results("run/results.h5").read("error")["u"]
    assert error < 1e-3
    assert 1 / 3 < Results("run/results.h5").read("error_estimate")["error/u"] / error < 3
    predicted = load("run")
    steepest = [float(piece.network.weight.max()) for piece in predicted.objective.model.pieces]
    assert steepest[2] > 1.5 * steepest[0], steepest


@pytest.mark.slow
def test_a_resumed_run_of_adapted_features_has_the_same_bits():
    small = ["architecture.width=20", "architecture.degree=2", "points.interior=120", f"{MARCH}.windows=3"]
    run = ["train", "problem=burgers", "problem.nu=0.1", *ADAPTED, *small, "record.every=1"]
    assert main([*run, "folder=whole"]) == 0
    with told_to_stop_in(5):
        assert main([*run, "folder=parts"]) == STOPPED
    assert main(["resume", "parts"]) == 0
    assert_same_run("whole", "parts")


@pytest.mark.parametrize(("words", "message"), [
    (["problem=helmholtz", "strategy=[]"], "expected time as the last coordinate, and Helmholtz has x, y"),
    (["problem=reaction", f"{MARCH}.start=warm"], "type strategy.time_marching.start=fresh"),
    (["problem=reaction", "periodic=[x]"], "found 3 inputs; expected one space coordinate, not in `periodic`"),
])
def test_adapted_features_without_a_beginning_of_their_own_are_refused(words, message, capsys):
    assert main(["train", *ADAPTED, *words, "folder=run"]) == 2
    assert message in capsys.readouterr().err


def test_a_network_without_an_output_layer_is_refused_before_a_folder_is_made(here, capsys):
    (here / "bent.py").write_text(
        "from torch import nn, tanh\n\n\nclass Bent(nn.Linear):\n"
        "    def __init__(self, inputs, outputs):\n        super().__init__(inputs, outputs)\n\n"
        "    def forward(self, z):\n        return tanh(super().forward(z))\n"
    )
    assert main(["train", "problem=wave", "optimizer=newton", "architecture._target_=bent.Bent", "folder=run"]) == 2
    assert "optimizer=newton solves for the output layer, and Bent names none" in capsys.readouterr().err
    assert not (here / "run").exists()


def test_bumps_and_points_that_are_graded_resolve_a_layer_of_unknown_width():
    """The layer is 1e-3 of the domain; 300 uniform points would have none inside it."""
    layer = ["problem=boundary_layer", "problem.eps=1e-3", "architecture=random_gaussians", "sampler=[graded,held_out]"]
    assert error(trained(*layer, "architecture.width=400", "points.interior=1000")) < 1e-6
