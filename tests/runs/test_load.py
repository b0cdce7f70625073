"""A trained run is loaded as a function, in Python and by `pinn predict`."""

import io
from contextlib import redirect_stdout
from pathlib import Path

import h5py
import numpy as np
import pytest

from pinn_cli import load
from pinn_cli.basics.errors import UsageError
from pinn_cli.cli import main
from pinn_cli.records.results import Results
from tests.conftest import refused

SMALL = ["architecture.width=6", "architecture.depth=1", "points.interior=64", "points.face=8", "figures=off"]
pytestmark = pytest.mark.usefixtures("here")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a few steps on Helmholtz."""
    folder = tmp_path_factory.mktemp("predict") / "run"
    with redirect_stdout(io.StringIO()):
        assert main(["train", "problem=helmholtz", "stop.steps=3", f"folder={folder}", *SMALL]) == 0
    return folder


def test_a_loaded_run_gives_the_stored_prediction(run: Path) -> None:
    u, stored = load(run), Results(run / "results.h5").read("fields")
    X = stored["points"]
    np.testing.assert_allclose(u(x=X[:, 0], y=X[:, 1]), stored["prediction/u"], rtol=1e-12, atol=1e-13)


def test_inputs_are_broadcast(run: Path) -> None:
    u = load(run)
    assert u(x=0.3, y=[0, 0.5]).shape == (2,)
    assert u(x=0.3, y=0.5).shape == ()
    assert u(x=np.zeros((4, 1)), y=np.zeros((1, 5))).shape == (4, 5)
    assert u(x=0.3, y=0.5) == u(x=0.3, y=[0, 0.5])[1]


def test_derivatives_and_residuals_are_those_of_the_function(run: Path) -> None:
    u, h = load(run), 1e-5
    found = u(x=0.3, y=[0, 0.5], derivatives=["u", "u_x", "lap_u", "residual/pde", "residual/wall"])
    assert set(found) == {"u", "u_x", "lap_u", "residual/pde", "residual/wall"}
    difference = (u(x=0.3 + h, y=[0, 0.5]) - u(x=0.3 - h, y=[0, 0.5])) / (2 * h)
    np.testing.assert_allclose(found["u_x"], difference, rtol=1e-6, atol=1e-8)
    np.testing.assert_array_equal(u(x=0.3, y=[0, 0.5], derivatives="u_x"), found["u_x"])


def test_many_points_are_evaluated_in_parts(run: Path, monkeypatch) -> None:
    u, x = load(run), np.linspace(-1, 1, 100)
    whole = u(x=x, y=0.1)
    monkeypatch.setattr("pinn_cli.runs.load.AT_ONCE", 7)
    np.testing.assert_allclose(u(x=x, y=0.1), whole, rtol=1e-12)


def test_a_loaded_run_has_the_problem_the_configuration_and_the_history(run: Path) -> None:
    u = load(run)
    assert (u.coordinates, u.fields, u.unknowns) == (("x", "y"), ("u",), {})
    assert u.problem.a2 == 4.0
    assert u.config.architecture.width == 6
    assert u.history["step"][-1] == 3


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"x": 1.0}, "expected x=..., y=..."),
        ({"x": 1.0, "z": 1.0}, "found coordinates x, z"),
        ({"x": [1.0, 2.0], "y": [1.0, 2.0, 3.0]}, "do not fit"),
        ({"x": 1.0, "y": 1.0, "derivatives": "u_z"}, "u_z"),
        ({"x": 1.0, "y": 1.0, "derivatives": ["residual/nothing"]}, "residual/pde"),
    ],
)
def test_an_invalid_call_is_refused(run: Path, call: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message.replace(".", r"\.")):
        load(run)(**call)


def test_a_running_run_is_read_from_its_checkpoint(run: Path, tmp_path: Path) -> None:
    copy = copied(run, tmp_path / "copy")
    expected = load(copy)(x=0.1, y=0.2)
    results = Results(copy / "results.h5")
    results.attributes(status="running")
    results.replace({"network": {}})
    assert load(copy)(x=0.1, y=0.2) == expected
    (copy / "checkpoint.pt").unlink()
    (copy / "results.h5").write_bytes(without_network(copy))
    with pytest.raises(UsageError, match="holds no network yet"):
        load(copy)


def test_a_text_that_nobody_here_has_trained_with_runs_only_if_it_is_trusted(run: Path, tmp_path: Path) -> None:
    copy = copied(run, tmp_path / "copy")
    results = Results(copy / "results.h5")
    (module,) = results.read("source")
    text = results.read("source")[module]
    results.replace({"source": {module: text + "\nMARK = 'theirs'\nopen('imported', 'w').close()\n"}})
    with refused("never trained with here.*MARK"):
        load(copy)
    assert not Path("imported").exists()
    theirs = load(copy, trust_source=True)
    assert Path("imported").exists()
    assert type(theirs.problem).exact.__globals__["MARK"] == "theirs"
    assert theirs(x=0.1, y=0.2) == load(copy, changed=True)(x=0.1, y=0.2)
    assert main(["predict", str(copy), "--grid", "3x3", "--out", "f.npz", "--trust"]) == 0


def test_another_network_is_refused(run: Path, tmp_path: Path) -> None:
    copy = copied(run, tmp_path / "copy")
    Results(copy / "results.h5").replace({"network": {"network.layers.0.weight": np.zeros((3, 3))}})
    with pytest.raises(UsageError, match="not the one of its configuration"):
        load(copy)


@pytest.mark.parametrize("name", ["f.npz", "f.h5"])
def test_pinn_predict_writes_a_grid(run: Path, name: str, capsys) -> None:
    assert main(["predict", str(run), "--grid", "5x7", "--out", name, "--values", "u,u_x,residual/pde"]) == 0
    assert "u (5, 7)" in capsys.readouterr().out
    if name.endswith("npz"):
        found = dict(np.load(name))
    else:
        with h5py.File(name) as file:
            found = {key: file[key][()] for key in ("x", "y", "u", "u_x", "residual/pde")}
    expected = load(run)(x=found["x"][:, None], y=found["y"][None], derivatives=["u", "u_x", "residual/pde"])
    for key, values in expected.items():
        np.testing.assert_allclose(found[key], values, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--grid", "5", "--out", "f.h5"], "expected a whole number above 1 for each of x, y, e.g. 200x200"),
        (["--grid", "5x-1", "--out", "f.h5"], "expected whole numbers with an x between them; type --grid 200x200"),
        (["--grid", "5,7", "--out", "f.h5"], "type --grid 5x7"),
        (["--grid", "5x5", "--out", "f.txt"], "ends in .npz or .h5"),
        (["--grid", "5x5", "--out", "missing/f.h5"], "cannot write"),
        (["--grid", "5x5", "--out", "missing/f.npz"], "cannot write"),
    ],
)
def test_pinn_predict_refuses_in_one_line(run: Path, words: list[str], message: str, one_line) -> None:
    assert main(["predict", str(run), *words]) == 2
    assert message in one_line()


def copied(run: Path, folder: Path) -> Path:
    folder.mkdir()
    for name in ("results.h5", "checkpoint.pt"):
        (folder / name).write_bytes((run / name).read_bytes())
    return folder


def without_network(folder: Path) -> bytes:
    with h5py.File(folder / "results.h5", "r+") as file:
        del file["network"]
    return (folder / "results.h5").read_bytes()
