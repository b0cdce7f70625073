"""A run with an unknown field: its results file, figure, prediction, and a stop on the way."""

from pathlib import Path

import numpy as np
import pytest

import pinn_cli
from pinn_cli import cli
from pinn_cli.basics.errors import UsageError
from pinn_cli.records.results import Results
from pinn_cli.reports import figures
from tests.run_files import assert_same_run, told_to_stop_in

WORDS = ["train", "problem=heat_conductivity", "problem.count=30", "points.interior=24", "points.face=4",
         "architecture.width=4", "architecture.depth=1", "problem.unknowns.k.width=3", "stop.steps=6", "record.every=4",
         "figures=off", "compile=off"]  # fmt: skip


@pytest.fixture
def run(own_folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[Path, str]:
    assert cli.main([*WORDS, "folder=whole"]) == 0
    return Path("whole"), capsys.readouterr().out


def test_the_field_and_its_band_are_in_the_file_the_summary_and_a_figure(
    run: tuple[Path, str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, printed = run
    results = Results(folder / "results.h5")
    known = results.read("unknown_fields")
    assert known["k/points"].shape == (201, 1)
    assert results.read_attributes("unknown_fields/k/points")["coordinates"] == ["x"]
    for name in ("value", "truth", "standard_error", "floor"):
        assert known[f"k/{name}"].shape == (201,)
    about = results.read_attributes("unknown_fields/k/value")
    assert about["relative_error"] == pytest.approx(
        np.linalg.norm(known["k/value"] - known["k/truth"]) / np.linalg.norm(known["k/truth"])
    )
    assert 0 <= about["covered"] <= 1
    assert set(results.read("error")) == {"u", "k"}  # the truth is compared on the grid of the solution, too
    assert "k(x) from " in printed
    assert cli.main(["show", "whole"]) == 0
    assert "k(x) from " in capsys.readouterr().out
    assert [path.stem for path in figures.write(folder, ["unknown_fields"], resolution=40)] == ["unknown_fields"]


def test_a_field_is_predicted_at_its_own_coordinates(run: tuple[Path, str]) -> None:
    folder, _ = run
    u = pinn_cli.load(folder)
    assert u.fields == ("u", "k")
    stored = Results(folder / "results.h5").read("unknown_fields")
    x = stored["k/points"][:, 0]
    np.testing.assert_allclose(u(x=x, derivatives="k"), stored["k/value"], rtol=1e-12)
    both = u(x=0.3, t=[0.1, 0.9], derivatives=["u", "k", "k_x"])
    assert both["k"][0] == both["k"][1]
    assert both["u"][0] != both["u"][1]
    with pytest.raises(UsageError, match="found coordinates x; expected x="):
        u(x=0.3, derivatives="u")


@pytest.mark.slow
def test_a_stopped_run_with_an_unknown_field_resumes_bit_for_bit(run: tuple[Path, str]) -> None:
    with told_to_stop_in(3):
        assert cli.main([*WORDS, "folder=parts"]) == cli.STOPPED
    assert cli.main(["resume", "parts"]) == 0
    assert_same_run(Path("parts"), run[0])
