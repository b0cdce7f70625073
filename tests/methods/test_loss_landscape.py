"""The loss landscape: exact for a quadratic loss, and equal to the loss at shifted parameters."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from pinn_cli import cli
from pinn_cli.derivatives.engines import Autograd, Taylor
from pinn_cli.methods.architectures.fourier import Fourier
from pinn_cli.methods.diagnostics.hessian_spectrum import HessianSpectrum, hessians, products, start
from pinn_cli.methods.diagnostics.lanczos import Ritz, lanczos
from pinn_cli.methods.diagnostics.loss_landscape import LossLandscape, condition_number, filter_normalised
from pinn_cli.physics.domains import Box
from pinn_cli.physics.problem import Problem, on
from pinn_cli.records.results import Results
from pinn_cli.reports import figures
from pinn_cli.training.diagnostic_records import DiagnosticRecords, snapshot
from pinn_cli.training.model import Features, Model
from pinn_cli.training.objective import Objective
from tests.methods.test_diagnostics import SMALL, by_hand, helmholtz, symmetric
from tests.objectives import objective_of
from tests.run_files import write_run


@dataclass
class Transport(Problem):
    """u_t + 2 u_x = u, u(x, 0) = cos x: with a network that is linear in theta, the loss is a quadratic in theta."""

    coordinates = ("x", "t")
    fields = ("u",)

    def __post_init__(self):
        self.domain = Box(x=(0, 3), t=(0, 1))

    @on("interior")
    def pde(self, u, u_t, u_x):
        return u_t + 2 * u_x - u

    @on("initial")
    def start(self, x, u):
        return u - torch.cos(x)


def quadratic(engine=Taylor):
    """Twice the least-squares problem min |J theta - b|^2, at its solution: H = 2 J^T J."""
    torch.manual_seed(0)
    problem = Transport()
    model = Model(Features(problem.domain), Fourier(2, 1, depth=0, modes=(1, 2), keep_inputs=True), {}).double()
    weights = {"pde": 0.5, "start": 30.0}
    objective = Objective(problem, model, engine, lambda batch, residuals: {}, weights)
    points = {r: problem.domain.sample(r, torch.rand(60, 2, dtype=torch.float64)) for r in ("interior", "initial")}
    objective.begin({c.name: points[c.region] for c in problem.constraints()})
    linear = objective.linearise()
    objective.shift(-torch.linalg.lstsq(linear.dense(), linear.F.unsqueeze(1)).solution.squeeze(1))
    return objective, linear.dense()


@pytest.mark.parametrize("engine", [Taylor, Autograd])
def test_a_quadratic_rises_by_half_the_eigenvalue_times_the_step_squared(engine):
    objective, J = quadratic(engine)
    eigenvalues = torch.linalg.eigvalsh(2 * J.T @ J).flip(0)
    record = LossLandscape(n=7, extent=0.8)(snapshot(objective))
    e1, e2 = torch.meshgrid(record["e1"], record["e2"], indexing="ij")
    rise = (e1**2 * eigenvalues[0] + e2**2 * eigenvalues[1]) / 2
    found = record["values/total"] - objective.loss().detach()
    torch.testing.assert_close(found, rise, rtol=1e-6, atol=1e-6)
    assert float(rise.max()) > 1
    assert record["highest"] == pytest.approx(float(objective.loss().detach() + rise.max()))
    torch.testing.assert_close(record["eigenvalues"], eigenvalues[:2])
    torch.testing.assert_close(record["curvature"], eigenvalues[:2])
    assert record["sharpness"] == pytest.approx(float(eigenvalues[0]))
    assert record["condition_number"] == pytest.approx(float(eigenvalues[0] / eigenvalues[-1]), rel=1e-6)


@pytest.mark.parametrize("iterations", [12, 1000])
def test_eigenvectors_are_those_of_the_dense_hessian(iterations):
    view = snapshot(helmholtz(steps=20))
    eigenvalues, V = torch.linalg.eigh(hessians(view)["total"])
    found = lanczos(products(view)["total"], start(view), iterations)
    torch.testing.assert_close(found.values[-2:], eigenvalues[-2:])
    for own, y in zip(V.T[[-1, -2]], found.largest(2), strict=True):
        torch.testing.assert_close(y, own * (own @ y).sign(), rtol=0, atol=1e-8)
        assert y[y.abs().argmax()] > 0


def test_each_eigenvector_is_found_to_its_bound_even_for_a_double_eigenvalue():
    for spectrum in ([5.0, 5.0, *[1.0] * 20], [0.0] * 6, [7.0, *np.geomspace(1e-6, 3, 40)]):
        A = symmetric(list(spectrum))
        found = lanczos(lambda v, A=A: A @ v, torch.ones(len(A), dtype=torch.float64), 12)
        y = found.largest(2)
        torch.testing.assert_close(y @ y.T, torch.eye(2, dtype=torch.float64))
        residual = (y @ A - found.values[-2:].flip(0).unsqueeze(1) * y).norm(dim=1)
        torch.testing.assert_close(residual, found.bounds[-2:].flip(0), rtol=1e-6, atol=1e-12)
        expected = sorted(spectrum)[-2:]
        assert found.values[-2:].tolist() == pytest.approx(expected, rel=1e-3, abs=1e-12)


@torch.no_grad()
def moved(objective, step):
    """The loss at theta + step, asked of another copy."""
    view = snapshot(objective)
    view.shift(step)
    return float(view.loss()), {n: float((view.weights[n] * r**2).mean()) for n, r in view.residuals().items()}


@pytest.mark.parametrize(("directions", "engine"), [
    ("hessian", Taylor), ("filter", Autograd),
    *(pytest.param(*pair, marks=pytest.mark.slow) for pair in (("hessian", Autograd), ("filter", Taylor))),
])  # fmt: skip
def test_every_node_of_the_landscape_is_the_loss_at_shifted_parameters(engine, directions):
    """Weights of both kinds, an unknown coefficient, a periodic pair, data."""
    objective = objective_of("mlp", engine, by_hand)
    view = snapshot(objective)
    record = LossLandscape(n=3, directions=directions, extent=0.5, iterations=20)(view)
    if directions == "hessian":
        v = lanczos(products(snapshot(objective))["total"], start(view), 20).largest(2)
    else:
        v = filter_normalised(view)
    assert record["e1"].tolist() == [-0.5, 0.0, 0.5]
    for i, j in ((0, 0), (0, 2), (1, 1), (2, 1)):
        total, terms = moved(objective, record["e1"][i] * v[0] + record["e2"][j] * v[1])
        assert record["values/total"][i, j] == pytest.approx(total, rel=1e-8)
        assert {f"values/{n}" for n in terms} | {"values/total"} == {n for n in record if n.startswith("values/")}
        for name, value in terms.items():
            assert record[f"values/{name}"][i, j] == pytest.approx(value, rel=1e-7, abs=1e-12)
    same = zip(view.parameters, objective.parameters, strict=True)
    assert all(torch.equal(p, q) for p, q in same)  # the copy too is left as it was


def test_each_row_of_a_random_direction_has_the_norm_of_its_weights():
    view = snapshot(objective_of("mlp"))
    v = filter_normalised(view)
    torch.testing.assert_close(v, filter_normalised(view), rtol=0, atol=0)
    assert abs(float(torch.cosine_similarity(v[0], v[1], dim=0))) < 0.5
    for p, where in zip(view.parameters, view.columns, strict=True):
        for direction in v[:, where]:
            if p.ndim < 2:
                assert not direction.any()
            else:
                torch.testing.assert_close(direction.view_as(p).norm(dim=1), p.norm(dim=1))


def test_the_condition_number_ignores_eigenvalues_below_their_bound():
    def ritz(values, bounds):
        some = torch.tensor([values, bounds], dtype=torch.float64)
        return Ritz(some[0], some[1], torch.eye(len(values)), torch.eye(len(values)))

    assert condition_number(ritz([-8.0, 1e-3, 2.0], [0.0, 1e-3, 0.1]), 1e-16) == 4.0  # 1e-3 may be 0
    assert condition_number(ritz([-8.0, 1e-3, 2.0], [0.0, 1e-5, 0.1]), 1e-16) == 8000.0
    assert condition_number(ritz([1e-17, 4.0], [0.0, 0.0]), 2e-16) == 1.0  # rounding is no eigenvalue
    assert np.isnan(condition_number(ritz([0.0, 0.0], [0.0, 0.0]), 2e-16))
    assert np.isnan(condition_number(ritz([1.0], [5.0]), 2e-16))


def test_a_bounded_number_of_products_gives_a_lower_bound_of_the_condition_number():
    objective = helmholtz(steps=20)
    spectrum = HessianSpectrum()(snapshot(objective))["eigenvalues/total"].abs()
    known = [LossLandscape(n=2, iterations=m)(snapshot(objective))["condition_number"] for m in (5, 20, 1000)]
    assert known[0] < known[1] < known[2] == pytest.approx(float(spectrum.max() / spectrum.min()), rel=1e-3)


def test_a_loss_that_is_not_finite_is_recorded_as_nan():
    view = snapshot(helmholtz())
    view.parameters[-1].data.fill_(1e200)
    record = LossLandscape(n=2)(view)
    assert all(np.isnan(np.asarray(record[key])).all() for key in ("values/total", "sharpness", "condition_number"))


# --- figures, and runs that are over ----------------------------------------------------------------------------------


def picture(tmp_path, values, e1=(-1.0, 0.0, 1.0)):
    diagnosis = DiagnosticRecords({"loss_landscape": LossLandscape()}, write_run(tmp_path / "run"))
    found = {"values/total": np.asarray(values, float), "e1": np.asarray(e1), "e2": np.asarray(e1)}
    diagnosis.add(
        "loss_landscape", 1, {n: torch.as_tensor(v) for n, v in found.items()} | {"curvature": torch.ones(2)}
    )
    diagnosis.flush()
    return [path.stem for path in figures.write(tmp_path / "run", ["loss_landscape"], resolution=40)]


@pytest.mark.slow  # five figures
@pytest.mark.filterwarnings("error")
def test_flat_steep_and_broken_landscapes_are_drawn(tmp_path):
    spike = np.full((3, 3), 1.0)
    spike[1, 1] = 1e-12
    hole = spike.copy()
    hole[0, 0], hole[2, 2], hole[0, 1] = np.nan, np.inf, 0.0
    for k, values in enumerate((spike, hole, np.full((3, 3), 2.0), spike + 1e-3)):
        assert picture(tmp_path / str(k), values) == ["loss_landscape"]
    assert picture(tmp_path / "lost", np.full((3, 3), np.nan)) == []


@pytest.mark.slow
def test_a_finished_run_is_diagnosed_again_with_other_settings(here, capsys):
    words = ["diagnostics=loss_landscape", "diagnostics.loss_landscape.n=5", "stop.steps=2", "record.every=1"]
    assert cli.main(["train", *SMALL, *words, "folder=a"]) == 0
    results = Results(Path("a/results.h5"))
    before, history = results.read("diagnostics/loss_landscape"), results.read_history()
    for column in ("sharpness", "condition_number"):
        assert history[column][0] == before[column][0]
    parameters = results.read("network")
    assert cli.main(["diagnose", "a", "loss_landscape", "loss_landscape.directions=filter", "loss_landscape.n=3"]) == 0
    assert "sharpness" in capsys.readouterr().out
    after = results.read("diagnostics/loss_landscape")
    assert after["step"].tolist() == before["step"].tolist() == [1, 2]
    assert np.isfinite(after["e1"]).sum(1).tolist() == [5, 3]
    np.testing.assert_allclose(after["sharpness"], before["sharpness"], rtol=1e-6)
    assert not np.allclose(after["values/total"][1, :3, :3], before["values/total"][1, ::2, ::2], rtol=1e-3)
    assert after["values/total"][1, 1, 1] == pytest.approx(before["values/total"][1, 2, 2], rel=1e-9)
    assert all(np.array_equal(results.read("network")[n], value) for n, value in parameters.items())
    assert [path.stem for path in figures.write("a", ["loss_landscape"], resolution=40)] == ["loss_landscape"]
