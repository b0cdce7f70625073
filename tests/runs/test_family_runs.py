"""Runs of an instance of a family: trained, resumed bit for bit, loaded, and predicted from, by the command line."""

from contextlib import chdir
from pathlib import Path

import numpy as np
import pytest
import torch

from pinn_cli import cli, load
from pinn_cli.basics.errors import UsageError
from pinn_cli.problems.helmholtz_family import HelmholtzFamily
from pinn_cli.records.results import Results
from tests.run_files import assert_same_run

SMALL = ["points.interior=32", "points.face=8", "architecture.width=6", "figures=off", "compile=off"]
SHORT = ["train", "problem=helmholtz_family", "problem.seed=7", *SMALL]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Four steps at once."""
    with chdir(tmp_path_factory.mktemp("trained")):
        assert cli.main([*SHORT, "stop.steps=4", "folder=whole"]) == 0
        return Path("whole").resolve()


@pytest.fixture(autouse=True)
def in_own_folder(own_folder: Path) -> None:
    """Every test has a working directory of its own."""


def test_an_instance_resumes_to_the_same_bits(whole):
    assert cli.main([*SHORT, "stop.steps=2", "folder=parts"]) == 0
    assert cli.main(["resume", "parts", "stop.steps=4"]) == 0
    assert_same_run(whole, Path("parts"))


def test_a_run_knows_its_instance_and_its_fields(whole):
    u = load(whole)
    assert u.problem.seed == 7
    q = HelmholtzFamily(seed=7).q
    x, y = np.array([0.1, 0.2]), np.array([-0.3, 0.4])
    known = u(np.stack([x, y], 1), derivatives=["u", "q", "q_x"])
    points = torch.from_numpy(x), torch.from_numpy(y)
    np.testing.assert_allclose(known["q"], q(*points))
    np.testing.assert_allclose(known["q_x"], q.derivative((1, 0))(*points))
    assert cli.main(["predict", str(whole), "--grid", "3x4", "--out", "u.npz", "--values", "u,q"]) == 0
    assert np.load("u.npz")["q"].shape == (3, 4)


def test_another_instance_is_another_problem_in_every_record(whole, capsys):
    assert cli.main([*SHORT, "problem.seed=8", "stop.steps=1", "folder=other"]) == 0
    assert "instance  seed 8 (test)  q: " in capsys.readouterr().out
    one, other = (Results(folder / "results.h5").read_attributes() for folder in (whole, Path("other")))
    assert one["inputs"] != other["inputs"]
    assert one["source"] == other["source"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["problem.k=9"], "HelmholtzFamily.k: found 9; expected a number from 2.4 to 3.3"),
        (["problem.seed=-1"], "HelmholtzFamily: seed=-1: expected a whole number from 0 to"),
        (["problem.q=3"], "HelmholtzFamily.q: found 3; expected a field of x, y, such as Gridded(...)"),
    ],
)
def test_a_wrong_instance_is_refused_in_one_line(words, says, capsys):
    assert cli.main([*SHORT, *words, "folder=none"]) == cli.USAGE
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
    assert not Path("none").exists()


def test_check_tells_the_distributions_and_the_first_instance_of_every_set(capsys):
    assert cli.main(["check", "problem=helmholtz_family", "problem.seed=1003"]) == 0
    page = capsys.readouterr().out
    for line in ("  family        k: 2.4 to 3.3, uniform", "  instance      seed 1003 (validation): k 2.66945; q ",
                 "seed 0 (test): k ", "seed 2000 (train): k "):  # fmt: skip
        assert line in page


def test_a_field_may_be_a_file_which_is_recorded_as_data(capsys):
    axis = np.linspace(-1, 1, 21)
    x, y = np.meshgrid(axis, axis, indexing="ij")
    rows = np.stack([x.ravel(), y.ravel(), (np.sin(np.pi * x) * np.sin(np.pi * y)).ravel()], 1)
    np.savetxt("q.csv", rows, delimiter=",", header="x,y,q", comments="")
    assert cli.main([*SHORT, "problem.q=q.csv", "stop.steps=1", "folder=run"]) == 0
    assert "q: -0.98 to 0.98, rms 0.478" in capsys.readouterr().out
    known = load("run")(x=[0.5, -0.5], y=[0.5, 0.5], derivatives="q")
    np.testing.assert_allclose(known, [1, -1], atol=1e-4)
    assert cli.main(["resume", "run", "stop.steps=2"]) == 0
    Path("q.csv").write_text(Path("q.csv").read_text().replace("1.0", "0.9", 1))
    with pytest.raises(UsageError, match=r"q\.csv"):
        load("run")
    assert cli.main([*SHORT, "problem.q=none.csv", "folder=none"]) == cli.USAGE
    assert "none.csv: no such file" in capsys.readouterr().err
