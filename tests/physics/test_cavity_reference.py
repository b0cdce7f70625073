"""The lid-driven cavity: its reference agrees with published values, and its metrics with known flows."""

import csv
import time
from math import pi
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from pinn_cli import Box, Problem
from pinn_cli.basics.errors import UsageError
from pinn_cli.physics.references import reference_of
from pinn_cli.physics.references.cavity import solver
from pinn_cli.physics.references.cavity.corner import Corner, FadingCorner
from pinn_cli.physics.references.cavity.ghia import centre_lines
from pinn_cli.physics.references.cavity.metrics import cavity_metrics
from pinn_cli.physics.references.cavity.reference import LIDS, Cavity
from pinn_cli.physics.references.chebyshev import clamped, coefficients, differentiation, nodes, polynomials, quadrature

TABLES = Path(solver.__file__).parent / "data" / "ldc_reference.csv"


@pytest.fixture(scope="module", autouse=True)
def cold_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


def grid(n: int, low: float = 0.0, high: float = 1.0) -> Tensor:
    line = torch.linspace(low, high, n, dtype=torch.float64)
    return torch.cartesian_prod(line, line)


def derivative(value: Tensor, X: Tensor, axis: int) -> Tensor:
    return torch.autograd.grad(value.sum(), X, create_graph=True)[0][:, axis]


# --- Polynomials ------------------------------------------------------------------------------------------------------


def test_polynomials_are_differentiated_integrated_and_interpolated_exactly():
    x, D = nodes(12), differentiation(12, 4)
    p = x**7 - 3 * x**4 + x
    assert D[1] @ p == pytest.approx(7 * x**6 - 12 * x**3 + 1, abs=1e-11)
    assert D[4] @ p == pytest.approx(840 * x**3 - 72, abs=1e-5)
    assert quadrature(12) @ p == pytest.approx(1 / 8 - 3 / 5 + 1 / 2, abs=1e-14)
    t = torch.tensor([0.0, 0.123, 1.0], dtype=torch.float64)
    found = (polynomials(12, t).numpy() @ coefficients(12)) @ p
    assert found == pytest.approx((t**7 - 3 * t**4 + t).numpy(), abs=1e-13)


def test_a_clamped_polynomial_has_the_values_and_slopes_given():
    x, (inner, ends), D = nodes(10), clamped(10), differentiation(10, 1)[1]
    p = inner @ x[2:-2] ** 5 + ends @ [0.0, 1.0, 0.0, 5.0]
    assert p == pytest.approx(x**5, abs=1e-13)
    assert (D @ p)[[0, -1]] == pytest.approx([0.0, 5.0], abs=1e-11)


# --- Corners ----------------------------------------------------------------------------------------------------------


def test_the_flow_of_a_traced_reynolds_number_is_that_of_the_number():
    """Compiled steps and shared gradients trace it; a number taken out of a tensor would end the trace."""
    x, y = torch.rand(2, 5, dtype=torch.float64)

    def flow(re):
        ends = [FadingCorner(Corner(re, 1.3, 0.7, right), x, y) for right in (False, True)]
        return torch.stack([part for end in ends for part in (end.psi, end.u, end.v, end.p)])

    re = torch.tensor(100.0, dtype=torch.float64)
    torch.testing.assert_close(make_fx(flow)(re)(re), flow(100.0), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("right", [False, True])
def test_the_singular_part_solves_the_equations(right):
    corner, X = Corner(100.0, 1.3, 0.7, right), (0.02 + 0.9 * torch.rand(40, 2)).double().requires_grad_()
    part = corner(*X.T)
    grad = {name: (derivative(part[name], X, 0), derivative(part[name], X, 1)) for name in ("psi", "z", "head")}
    for name in ("psi", "z"):
        assert torch.allclose(part[f"{name}_x"], grad[name][0], rtol=1e-9, atol=1e-9)
        assert torch.allclose(part[f"{name}_y"], grad[name][1], rtol=1e-9, atol=1e-9)
    for name, laplacian in (("psi", "z"), ("z", "bilaplace")):
        second = derivative(grad[name][0], X, 0) + derivative(grad[name][1], X, 1)
        assert torch.allclose(second, part[laplacian], rtol=1e-7, atol=1e-7)
    assert torch.allclose(grad["head"][0], part["z_y"] / corner.re + part["shear_x"], rtol=1e-9, atol=1e-9)
    assert torch.allclose(grad["head"][1], -part["z_x"] / corner.re + part["shear_y"], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("right", [False, True])
def test_the_rest_of_vorticity_transport_is_less_singular(right):
    """Diffusion and convection are 1 / r^2 each; without the convective term of psi their sum would be as well."""
    corner = Corner(100.0, 1.0, 0.0, right)
    left_over = []
    for r in (1e-3, 1e-5):
        part = corner(torch.tensor([1 - 0.6 * r if right else 0.6 * r]).double(), torch.tensor([1 - 0.8 * r]).double())
        convection = part["psi_y"] * part["z_x"] - part["psi_x"] * part["z_y"]
        left_over.append(float((part["bilaplace"] / corner.re - convection) / convection))
    assert abs(left_over[1]) < 0.02 * abs(left_over[0]) < 0.02


@pytest.mark.parametrize("right", [False, True])
def test_a_corner_meets_its_lid_and_its_wall(right):
    along = torch.linspace(0, 1, 11, dtype=torch.float64)
    corner, distance = Corner(50.0, 1.0, -0.4, right), (1 - along if right else along)
    lid, wall = corner(along, torch.ones(11).double()), corner(torch.full((11,), float(right)).double(), along)
    assert torch.allclose(lid["psi_y"], 1 - 0.4 * distance, atol=1e-12)
    for zero in (lid["psi"], lid["psi_x"], wall["psi"][:-1], wall["psi_x"][:-1], wall["psi_y"][:-1]):
        assert zero.abs().max() < 1e-12
    assert all(value.isfinite().all() for value in lid.values())


# --- The flow ---------------------------------------------------------------------------------------------------------


def furthest(reference: Cavity, source: str) -> float:
    """The largest difference from a published table."""
    with TABLES.open() as file:
        rows = [row for row in csv.DictReader(file) if row["source"] == source and float(row["re"]) == reference.re]
    assert len(rows) >= 30
    differences = []
    for row in rows:
        at, line = float(row["coordinate"]), row["line"]
        X = torch.tensor([[0.5, at] if line == "u" else [at, 0.5]], dtype=torch.float64)
        differences.append(abs(float(reference(X)[line]) - float(row["value"])))
    return max(differences)


def test_a_coarse_solution_agrees_with_marchi_at_re_100():
    reference = Cavity(100.0, nodes=40)
    assert furthest(reference, "marchi_2009") < 5e-7
    assert furthest(reference, "cheb64") < 2e-6


@pytest.mark.slow
def test_the_reference_agrees_with_published_ones():
    """With an empty cache, in less than three minutes. The extremes are those of Botella & Peyret (1998)."""
    start = time.perf_counter()
    flows = [Cavity(re) for re in (100.0, 400.0, 1000.0)]
    for flow in flows:
        assert furthest(flow, "marchi_2009") < 5e-7
        assert furthest(flow, "cheb64") < 2e-5
    assert furthest(flows[2], "botella_peyret_1998") < 1e-5
    assert time.perf_counter() - start < 180
    assert [flow.error < bound for flow, bound in zip(flows, (1e-6, 1e-5, 1e-4), strict=True)] == [True] * 3
    found = [cavity_metrics(lambda names, X, flow=flow: flow(X), flow) for flow in flows]
    published = {"u_min": -0.3885698, "v_max": 0.3769447, "v_min": -0.5270773, "psi_min": -0.1189366}
    assert {name: found[2][name] for name in published} == pytest.approx(published, abs=2e-7)
    assert [found[2]["vortex_x"], found[2]["vortex_y"]] == pytest.approx([0.5308, 0.5652], abs=5e-5)
    assert [m["ghia_floor"] for m in found] == pytest.approx([1.12e-2, 6.67e-3, 1.95e-2], rel=1e-2)


@pytest.mark.parametrize(("lid", "tolerance"), [("unit", 2e-3), ("regularised", 3e-5), ("parabolic", 1e-4)])
def test_the_flow_satisfies_navier_stokes(lid, tolerance):
    """Every field is differentiated on its own; the points keep away from where a unit lid is singular."""
    reference, X = Cavity(100.0, lid, nodes=40), grid(20, 0.1, 0.9).requires_grad_()
    f = reference(X)
    d = {a + b: derivative(f[a], X, axis) for a in f for axis, b in enumerate("xy")}
    lap = {a: derivative(d[a + "x"], X, 0) + derivative(d[a + "y"], X, 1) for a in "uv"}
    assert (d["ux"] + d["vy"]).abs().max() < 1e-9
    assert (f["u"] - d["psiy"]).abs().max() < 1e-9
    assert (f["v"] + d["psix"]).abs().max() < 1e-9
    assert (f["vorticity"] - d["vx"] + d["uy"]).abs().max() < 1e-8
    momentum_x = f["u"] * d["ux"] + f["v"] * d["uy"] + d["px"] - lap["u"] / 100
    momentum_y = f["u"] * d["vx"] + f["v"] * d["vy"] + d["py"] - lap["v"] / 100
    assert torch.cat([momentum_x, momentum_y]).norm() < tolerance * torch.cat([d["px"], d["py"]]).norm()


@pytest.mark.parametrize("lid", LIDS)
def test_the_flow_meets_its_walls(lid):
    reference, x = Cavity(100.0, lid, nodes=40), torch.linspace(0, 1, 33, dtype=torch.float64)[1:-1]
    top = reference(torch.stack([x, torch.ones_like(x)], 1))
    assert (top["u"] - LIDS[lid](x)).abs().max() < 1e-9
    for X in ([x, 0 * x], [0 * x, x], [0 * x + 1, x]):
        wall = reference(torch.stack(X, 1))
        assert max(float(wall[name].abs().max()) for name in ("u", "v", "psi")) < 1e-9
    assert abs(float(reference(torch.zeros(1, 2, dtype=torch.float64))["p"])) < 1e-12


def test_a_smooth_lid_converges_fast():
    X = grid(50)
    truth = Cavity(100.0, "regularised", nodes=56, fields=("u",))(X)["u"]
    errors = [
        float((Cavity(100.0, "regularised", n, fields=("u",))(X)["u"] - truth).norm() / truth.norm())
        for n in (24, 32, 40)
    ]
    assert errors[0] > 5 * errors[1] > 25 * errors[2]
    assert errors[2] < 1e-8


def test_the_stated_error_exceeds_the_distance_to_a_finer_solution():
    coarse, fine, X = Cavity(100.0, nodes=32), Cavity(100.0, nodes=40), grid(100)
    kept = coarse.counts(X)
    difference, truth = (
        torch.cat([(a[name] - b[name])[kept] if b else a[name][kept] for name in "uv"])
        for a, b in ((coarse(X), fine(X)), (fine(X), None))
    )
    assert float(difference.norm() / truth.norm()) < coarse.error < 1e-3


def test_a_step_in_re_that_is_too_long_is_halved(monkeypatch):
    asked, solve = [], solver.Collocation.solve

    def hesitant(self, q):
        asked.append(self.re)
        if self.re == 100.0 and asked[-2] == 1.0:
            raise solver.NotConverged
        return solve(self, q)

    monkeypatch.setattr(solver.Collocation, "solve", hesitant)
    last, q = solver.steady(LIDS["regularised"], 150.0, 24)
    assert asked == [1.0, 100.0, 50.5, 150.0]
    direct, q_direct = solver.steady(LIDS["regularised"], 150.0, 24)
    assert abs(last.rest(q) - direct.rest(q_direct)).max() < 1e-10


def test_a_flow_that_does_not_converge_says_what_to_change():
    with pytest.raises(UsageError, match=r"no steady flow at Re = .*; expected a smaller re, or more than"):
        Cavity(1e6, nodes=24)(grid(2))


# --- The reference ----------------------------------------------------------------------------------------------------


def test_the_flow_is_solved_at_the_first_call_and_only_once(monkeypatch):
    calls, solve = [], Cavity._solve
    monkeypatch.setattr(Cavity, "_solve", lambda self: calls.append(self.re) or solve(self))
    first, second = (Cavity(90.0, "regularised", nodes=24, fields=("u", "p")) for _ in range(2))
    assert calls == []
    X = grid(5)
    for name in ("u", "p"):
        assert torch.equal(first(X)[name], second(X)[name])
    assert first.error == second.error > 0
    assert calls == [90.0]
    Cavity(90.0, "regularised", nodes=25)(X)
    assert calls == [90.0, 90.0]


def test_values_have_the_precision_of_the_points():
    class Square(Problem):
        coordinates, fields, domain = ("x", "y"), ("psi", "p"), Box(x=(0, 1), y=(0, 1))

        def reference(self):
            return Cavity(100.0, nodes=24, fields=("psi", "p"))

    values = reference_of(Square())(grid(3).float())
    assert {name: (value.dtype, value.shape) for name, value in values.items()} == dict.fromkeys(
        ("psi", "p"), (torch.float32, (9,))
    )
    assert all(value.isfinite().all() for value in values.values())


def test_only_points_at_the_ends_of_a_singular_lid_do_not_count():
    X = torch.tensor([[0.0, 1.0], [1.0, 0.96], [0.04, 0.96], [0.0, 0.94], [0.5, 1.0], [0.0, 0.0]], dtype=torch.float64)
    for lid in ("unit", "parabolic"):
        assert Cavity(100.0, lid).counts(X).tolist() == [False, False, True, True, True, True]
    assert Cavity(100.0, "regularised").counts(X).all()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"lid": "smooth"}, "lid=smooth: expected unit, regularised, parabolic"),
        ({"re": 0.0}, "re=0: expected a Reynolds number above 0"),
        ({"nodes": 8}, "nodes=8: expected 24 or more"),
        ({"fields": ("u", "T")}, "a cavity has no T: expected u, v, p, psi, vorticity"),
    ],
)
def test_a_wrong_setting_is_refused(wrong, message):
    with pytest.raises(UsageError, match=message):
        Cavity(**({"re": 100.0} | wrong))


# --- Metrics ----------------------------------------------------------------------------------------------------------


def test_the_metrics_of_the_reference_itself():
    reference = Cavity(100.0, nodes=40)
    found = cavity_metrics(lambda names, X: reference(X), reference)
    for name in ("centreline", "centreline_u", "centreline_v", "field_masked", "speed_spectral"):
        assert found.pop(name) == 0.0
    assert found.pop("ghia") == found.pop("ghia_floor") == pytest.approx(1.12e-2, rel=1e-2)
    expected = {"u_min": -0.214042, "v_max": 0.179573, "v_min": -0.253803, "psi_min": -0.103521}
    assert {name: found.pop(name) for name in expected} == pytest.approx(expected, abs=1e-6)
    assert found == pytest.approx({"vortex_x": 0.6157, "vortex_y": 0.7373}, abs=1e-4)


@pytest.mark.parametrize("re", [100.0, 150.0])
def test_a_flow_one_percent_too_fast_is_one_percent_off(re):
    reference = Cavity(re, nodes=40)
    found = cavity_metrics(lambda names, X: {n: 1.01 * v for n, v in reference(X).items()}, reference)
    names = ("centreline", "centreline_u", "centreline_v", "field_masked", "speed_spectral")
    assert [found[name] for name in names] == pytest.approx([0.01] * 5, rel=1e-9)
    assert ("ghia" in found) == (re == 100.0)


def test_errors_at_the_ends_of_the_lid_do_not_enter_the_field():
    reference = Cavity(100.0, nodes=40)

    def wrong(names, X):
        values = reference(X)
        return values | {"u": torch.where(reference.counts(X), values["u"], 5.0)}

    found = cavity_metrics(wrong, reference)
    assert found["field_masked"] == 0.0
    assert found["speed_spectral"] > 0.1


@pytest.mark.parametrize("fields", [("u", "v", "p"), ("psi", "p", "u", "v")])
def test_extremes_and_the_vortex_of_a_known_flow(fields):
    """psi = -sin(pi x^2) sin(pi y^3): its extreme lies between the nodes of any grid."""

    def flow(names: list[str], X: Tensor) -> dict[str, Tensor]:
        x, y = X.T
        f, g = torch.sin(pi * x**2), torch.sin(pi * y**3)
        u, v = -f * 3 * pi * y**2 * torch.cos(pi * y**3), 2 * pi * x * torch.cos(pi * x**2) * g
        return {name: value for name, value in {"u": u, "v": v, "psi": -f * g}.items() if name in names}

    found = cavity_metrics(flow, Cavity(100.0, nodes=40, fields=fields))
    line = torch.linspace(0, 1, 1_000_001, dtype=torch.float64)
    half = torch.full_like(line, 0.5)
    u, v = flow(["u"], torch.stack([half, line], 1))["u"], flow(["v"], torch.stack([line, half], 1))["v"]
    expected = {"vortex_x": 0.5**0.5, "vortex_y": 0.5 ** (1 / 3), "v_max": float(v.max()), "v_min": float(v.min())}
    expected |= {"u_min": float(u.min())} | ({"psi_min": -1.0} if "psi" in fields else {})
    assert {name: found.get(name) for name in expected} == pytest.approx(expected, abs=1e-7)
    assert ("psi_min" in found) == ("psi" in fields)


def test_a_flow_at_rest_or_broken_is_measured_without_an_error():
    reference = Cavity(100.0, nodes=40)
    rest = cavity_metrics(lambda names, X: dict.fromkeys(names, 0 * X[:, 0]), reference)
    assert rest["centreline"] == rest["field_masked"] == rest["speed_spectral"] == 1.0
    broken = cavity_metrics(lambda names, X: {name: X[:, 0] * float("nan") for name in names}, reference)
    assert [name for name, value in broken.items() if value == value] == ["ghia_floor"]


def test_the_misprint_is_left_out():
    assert {re: {name: len(line.X) for name, line in centre_lines(re).items()} for re in (100.0, 400.0, 1000.0)} == {
        100.0: {"u": 17, "v": 17},
        400.0: {"u": 17, "v": 16},
        1000.0: {"u": 17, "v": 17},
    }
    assert 0.9063 not in centre_lines(400.0)["v"].X[:, 0]
    assert centre_lines(200.0) is None
