"""The diagnostic `points`: its maps agree with the residuals and the errors, and records are taken when points move."""

from itertools import pairwise
from math import log2
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pinn_cli import cli
from pinn_cli.configuration import plan
from pinn_cli.configuration.assemble import assemble
from pinn_cli.configuration.compose import compose
from pinn_cli.methods.contracts import Diagnostic
from pinn_cli.methods.diagnostics.points import Points, relative
from pinn_cli.physics.domains import Box
from pinn_cli.records.results import Results
from pinn_cli.training.diagnostic_records import DiagnosticRecords, snapshot
from tests.methods.test_diagnostics import SMALL, helmholtz, same
from tests.objectives import objective_of
from tests.run_files import assert_same_run, told_to_stop_in, write_run


def nodes_of(record, coordinates="xy"):
    return torch.stack([record[f"lattice/{c}"] for c in coordinates], 1)


def test_the_maps_are_residual_slope_and_error_at_the_nodes():
    view = snapshot(helmholtz(steps=5))
    record = Points(nodes=81)(view)
    X = nodes_of(record).requires_grad_()
    assert X.shape == (81, 2)
    assert (X.min(0).values.tolist(), X.max(0).values.tolist()) == ([-1, -1], [1, 1])
    r = view.residual("pde", X)
    (slope,) = torch.autograd.grad(r.square().sum(), X)
    torch.testing.assert_close(record["residual/pde"], r.detach().abs().float())
    torch.testing.assert_close(record["slope/pde"], slope.abs().sum(1).float(), rtol=1e-4, atol=1e-4)
    X = X.detach()
    exact = view.problem.exact(*X.T)
    torch.testing.assert_close(record["error/u"], (view.evaluate(["u"], X)["u"] - exact).abs().float())
    for axis, c in enumerate("xy"):
        assert torch.equal(record[f"points/pde/{c}"], view.batch["pde"][:, axis])


def test_equations_on_the_same_points_are_added_by_their_weights_relative_to_the_largest():
    view = snapshot(objective_of("mlp", weighting=lambda batch, residuals: {"momentum": 3.0, "continuity": 12.0}))
    record = Points(nodes=25)(view)
    assert [name for name in record if name.startswith(("residual", "points"))] == [
        "points/momentum/x", "points/momentum/t", "residual/momentum"]  # fmt: skip
    X = nodes_of(record, "xt")
    r, s = (view.residual(name, X).detach() for name in ("momentum", "continuity"))
    torch.testing.assert_close(record["residual/momentum"], (r**2 / 4 + s**2).sqrt().float())
    assert "error/u" not in record  # without a reference
    assert relative({"a": 0.0, "b": torch.zeros(3)}) == {"a": 1.0, "b": 1.0}


def test_of_many_points_the_same_rows_are_kept_at_all_steps():
    views = [snapshot(helmholtz(steps=k)) for k in (0, 3)]
    some = [Points(points=9, nodes=9)(view) for view in views]
    kept = [torch.stack([record["points/pde/x"], record["points/pde/y"]], 1) for record in some]
    assert torch.equal(kept[0], kept[1])
    assert all((views[0].batch["pde"] == X).all(1).any() for X in kept[0])
    assert len(kept[0].unique(dim=0)) == 9


def test_nodes_outside_the_domain_have_no_value(monkeypatch):
    monkeypatch.setattr(Box, "contains", lambda self, X: X.square().sum(1) <= 1)
    record = Points(nodes=81)(snapshot(helmholtz()))
    outside = nodes_of(record).square().sum(1) > 1
    for name in ("residual/pde", "slope/pde", "error/u"):
        assert torch.equal(record[name].isnan(), outside)


# --- which records are kept -------------------------------------------------------------------------------------------


class Looks(Diagnostic):
    """It counts how often it looks."""

    def __init__(self, every, most, pairs):
        self.every, self.most, self.before_draws, self.after_draws = every, most, pairs, True
        self.looked = 0

    def __call__(self, objective):
        self.looked += 1
        return {"x": 1.0}


def run(records, steps, drawn, end):
    """These steps of a run of `end` steps whose points are new at the steps `drawn`."""
    for step in steps:
        if step in drawn and step > 1:
            records.take_before_draw(SimpleNamespace(batch=True, parameters=[]), step - 1)
        objective = SimpleNamespace(batch=True, parameters=[], points_changed=step in drawn)
        records.take(objective, step, ends=step in (1, end))


@pytest.fixture
def looks(tmp_path, monkeypatch):
    monkeypatch.setattr("pinn_cli.training.diagnostic_records.snapshot", lambda objective: objective)

    results = write_run(tmp_path / "run")

    def make(every, most, pairs=False):
        return DiagnosticRecords({"looks": Looks(every, most, pairs)}, results)

    return make


def steps_of(records):
    return records.records["looks"]["step"].tolist()


@pytest.mark.parametrize("pairs", [False, True])
@pytest.mark.parametrize(("every", "draws"), [(1, 53), (7, 1), (100, 53), (10_000, 10)])
def test_a_long_run_with_many_draws_is_looked_at_a_limited_number_of_times(looks, every, draws, pairs):
    most, last = 10, 4000
    records = looks(every, most, pairs)
    run(records, range(1, last + 1), set(range(draws, last + 1, draws)), last)
    steps, looked = steps_of(records), records.diagnostics["looks"].looked
    assert (steps[0], steps[-1]) == (1, last)
    assert most / 2 < len(steps) <= (3 if pairs else 1) * (most + 2)
    assert looked <= (3 if pairs else 1) * most * (1 + log2(last / most) / 2) + 2
    assert max(np.diff(steps)) <= 2 * 512  # evenly spread: a span is 512 steps long in the end


@pytest.mark.parametrize("draws", [53, 64, 100])
def test_a_draw_that_is_looked_at_has_both_sides(looks, draws):
    """Also one on the seam of two spans (64)."""
    records = looks(10_000, 8, pairs=True)
    drawn = set(range(draws, 3000, draws))
    run(records, range(1, 3001), drawn, 3000)
    inside = steps_of(records)[1:-1]
    assert inside[1::2] == [before + 1 for before in inside[::2]]
    assert {after in drawn for after in inside[1::2]} == {True}
    assert len(inside) > 8


@pytest.mark.parametrize("pairs", [False, True])
def test_a_run_that_was_killed_and_resumed_keeps_the_records_of_a_whole_one(looks, pairs):
    for every, draws, end in ((3, 10, 200), (7, 1, 90), (1000, 16, 200)):
        drawn = set(range(draws, end + 1, draws))
        whole = looks(every, 8, pairs)
        run(whole, range(1, end + 1), drawn, end)
        for killed in range(2, end, 13):
            begun = looks(every, 8, pairs)
            run(begun, range(1, killed + 1), drawn, end)
            for checkpoint in (killed, killed - 1, max(1, killed - 12)):
                records = begun.records["looks"]
                again = looks(every, 8, pairs)
                again.records["looks"] = {n: v[records["step"] <= checkpoint] for n, v in records.items()}
                run(again, range(checkpoint + 1, end + 1), drawn, end)
                assert steps_of(again) == steps_of(whole)


def test_a_diagnostic_without_a_limit_keeps_every_record(tmp_path):
    class All(Diagnostic):
        every = 1

        def __call__(self, objective):
            return {"x": 1.0}

    class Some(All):
        most = 4

    objective = objective_of("mlp")
    records = DiagnosticRecords({"all": All(), "some": Some()}, write_run(tmp_path / "run"))
    for step in range(1, 20):
        records.take(objective, step, ends=step == 19)
    assert records.records["all"]["step"].tolist() == list(range(1, 20))
    assert records.records["some"]["step"].tolist() == [1, 8, 16, 19]


# --- when points move -------------------------------------------------------------------------------------------------

MOVING = [*SMALL, "recipe=adam", "optimizer=lbfgs", "sampler=[sobol,adaptive_residual]", "dtype=float64"]
MOVING += ["sampler.adaptive_residual.every=3", "sampler.adaptive_residual.pool=400", "stop.steps=8"]
LOOKED = ["diagnostics=[points,loss_landscape,top_eigenvector]", "diagnostics.loss_landscape.draws=true"]
LOOKED += ["diagnostics.loss_landscape.n=3", "diagnostics.loss_landscape.iterations=9", "diagnostics.points.nodes=25"]
LOOKED += ["diagnostics.top_eigenvector.draws=true"]


def test_records_are_taken_right_before_and_right_after_a_draw(here):
    """Points are drawn before steps 4 and 7. The landscape's middle is the loss there; nothing of the run changes."""
    assert cli.main(["train", *MOVING, "folder=plain"]) == 0
    assert cli.main(["train", *MOVING, *LOOKED, "diagnostics.points.every=1", "folder=looked"]) == 0
    same("plain", "looked")
    records = Results(Path("looked/results.h5")).read("diagnostics")
    for name in ("loss_landscape", "top_eigenvector"):
        assert records[f"{name}/step"].tolist() == [1, 3, 4, 6, 7, 8]
    x = records["points/points/pde/x"]
    moved = [not np.array_equal(before, now) for before, now in pairwise(x)]
    assert moved == [step in (4, 7) for step in records["points/step"][1:]]


@pytest.mark.slow  # records are taken around draws below
def test_points_are_recorded_at_the_first_step_at_draws_and_at_the_last(here):
    assert cli.main(["train", *MOVING, *LOOKED, "folder=a"]) == 0
    assert Results(Path("a/results.h5")).read("diagnostics/points/step")[""].tolist() == [1, 4, 7, 8]
    assert cli.main(["train", *MOVING, *LOOKED, "diagnostics.points.most=2", "folder=b"]) == 0
    assert Results(Path("b/results.h5")).read("diagnostics/points/step")[""].tolist() == [1, 4, 8]  # spans of 4 steps


@pytest.mark.slow
@pytest.mark.parametrize("step", [3, pytest.param(4, marks=pytest.mark.slow)])
def test_a_run_stopped_at_a_draw_has_the_records_of_a_whole_one(here, step):
    words = [*MOVING, *LOOKED, "diagnostics.points.every=1"]
    assert cli.main(["train", *words, "folder=whole"]) == 0
    with told_to_stop_in(step):
        assert cli.main(["train", *words, "folder=parts"]) == cli.STOPPED
    assert cli.main(["resume", "parts"]) == 0
    assert_same_run("whole", "parts")


def test_the_last_points_of_a_finished_run_can_be_looked_at_later(here, capsys):
    assert cli.main(["train", *MOVING, "folder=a"]) == 0
    assert cli.main(["diagnose", "a", "points", "points.nodes=16"]) == 0
    results = Results(Path("a/results.h5"))
    assert results.read("diagnostics/points/residual/pde")[""].shape == (1, 16)
    np.testing.assert_array_equal(
        results.read("diagnostics/points/points/pde/y")[""][0], results.read("collocation/pde")[""][:, 1]
    )


def test_a_problem_in_one_coordinate_has_a_line_of_nodes():
    words = ["problem=poisson_1d", "points.interior=7", "architecture.width=5", "device=cpu"]
    record = Points(nodes=11)(snapshot(plan.preview(assemble(compose(words)))))
    assert record["lattice/x"].shape == record["residual/pde"].shape == (11,)
