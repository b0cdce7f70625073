"""A run with an unknown coefficient: what it says of its uncertainty, in every place where it says it."""

import json

import numpy as np
import pytest

from pinn_cli.cli import main
from pinn_cli.records.results import Results
from pinn_cli.reports import figures
from pinn_cli.studies.compare import compare

WORDS = ["problem=heat_inverse", "problem.data={points: 30, noise: 0.01, seed: 1}", "points.interior=32",
         "points.face=4", "architecture.width=4", "architecture.depth=1", "stop.steps=3", "figures=off",
         "folder=run"]  # fmt: skip


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", *WORDS]) == 0
    return tmp_path / "run", capsys.readouterr().out


def test_the_uncertainty_is_in_the_summary_the_file_show_and_compare(run, capsys):
    folder, printed = run
    results = Results(folder / "results.h5")
    known = results.read_attributes("unknowns/kappa")
    assert known["low"] < results.read("unknowns")["kappa"] < known["high"]
    assert 0 < known["floor"] <= 1.01 * known["standard_error"]
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
