"""References: each is as accurate as it states, and a wrong one is refused in one line."""

from math import pi
from pathlib import Path
from types import SimpleNamespace

import h5py
import mpmath
import numpy as np
import pytest
import torch

from pinn_cli.basics.errors import UsageError
from pinn_cli.physics.domains import Interval
from pinn_cli.physics.references import cache, reference_of
from pinn_cli.physics.references.base import CachedReference
from pinn_cli.physics.references.cole_hopf import ColeHopf
from pinn_cli.physics.references.exact import Exact
from pinn_cli.physics.references.table import Table

POINTS = [(0.3, 0.5), (-0.01, 0.51), (0.001, 0.9), (0.7, 0.05), (1e-3, 1 / pi), (-0.99, 1.0), (0.5, 1e-6)]


def cole_hopf_in_40_digits(x: float, t: float, nu: float) -> float:
    """The two integrals in 40-digit arithmetic, 2001 nodes."""
    with mpmath.workdps(40):
        x, t, nu = map(mpmath.mpf, (x, t, nu))
        reach = t + 20 * mpmath.sqrt(nu * t)
        nodes = [reach * (mpmath.mpf(i) / 1000 - 1) for i in range(2001)]
        angles = [mpmath.pi * (x - z) for z in nodes]
        exponents = [(1 + mpmath.cos(a)) / (2 * mpmath.pi * nu) for a in angles]
        w = [mpmath.exp(-e - z**2 / (4 * nu * t)) for e, z in zip(exponents, nodes, strict=True)]
        return float(-sum(mpmath.sin(a) * v for a, v in zip(angles, w, strict=True)) / sum(w))


@pytest.mark.parametrize(
    "nu", [pytest.param(nu, marks=() if nu == 1e-3 else pytest.mark.slow) for nu in (0.1, 0.01 / pi, 1e-3)]
)
def test_cole_hopf_agrees_with_forty_digits(nu):
    reference = ColeHopf(nu)
    u = reference(torch.tensor(POINTS, dtype=torch.float64))["u"]
    truth = torch.tensor([cole_hopf_in_40_digits(x, t, nu) for x, t in POINTS], dtype=torch.float64)
    assert (u - truth).abs().max() < reference.error * truth.abs().max()


def test_cole_hopf_does_not_depend_on_its_nodes(monkeypatch):
    line = torch.linspace(0, 1, 100, dtype=torch.float64)
    X = torch.cartesian_prod(2 * line - 1, line)
    reference, nodes = ColeHopf(0.01 / pi), ColeHopf._nodes
    coarse = reference(X)["u"]
    monkeypatch.setattr(ColeHopf, "_nodes", lambda self, t: 3 * nodes(self, t) | 1)
    fine = reference(X)["u"]
    assert torch.linalg.vector_norm(coarse - fine) < reference.error * torch.linalg.vector_norm(fine)
    assert torch.allclose(coarse[X[:, 1] == 0], -torch.sin(pi * X[X[:, 1] == 0, 0]), atol=1e-15, rtol=0)


def test_cole_hopf_has_the_known_slope_of_the_front():
    """max |u_x(0, t)| = 152.005 near t = 0.5105 (Basdevant et al. 1986)."""
    X = torch.tensor([[0.0, 0.5105]], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(ColeHopf(0.01 / pi)(X)["u"].sum(), X)
    assert abs(slope[0, 0] + 152.005) < 1e-3


def test_cole_hopf_returns_the_precision_of_its_points():
    assert ColeHopf(0.01)(torch.zeros(3, 2))["u"].dtype == torch.float32


def test_exact_returns_one_value_or_a_tuple_by_field():
    X = torch.rand(5, 2, dtype=torch.float64)
    assert torch.equal(Exact(lambda x, y: x * y, ("u",))(X)["u"], X[:, 0] * X[:, 1])
    both = Exact(lambda x, y: (x, y), ("u", "v"))(X)
    assert torch.equal(both["v"], X[:, 1])
    with pytest.raises(UsageError, match=r"3 values; expected one for each field \(u, v\)"):
        Exact(lambda x, y: (x, y, x), ("u", "v"))(X)


@pytest.mark.parametrize(
    ("value", "message"),
    [(lambda x: x[:, None], r"shape \(2, 1\) at 2 points; expected \(2,\)"), (lambda x: 1.0, "has float")],
)
def test_a_reference_of_the_wrong_shape_is_refused(value, message):
    domain = Interval(x=(0, 1))
    problem = SimpleNamespace(coordinates=("x",), fields=("u",), domain=domain, exact=value, observables=dict,
                              solution_fields=("u",), unknown_fields={})  # fmt: skip
    with pytest.raises(UsageError, match=message):
        reference_of(problem)


def test_points_of_the_wrong_dimension_are_refused(tmp_path):
    table = Table(write_csv(tmp_path / "a.csv", columns()), ("x", "t"), ("u",))
    problem = SimpleNamespace(coordinates=("x",), fields=("u",), reference=lambda: table, observables=dict)
    with pytest.raises(UsageError, match=r"points of shape \(6, 2\); expected \(N, 1\)"):
        reference_of(problem)


def test_a_reference_is_called_once_for_the_same_points():
    asked = []

    def inner(X):
        asked.append(len(X))
        return {"u": X[:, 0]}

    inner.fields, inner.error, inner.at = ("u",), 0.0, None
    reference, X = CachedReference(inner), torch.rand(5, 2)
    for points in (X, X.clone(), X.double(), X[:3], X[:3]):
        assert torch.equal(reference(points)["u"], points[:, 0])
    assert asked == [5, 5, 3]
    assert reference(X.requires_grad_())["u"].requires_grad


def test_a_problem_may_have_no_reference():
    assert reference_of(SimpleNamespace()) is None


# --- Tables -----------------------------------------------------------------------------------------------------------


def columns() -> dict[str, np.ndarray]:
    x, t = np.linspace(0, 1, 6), np.linspace(0, 2, 6)
    return {"x": x, "t": t, "u": x + 10 * t}


def write_csv(path: Path, data: dict[str, np.ndarray]) -> Path:
    np.savetxt(path, np.stack(list(data.values()), 1), delimiter=",", header=", ".join(data), comments="")
    return path


def write_npz(path: Path, data: dict[str, np.ndarray]) -> Path:
    np.savez(path, **data)
    return path


def write_hdf5(path: Path, data: dict[str, np.ndarray]) -> Path:
    with h5py.File(path, "w") as file:
        for name, values in data.items():
            file[name] = values
    return path


WRITERS = {"a.csv": write_csv, "a.npz": write_npz, "a.h5": write_hdf5}


@pytest.mark.parametrize("name", WRITERS)
def test_a_table_gives_back_its_columns(name, tmp_path):
    table = Table(WRITERS[name](tmp_path / name, columns()), ("x", "t"), ("u",), error=1e-3)
    assert table.at.shape == (6, 2)
    assert table.error == 1e-3
    assert torch.allclose(table(table.at)["u"], table.at[:, 0] + 10 * table.at[:, 1])


def test_a_table_on_a_grid_is_flattened_in_the_order_of_the_coordinates(tmp_path):
    x, t = np.linspace(0, 1, 4), np.linspace(0, 2, 3)
    table = Table(write_npz(tmp_path / "a.npz", {"t": t, "x": x, "u": x[:, None] + 10 * t}), ("x", "t"), ("u",))
    assert table.at.shape == (12, 2)
    assert torch.allclose(table(table.at)["u"], table.at[:, 0] + 10 * table.at[:, 1])


def test_a_table_refuses_other_points(tmp_path):
    table = Table(write_csv(tmp_path / "a.csv", columns()), ("x", "t"), ("u",))
    assert torch.equal(table(table.at.float())["u"], table(table.at)["u"].float())  # the same, rounded
    with pytest.raises(ValueError, match="own 6 points only"):
        table(table.at + 0.1)


BAD = {
    "missing column": ({"x": np.zeros(3), "u": np.zeros(3)}, "no column t; found x, u"),
    "short column": ({"x": np.zeros(3), "t": np.zeros(3), "u": np.zeros(2)}, r"shapes \[\(2,\), \(3,\)\]"),
    "transposed grid": ({"x": np.zeros(3), "t": np.zeros(4), "u": np.zeros((4, 3))}, r"fields on a grid \(3, 4\)"),
    "scalar": ({"x": np.array(1.0), "t": np.array(1.0), "u": np.array(1.0)}, "expected equal columns"),
    "not a number": ({"x": np.zeros(3), "t": np.zeros(3), "u": np.array([1.0, np.nan, 2.0])}, "row 2: u is `nan`"),
    "a word": ({"x": np.zeros(2), "t": np.zeros(2), "u": np.array(["1.5", "dry"])}, "row 1: u is `1.5`; expected a f"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_table_gets_one_clear_line(case, tmp_path):
    data, message = BAD[case]
    with pytest.raises(UsageError, match=message) as error:
        Table(write_npz(tmp_path / "a.npz", data), ("x", "t"), ("u",))
    assert "a.npz" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["a.csv", "a.npz", "a.h5"])
def test_a_damaged_or_absent_file_gets_one_clear_line(name, tmp_path):
    with pytest.raises(UsageError, match="no such file"):
        Table(tmp_path / name, ("x",), ("u",))
    (tmp_path / name).write_bytes(b"x,u\n1,2\n3\n")
    with pytest.raises(UsageError, match="cannot be read") as error:
        Table(tmp_path / name, ("x",), ("u",))
    assert "\n" not in str(error.value)
    with pytest.raises(UsageError, match=r"expected one of \.csv"):
        Table(tmp_path / "a.mat", ("x",), ("u",))


# --- Cache ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


def test_a_reference_is_computed_once_per_parameters(home):
    calls = []

    def compute():
        calls.append(1)
        return {"u": np.arange(3.0)}

    for nu in (0.1, 0.1, 0.2):
        assert cache.cached("burgers", {"nu": nu, "version": 1}, compute)["u"].tolist() == [0, 1, 2]
    assert len(calls) == 2
    assert len(list(home.rglob("*"))) == 4  # two folders, two entries, nothing temporary


def test_a_damaged_entry_is_computed_again(home):
    cache.cached("a", {}, lambda: {"u": np.zeros(2)})
    (entry,) = home.rglob("*.npz")
    entry.write_bytes(entry.read_bytes()[:50])
    assert cache.cached("a", {}, lambda: {"u": np.ones(2)})["u"].tolist() == [1, 1]
    assert np.load(entry)["u"].tolist() == [1, 1]


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert cache.cached("a", {}, lambda: {"u": np.ones(2)})["u"].tolist() == [1, 1]
