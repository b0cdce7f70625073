"""Runs with strategy=correction, from the command line to the verdict: accurate, loaded, resumed, marched, inverse."""

import numpy as np
import pytest
import torch

from pinn_cli import load
from pinn_cli.cli import STOPPED, main
from pinn_cli.methods import corrections
from pinn_cli.methods.contracts import Report
from pinn_cli.methods.corrections import Corrected
from pinn_cli.methods.optimizers.newton import Newton
from pinn_cli.methods.strategies import correction
from pinn_cli.records.results import Results
from pinn_cli.training import error_estimate
from tests.run_files import assert_same_run, told_to_stop_in

TINY = ["recipe=corrected", "figures=off", "architecture.width=8", "architecture.depth=2", "points.interior=128",
        "points.face=16", "optimizer.levenberg_marquardt.steps=8", "strategy.correction.features=60",
        "optimizer.newton.points.interior=200", "optimizer.newton.points.face=40", "record.every=1"]  # fmt: skip
pytestmark = pytest.mark.usefixtures("here", "few_candidates")


@pytest.fixture
def few_candidates(monkeypatch):
    monkeypatch.setattr(corrections, "CANDIDATES", 200)
    monkeypatch.setattr(error_estimate, "COLUMNS", (40,))
    monkeypatch.setattr(correction, "UNSEEN", {"interior": 300, "face": 50})


def column(name: str, folder: str = "run") -> np.ndarray:
    return Results(f"{folder}/results.h5").read_history()[name]


def test_a_correction_lowers_the_error_and_tells_what_is_left(capsys):
    assert main(["train", "problem=poisson_1d", *TINY, "folder=run"]) == 0
    error, left = column("error/u"), column("unexplained")
    assert error[-1] < 0.01 * error[7]
    assert left[-1] == np.nanmin(left) < 0.01
    assert "of the residual there is unexplained" in capsys.readouterr().out


@pytest.mark.slow  # imposed values are loaded below
def test_a_loaded_run_gives_the_stored_fields(here):
    assert main(["train", "problem=wave", *TINY, "folder=run"]) == 0
    u, stored = load(here / "run"), Results(here / "run/results.h5").read("fields")
    X = stored["points"]
    np.testing.assert_allclose(u(x=X[:, 0], t=X[:, 1]), stored["prediction/u"], atol=1e-10)
    assert isinstance(u.objective.model.network, Corrected)


@pytest.mark.slow
def test_a_resumed_run_has_the_same_bits():
    """Stopped before the correction, and inside its first round."""
    smaller = ["architecture.width=4", "points.interior=48", "points.face=8", "strategy.correction.features=20"]
    run = ["train", "problem=reaction", *TINY, *smaller]
    assert main([*run, "folder=whole"]) == 0
    with told_to_stop_in(4):
        assert main([*run, "folder=parts"]) == STOPPED
    with told_to_stop_in(9):
        assert main(["resume", "parts"]) == STOPPED
    assert main(["resume", "parts"]) == 0
    assert_same_run("whole", "parts")


def test_a_round_that_does_not_help_is_undone(here, monkeypatch):
    """The network of the run is then the trained one, as it was."""

    def spoil(newton, objective):
        objective.shift(torch.ones_like(objective.flat(objective.parameters)))
        return Report({"loss/total": 0.0})

    monkeypatch.setattr(Newton, "step", spoil)
    assert main(["train", "problem=wave", *TINY, "folder=run"]) == 0
    assert not isinstance(load(here / "run").objective.model.network, Corrected)
    assert column("error/u")[-1] == column("error/u")[7]
    assert column("unexplained")[-1] == 1.0


def test_imposed_values_still_hold_exactly(here):
    assert main(["train", "problem=poisson_1d", *TINY, "constraints=exact", "folder=run"]) == 0
    u = load(here / "run")
    (low, high), *_ = u.problem.domain.extents
    exact = u.problem.exact(torch.tensor([low, high], dtype=torch.float64)).numpy()
    np.testing.assert_allclose(u(x=[low, high]), exact, atol=1e-14)
    assert column("unexplained")[-1] < 0.1


@pytest.mark.slow
def test_unknowns_are_corrected_too(here):
    assert main(["train", "problem=heat_inverse", *TINY, "folder=run"]) == 0
    assert column("unexplained")[-1] < 1
    assert load(here / "run").unknowns


@pytest.mark.slow
def test_every_window_in_time_is_corrected_before_the_next(here):
    windows = ["strategy=[time_marching,correction]", "strategy.time_marching.windows=2", "stop.steps=60",
               "architecture.width=4", "points.interior=48", "strategy.correction.features=20",
               "optimizer.levenberg_marquardt.steps=3"]  # fmt: skip
    assert main(["train", "problem=wave", *TINY, *windows, "folder=whole"]) == 0
    names = [str(name) for name in Results("whole/results.h5").read("stages")[""]]
    assert [name for name in names if name.endswith("correction 1")] == [
        "t=0..0.5: newton: correction 1", "t=0.5..1: newton: correction 1"]  # fmt: skip
    u, stored = load(here / "whole"), Results(here / "whole/results.h5").read("fields")
    X = stored["points"]
    np.testing.assert_allclose(u(x=X[:, 0], t=X[:, 1]), stored["prediction/u"], atol=1e-10)
    with told_to_stop_in(int(column("step", "whole")[-3])):
        main(["train", "problem=wave", *TINY, *windows, "folder=parts"])
    assert main(["resume", "parts"]) == 0
    assert_same_run("whole", "parts")
