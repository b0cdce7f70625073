"""Diagnostics agree with slow oracles and do not change the run."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pinn_cli import cli
from pinn_cli.basics.errors import UsageError
from pinn_cli.configuration import catalogue, plan
from pinn_cli.configuration.assemble import assemble
from pinn_cli.configuration.compose import compose
from pinn_cli.derivatives.engines import Autograd, Taylor
from pinn_cli.methods.contracts import Diagnostic
from pinn_cli.methods.diagnostics.gradient_alignment import GradientAlignment, score
from pinn_cli.methods.diagnostics.gradient_histograms import GradientHistograms, layers
from pinn_cli.methods.diagnostics.hessian_spectrum import HessianSpectrum, hessians
from pinn_cli.methods.diagnostics.lanczos import extremes
from pinn_cli.methods.diagnostics.loss_landscape import LossLandscape
from pinn_cli.methods.diagnostics.ntk_spectrum import NTKSpectrum
from pinn_cli.methods.diagnostics.points import Points
from pinn_cli.methods.diagnostics.top_eigenvector import TopEigenvector
from pinn_cli.methods.diagnostics.weighted_terms import gradients, weighted
from pinn_cli.records import checkpoint
from pinn_cli.records.results import Results, layout
from pinn_cli.reports import figures
from pinn_cli.reports.figures.gradient_histograms import density
from pinn_cli.training.diagnostic_records import DiagnosticRecords, appended, kept, snapshot
from pinn_cli.training.jacobian import row_by_row
from tests.conftest import each
from tests.objectives import by_hand, objective_of
from tests.run_files import assert_same_run, told_to_stop_in, write_run

DIAGNOSTICS = {
    "gradient_histograms": GradientHistograms(),
    "hessian_spectrum": HessianSpectrum(),
    "ntk_spectrum": NTKSpectrum(points=4),
    "gradient_alignment": GradientAlignment(),
    "loss_landscape": LossLandscape(n=3, iterations=10),
    "points": Points(nodes=16),
    "top_eigenvector": TopEigenvector(),
}
EVERIES = (3, 2, 2, 1, 4, 2, 3)
ALL = ",".join(DIAGNOSTICS)


def helmholtz(*words, steps=0):
    """A small Helmholtz objective, its optimizer's first steps made."""
    words = ["problem=helmholtz", "points.interior=40", "points.face=8", "architecture.width=6", *words]
    parts = assemble(compose([*words, "architecture.depth=2", "device=cpu", "compile=off"]))
    objective, optimizer = plan.preview(parts), parts.schedule[0].optimizer()
    for _ in range(steps):
        objective.begin(objective.batch)
        optimizer.step(objective)
    return objective


def loss_of(objective, term):
    """The weighted loss as a function of the flat parameters (P,): for torch's own derivatives."""
    kept = [p.detach().clone() for p in objective.parameters]

    def loss(theta):
        modules = dict(objective.model.named_modules())
        for name, p, where in zip(objective.names, kept, objective.columns, strict=True):
            owner, _, leaf = name.rpartition(".")
            del modules[owner]._parameters[leaf]
            setattr(modules[owner], leaf, theta[where].view_as(p))
        losses = weighted(objective)
        return sum(losses.values()) if term == "total" else losses[term]

    return loss, torch.cat([p.flatten() for p in kept])


# --- Hessians ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", [Taylor, Autograd])
def test_the_dense_hessian_equals_that_of_torch(engine):
    """Autograd.functional.hessian differentiates the same loss in its own way; per-point weights and all."""
    small = snapshot(helmholtz(f"derivatives={engine.__name__.lower()}"))
    w = torch.rand(40, dtype=torch.float64)
    small.weighting = lambda batch, residuals: {"pde": w, "wall": 3.0}
    small.begin(small.batch)
    found = hessians(small)
    assert list(found) == ["total", "pde", "wall"]
    for term, H in found.items():
        view = snapshot(small)
        assert view.weights["pde"].tolist() == w.tolist()
        loss, theta = loss_of(view, term)
        oracle = torch.autograd.functional.hessian(loss, theta)
        torch.testing.assert_close(H, oracle, rtol=1e-9, atol=1e-9 * float(oracle.abs().max()))


def test_lanczos_gives_the_extreme_eigenvalues_of_the_dense_hessian():
    for objective in (helmholtz(), helmholtz("recipe=adam", "dtype=float64", steps=20), helmholtz(steps=20)):
        dense = HessianSpectrum(dense_below=10**6)(snapshot(objective))
        lanczos = HessianSpectrum(dense_below=0)(snapshot(objective))
        for term in ("total", "pde", "wall"):
            spectrum = dense[f"eigenvalues/{term}"]
            assert bool((spectrum.diff() <= 0).all())
            assert lanczos[f"largest/{term}"] == pytest.approx(float(spectrum[0]), rel=1e-6)
            assert lanczos[f"smallest/{term}"] == pytest.approx(float(spectrum[-1]), rel=1e-6)
            assert f"eigenvalues/{term}" not in lanczos


def symmetric(eigenvalues):
    torch.manual_seed(0)
    Q, _ = torch.linalg.qr(torch.randn(len(eigenvalues), len(eigenvalues), dtype=torch.float64))
    return Q @ torch.diag(torch.tensor(eigenvalues, dtype=torch.float64)) @ Q.T


@pytest.mark.parametrize(
    "eigenvalues",
    [
        [*np.geomspace(1e-8, 1e4, 150)],
        [*-np.geomspace(1e-3, 1, 60), *np.geomspace(1e-3, 1e5, 60)],
        [5.0] * 40 + [-2.0] * 40 + [0.0] * 40,  # three eigenvalues: the third vector is the last
        [1e6, *np.linspace(-1, 1, 100)],
        [0.0] * 10,
        [3.0],
    ],
)
def test_lanczos_is_accurate_on_spectra_of_many_kinds(eigenvalues):
    A = symmetric(eigenvalues)
    start = torch.randn(len(A), dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    asked = []
    largest, smallest = extremes(lambda v: (asked.append(1), A @ v)[1], start)
    size = max(map(abs, eigenvalues))
    assert largest == pytest.approx(max(eigenvalues), rel=1e-9, abs=1e-12 * size)
    assert smallest == pytest.approx(min(eigenvalues), rel=1e-6, abs=1e-12 * size)
    assert len(asked) <= (4 if len(set(eigenvalues)) <= 3 else len(A))


def test_lanczos_stops_after_its_iterations_and_stays_inside_the_spectrum():
    A = symmetric([*np.linspace(-3, 5, 300)])
    start = torch.ones(300, dtype=torch.float64)
    largest, smallest = extremes(lambda v: A @ v, start, iterations=10)
    assert -3 < smallest < -2
    assert 4 < largest < 5
    assert np.isnan(extremes(lambda v: v * torch.nan, start)).all()


# --- the other records ------------------------------------------------------------------------------------------------


def test_gradients_carry_the_weights_in_force():
    view = snapshot(objective_of("mlp", weighting=by_hand))
    for name, loss in weighted(view).items():
        r, w = view.residuals()[name], view.weights[name]
        own = row_by_row(r, view.parameters).T @ (2 * w * r.detach()) / len(r)
        torch.testing.assert_close(gradients(view, {name: loss})[name], own, rtol=1e-9, atol=1e-12)
    assert view.weights["start"] == 100.0
    assert view.weights["momentum"].shape == (7,)


def test_histograms_count_every_entry_of_every_layer_once():
    view = snapshot(objective_of("mlp", weighting=by_hand))
    record, all_gradients = GradientHistograms()(view), gradients(view, weighted(view))
    assert list(layers(view)) == [n for n, p in view.model.named_parameters() if p.ndim == 2]
    for layer, where in layers(view).items():
        edges = record[f"edges/{layer}"]
        torch.testing.assert_close(edges, -edges.flip(0), rtol=0, atol=0)
        for name, g in all_gradients.items():
            entries = g[where]
            assert record[f"std/{layer}/{name}"] == entries.std(correction=0)
            assert record[f"max/{layer}/{name}"] == entries.abs().max() <= edges[-1]
            counted = np.histogram(entries.numpy(), edges.numpy())[0]
            assert record[f"counts/{layer}/{name}"].tolist() == counted.tolist()
            assert counted.sum() == len(entries)


def test_the_layers_are_those_of_the_main_stack_without_encoders():
    names = layers(helmholtz("architecture=modified_mlp"))
    assert list(names) == [f"network.layers.{i}.weight" for i in range(3)]


def test_a_constraint_of_weight_zero_is_not_recorded():
    view = snapshot(objective_of("mlp"))
    names = list(view.residuals())
    view.weighting = lambda batch, residuals: dict.fromkeys(names[1:], 2.0) | {names[0]: 0.0}
    view.begin(view.batch)
    record = GradientHistograms()(view)
    assert {name.rpartition("/")[2] for name in record if name.startswith("counts/")} == set(names[1:])
    view.weighting = lambda batch, residuals: {name: 0.0 * r + (r == r.max()) for name, r in residuals.items()}
    view.begin(view.batch)
    assert list(weighted(view)) == names  # one point is enough


def test_a_zero_gradient_lies_in_the_middle_bin():
    view = snapshot(objective_of("mlp"))
    view.weighting = lambda batch, residuals: dict.fromkeys(residuals, 0.0)
    view.begin(view.batch)
    record = GradientHistograms()(view)
    for name, counts in record.items():
        if name.startswith("counts/"):
            assert counts[len(counts) // 2] == counts.sum() > 0
    assert np.isnan(GradientAlignment()(view)["score"])


@pytest.mark.parametrize("engine", [Taylor, Autograd])
def test_the_kernel_has_the_eigenvalues_of_its_rows(engine):
    view = snapshot(objective_of("mlp", engine, by_hand))
    record = NTKSpectrum(points=4)(view)
    assert {name: len(X) for name, X in view.batch.items()}["momentum"] == 4
    assert view.batch["momentum"] is view.batch["continuity"]
    rows = {}
    for name, r in view.residuals().items():
        scale = torch.as_tensor(view.weights[name] / len(r), dtype=torch.float64).sqrt()
        rows[name] = row_by_row(scale * r, view.parameters)
    for name, J in (rows | {"total": torch.cat(list(rows.values()))}).items():
        own = torch.linalg.eigvalsh(J @ J.T).flip(0)
        torch.testing.assert_close(record[f"eigenvalues/{name}"], own, rtol=1e-8, atol=1e-8 * float(own[0]))
        assert record[f"trace/{name}"] == pytest.approx(float(own.sum()), rel=1e-9)


def test_the_points_of_the_kernel_are_the_same_at_every_step_and_carry_their_weights():
    objective = objective_of("mlp", weighting=by_hand)
    views = [snapshot(objective) for _ in range(2)]
    for view in views:
        NTKSpectrum(points=3)(view)
    torch.testing.assert_close(views[0].batch["momentum"], views[1].batch["momentum"], rtol=0, atol=0)
    whole, some = objective.batch["momentum"], views[0].batch["momentum"]
    for X, w in zip(some, views[0].weights["momentum"], strict=True):
        (row,) = (whole == X).all(1).nonzero()[0]
        assert w == objective.weights["momentum"][row]


def test_the_score_of_known_directions():
    a, b, c = torch.eye(3, dtype=torch.float64)
    assert score([a, a, a]) == pytest.approx(1.0)
    assert score([a, -a]) == pytest.approx(-1.0)
    assert score([a, b]) == pytest.approx(0.0)
    assert score([a, b, c]) == pytest.approx(2 / 3 - 1)
    slanted = (a + b) / 2**0.5
    assert score([a, slanted]) == pytest.approx(float(a @ slanted))


def test_alignment_compares_the_gradients_of_the_constraints():
    view = snapshot(helmholtz())
    record, g = GradientAlignment()(view), gradients(view, weighted(view))
    cosine = float(torch.cosine_similarity(g["pde"], g["wall"], dim=0))
    assert record["cosine/pde/wall"] == pytest.approx(cosine)
    assert record["score"] == pytest.approx(cosine)


@pytest.mark.parametrize("problem", each(catalogue.options("problem"), ("heat_inverse", "kovasznay", "plate")))
def test_every_problem_has_finite_records_of_every_diagnostic(problem):
    words = [f"problem={problem}", "points.interior=7", "points.face=2", "architecture.width=5", "device=cpu"]
    objective = plan.preview(assemble(compose([*words, "architecture.depth=2"])))
    for name, diagnostic in DIAGNOSTICS.items():
        record = diagnostic(snapshot(objective))
        assert record, name
        assert all(np.isfinite(np.asarray(value)).all() for value in record.values()), name


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("gradient_histograms every=0", "gradient_histograms.every=0: expected a whole number above 0"),
        ("ntk_spectrum points=0", "ntk_spectrum.points=0: expected"),
        ("hessian_spectrum tolerance=0.0", "tolerance=0, dense_below=2000; expected 0 < tolerance < 1"),
        ("loss_landscape directions=random", "loss_landscape.directions=random: expected one of hessian, filter"),
        ("loss_landscape n=1", "loss_landscape.n=1: expected a whole number above 1"),
        ("loss_landscape extent=0.0", "loss_landscape.extent=0: expected a number above 0"),
        ("loss_landscape iterations=1", "loss_landscape.iterations=1: expected a whole number above 1"),
        ("points nodes=0", "diagnostics.points.nodes=0: expected a whole number above 0"),
        ("top_eigenvector tolerance=1.0", "top_eigenvector.tolerance=1: expected a number between 0 and 1"),
        ("gradient_alignment every=1.5", "gradient_alignment.every=1.5: expected int"),
        ("gradient_alignment steps=3", "unknown key `diagnostics.gradient_alignment.steps`"),
    ],
)
def test_a_wrong_setting_is_refused_in_one_line(words, message):
    name, setting = words.split()
    words = ["problem=helmholtz", f"diagnostics={name}", f"diagnostics.{name}.{setting}"]
    with pytest.raises(UsageError, match=message.replace(".", r"\.")):
        assemble(compose(words), typed=[words[-1].partition("=")[0]])


# --- invisible --------------------------------------------------------------------------------------------------------


def test_diagnostics_change_nothing_of_the_objective():
    objective, other = (objective_of("mlp", weighting=by_hand) for _ in range(2))
    for name in DIAGNOSTICS:
        changes_nothing(name, objective, other)


def changes_nothing(name, objective, other):
    loss = objective.loss()
    state = objective.model.state_dict()
    before = {key: value.clone() for key, value in state.items()}, {n: X.clone() for n, X in objective.batch.items()}
    weights, latest, generator = objective.weights, dict(objective.latest), torch.get_rng_state()
    record = DIAGNOSTICS[name](snapshot(objective))
    assert torch.equal(torch.get_rng_state(), generator)
    assert objective.weights is weights
    assert all(objective.latest[key] is value for key, value in latest.items())
    assert all(torch.equal(objective.model.state_dict()[key], value) for key, value in before[0].items())
    assert all(torch.equal(objective.batch[key], value) for key, value in before[1].items())
    assert all(p.grad is None for p in objective.parameters)
    assert list(map(id, objective.parameters)) == list(map(id, objective.model.parameters()))
    objective.flat(torch.autograd.grad(loss, objective.parameters))  # its own graph is still whole
    eager = DIAGNOSTICS[name](snapshot(other))
    for key, value in eager.items():
        np.testing.assert_allclose(record[key], value, rtol=1e-7, atol=1e-7)


SMALL = ["problem=helmholtz", "points.interior=32", "points.face=8", "figures=off", "compile=off", "record.every=1"]
SMALL += ["architecture.width=5", "architecture.depth=2", "architecture.activation=tanh"]
EVERY = [f"diagnostics.{name}.every={k}" for name, k in zip(DIAGNOSTICS, EVERIES, strict=True)]
DIAGNOSED = [f"diagnostics=[{ALL}]", *EVERY, "diagnostics.loss_landscape.n=3", "diagnostics.points.draws=false",
             "diagnostics.loss_landscape.iterations=10", "diagnostics.points.nodes=16"]  # fmt: skip


def same(one, other):
    """The networks, the histories and the generators of two runs are equal, bit for bit."""
    one, other = Path(one), Path(other)
    network, history = (Results(one / "results.h5").read("network"), Results(one / "results.h5").read_history())
    assert all((Results(other / "results.h5").read("network")[name] == value).all() for name, value in network.items())
    then = Results(other / "results.h5").read_history()
    assert all(np.array_equal(then[n], column, equal_nan=True) for n, column in history.items() if n != "time")
    states = [checkpoint.load(folder / "checkpoint.pt")["generator"] for folder in (one, other)]
    assert torch.equal(*states)


@pytest.mark.parametrize(
    "words",
    [
        pytest.param("recipe=accurate", marks=pytest.mark.slow),
        pytest.param(
            "recipe=adam weighting=[lr_annealing,grad_norm] weighting.lr_annealing.every=2 "
            "weighting.grad_norm.every=2",
            marks=pytest.mark.slow,
        ),
        pytest.param("recipe=adam optimizer=lbfgs architecture=modified_mlp", marks=pytest.mark.slow),
        pytest.param("recipe=adam optimizer=sgd dtype=float64 derivatives=autograd", marks=pytest.mark.slow),
        pytest.param("recipe=adam optimizer=[adam,levenberg_marquardt] optimizer.adam.steps=2", marks=pytest.mark.slow),
    ],
)
def test_diagnostics_do_not_change_a_run(words, here):
    words = [*SMALL, *words.replace("'", "").split(), "stop.steps=5"]
    assert cli.main(["train", *words, "folder=plain"]) == 0
    assert cli.main(["train", *words, *DIAGNOSED, "folder=diagnosed"]) == 0
    same("plain", "diagnosed")
    records = Results(Path("diagnosed/results.h5")).read("diagnostics")
    ends = {1, 2, 3, 5} if "optimizer.adam.steps" in " ".join(words) else {1, 5}
    for name, every in zip(DIAGNOSTICS, EVERIES, strict=True):
        steps = np.array(sorted(ends | set(range(every, 6, every))))
        most = DIAGNOSTICS[name].most
        assert records[f"{name}/step"].tolist() == steps[kept(steps, most)].tolist()
    generic = layout.describe("diagnostics/x/y")["description"]
    for name in records:
        attributes = Results(Path("diagnosed/results.h5")).read_attributes(f"diagnostics/{name}")
        assert attributes["description"] != generic, f"{name} is not described by its diagnostic"
    history = Results(Path("diagnosed/results.h5")).read_history()
    assert history["alignment"].tolist() == records["gradient_alignment/score"].tolist()
    assert "alignment" not in Results(Path("plain/results.h5")).read_history()


@pytest.mark.slow
def test_a_run_is_the_same_without_diagnostics_and_a_stopped_one_has_the_records_of_a_whole_one(here, capsys):
    """And when it has finished, it can be diagnosed again."""
    words = [*SMALL, "recipe=adam", "weighting=lr_annealing", "weighting.lr_annealing.every=1", "stop.steps=5"]
    assert cli.main(["train", *words, "folder=plain"]) == 0
    words += [*DIAGNOSED, "diagnostics.ntk_spectrum.points=5"]
    assert cli.main(["train", *words, "folder=whole"]) == 0
    same("plain", "whole")
    with told_to_stop_in(4):
        assert cli.main(["train", *words, "folder=parts"]) == cli.STOPPED
    stopped = Results(Path("parts/results.h5")).read("diagnostics")
    assert stopped["gradient_histograms/step"].tolist() == [1, 3]  # a stop alone takes no record
    assert cli.main(["resume", "parts"]) == 0
    assert_same_run("whole", "parts")
    diagnosing_gives_the_records_of_the_last_step("whole", 5, capsys)


def test_records_after_the_checkpoint_are_removed_like_rows(tmp_path):
    results = write_run(tmp_path / "run")
    described = SimpleNamespace(datasets={"x/<constraint>": "what x is"})
    diagnosis = DiagnosticRecords({"a": described, "b": described}, results)
    for step in (1, 100, 200):
        diagnosis.add("a", step, {"x/pde": torch.full((2,), float(step)), "n": torch.tensor([step])})
    diagnosis.add("b", 200, {"y": 1.0})
    diagnosis.flush()
    results.cut(100)
    found = results.read("diagnostics")
    assert found["a/step"].tolist() == [1, 100]
    assert found["a/x/pde"].tolist() == [[1.0, 1.0], [100.0, 100.0]]
    assert found["b/step"].tolist() == []
    assert results.read_attributes("diagnostics/a/step")["description"]
    assert results.read_attributes("diagnostics/a/x/pde") == {"description": "what x is", "units": "1"}
    again = DiagnosticRecords({"b": described}, results)
    again.add("b", 150, {"y": 2.0})
    again.flush()
    assert results.read_attributes("diagnostics/a/x/pde")["description"] == "what x is"  # also if only b is continued
    again = DiagnosticRecords({"a": described}, results)
    again.add("a", 150, {"x/pde": torch.zeros(2), "n": torch.tensor([5])})
    again.flush()
    assert results.read("diagnostics")["a/step"].tolist() == [1, 100, 150]
    assert "b/step" in results.read("diagnostics")  # records of a diagnostic that is no longer selected stay


def test_records_of_other_shapes_are_filled_up():
    records = appended({}, {"step": np.asarray(1), "e": np.array([3.0, 2.0]), "n": np.array([4, 5])})
    records = appended(records, {"step": np.asarray(2), "e": np.array([1.0]), "new": np.asarray(7.0)})
    records = appended(records, {"step": np.asarray(3), "e": np.array([1.0, 2.0, 3.0]), "n": np.array([1, 2])})
    assert records["step"].tolist() == [1, 2, 3]
    np.testing.assert_array_equal(records["e"], [[3, 2, np.nan], [1, np.nan, np.nan], [1, 2, 3]])
    np.testing.assert_array_equal(records["new"], [np.nan, 7, np.nan])
    assert records["n"].tolist() == [[4, 5], [0, 0], [1, 2]]


def test_a_network_that_is_not_finite_has_no_record(tmp_path):
    objective = objective_of("mlp")
    diagnosis = DiagnosticRecords(DIAGNOSTICS, write_run(tmp_path / "run"))
    objective.parameters[0].data.fill_(torch.inf)
    assert diagnosis.take(objective, 1, ends=True) == {}
    assert not diagnosis.unsaved


def test_a_record_is_taken_once(tmp_path):
    asked = []

    class Asked(Diagnostic):
        every, columns = 10, {"seen": "x"}

        def __call__(self, objective):
            asked.append(objective)
            return {"x": 2.0}

    diagnosis, objective = DiagnosticRecords({"a": Asked()}, write_run(tmp_path / "run")), objective_of("mlp")
    looks = [diagnosis.take(objective, step, ends) for step, ends in ((1, True), (5, False), (10, False), (10, True))]
    assert looks == [{"seen": 2.0}, {}, {"seen": 2.0}, {}]
    assert len(asked) == 2


@pytest.mark.slow
def test_compare_ignores_the_settings_of_diagnostics(here, capsys):
    assert cli.main(["train", *SMALL, "stop.steps=1", "folder=a"]) == 0
    looked = ["diagnostics=[ntk_spectrum]", "diagnostics.ntk_spectrum.every=2"]
    assert cli.main(["train", *SMALL, *looked, "stop.steps=1", "folder=b", "seed=1"]) == 0
    assert "look at  ntk_spectrum every 2 steps" in capsys.readouterr().out
    assert cli.main(["compare", "a", "b", "--runs"]) == 0
    assert capsys.readouterr().out.split()[:3] == ["run", "seed", "error"]


# --- figures ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_single_records_of_large_networks_are_drawn_too(here):
    words = [*SMALL, *DIAGNOSED, "diagnostics.hessian_spectrum.dense_below=0", "stop.steps=1", "folder=a"]
    assert cli.main(["train", *words]) == 0
    names = [path.stem for path in figures.write("a", list(DIAGNOSTICS), resolution=40)]
    curves = ("gradient_alignment", "top_eigenvector")  # one record is no curve
    assert names == [name for name in DIAGNOSTICS if name not in curves]


def test_a_run_without_diagnostics_has_no_such_figures(tmp_path):
    write_run(tmp_path / "run")
    assert figures.write(tmp_path / "run", list(DIAGNOSTICS)) == []


def test_density_curves_have_area_one_and_the_width_of_their_histogram():
    edges = np.concatenate([-np.geomspace(1, 1e-6, 121), np.geomspace(1e-6, 1, 121)])
    rng = np.random.default_rng(0)
    x = np.linspace(-2, 2, 20001)
    for size in (1e-3, 0.2):
        values = np.clip(size * rng.normal(size=4000), -1, 1)
        y = density(x, edges, np.histogram(values, edges)[0])
        assert np.trapezoid(y, x) == pytest.approx(1, abs=1e-3)
        assert y.max() == pytest.approx(1 / (size * np.sqrt(2 * np.pi)), rel=0.15)
    nothing = density(x, edges, np.histogram(np.zeros(50), edges)[0])
    assert np.isfinite(nothing).all()


# --- pinn diagnose ----------------------------------------------------------------------------------------------------


def diagnosing_gives_the_records_of_the_last_step(folder, step, capsys):
    """Points, weights and parameters come from the file; the records replace those of the run."""
    results = Results(Path(folder, "results.h5"))
    before = results.read("diagnostics")
    capsys.readouterr()
    assert cli.main(["diagnose", folder]) == 0
    out = capsys.readouterr().out
    assert f"hessian_spectrum, step {step}\n" in out
    assert f"{before['hessian_spectrum/largest/wall'][-1]:.2e}" in out
    after = results.read("diagnostics")
    assert after.keys() == before.keys()
    for name, values in before.items():
        if values.dtype.kind == "f":
            np.testing.assert_allclose(after[name], values, rtol=1e-6, atol=1e-9 * np.abs(values).max())
    names = [path.stem for path in figures.write(folder, list(DIAGNOSTICS), resolution=40)]
    assert names == list(DIAGNOSTICS)


@pytest.mark.slow  # a run with Adam is diagnosed above
def test_diagnosing_a_finished_run_gives_the_records_of_its_last_step(here, capsys):
    assert cli.main(["train", *SMALL, "recipe=accurate", "weights.wall=7", *DIAGNOSED,
                     "diagnostics.ntk_spectrum.points=5", "stop.steps=4", "folder=a"]) == 0  # fmt: skip
    diagnosing_gives_the_records_of_the_last_step("a", 4, capsys)


@pytest.fixture(scope="module")
def without(tmp_path_factory):
    """A folder with a run `a` that had no diagnostics."""
    folder = tmp_path_factory.mktemp("without")
    assert cli.main(["train", *SMALL, "recipe=adam", "stop.steps=2", f"folder={folder / 'a'}"]) == 0
    return folder


@pytest.mark.slow
def test_a_run_without_diagnostics_can_be_diagnosed_later(without, monkeypatch):
    monkeypatch.chdir(without)
    assert cli.main(["diagnose", "a", "ntk_spectrum", "ntk_spectrum.points=3"]) == 0
    found = Results(Path("a/results.h5")).read("diagnostics")
    assert {name.partition("/")[0] for name in found} == {"ntk_spectrum"}
    assert found["ntk_spectrum/eigenvalues/pde"].shape == (1, 3)
    assert cli.main(["diagnose", "a", "hessian_spectrum"]) == 0
    assert "ntk_spectrum/step" in Results(Path("a/results.h5")).read("diagnostics")


def test_a_wrong_argument_of_diagnose_gets_one_line(without, monkeypatch, capsys, one_line):
    monkeypatch.chdir(without)
    capsys.readouterr()
    for words, message in {
        "a ntk": "unknown diagnostics `ntk`",
        "a ntk_spectrum ntk_spectrum.point=3": "did you mean `points`",
        "a ntk_spectrum ntk_spectrum.points=0": "ntk_spectrum.points=0: expected",
        "a diagnostics=ntk_spectrum": "expected the names of diagnostics; type pinn diagnose a ntk_spectrum",
        "a diagnostics=[ntk_spectrum,hessian_spectrum]": "type pinn diagnose a ntk_spectrum hessian_spectrum",
        "b": "there is no run `b`",
    }.items():
        assert cli.main(["diagnose", *words.split()]) == cli.USAGE
        assert message in one_line()


def test_a_run_without_a_network_is_not_diagnosed(here, capsys):
    write_run(Path("a"), status="running")
    assert cli.main(["diagnose", "a"]) == cli.USAGE
    assert "has not ended" in capsys.readouterr().err
    assert cli.main(["train", *SMALL, "recipe=adam", "optimizer.adam.lr=1e30", "folder=b"]) == cli.FAILED
    assert cli.main(["diagnose", "b"]) == cli.USAGE
    assert "has kept no points" in capsys.readouterr().err
