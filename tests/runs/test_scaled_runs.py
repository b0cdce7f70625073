"""Runs whose fields have a scale: they are loaded, resumed and marched like all others, by every network."""

import numpy as np
import pytest
import torch

from pinn_cli import load
from pinn_cli.cli import main
from pinn_cli.configuration.assemble import assemble
from pinn_cli.configuration.compose import compose
from pinn_cli.configuration.plan import preview
from pinn_cli.configuration.settings import read_back
from pinn_cli.problems.heat_rod import HeatRod
from pinn_cli.records.results import Results
from tests.run_files import assert_same_run

SMALL = ["architecture.width=6", "architecture.depth=1", "points.interior=64", "points.face=8", "figures=off"]
ROD = ["train", "problem=heat_rod", *SMALL]
pytestmark = pytest.mark.usefixtures("here")


@pytest.mark.parametrize(
    "how",
    [
        pytest.param(["strategy=time_marching", "strategy.time_marching.windows=2"], marks=pytest.mark.slow),
        ["constraints=exact"],
        pytest.param([], marks=pytest.mark.slow),
        pytest.param(["dtype=float32"], marks=pytest.mark.slow),
    ],
)
def test_a_loaded_run_gives_kelvin(how, here):
    assert main([*ROD, *how, "stop.steps=4", "folder=run"]) == 0
    T, stored = load(here / "run"), Results(here / "run/results.h5").read("fields")
    X = stored["points"]
    np.testing.assert_allclose(T(x=X[:, 0], t=X[:, 1]), stored["prediction/T"], rtol=1e-6)
    assert abs(stored["prediction/T"] - 305).max() < 25


@pytest.mark.parametrize("how", [pytest.param([], marks=pytest.mark.slow),
                                 pytest.param(["strategy=time_marching", "strategy.time_marching.windows=2",
                                               "strategy.time_marching.steps=3"], marks=pytest.mark.slow)])  # fmt: skip
def test_a_resumed_run_has_the_same_bits(how):
    run = [*ROD, *how, "record.every=1"]
    assert main([*run, "stop.steps=6", "folder=whole"]) == 0
    assert main([*run, "stop.steps=4", "folder=parts"]) == 0
    assert main(["resume", "parts", "stop.steps=6"]) == 0
    assert_same_run("whole", "parts")


@pytest.mark.parametrize("architecture", ["mlp", "modified_mlp", "fourier"])
@pytest.mark.parametrize("derivatives", ["taylor", "autograd"])
def test_every_network_is_scaled(architecture, derivatives):
    words = [f"architecture={architecture}", f"derivatives={derivatives}", "architecture.width=6", *SMALL[2:]]
    objective = preview(assemble(compose(["problem=heat_rod", *words])))
    model, X = objective.model, objective.batch["pde"]
    assert torch.equal(model(X), model.network(model.features(X)) * 5 + 305)
    J = objective.linearise()
    assert float(J.F @ J.F) == pytest.approx(float(objective.loss().detach()))


def test_an_ansatz_of_the_user_gets_the_network_as_it_is_or_with_the_scale_that_the_problem_gives(monkeypatch):
    for given, size in (({}, 1.0), ({"T": 10.0}, 10.0)):
        problem = HeatRod()
        problem.ansatz, problem.scale = (lambda x, t, T: 300 + T), given
        monkeypatch.setattr("pinn_cli.configuration.assemble.build_problem", lambda config, builder, own=problem: own)
        objective = preview(assemble(compose(["problem=heat_rod", *SMALL])))
        model, X = objective.model, objective.batch["pde"]
        assert torch.equal(model(X), 300 + model.network(model.features(X)) * size)


def test_an_unknown_field_in_scale_is_refused_in_one_line(monkeypatch, capsys):
    problem = HeatRod()
    problem.scale = {"u": 1.0}
    monkeypatch.setattr("pinn_cli.configuration.assemble.build_problem", lambda config, builder: problem)
    assert main([*ROD, "stop.steps=1"]) == 2
    assert "HeatRod.scale: `u` is no field; expected of T" in capsys.readouterr().err


def test_check_and_the_plan_show_scales_and_units(capsys):
    assert main(["check", "problem=heat_rod"]) == 0
    page = capsys.readouterr().out
    assert "fields        T = 305 +- 5  (values)" in page
    assert "natural unit 5" in page
    assert main(["check", "problem=heat_rod", "units=raw"]) == 0
    assert "natural unit" not in capsys.readouterr().out


def test_a_file_from_before_natural_units_has_raw_ones(here):
    assert main([*ROD, "units=raw", "stop.steps=1", "folder=run"]) == 0
    text = Results(here / "run/results.h5").read_config()
    assert "units: raw\n" in text
    assert read_back(text.replace("units: raw\n", ""), "a file").units == "raw"
