"""The estimated error of a run: at its end, in its file, on its page, in JSON, and after time marching."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from pinn_cli import cli
from pinn_cli.records.results import Results
from pinn_cli.training.conclusion import Conclusion
from pinn_cli.training.error_estimate import Estimate
from pinn_cli.training.estimate_records import largest
from pinn_cli.training.metrics import Errors
from pinn_cli.training.verdict import Verdict
from tests.conftest import TINY

pytestmark = pytest.mark.usefixtures("here", "all_windows")


def trained(*words: str) -> Results:
    assert cli.main(["train", *TINY, "folder=run", *words]) == 0
    return Results(Path("run/results.h5"))


def test_a_run_ends_with_its_estimated_error(capsys):
    results = trained("stop.steps=2")
    shown, estimate = capsys.readouterr().out, results.read("error_estimate")
    line = next(line for line in shown.splitlines() if "estimated error u" in line).strip()
    assert estimate["lines"] == [line]
    assert f"u {estimate['error/u']:.0e} (relative L2; " in line
    assert estimate["correction/u"].shape == results.read("fields")["prediction/u"].shape
    assert results.read("timing")["estimate"] > 0
    assert cli.main(["show", "run"]) == 0
    assert line in capsys.readouterr().out
    assert cli.main(["show", "run", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["error_estimate"]["error/u"] == facts["summary"]["estimated"]["u"] == estimate["error/u"]
    assert facts["summary"]["explained"] == estimate["explained"]


def test_where_there_is_none_the_run_ends_well_and_says_why(capsys, monkeypatch):
    def fails(*arguments, **options):
        raise RuntimeError("no memory left")

    monkeypatch.setattr("pinn_cli.training.error_estimate._pieces", fails)
    results = trained("stop.steps=1")
    assert "estimated error: none (RuntimeError: no memory left)" in capsys.readouterr().out
    assert results.read_attributes()["status"] == "finished"
    assert set(results.read("error_estimate")) == {"lines"}


def test_a_reference_that_contradicts_a_good_verdict_is_said():
    errors = {"u": Errors(0.5, 0.1, 0.1, 9)}
    told = [
        Conclusion(errors, Estimate({"u": small}, 0.99), {}, Verdict(relative={"pde": residual})).estimates()[1:]
        for small, residual in ((1e-5, 1e-5), (0.3, 1e-5), (1e-5, 0.9))
    ]
    assert [len(lines) for lines in told] == [1, 0, 0]
    assert told[0][0].startswith("the error 5e-01 of u against the reference is far above the estimated one: ")


def test_the_error_against_a_reference_of_0_is_absolute():
    done = Conclusion({"u": Errors(float("nan"), 1e-6, 2e-6, 9)}, Estimate({"u": 1.0}, 0.99), {}, Verdict())
    assert done.estimates()[1:] == ["the reference of u is 0: its largest error is 2e-06, absolute"]


def test_the_error_of_an_unknown_is_absolute_and_relative_only_where_it_can_be():
    done = Conclusion({}, Estimate(why="x"), {}, Verdict(), {"c": (1e-7, 0.0), "k": (2e-3, 0.1)})
    assert done.estimates()[1:] == [
        "error c 1e-07 (absolute; the problem says c = 0)",
        "error k 2e-03 (absolute, 2e-02 relative; the problem says k = 0.1)",
    ]


@pytest.mark.slow  # one that others follow is judged below
def test_windows_in_time_have_one_estimate():
    results = trained("problem=burgers", "strategy=time_marching", "strategy.time_marching.windows=2", "stop.steps=4")
    estimate = results.read("error_estimate")
    assert estimate["error/u"] > 0
    assert np.isfinite(estimate["correction/u"]).all()


def test_an_unknown_coefficient_has_an_estimated_error():
    estimate = trained("problem=heat_inverse", "stop.steps=2").read("error_estimate")
    assert estimate["unknown/kappa"] > 0
    assert any(line.startswith("estimated error kappa") for line in estimate["lines"])


@pytest.mark.slow
def test_the_estimate_is_that_of_the_problem_of_the_run_not_of_its_last_stage():
    results = trained("problem=convection", "strategy=regression", "stop.steps=2")
    assert results.read("error_estimate")["error/u"] > 0


# --- while a run trains -----------------------------------------------------------------------------------------------

FEW = ["problem=poisson_1d", "architecture.width=8", "points.interior=40", "figures=off", "compile=off"]


def test_a_run_stops_when_its_estimated_error_is_small_and_may_be_trusted():
    results = trained(*FEW, "stop.steps=60", "stop.estimated_error=1e-3", "record.estimated_error=5")
    history, attributes = results.read_history(), results.read_attributes()
    assert attributes["reason"] == "stop.estimated_error=0.001 reached"
    steps, estimated = history["step"], history["estimated_error/u"]
    assert all(steps[np.isfinite(estimated)] % 5 == 0)
    assert history["estimate/trusted"][-1] == 1
    assert estimated[-1] <= 1e-3
    before = np.isfinite(estimated[:-1])
    assert not np.any((estimated[:-1][before] <= 1e-3) & (history["estimate/trusted"][:-1][before] == 1))
    assert 1 / 3 < history["error/u"][-1] / estimated[-1] < 3
    assert results.read("error_estimate")["error/u"] == pytest.approx(estimated[-1])
    assert re.fullmatch(r"\d+ % of the residual explained", results.read("error_estimate")["trust"])


UNRESOLVED = ["problem=convection", "problem.beta=80", "architecture.width=8", "points.interior=100", "points.face=20"]


@pytest.mark.slow
def test_a_run_that_is_far_from_its_equations_is_not_stopped_by_an_estimate():
    """Its estimates are below the limit, but rough."""
    few = ["figures=off", "stop.steps=4", "record.estimated_error=2"]
    results = trained(*UNRESOLVED, *few, "stop.estimated_error=100")
    history = results.read_history()
    assert np.nanmax(history["estimated_error/u"]) < 100
    assert not np.nanmax(history["estimate/trusted"])
    assert results.read_attributes()["reason"] == "stop.steps=4 reached"


@pytest.mark.parametrize(
    ("estimate", "solved", "trusted"),
    [
        (Estimate({"u": 1e-9}, 0.9), True, True),
        (Estimate({"u": 1e-9}, 0.9), False, False),
        (Estimate({"u": 1e-9}, 0.3), True, False),
        (Estimate({"u": 1e-9}, 0.9, peaks=0.1), True, False),
        (Estimate({"u": 1e-9}, -0.1), True, False),
        (Estimate({"u": 1e-9}, float("nan")), True, False),
        (Estimate({"u": 1e-9}, float("nan"), common=0.1), True, False),
        (Estimate({"u": 1e-9}, -0.5, common=0.3), True, True),
        (Estimate({"u": 1e-9}, -0.5, common=0.3), False, False),
        (Estimate({"u": 1e-9}, -2.5, common=0.3), True, False),
        (Estimate({"u": 1e-9}, 0.2, common=0.9), True, False),
        (Estimate({"u": 1e-15}, float("nan"), at_floor=True), True, True),
        (Estimate({"u": 1e-15}, float("nan"), common=0.1, at_floor=True), True, True),
        (Estimate({"u": 1e-15}, float("nan"), at_floor=True), False, False),
        (Estimate(why="none"), True, False),
    ],
)
def test_an_estimate_is_trusted_where_its_words_say_so(estimate, solved, trusted):
    assert estimate.is_trusted(solved) is trusted
    if not estimate.why:
        words = r"\d+ % of the residual explained|the difference to a second solution.*|at the rounding floor"
        assert bool(re.fullmatch(words, estimate.trust(solved))) is trusted


def test_the_largest_estimated_error_counts_and_none_is_infinite():
    assert largest(Estimate({"u": 1e-9, "v": 1e-3}, unknowns={"k": 1e-2})) == 1e-2
    assert largest(Estimate({"u": 1e-9, "v": float("nan")})) == largest(Estimate(why="none")) == float("inf")


@pytest.mark.slow
def test_estimates_do_not_change_the_training():
    words = ["recipe=adam", "stop.steps=9", "record.every=1", "sampler=[uniform]"]
    plain = trained(*words)
    before = plain.read_history()
    assert cli.main(["train", *TINY, *words, "record.estimated_error=2", "folder=other"]) == 0
    history = Results(Path("other/results.h5")).read_history()
    assert np.isfinite(history["estimated_error/u"]).sum() == 4
    for name in before.keys() - {"time"}:
        np.testing.assert_array_equal(before[name], history[name])


def test_a_window_that_others_follow_is_judged_alone_and_the_last_one_with_all_before():
    windows = ["strategy=time_marching", "strategy.time_marching.windows=2", "strategy.time_marching.steps=2"]
    results = trained("problem=burgers", *windows, "record.estimated_error=2")
    history = results.read_history()
    assert np.isfinite(history["estimated_error/u"][[1, 3]]).all()
    assert history["estimated_error/u"][3] == pytest.approx(results.read("error_estimate")["error/u"])
