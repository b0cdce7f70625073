"""The verdict's advice can be typed, and helps: it names the setting that has ended the run."""

import pytest

from pinn_cli.cli import main
from pinn_cli.configuration.compose import compose
from pinn_cli.runs.advice import resume
from pinn_cli.training.stopping import RESUME, Stop

SMALL = ["problem=poisson_1d", "figures=off", "architecture.width=6", "architecture.depth=1", "points.interior=40",
         "points.face=8", "folder=run"]  # fmt: skip
STALLED = ["optimizer=[ssbroyden]", "optimizer.ssbroyden.loss_tolerance=1e9", "stop.steps=50"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["stop.steps=1"], "train longer: type a larger stop.steps"),
        pytest.param(["stop.steps=null", "stop.seconds=0.2"], "train longer: type a larger stop.seconds",
                     marks=pytest.mark.slow),
        pytest.param(["stop.loss=1e9"], "train longer: type a smaller stop.loss", marks=pytest.mark.slow),
        pytest.param(["stop.error=1e9"], "train longer: type a smaller stop.error", marks=pytest.mark.slow),
        pytest.param(["stop.plateau=1", "optimizer=[sgd]", "optimizer.sgd.lr=1e-300"],
                     "train longer: type a larger stop.plateau", marks=pytest.mark.slow),
        (
            ["optimizer.levenberg_marquardt.steps=1"],
            "train longer: type more steps for the stage levenberg_marquardt",
        ),
        (
            ["problem=wave", "strategy=[time_marching]", "strategy.time_marching.windows=2", "stop.steps=3"],
            "train longer: type a larger stop.steps in a new run",
        ),
        pytest.param(
            STALLED, "more steps change nothing: try a larger architecture.width, or another seed",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            [*STALLED, "dtype=float32"],
            "more steps change nothing: try dtype=float64, a larger architecture.width, or another seed",
            marks=pytest.mark.slow,
        ),
        (
            [*STALLED, "optimizer=[adam,ssbroyden]", "optimizer.adam.steps=1"],
            "more steps change nothing: try more steps for the optimizers before the last, a larger "
            "architecture.width, or another seed",
        ),
    ],
)  # fmt: skip
def test_the_setting_that_ended_the_run_is_named(here, capsys, words, expected):
    assert main(["train", *SMALL, *words]) == 0
    guard = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("guard"))
    assert guard.endswith(f"; {expected}")


FEATURES = ["recipe=random_features", "architecture.width=20", "points.interior=60", "points.face=20", "figures=off",
            "folder=run"]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "ways"),
    [
        pytest.param(["problem=helmholtz"],
                     ["architecture.frequency for the finest wave", "random_gaussians sampler=[graded"],
                     marks=pytest.mark.slow),
        (["problem=wave"], ["architecture.frequency for the finest wave", "windows in time: strategy=[time_marching]"]),
        pytest.param(["problem=wave", "architecture=random_features"],
                     ["a larger architecture.scale", "windows in time"],
                     marks=pytest.mark.slow),
        (["problem=boundary_layer", "architecture=random_gaussians"], ["a smaller architecture.finest"]),
    ],
)  # fmt: skip
def test_random_features_that_cannot_express_the_solution_are_told_which_can(here, capsys, words, ways):
    assert main(["train", *words, *FEATURES]) == 0
    guard = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("guard"))
    assert all(way in guard for way in ways), guard
    assert ("windows" in guard) is (words[0] == "problem=wave")
    assert guard.endswith(", or another seed")


def test_a_run_that_has_stopped_between_windows_goes_on_with_a_limit_for_the_rest_of_the_time():
    config = compose(["problem=wave", "stop.steps=200", "stop.seconds=7.5"])
    assert resume(config, Stop("", longer="a larger stop.steps"), 0.5) == "pinn resume RUN stop.steps=600"
    assert resume(config, Stop("", longer="a larger stop.seconds"), 0.9) == "pinn resume RUN stop.seconds=15"
    assert resume(config, Stop("", longer="a larger stop.steps"), 1e-7, "here") == "pinn resume here stop.steps=2000"
    assert resume(config, Stop("", longer=RESUME), 0.5) == "pinn resume RUN"
