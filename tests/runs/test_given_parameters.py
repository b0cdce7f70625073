"""Parameters that a user gives to a network of a family: numbers, fields on grids, functions and files."""

import pickle
from contextlib import chdir
from functools import cache
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from pinn_cli import cli, load
from pinn_cli.basics.errors import UsageError
from pinn_cli.physics.coefficient_fields.gridded import Gridded
from pinn_cli.runs.load import Prediction
from tests.conftest import each
from tests.runs.test_trained_families import words

AXIS = np.linspace(-1, 1, 61)
X, Y = np.meshgrid(np.linspace(-0.9, 0.8, 4), np.linspace(-0.7, 0.9, 5), indexing="ij")


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A network of functions for the Helmholtz family, which has a wavenumber k and a source q."""
    with chdir(tmp_path_factory.mktemp("trained")):
        assert cli.main(words("helmholtz_family", "constrained", "stop.steps=1", "folder=run")) == 0
        return Path("run").resolve()


@pytest.fixture(autouse=True)
def in_own_folder(own_folder: Path) -> None:
    """Every test has a working directory of its own."""


@pytest.fixture(scope="module")
def network(run: Path) -> Prediction:
    """The run, loaded once for the tests that only look at it."""
    return load(run)


@cache
def table(run: Path, seed: int = 7) -> dict[str, np.ndarray]:
    """The source of an instance on a grid; nobody changes it."""
    axis = torch.from_numpy(AXIS)
    q = load(run, instance=seed).problem.q.on_lattice([axis, axis])
    return {"x": AXIS, "y": AXIS, "q": q.numpy()}


def test_parameters_of_an_instance_give_its_solution(run, network):
    truth = load(run, instance=7)
    k, q = truth.problem.k, truth.problem.q
    u = network
    exact = truth(x=X, y=Y)
    np.testing.assert_allclose(u(x=X, y=Y, k=k, q=q), exact, rtol=1e-9)
    np.testing.assert_allclose(u(np.stack([X, Y], -1), k=k, q=lambda x, y: q(x, y)), exact, rtol=1e-9)
    grid = table(run)
    given = (grid, Gridded({"x": AXIS, "y": AXIS}, grid["q"]))
    for field in given:
        np.testing.assert_allclose(u(x=X, y=Y, k=k, q=field), exact, rtol=1e-3, atol=1e-3 * np.abs(exact).max())
    assert not np.allclose(u(x=X, y=Y), exact, rtol=1e-2)
    only_k = u.with_(k=k)
    assert only_k.problem.k == k
    assert only_k.problem.q == u.problem.q


def test_the_same_parameters_are_solved_once(run, monkeypatch):
    u, count = load(run), []
    solve = type(u).with_
    monkeypatch.setattr(type(u), "with_", lambda self, **p: count.append(p) or solve(self, **p))
    q = table(run)
    for x in (0.1, 0.2, 0.3):
        u(x=x, y=0.1, q=q, k=2.5)
    assert len(count) == 1
    u(x=0.1, y=0.1, q=q, k=2.6)
    assert len(count) == 2


def test_a_prediction_with_parameters_can_be_pickled(network):
    u = network.with_(k=2.5)
    again = pickle.loads(pickle.dumps(u))
    assert again.problem.k == 2.5
    np.testing.assert_array_equal(again(x=X, y=Y), u(x=X, y=Y))


def test_what_lies_outside_is_solved_and_said(run, network):
    u = network
    with pytest.warns(UserWarning, match=r"k is outside of what was trained: found 5; expected a number from 2\.4"):
        far = u(x=X, y=Y, k=5.0)
    assert np.isfinite(far).all()
    with pytest.warns(UserWarning, match="q is outside of what was trained: found the rms 70"):
        u(x=X, y=Y, q=lambda x, y: 1e3 * torch.sin(torch.pi * x) * torch.sin(torch.pi * y) * 1.414)
    assert u.with_(k=5.0).with_(q=table(run)).problem.k == 5.0


def write(name: str, columns: dict[str, np.ndarray]) -> None:
    """A file of the kind that its name says; text has the points in a random order."""
    if name.endswith(".npz"):
        np.savez(name, **columns)
    elif name.endswith(".h5"):
        with h5py.File(name, "w") as file:
            file.update(columns)
    else:
        x, y = np.meshgrid(columns["x"], columns["y"], indexing="ij")
        rows = np.stack([x.ravel(), y.ravel(), columns["q"].ravel()], 1)
        np.savetxt(name, np.random.default_rng(0).permutation(rows), delimiter=",", header="x,y,q", comments="")


@pytest.mark.parametrize("name", each(["q.csv", "q.npz", "q.h5"], ["q.csv"]))
def test_a_file_and_numbers_are_typed_as_for_train(run, network, name, capsys):
    write(name, columns := table(run))
    typed = ["problem.k=2.5", f"problem.q={name}", "--grid", "4x5", "--out", "u.npz"]
    assert cli.main(["predict", str(run), *typed]) == 0
    shown = capsys.readouterr()
    assert "held out  pde " in shown.out
    u = network.with_(k=2.5, q=columns)
    np.testing.assert_allclose(np.load("u.npz")["u"], u.grid([4, 5])["u"], rtol=1e-12)


def test_a_whole_number_stays_one(run, network):
    assert cli.main(["predict", str(run), "problem.modes=4", "--grid", "4x5", "--out", "u.npz"]) == 0
    np.testing.assert_allclose(np.load("u.npz")["u"], network.with_(modes=4).grid([4, 5])["u"], rtol=1e-12)


def test_the_output_of_predict_is_a_field_again(run, network):
    typed = ["predict", str(run), "--instance", "7", "--grid", "31x31", "--out", "q.npz", "--values", "q"]
    assert cli.main(typed) == 0
    assert network.with_(q="q.npz").problem.q.shape == (31, 31)


def changed(run: Path, **changes: object) -> dict[str, object]:
    return {**table(run), **changes}


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        (lambda run: {"kk": 3}, "no parameter `kk`; did you mean `k`"),
        (lambda run: {"seed": 3}, "no parameter `seed`"),
        (lambda run: {"k": "fast"}, "HelmholtzFamily.k: found 'fast'; expected a number from 2.4 to 3.3"),
        (lambda run: {"k": float("nan")}, "HelmholtzFamily.k: found nan; expected a number"),
        (lambda run: {"k": np.ones(3)}, "HelmholtzFamily.k: found array"),
        (lambda run: {"q": np.ones((61, 61))}, "found a value of type ndarray; expected a field of x, y"),
        (lambda run: {"q": changed(run, q=np.ones((61, 60)))}, "values of shape (61, 60); expected (61, 61)"),
        (lambda run: {"q": {"x": AXIS, "z": AXIS, "q": AXIS}}, "q: no column y; found x, z, q, expected x, y and q"),
        (lambda run: {"q": {"x": AXIS, "y": AXIS, "a": 1, "b": 2}}, "q: no column q; found x, y, a, b, expected"),
        (lambda run: {"q": changed(run, q=table(run)["q"] + np.nan)}, "row 1: q is `nan`; expected a finite number"),
        (lambda run: {"q": changed(run, x=AXIS / 2)}, "known for x from -0.5 to 0.5; expected -1 to 1"),
        (lambda run: {"q": changed(run, x=AXIS[::-1])}, "the axis x does not increase"),
        (lambda run: {"q": {"x": AXIS, "y": AXIS, "q": AXIS}}, "expected each node of a grid, 3721 points"),
        (lambda run: {"q": lambda x, y: x / (x - x)}, "a field that is not finite at"),
        (lambda run: {"q": lambda x: x}, "a function of x, y: TypeError"),
        (lambda run: {"q": lambda x, y: torch.ones(3)}, "a function of x, y: RuntimeError"),
        (lambda run: {"q": "none.csv"}, "none.csv: no such file"),
        (lambda run: {"q": "q.xlsx"}, "q.xlsx: kind .xlsx; expected one of .csv"),
    ],
)
def test_what_is_no_parameter_is_refused_in_one_line(run, network, parameters, says):
    with pytest.raises(UsageError) as caught:
        network.with_(**parameters(run))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        (["beta=3"], "`beta=3`: expected a parameter of the problem, e.g. problem.beta=37"),
        (["problem.seed=3"], "`problem.seed=3`: type --instance 3"),
        (["problem.k="], "expected a parameter of the problem"),
    ],
)
def test_a_word_that_is_no_parameter_is_refused(run, typed, says, capsys):
    assert cli.main(["predict", str(run), *typed, "--grid", "3x3", "--out", "u.npz"]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
