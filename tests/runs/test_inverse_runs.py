"""A run with an unknown coefficient: what it says of its uncertainty, in every place where it says it."""

import json
import shutil
from contextlib import chdir, redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np
import pytest

from pinn_cli.cli import main
from pinn_cli.records.results import Noted, Results
from pinn_cli.reports import figures
from pinn_cli.studies.compare import compare
from pinn_cli.studies.published.measured import record, value
from pinn_cli.studies.published.table import read_table
from tests.run_files import write_run

WORDS = ["problem=heat_inverse", "problem.data={points: 30, noise: 0.01, seed: 1}", "points.interior=32",
         "points.face=4", "architecture.width=4", "architecture.depth=1", "stop.steps=3", "figures=off",
         "folder=run"]  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The run in the folder `run`, and what it has printed."""
    with chdir(tmp_path_factory.mktemp("trained")), redirect_stdout(StringIO()) as printed:
        assert main(["train", *WORDS]) == 0
        return Path("run").resolve(), printed.getvalue()


@pytest.fixture
def run(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(trained[0], tmp_path / "run")), trained[1]


def test_the_uncertainty_is_in_the_summary_the_file_show_and_compare(run, capsys):
    folder, printed = run
    results = Results(folder / "results.h5")
    known = results.read_attributes("unknowns/kappa")
    assert known["low"] < results.read("unknowns")["kappa"] < known["high"]
    assert 0 < known["floor"] <= 1.01 * known["standard_error"]
    assert known["relative_floor"] == pytest.approx(known["floor"] / 0.1)
    assert known["inside"] == float(known["low"] <= 0.1 <= known["high"])
    group = results.read("uncertainty")
    assert group["correlation"].shape == (1, 1)
    assert results.read_attributes("uncertainty/correlation")["names"] == ["kappa"]
    assert results.read_attributes("uncertainty/noise/measured")["measurements"] == 30
    assert f"+- {known['standard_error']:.1e}" in printed
    assert main(["show", "run"]) == 0
    shown = capsys.readouterr().out
    assert f"+- {known['standard_error']:.1e}" in shown
    assert "the noise of measured is estimated at" in " ".join(shown.split())
    assert main(["show", "run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["uncertainty"]["kappa"]["floor"] == pytest.approx(known["floor"])
    (group,) = compare([folder])["groups"]
    assert group["standard_errors"]["kappa"]["median"] == pytest.approx(known["standard_error"])
    values = results.read("measurements/measured")
    left = results.read("residuals/measured")
    np.testing.assert_allclose(values["fit"] - values["data"], left["values"], atol=1e-12)
    np.testing.assert_array_equal(values["data"], left["points"][:, 2])
    written = figures.write(folder, ["unknowns", "measurements"], resolution=40)
    assert [path.stem for path in written] == ["unknowns", "measurements"]


def test_a_table_reads_error_floor_and_coverage_of_each_unknown(run):
    folder, _ = run
    table = read_table("inverse/coefficients")
    kappa = Results(folder / "results.h5").read_attributes("unknowns/kappa")
    found = record(table, "heat_0.01", 0, folder)
    assert found["unknowns"]["kappa"]["floors"] == pytest.approx(kappa["floors"])
    names = {"error": "relative_error", "floor": "relative_floor", "floors": "floors", "inside": "inside"}
    assert {n: found["values"][n] for n in names} == pytest.approx({n: kappa[own] for n, own in names.items()})
    assert json.loads(json.dumps(found)) == found


def test_of_several_unknowns_the_worst_counts(tmp_path):
    inside = {"alpha": 1.0, "beta": 0.0, "gamma": 1.0}
    unknowns = {name: Noted(2.0, {"inside": own, "floors": 1 + own}) for name, own in inside.items()}
    results = write_run(tmp_path / "run")
    results.replace({"unknowns": unknowns})
    quantities = read_table("inverse/coefficients").quantities
    assert value(results, quantities["inside"]) == 0.0
    assert value(results, quantities["floors"]) == 2.0


@pytest.mark.slow
def test_a_profile_is_printed_and_kept_beside_the_stated_interval(run, capsys):
    folder, _ = run
    assert main(["diagnose", "run", "--profile", "kappa"]) == 0
    printed = capsys.readouterr().out
    results = Results(folder / "results.h5")
    kept, known = results.read("profiles/kappa"), results.read_attributes("profiles/kappa/value")
    stated = results.read_attributes("unknowns/kappa")
    assert known["gauss_newton_high"] == pytest.approx(stated["high"])
    assert kept["deviance"].min() == 0
    assert len(kept["value"]) == len(kept["deviance"]) == len(kept["settled"]) >= 3
    assert printed.startswith("kappa: 95 % interval by profile likelihood ")
    assert f"Gauss-Newton {stated['low']:.6g} to {stated['high']:.6g}" in printed
    assert [path.stem for path in figures.write(folder, ["profiles"], resolution=40)] == ["profiles"]
    assert main(["diagnose", "run", "--profile", "kapa"]) == 2
    assert "no unknown `kapa`; did you mean `kappa`?" in capsys.readouterr().err
    assert main(["diagnose", "run", "points", "--profile", "kappa"]) == 2
    assert main(["resume", "run", "stop.steps=4"]) == 0
    assert not Results(folder / "results.h5").read("profiles")  # it was that of another network


@pytest.mark.slow
def test_the_refits_of_a_network_settle_and_a_nearly_linear_coefficient_has_the_gauss_newton_interval(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    words = ["problem=heat_inverse", "problem.data={points: 200, noise: 0.1}", "architecture.width=10",
             "architecture.depth=2", "points.interior=200", "weights.data=0.03", "stop.steps=100"]  # fmt: skip
    assert main(["train", *words, "figures=off", "folder=run"]) == 0
    assert main(["diagnose", "run", "--profile", "kappa"]) == 0
    results = Results(tmp_path / "run" / "results.h5")
    known = results.read_attributes("profiles/kappa/value")
    half = (known["gauss_newton_high"] - known["gauss_newton_low"]) / 2
    assert known["low"] == pytest.approx(known["gauss_newton_low"], abs=0.05 * half)
    assert known["high"] == pytest.approx(known["gauss_newton_high"], abs=0.05 * half)
    assert results.read("profiles/kappa")["settled"].all()


POPULATIONS = ["problem=lotka_volterra", "problem.data=counts.csv", "points.interior=16", "architecture.width=3",
               "architecture.depth=1", "stop.steps=2", "figures=off", "folder=run"]  # fmt: skip


def test_quantities_measured_at_different_points_count_each_with_its_own(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "counts.csv").write_text("t,u,v\n1,1.8,\n2,3.2,1\n3,,2.5\n4,2,\n5,1,\n6,,1.2\n7,0.9,\n")
    assert main(["train", *POPULATIONS, "problem.unknowns.alpha=0.8"]) == 0
    results = Results(tmp_path / "run" / "results.h5")
    counts = {n: results.read_attributes(f"uncertainty/noise/measured_{n}")["measurements"] for n in "uv"}
    assert counts == {"u": 5, "v": 3}
    assert results.read("residuals/measured_v")["points"][:, 0].tolist() == [2, 3, 6]
    assert results.read("measurements/measured_u")["data"].tolist() == [1.8, 3.2, 2, 1, 0.9]
    (written,) = figures.write(tmp_path / "run", ["measurements"], resolution=40)
    assert written.stem == "measurements"


def test_what_was_not_measured_does_not_count_against_the_number_of_unknowns(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "counts.csv").write_text("t,u,v\n1,1.8,\n2,,1\n")
    assert main(["train", *POPULATIONS, "problem.unknowns={alpha: 1, beta: 1, gamma: 1}"]) == 2
    assert "3 unknowns (alpha, beta, gamma) and 2 measured values" in capsys.readouterr().err
