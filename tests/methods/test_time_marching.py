"""Time marching: windows, seams, the solution over all windows as one function, resumes, refusals."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from math import pi
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, sin

from pinn_cli import cli, load
from pinn_cli.basics.errors import UsageError
from pinn_cli.basics.signals import Interruption
from pinn_cli.configuration import catalogue
from pinn_cli.configuration.assemble import assemble
from pinn_cli.configuration.compose import compose
from pinn_cli.configuration.plan import preview
from pinn_cli.configuration.sources import Sources
from pinn_cli.derivatives.engines import Autograd, Taylor
from pinn_cli.methods.strategies.time_marching import LEAST, TimeMarching, adapted
from pinn_cli.physics.domains import Box
from pinn_cli.physics.piecewise import Marched, Piecewise
from pinn_cli.physics.problem import Problem, on
from pinn_cli.physics.references import reference_of
from pinn_cli.physics.time_window import Window, beginning
from pinn_cli.records.results import Results
from pinn_cli.runs.job import Job
from pinn_cli.training import compilation
from pinn_cli.training import loop as train
from pinn_cli.training.clock import Clock
from pinn_cli.training.jacobian import row_by_row
from pinn_cli.training.metrics import Comparison, points_of_comparison
from pinn_cli.training.objective import Objective
from pinn_cli.training.stopping import Progress, StopRules
from pinn_cli.training.verdict import Verdict, worst
from tests.conftest import each
from tests.run_files import assert_same_run, told_to_stop_in

MARCH = "strategy.time_marching"
SMALL = ["architecture.width=6", "architecture.depth=2", "points.interior=40", "points.face=8"]
QUICK = [*SMALL, "figures=off", "compile=off", "record.every=1"]


def words(problem: str = "wave", *more: str, strategy: str = "time_marching") -> list[str]:
    return [f"problem={problem}", f"strategy=[{strategy}]", *SMALL, *more]


def stages_of(*made: str) -> list:
    parts = assemble(compose(list(made)))
    return list(parts.strategy(parts.problem, parts.new_models()))


def spans(stages: list) -> list[tuple[float, float]]:
    return [(round(s.problem.start, 9), round(s.problem.end, 9)) for s in stages]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ([f"{MARCH}.windows=4"], [(0.0, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 1.0)]),
        ([f"{MARCH}.length=0.3"], [(0.0, 0.3), (0.3, 0.6), (0.6, 0.9), (0.9, 1.0)]),
        ([f"{MARCH}.length=0.1", f"{MARCH}.steps=3"], [(round(k / 10, 9), round((k + 1) / 10, 9)) for k in range(10)]),
        ([f"{MARCH}.windows=2", f"{MARCH}.overlap=0.2"], [(0.0, 0.7), (0.5, 1.0)]),
        ([f"{MARCH}.windows=1"], [(0.0, 1.0)]),
    ],
)
def test_windows_are_set_by_number_or_length_and_may_overlap(settings, expected) -> None:
    stages = stages_of(*words("wave", *settings))
    assert spans(stages) == expected
    assert [s.underway for s in stages] == [True] * (len(stages) - 1) + [False]
    assert {s.steps for s in stages} == {3 if f"{MARCH}.steps=3" in settings else None}
    assert stages[0].name == f"t=0..{expected[0][1]:g}: levenberg_marquardt"


def tried(losses: Callable[[float, float], float], length: float = 0.25, most: float = 1.0) -> list:
    """The spans of [0, 1] that are tried where a window has the loss `losses(start, end)`."""
    spans: list[tuple[float, float]] = []
    for span in adapted(0.0, 1.0, length, most, lambda: losses(*spans[-1])):
        spans.append(span)
    return spans


def test_windows_of_adapted_length_are_halved_after_a_failure_and_doubled_where_the_loss_is_far_below() -> None:
    assert tried(lambda a, b: 0.5) == [(0, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 1)], "passed, but not easily"
    assert tried(lambda a, b: 0.001) == [(0, 0.25), (0.25, 0.625), (0.625, 1)], "no more than needed, of equal length"
    hard = tried(lambda a, b: 0.5 if b - a <= 0.125 or a >= 0.5 else 2.0)
    assert hard == [(0, 0.25), (0, 0.125), (0.125, 0.25), (0.25, 0.375), (0.375, 0.5), (0.5, 0.625), (0.625, 0.75),
                    (0.75, 0.875), (0.875, 1)]  # fmt: skip


@pytest.mark.parametrize("loss", [2.0, float("nan"), float("inf")])
def test_windows_that_always_fail_come_to_an_end(loss) -> None:
    spans = tried(lambda a, b: loss, length=1.0)
    assert [b for a, b in spans if a == 0] == [2.0**-k for k in range(7)]
    assert min(b - a for a, b in spans) == LEAST
    assert spans[-1][1] == 1
    assert len(spans) == 7 + 63


def test_a_window_that_is_tried_again_starts_from_the_one_before_and_is_no_part_of_the_solution() -> None:
    parts = assemble(compose(words("wave", f"{MARCH}.windows=2", f"{MARCH}.loss=1")))
    seen = []
    for stage, loss in zip(parts.strategy(parts.problem, parts.new_models()), [0.5, 2.0, 0.5, 0.5], strict=True):
        stage.report.values = {"loss/total": loss}
        pieces = [(piece.window.start, piece.window.end) for piece in stage.solution.pieces]
        before = stage.problem.before
        seen.append((pieces, before is (stage.solution.pieces[-2].model if len(pieces) > 1 else None), stage.underway))
    assert seen == [
        ([(0, 0.5)], True, True),
        ([(0, 0.5), (0.5, 1)], True, False),
        ([(0, 0.5), (0.5, 0.75)], True, True),
        ([(0, 0.5), (0.5, 0.75), (0.75, 1)], True, False),
    ]


@pytest.mark.parametrize("limit", ["seconds=9", "steps=20"])
def test_a_window_that_was_cut_short_is_not_tried_with_half_the_length(limit) -> None:
    """A shorter one has a smaller share of what is left, is cut short too, and so on: nothing was solved any more."""
    parts = assemble(compose(words("wave", f"{MARCH}.windows=2", f"{MARCH}.loss=1")))
    seen = []
    for stage in parts.strategy(parts.problem, parts.new_models()):
        stage.report.values = {"loss/total": 1e9}
        stage.reason = f"its share of stop.{limit}: 5 steps made" if len(seen) < 2 else "the optimizer stopped: stalled"
        seen.append((stage.problem.start, stage.problem.end))
        if len(seen) == 3:
            break
    assert seen == [(0, 0.5), (0.5, 1)]


@pytest.mark.parametrize("recipe", ["random_features_in_time", "adapted_features_in_time"])
def test_windows_of_newton_end_by_themselves(recipe) -> None:
    stages = stages_of("problem=reaction", f"recipe={recipe}", "architecture.width=16", "points.interior=80")
    assert {(stage.steps, stage.share) for stage in stages} == {(None, 1.0)}


def test_a_schedule_is_trained_in_every_window() -> None:
    stages = stages_of(*words("wave", f"{MARCH}.windows=2", "optimizer=[adam,lbfgs]", "optimizer.adam.steps=3"))
    assert [(s.name, s.steps) for s in stages] == [
        ("t=0..0.5: adam", 3),
        ("t=0..0.5: lbfgs", None),
        ("t=0.5..1: adam", 3),
        ("t=0.5..1: lbfgs", None),
    ]
    assert [s.reserved for s in stages if s.steps is None] == [3, 0]  # the steps of Adam in the windows that follow
    assert stages[0].model is stages[1].model
    assert stages[1].model is not stages[2].model


@pytest.mark.parametrize(
    ("settings", "steps"),
    [
        ([f"{MARCH}.windows=5", "stop.steps=12"], [4, 2, 2, 2, 2]),
        pytest.param([f"{MARCH}.windows=2", "optimizer=[adam,lbfgs]", "optimizer.adam.steps=2", "stop.steps=13"],
                     [2, 6, 2, 3], marks=pytest.mark.slow),
        pytest.param([f"{MARCH}.windows=3", "stop.steps=2"], [1, 1], marks=pytest.mark.slow),  # each may take one step
        pytest.param([f"{MARCH}.windows=3", f"{MARCH}.steps=2", "stop.steps=5"], [2, 2, 1], marks=pytest.mark.slow),
        pytest.param([f"{MARCH}.windows=1", "stop.steps=3"], [3], marks=pytest.mark.slow),
    ],
)
def test_every_window_gets_its_share_of_the_steps_of_the_run(settings, steps, here) -> None:
    """With 100 steps each, as it was, a run of 300 steps ended in the third of five windows: Allen-Cahn 9.4e-2 off."""
    assert cli.main(["train", *words("wave", *QUICK, *settings, "folder=run")]) == 0
    stage = Results(Path("run/results.h5")).read_history()["stage"]
    assert [int((stage == k).sum()) for k in range(int(stage[-1]) + 1)] == steps


@pytest.mark.parametrize(
    ("window", "begun", "ends"), [(0, 0.0, 50.0), (0, 20.0, 60.0), (1, 50.0, 75.0), (1, 40.0, 70.0), (2, 75.0, 100.0)]
)
def test_every_window_gets_its_share_of_the_seconds_of_the_run(window, begun, ends) -> None:
    """Of 100 seconds: what a window leaves goes to those after it, and another strategy may have used some before."""
    stage = stages_of(*words("wave", f"{MARCH}.windows=3"))[window]
    rules, progress = StopRules(seconds=100.0), Progress(step=7, stage_step=5, began=2, seconds=begun)
    assert rules(stage, progress, Clock(earlier=ends - 0.1), Interruption()) is None
    ended = rules(stage, progress, Clock(earlier=ends + 0.1), Interruption())
    assert ended.ends_run == (window == 2)
    assert ended.reason.startswith("stop.seconds=100" if window == 2 else "its share of stop.seconds=100: 5 steps made")
    progress.stage_step = 0
    assert window == 2 or rules(stage, progress, Clock(earlier=ends + 0.1), Interruption()) is None


def test_windows_of_few_steps_are_not_compiled(monkeypatch) -> None:
    """A compilation takes as long as thousands of steps, and every window would need its own."""
    monkeypatch.setattr(compilation, "_failure", lambda: None)
    for steps, compiled in ((100, False), (20000, True)):
        config = compose(words("wave", "recipe=adam", f"{MARCH}.windows=2", f"{MARCH}.steps={steps}"))
        job = Job(config, "wave", assemble(config), Sources())
        assert ("compiled" in job.plan()) is job.compiled is compiled


@pytest.mark.parametrize(
    ("points", "counts"),
    [("each", {"pde": 40, "wall": 16, "displacement": 8}), ("total", {"pde": 10, "wall": 4, "displacement": 8})],
)
def test_each_window_has_all_points_or_its_share(points, counts) -> None:
    parts = assemble(compose(words("wave", f"{MARCH}.windows=4", f"{MARCH}.points={points}", "sampler=[sobol]")))
    for stage in parts.strategy(parts.problem, parts.new_models()):
        objective = Objective(stage.problem, stage.model, parts.engine, parts.weighting, parts.weights)
        stage.sampler.begin_stage(stage.problem)
        batch = stage.sampler.draw(0, stage.problem, objective)
        assert {name: len(batch[name]) for name in counts} == counts
        assert stage.problem.domain.contains(batch["pde"]).all()
        assert (batch["displacement"][:, 1] == stage.problem.start).all()


@pytest.mark.parametrize("engine", [Taylor, Autograd])
@pytest.mark.parametrize("problem", ["wave", "klein_gordon"])
def test_a_seam_is_the_continuity_of_each_prescribed_quantity(problem, engine) -> None:
    parts = assemble(compose(words(problem, f"{MARCH}.windows=2", f"{MARCH}.start=fresh")))
    first, second = parts.strategy(parts.problem, parts.new_models())
    names = [c.name for c in parts.problem.constraints()]
    assert [c.name for c in second.problem.constraints()] == names
    objective = Objective(second.problem, second.model, engine, parts.weighting, parts.weights)
    assert objective.base == {n: parts.weights[n] for n in names}
    X = second.problem.domain.sample("initial", torch.rand(9, 2, dtype=torch.float64))
    assert (X[:, 1] == 0.5).all()
    old, new = (
        Objective(parts.problem, stage.model, Autograd, parts.weighting).evaluate(["u", "u_t"], X)
        for stage in (first, second)
    )
    assert (new["u"] - old["u"]).abs().min() > 1e-6
    for name, symbol in (("displacement", "u"), ("velocity", "u_t")):
        torch.testing.assert_close(objective.residual(name, X), new[symbol] - old[symbol], rtol=1e-12, atol=1e-12)
    objective.begin({"displacement": X, "velocity": X})
    slow = row_by_row(objective.vector(), objective.parameters)
    torch.testing.assert_close(objective.linearise().dense(), slow, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("start", ["warm", "fresh"])
@pytest.mark.parametrize("architecture", ["mlp", "fourier"])
def test_a_network_starts_from_the_previous_one_or_from_new_values(start, architecture) -> None:
    made = [w for w in words("wave", f"{MARCH}.windows=2", f"{MARCH}.start={start}") if "architecture." not in w]
    parts = assemble(compose([*made, f"architecture={architecture}"]))
    march = parts.strategy(parts.problem, parts.new_models())
    first = next(march).model
    with torch.no_grad():
        for p in first.parameters():
            p.add_(1.0)  # what training would do
    second = next(march).model
    then, now = first.network.state_dict(), second.network.state_dict()
    same = [torch.equal(then[name], now[name]) for name in then]
    assert all(same) if start == "warm" else not any(same)
    assert first.features.shift[1] != second.features.shift[1], "its inputs are scaled to its own window"
    assert first is not second


ORDERS = {
    "time_marching,continuation": [(1.0, 0.0), (2.0, 0.0), (1.0, 0.5), (2.0, 0.5)],
    "continuation,time_marching": [(1.0, 0.0), (1.0, 0.5), (2.0, 0.0), (2.0, 0.5)],
}
CURRICULUM = ["strategy.continuation.coefficient=c", "strategy.continuation.through=[1]"]


@pytest.mark.parametrize("order", ORDERS)
def test_time_marching_and_continuation_nest_in_either_order(order) -> None:
    settings = [f"{MARCH}.windows=2", f"{MARCH}.start=fresh", *CURRICULUM]
    parts = assemble(compose(words("wave", *settings, strategy=order)))
    seen, before = [], []
    for stage in parts.strategy(parts.problem, parts.new_models()):
        seen.append((stage.problem.c, stage.problem.start))
        before.append([p.detach().clone() for p in stage.model.network.parameters()])
        assert stage.solution.problem.c == (stage.problem.c if order.startswith("continuation") else 2.0)
        assert len(stage.solution.pieces) == 1 + int(stage.problem.start > 0)
        assert stage.solution.pieces[-1].model is stage.model
        with torch.no_grad():
            for p in stage.model.network.parameters():
                p.fill_(len(seen))  # what training would do
    assert seen == ORDERS[order]
    begins = [float(b[0][0, 0]) if (b[0] == b[0][0, 0]).all() else None for b in before]
    assert begins == ([None, None, 1.0, 2.0] if order.startswith("continuation") else [None, 1.0, None, 3.0])
    assert [stage.underway for stage in parts.strategy(parts.problem, parts.new_models())] == [True] * 3 + [False]


def marched(problem: str = "wave", *settings: str) -> tuple:
    """Three windows of networks that agree nowhere, as a whole."""
    parts = assemble(compose(words(problem, f"{MARCH}.windows=3", f"{MARCH}.start=fresh", *settings)))
    stages = list(parts.strategy(parts.problem, parts.new_models()))
    return parts, stages, stages[-1].solution.model()


@pytest.mark.parametrize("engine", [Taylor, Autograd])
def test_derivatives_of_the_whole_solution_are_those_of_its_pieces(engine) -> None:
    parts, stages, whole = marched()
    X = parts.problem.domain.grid(10)[torch.randperm(100, generator=torch.Generator().manual_seed(0))]
    names = ["u", "u_x", "u_tt", "u_xt", "lap_u", "residual/pde"]
    found = Objective(parts.problem, whole, Piecewise(engine), parts.weighting).evaluate(names, X)
    pieces = [Objective(parts.problem, s.model, Autograd, parts.weighting).evaluate(names, X) for s in stages]
    owner = (X[:, 1] >= 1 / 3).long() + (X[:, 1] >= 2 / 3).long()
    assert len(owner.unique()) == 3
    for name in names:
        expected = torch.stack([piece[name] for piece in pieces], 1)[torch.arange(100), owner]
        torch.testing.assert_close(found[name], expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(whole(X)[:, 0], found["u"])
    assert whole(X[:0]).shape == (0, 1)


def test_the_objective_of_the_whole_solution_has_the_gradients_and_rows_of_all_networks() -> None:
    parts, _, whole = marched()
    objective = Objective(parts.problem, whole, Piecewise(Taylor), parts.weighting, parts.weights)
    box = parts.problem.domain
    objective.begin({"pde": box.grid(3), "wall": box.sample("boundary", torch.rand(6, 2, dtype=torch.float64))})
    J = objective.linearise()
    slow = row_by_row(objective.vector(), objective.parameters)
    torch.testing.assert_close(J.dense(), slow, rtol=1e-9, atol=1e-9)
    gradient = objective.flat(torch.autograd.grad(objective.loss(), objective.parameters, allow_unused=True))
    torch.testing.assert_close(2 * J.gradient, gradient, rtol=1e-9, atol=1e-9)


def test_the_verdict_of_several_windows_is_the_worst_and_nan_is_worse_than_any_number() -> None:
    nan = float("nan")
    both = worst([Verdict({"pde": 1.0, "wall": 3.0}, {"pde": 0.1}), Verdict({"pde": nan}, {"pde": 0.2, "wall": 0.1})])
    assert both.broken == ["pde", "wall"]
    assert both.relative == {"pde": 0.2, "wall": 0.1}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A short run that solves its problem, and the solution it had in memory at its end."""
    folder, kept = tmp_path_factory.mktemp("marched") / "run", []
    whole = train.Run.whole

    def keep(self, stage, objective, unfinished):
        kept.append(whole(self, stage, objective, unfinished))
        return kept[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train.Run, "whole", keep)
        made = words("wave", "problem.c=1", f"{MARCH}.windows=2", f"{MARCH}.steps=60", "architecture.width=16")
        made += ["points.interior=192", "points.face=32", "figures=off", f"folder={folder}"]
        assert cli.main(["train", *made]) == 0
    return folder, kept[0]


def test_seams_are_continuous_in_value_and_slope(run) -> None:
    results = Results(run[0] / "results.h5")
    seams = results.read("seams")
    np.testing.assert_allclose(seams["time"], [0.5])
    assert seams["displacement"].max() < 1e-4
    assert seams["velocity"].max() < 1e-3
    u, x = load(run[0]), np.linspace(0, 1, 101)
    for t, jumps in zip(seams["time"], seams["displacement"], strict=True):
        gap = np.abs(u(x=x, t=t) - u(x=x, t=t - 1e-12)).max()
        assert 0 < gap < 1.5 * jumps
        slopes = u(x=x, t=t, derivatives="u_t") - u(x=x, t=t - 1e-12, derivatives="u_t")
        assert 0 < np.abs(slopes).max() < 1e-3
    assert results.read("guard")["verdict"] == "ok: residuals at unseen points are as small as at the training points"


def test_errors_and_fields_cover_the_whole_time_axis_and_the_history_each_window(run) -> None:
    results = Results(run[0] / "results.h5")
    fields, history = results.read("fields"), results.read_history()
    X, u, true = fields["points"], fields["prediction/u"], fields["reference/u"]
    assert (X.min(0).tolist(), X.max(0).tolist()) == ([0, 0], [1, 1])
    np.testing.assert_allclose(true, np.sin(pi * X[:, 0]) * np.cos(pi * X[:, 1]), atol=1e-12)
    error = np.linalg.norm(u - true) / np.linalg.norm(true)
    assert results.read("error")["u"] == pytest.approx(error, rel=1e-9)
    assert error < 1e-4
    last = (X[:, 1] >= 0.5) & (history["stage"][-1] == 1)
    inside = np.linalg.norm((u - true)[last]) / np.linalg.norm(true[last])
    assert history["error/u"][-1] == pytest.approx(inside, rel=0.2)  # other points of the same window
    points = results.read("collocation")
    assert points["pde"][:, 1].min() < 0.1
    assert points["pde"][:, 1].max() > 0.9
    assert (points["velocity"][:, 1] == 0).all()


def test_a_prediction_from_the_file_is_the_solution_that_was_trained(run) -> None:
    folder, (objective, windows) = run
    X, names = objective.problem.domain.grid(23), ["u", "u_t", "u_xx", "residual/pde"]
    live = objective.evaluate(names, X)
    again = load(folder)(x=X[:, 0].numpy(), t=X[:, 1].numpy(), derivatives=names)
    for name in names:
        np.testing.assert_array_equal(again[name], live[name].numpy())
    assert isinstance(objective.model, Marched)
    assert [window.problem.start for window in windows] == [0.0, 0.5]


@pytest.mark.parametrize(
    "made",
    [
        f"sampler=[sobol,held_out] sampler.held_out.every=1 {MARCH}.overlap=0.1",
        pytest.param(
            f"{MARCH}.start=fresh recipe=adam weighting=lr_annealing weighting.lr_annealing.every=1 "
            f"{MARCH}.points=total",
            marks=pytest.mark.slow,
        ),
        pytest.param(f"optimizer=[adam,lbfgs] optimizer.adam.steps=1 {MARCH}.steps=1", marks=pytest.mark.slow),
        pytest.param(
            f"strategy=[time_marching,continuation] {' '.join(CURRICULUM)} strategy.continuation.steps=1 "
            f"{MARCH}.steps=1 {MARCH}.windows=2",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            f"strategy=[continuation,time_marching] {' '.join(CURRICULUM)} {MARCH}.steps=1", marks=pytest.mark.slow
        ),
    ],
)
@pytest.mark.slow
def test_a_run_stopped_in_its_second_window_continues_bit_for_bit(made, here) -> None:
    short = ["train", *words("wave", f"{MARCH}.windows=3", f"{MARCH}.steps=2"), *QUICK]
    keys = {word.partition("=")[0] for word in made.split()}
    short = [word for word in short if word.partition("=")[0] not in keys] + made.split()
    assert cli.main([*short, "folder=whole"]) == 0
    middle = 1 + int(Results(Path("whole/results.h5")).read_history()["step"][-1]) // 2
    with told_to_stop_in(middle):
        assert cli.main([*short, "folder=parts"]) == cli.STOPPED
    assert 1 < len(load("parts").objective.model.pieces) < 3 or "continuation" in made
    assert cli.main(["resume", "parts"]) == 0
    assert_same_run("whole", "parts")
    assert Results(Path("parts/results.h5")).read("seams")


def test_a_killed_run_is_predicted_from_its_checkpoint(here, capsys) -> None:
    made = words("wave", f"{MARCH}.windows=3", f"{MARCH}.steps=2", *QUICK, "stop.steps=4", "folder=run")
    assert cli.main(["train", *made]) == 0
    results = Results(Path("run/results.h5"))
    assert results.read_attributes()["reason"].endswith("reached, on the way in t=0.3333..0.6667: levenberg_marquardt")
    assert results.read("guard")["verdict"].startswith("stopped on the way: trained up to t=0.3333 of 1; there the equ")
    assert results.read_attributes("error/u")["extrapolated_from"] == pytest.approx(1 / 3)
    shown = " ".join(capsys.readouterr().out.split())
    assert "(relative L2; extrapolated from t=0.3333 on) estimated error: none (the time from t=0.3333 on has" in shown
    assert shown.endswith("next pinn resume run stop.steps=16")
    kept = load("run")(x=0.3, t=[0.1, 0.5, 0.9])
    results.attributes(status="running")
    np.testing.assert_array_equal(load("run")(x=0.3, t=[0.1, 0.5, 0.9]), kept)


@pytest.mark.slow
def test_a_run_that_ended_on_the_way_goes_on_bit_for_bit(here) -> None:
    made = words("wave", f"{MARCH}.windows=3", f"{MARCH}.steps=2", *QUICK)
    assert cli.main(["train", *made, "stop.steps=4", "folder=run"]) == 0
    assert cli.main(["resume", "run", "stop.steps=6"]) == 0
    assert cli.main(["train", *made, "stop.steps=6", "folder=once"]) == 0
    assert len(Results(Path("run/results.h5")).read("network")["windows"]) == 3
    assert_same_run("once", "run")


def test_every_window_sees_its_own_measurements_and_unknowns_keep_their_values() -> None:
    parts, stages, _ = marched("heat_inverse")
    data = [stage.problem.data for stage in stages]
    assert sum(map(len, data)) == 200
    assert torch.equal(torch.cat(data).sort(0).values, parts.problem.data.sort(0).values)
    for stage, X in zip(stages, data, strict=True):
        assert ((X[:, 1] <= stage.problem.end) & (X[:, 1] >= stage.problem.start)).all()
        assert len(stage.problem.data_columns["u_data"]) == len(X)
    march = parts.strategy(parts.problem, parts.new_models())
    first = next(march).model
    with torch.no_grad():
        first.unknowns["kappa"].fill_(0.37)
    assert float(next(march).model.unknowns["kappa"].detach()) == 0.37


def test_the_value_for_all_windows_is_their_mean_weighted_by_length() -> None:
    _, stages, _ = marched("heat_inverse")
    values = [0.2, 0.1, 0.3][: len(stages)]
    for stage, value in zip(stages, values, strict=True):
        with torch.no_grad():
            stage.model.unknowns["kappa"].fill_(value)
    spans = [(0.0, 0.5), (0.25, 1.0), (0.75, 1.0)]  # the first two overlap the next
    whole = Marched([stage.model for stage in stages], spans, 1)
    assert whole.window_unknowns["kappa"].tolist() == values
    assert float(whole.unknowns["kappa"]) == pytest.approx((0.2 + 2 * 0.1 + 0.3) / 4)


def test_an_inverse_problem_shows_its_unknowns(here, capsys) -> None:
    """One value for all, its spread and the value of every window: on the screen, in the file, show, JSON, compare."""
    made = words("heat_inverse", f"{MARCH}.windows=2", f"{MARCH}.steps=2", *QUICK, "folder=run")
    assert cli.main(["train", *made]) == 0
    shown = capsys.readouterr().out
    assert "unknown   kappa" in shown
    assert "strategy  time_marching  windows=2  start=warm" in shown
    results = Results(Path("run/results.h5"))
    kappa, windows = results.read("unknowns")["kappa"], results.read("windows")["kappa"]
    assert load("run").unknowns == {"kappa": kappa}
    assert kappa == pytest.approx(windows.mean(), rel=1e-12)
    assert windows[0] != windows[1]
    assert results.read("unknowns")["kappa spread"] == pytest.approx(abs(windows[1] - windows[0]), rel=1e-12)
    shown = {}
    for command in (["show", "run"], ["show", "run", "--json"], ["compare", "run"], ["compare", "run", "--json"]):
        assert cli.main(command) == 0
        shown[" ".join(command)] = capsys.readouterr().out
    assert f"windows   kappa = {windows[0]:.6g}, {windows[1]:.6g}" in shown["show run"]
    assert "kappa spread = " in shown["show run"]
    assert json.loads(shown["show run --json"])["windows"] == {"kappa": windows.tolist()}
    assert "kappa spread" in shown["compare run"]
    assert "kappa spread" in shown["compare run --json"]
    assert len(Results(Path("run/results.h5")).read("collocation")["measured"]) == 200


def test_walls_are_exact_in_every_window_and_seams_are_penalties(here) -> None:
    made = words("wave", f"{MARCH}.windows=2", f"{MARCH}.steps=3", *QUICK, "constraints=exact", "folder=run")
    assert cli.main(["train", *made]) == 0
    u, t = load("run"), np.linspace(0, 1, 9)
    np.testing.assert_allclose(u(x=0.0, t=t), 0, atol=1e-12)
    np.testing.assert_allclose(u(x=np.linspace(0, 1, 9), t=0.0), np.sin(pi * np.linspace(0, 1, 9)), atol=1e-12)
    history = Results(Path("run/results.h5")).read_history()
    assert np.isnan(history["loss/displacement"][:3]).all()
    assert np.isfinite(history["loss/displacement"][3:]).all()
    assert "loss/wall" not in history


@pytest.mark.slow
def test_diagnostics_see_one_window_during_the_run_and_the_whole_solution_afterwards(here, capsys) -> None:
    made = ["recipe=adam", f"{MARCH}.windows=2", f"{MARCH}.steps=2", "diagnostics=[gradient_alignment]", *QUICK]
    assert cli.main(["train", *words("wave", *made, "folder=run")]) == 0
    assert len(Results(Path("run/results.h5")).read("diagnostics")["gradient_alignment/step"]) == 4
    assert cli.main(["diagnose", "run", "ntk_spectrum", "ntk_spectrum.points=4"]) == 0
    assert "trace" in capsys.readouterr().out


@pytest.mark.parametrize("problem", each(catalogue.options("problem")))
def test_every_problem_with_a_time_axis_can_be_marched(problem) -> None:
    """Not one with an unknown field, which would be another in each window, or with measurements as its beginning."""
    parts = assemble(compose(words(problem, f"{MARCH}.windows=2")))
    begins = any(c.region == "initial" for c in parts.problem.constraints())
    if parts.problem.domain.time is None or parts.problem.unknown_fields or not begins:
        return
    for stage in parts.strategy(parts.problem, parts.new_models()):
        objective = Objective(stage.problem, stage.model, parts.engine, parts.weighting, parts.weights)
        parts.weighting.begin_stage(stage.problem)
        stage.sampler.begin_stage(stage.problem)
        objective.begin(stage.sampler.draw(0, stage.problem, objective))
        assert np.isfinite(float(stage.optimizer.step(objective).values["loss/total"]))
        reference = reference_of(stage.problem)
        compared = Comparison(reference, points_of_comparison(stage.problem.domain, reference)).errors
        assert np.isfinite([e.relative_l2 for e in compared(objective.evaluate).values()]).all()
    whole = Objective(parts.problem, stage.solution.model(), Piecewise(parts.engine), parts.weighting)
    whole.begin(stage.solution.points())
    assert whole.batch.keys() == objective.batch.keys()
    assert all(torch.isfinite(r).all() for r in whole.residuals().values())


@dataclass
class Decay(Problem):
    """u_t = -u on [0, 1] x [0, 1], known from a table of its own points."""

    coordinates = ("x", "t")
    fields = ("u",)
    times: tuple[float, ...] = (0.0, 0.5, 0.75, 1.0)

    def __post_init__(self) -> None:
        self.domain = Box(x=(0, 1), t=(0, 1), names={"start": ["t=0"], "all": ["t=0", "x=0"]}, points={"dot": (0, 0.5)})

    def reference(self) -> "Rows":
        return Rows(self.times)

    def metrics(self, evaluate) -> dict[str, float]:
        return {"any": 1.0}

    @on("interior")
    def pde(self, u, u_t):
        return u_t + u

    @on("start")
    def initial(self, x, u):
        return u - sin(pi * x)


class Rows:
    fields, error = ("u",), 0.0

    def __init__(self, times: tuple[float, ...]) -> None:
        self.at = torch.tensor([(x / 4, t) for x in range(5) for t in times], dtype=torch.float64)

    def __call__(self, X: Tensor) -> dict[str, Tensor]:
        assert torch.equal(X, self.at)
        return {"u": sin(pi * X[:, 0]) * torch.exp(-X[:, 1])}


def test_a_window_is_compared_with_its_own_part_of_a_table() -> None:
    before = torch.nn.Linear(2, 1, dtype=torch.float64)
    known = reference_of(Window(Decay(), 0.5, 1.0, before))
    assert sorted(set(known.at[:, 1].tolist())) == [0.75, 1.0]
    torch.testing.assert_close(known(known.at)["u"], sin(pi * known.at[:, 0]) * torch.exp(-known.at[:, 1]))
    assert known.counts(known.at).all()
    elsewhere = reference_of(Window(Decay(), 0.5, 1.0, before)).inner
    with pytest.raises(AssertionError):
        elsewhere(elsewhere.at + 0.1)  # the table itself decides what it knows
    torch.testing.assert_close(elsewhere(elsewhere.at), known(known.at))
    assert reference_of(Window(Decay((0.75,)), 0.0, 0.5)) is None
    assert not hasattr(Window(Decay(), 0.5, 1.0, before), "metrics")


def test_regions_of_a_window_keep_their_names() -> None:
    box = Window(Decay(), 0.5, 1.0).domain
    assert box.faces("start") == box.faces("initial") == box.faces("t=0") == box.faces("t=0.5") == [(1, 0)]
    assert box.faces("x=0") == [(0, 0)]
    assert "dot" in box.points
    assert "dot" not in Window(Decay(), 0.6, 1.0).domain.points


def refused(problem: Problem, **settings) -> str:
    with pytest.raises(ValueError, match=r".") as found:
        next(TimeMarching(lambda window, make: iter(()), **{"windows": 2, **settings})(problem, lambda window: None))
    assert "\n" not in str(found.value)
    return str(found.value)


class AtTheEnd(Decay):
    @on("t=1")
    def end(self, u):
        return u


class Corner(Decay):
    @on("all")
    def both(self, u):
        return u


class Dot(Decay):
    @on("dot")
    def there(self, u):
        return u


class Unbegun(Decay):
    initial = None


class Measured(Decay):
    def measurements(self) -> dict[str, Tensor]:
        return {"x": torch.rand(3), "t": torch.tensor([0.1, 0.2, 0.9]), "u_data": torch.rand(3)}

    @on("data")
    def probe(self, u, u_data):
        return u - u_data


def test_a_problem_without_windows_is_refused() -> None:
    assert "ties times to each other" in refused(AtTheEnd())
    assert "ties times to each other" in refused(Corner())
    assert "holds at one instant" in refused(Dot())
    assert "no initial condition" in refused(Unbegun())
    assert "no measurement of `probe` in t=0.25..0.5" in refused(Measured(), windows=4)


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (words("helmholtz", f"{MARCH}.windows=2"), "Helmholtz has no time axis"),
        (words("wave"), "found windows=None, length=None; type one of them, e.g. windows=10"),
        (words("wave", f"{MARCH}.windows=2", f"{MARCH}.length=0.1"), "type one of them"),
        (words("wave", f"{MARCH}.windows=0"), "windows=0: expected a whole number above 0"),
        (words("wave", f"{MARCH}.windows=2", f"{MARCH}.loss=0"), "loss=0: expected a number above 0"),
        (
            words("heat_inverse", f"{MARCH}.windows=2", f"{MARCH}.loss=1"),
            "a window of adapted length may hold no measurement of `measured`; type strategy.time_marching.loss=null",
        ),
        (words("wave", f"{MARCH}.length=-1"), "length=-1: expected more than 0 and at most 1"),
        (words("wave", f"{MARCH}.length=2"), "length=2: expected more than 0 and at most 1"),
        (words("wave", f"{MARCH}.windows=2", f"{MARCH}.overlap=-0.1"), "overlap=-0.1: expected at least 0"),
        (words("wave", f"{MARCH}.windows=2", f"{MARCH}.start=cold"), "start=cold: expected one of warm, fresh"),
        (words("wave", f"{MARCH}.windows=2", f"{MARCH}.points=few"), "points=few: expected one of each, total"),
        (
            words("wave", f"{MARCH}.windows=2", f"{MARCH}.steps=few"),
            "steps=few: expected share, a whole number above 0",
        ),
        (words("wave", f"{MARCH}.windows=2", f"{MARCH}.steps=0"), "steps=0: expected share, a whole number"),
        (
            [
                *words("wave", f"{MARCH}.windows=2", strategy="pseudo_time,time_marching"),
                "strategy.pseudo_time.evolves={pde: u}",
            ],
            "type strategy=[time_marching,pseudo_time]",
        ),
    ],
)
def test_a_wrong_setting_is_refused_before_the_run(made, says) -> None:
    with pytest.raises(UsageError) as found:
        preview(assemble(compose(made)))
    assert says in str(found.value)


def test_a_window_begins_with_the_initial_value_or_with_the_window_before() -> None:
    problem = assemble(compose(words("wave"))).problem
    X = problem.domain.grid(5)
    X[:, 1] = 0
    torch.testing.assert_close(beginning(problem, X)[:, 0], problem.exact(*X.unbind(1)))
    before = torch.nn.Linear(2, 1).double()
    window = Window(problem, 0.5, 1.0, before)
    assert torch.equal(beginning(window, X), before(X).detach())
    problem.constraints = list
    with pytest.raises(ValueError, match="no initial condition gives the value of `u`"):
        beginning(problem, X)
