"""Continuation in a coefficient: its stages, where each begins and ends, refusals."""

from itertools import cycle
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pinn_cli import cli
from pinn_cli.basics.errors import UsageError
from pinn_cli.basics.signals import Interruption
from pinn_cli.configuration.assemble import assemble
from pinn_cli.configuration.compose import compose
from pinn_cli.configuration.plan import preview
from pinn_cli.methods.contracts import Report, Stage
from pinn_cli.methods.strategies.continuation import LEAST, Continuation, steps_to
from pinn_cli.problems.helmholtz import Helmholtz
from pinn_cli.records.results import Results
from pinn_cli.training.clock import Clock
from pinn_cli.training.stopping import Progress, StopRules
from tests.run_files import assert_same_run, told_to_stop_in

SMALL = ["architecture.width=4", "architecture.depth=1", "points.interior=32", "points.face=8", "stop.steps=20"]
MEASURED = """
from pinn_cli.problems.helmholtz import Helmholtz

class Measured(Helmholtz):
    def metrics(self, evaluate):
        return {"of": self.a2}
"""
STEADY = ["problem=helmholtz", "strategy=continuation", *SMALL]


def words(coefficient: str = "a2", through: str = "[1,2]", *more: str) -> list[str]:
    part = "strategy.continuation"
    return [*STEADY, f"{part}.coefficient={coefficient}", f"{part}.through={through}", *more]


def test_each_stage_begins_with_the_last_parameters_and_the_last_stage_is_the_problem_itself() -> None:
    parts = assemble(compose(words("a2", "[1,2]", "strategy.continuation.steps=7")))
    seen = []
    for stage in parts.strategy(parts.problem, parts.new_models()):
        first = torch.cat([p.detach().flatten() for p in stage.model.parameters()])
        if seen:
            assert torch.equal(first, seen[-1][-1]), "a stage begins where the last one ended"
        with torch.no_grad():
            for p in stage.model.parameters():
                p.add_(1.0)  # what training would do
        last = torch.cat([p.detach().flatten() for p in stage.model.parameters()])
        seen.append((stage.name, stage.problem.a2, stage.steps, stage.underway, last))
    assert [entry[:4] for entry in seen] == [
        ("a2=1: levenberg_marquardt", 1.0, 7, True),
        ("a2=2: levenberg_marquardt", 2.0, 7, True),
        ("levenberg_marquardt", 4.0, None, False),
    ]


def test_every_phase_of_a_schedule_is_trained_at_every_value() -> None:
    more = ["optimizer=[adam,levenberg_marquardt]", "optimizer.adam.steps=3"]
    parts = assemble(compose(words("a1", "[0.5]", *more)))
    names = [(stage.name, stage.steps) for stage in parts.strategy(parts.problem, parts.new_models())]
    assert names == [
        ("a1=0.5: adam", 3),
        ("a1=0.5: levenberg_marquardt", 100),
        ("adam", 3),
        ("levenberg_marquardt", None),
    ]


def test_continuation_can_be_nested_in_continuation() -> None:
    parts = assemble(compose(words("a2", "[1]")))
    both = Continuation(parts.strategy, "a1", [0.5])
    found = [(s.problem.a1, s.problem.a2, s.underway) for s in both(parts.problem, parts.new_models())]
    assert found == [(0.5, 1.0, True), (0.5, 4.0, True), (1.0, 1.0, True), (1.0, 4.0, False)]


@pytest.mark.parametrize(
    ("way", "expected"),
    [
        ((10.0, 1.0, 4.0), [1, 5, 9]),
        ((9.0, 1.0, 4.0), [1, 5]),
        ((1.0, 8.0, 3.0), [8, 5, 2]),
        ((0.3, 0.0, 0.1), [0, 0.1, 0.2]),
        ((2.0, 1.0, 5.0), [1]),
    ],
)
def test_steps_go_up_or_down_and_end_before_the_value_of_the_problem(way, expected) -> None:
    assert list(steps_to(*way)) == pytest.approx(expected, abs=1e-12)


@given(
    goal=st.floats(-100, 100),
    start=st.floats(-100, 100),
    step=st.floats(0.1, 50),
    seed=st.lists(st.booleans(), min_size=1),
)
def test_adaptive_steps_lead_to_the_goal_or_stop_at_the_smallest_step(goal, start, step, seed) -> None:
    answers = cycle(seed)
    at, tried, size, asked = None, start, step, []

    def reached() -> bool:
        asked.append(next(answers))
        return asked[-1]

    for value in steps_to(goal, start, step, reached):
        if at is None:
            assert value == start
            at = start
            continue
        if asked:  # about the value before this one
            at, size = (tried, 2 * size) if asked[-1] else (at, size / 2)
        assert min(at, goal) <= value <= max(at, goal)
        assert abs(value - at) == pytest.approx(min(size, abs(goal - at)))
        tried = value
    if asked and asked[-1]:
        assert tried == goal, "it ends where it has reached the goal"
    elif asked:
        assert size / 2 < LEAST * step, "or where a step has become too small"


def test_a_failed_step_is_undone_and_halved_and_a_successful_one_doubles_the_next() -> None:
    parts = assemble(compose(words("a2", "{start: 1, step: 1, loss: 0.1}")))
    losses = {1.0: 5.0, 2.0: 0.1, 4.0: 0.2, 3.0: float("nan"), 2.5: 0.01, 3.5: 0.0}  # at 4: a failure, then a success
    seen, ends, last = [], {}, None
    for stage in parts.strategy(parts.problem, parts.new_models()):
        first = torch.cat([p.detach().flatten() for p in stage.model.parameters()])
        assert last is None or torch.equal(first, ends[last]), "it begins with the last that was reached"
        with torch.no_grad():
            for p in stage.model.parameters():
                p.add_(torch.rand_like(p))
        a2 = stage.problem.a2
        loss = 0.05 if a2 == 4 and 4.0 in seen else losses[a2]
        stage.report.become(Report({"loss/total": torch.tensor(loss, dtype=torch.float64)}))
        if last is None or loss <= 0.1:
            last, ends[a2] = a2, torch.cat([p.detach().flatten() for p in stage.model.parameters()])
        seen.append(a2)
    assert seen == [1, 2, 4, 3, 2.5, 3.5, 4, 4]
    assert not stage.underway
    assert stage.steps is None


def test_the_problem_itself_follows_once_steps_become_too_small() -> None:
    parts = assemble(compose(words("a2", "{start: 1, step: 1, loss: 0.1}")))
    seen = [stage.problem.a2 for stage in parts.strategy(parts.problem, parts.new_models())]  # no loss: all fail
    assert seen == [1, *(1 + 2.0**-k for k in range(7)), 4]


@pytest.mark.slow
def test_an_inner_strategy_sees_the_loss_of_its_stages(here) -> None:
    made = ["problem=wave", "strategy=[time_marching,continuation]", "strategy.time_marching.windows=2", *SMALL]
    made += ["strategy.continuation.coefficient=c", "strategy.continuation.steps=1", "strategy.time_marching.steps=1"]
    made += ["strategy.continuation.through={start: 1, step: 0.25, loss: 1e9}", "problem.c=2", "figures=off"]
    assert cli.main(["train", *made, "folder=run"]) == 0
    names = [name.split(": ")[1] for name in Results(Path("run/results.h5")).read("stages")[""]]
    assert names == [*["c=1", "c=1.25", "c=1.75", "c=2", "levenberg_marquardt"] * 2]


def test_a_run_with_adaptive_steps_resumes_bit_for_bit_after_a_failed_step(here) -> None:
    through = "{start: 1, step: 1, loss: 300}"
    run = ["train", *words("a2", through, "strategy.continuation.steps=4", "figures=off", "record.every=1")]
    run += ["units=raw", "weights.interior=1"]
    assert cli.main([*run, "folder=whole"]) == 0
    whole = Results(Path("whole/results.h5"))
    names = [name.partition(":")[0] for name in whole.read("stages")[""]]
    assert names[:4] == ["a2=1", "a2=2", "a2=1.5", "a2=2.5"], "a failure, then a success"
    with told_to_stop_in(14):
        assert cli.main([*run, "folder=parts"]) == cli.STOPPED
    assert cli.main(["resume", "parts"]) == 0
    assert_same_run("whole", "parts")


def test_a_small_loss_or_error_in_an_intermediate_stage_ends_only_that_stage() -> None:
    progress = Progress(step=5, stage_step=5, loss=1e-9, error=1e-9)
    for rules in (StopRules(loss=1e-6), StopRules(error=1e-6)):
        for underway in (True, False):
            stage = Stage("any", None, torch.nn.Linear(1, 1), None, None, underway=underway, report=Report())
            found = rules(stage, progress, Clock(), Interruption())
            assert found is not None
            assert found.ends_run is not underway


def test_a_stage_trains_and_measures_like_a_run_of_its_own_problem(here) -> None:
    # In natural units the fields of all stages have the scale of the run's own problem.
    common = ["units=raw", "stop.steps=4", "figures=off", "record.every=1"]
    way = words("a2", "[1]", "strategy.continuation.steps=2", *common, "folder=way")
    assert cli.main(["train", *way]) == 0
    assert cli.main(["train", "problem=helmholtz", "problem.a2=1", *SMALL, *common, "folder=alone"]) == 0
    way, alone = (Results(here / name / "results.h5").read_history() for name in ("way", "alone"))
    assert way["stage"].tolist() == [0, 0, 1, 1]
    for name in ("error/u", "loss/total"):
        assert way[name][:2].tolist() == alone[name][:2].tolist()
        assert way[name][2] != alone[name][2]


@pytest.mark.slow
def test_a_limit_reached_in_one_stage_does_not_end_the_next(here) -> None:
    for rule in ("error", "loss"):
        more = ["strategy.continuation.steps=5", "figures=off", f"stop.{rule}=1000000", f"folder={rule}"]
        assert cli.main(["train", *words("a2", "[1,2]", *more)]) == 0
        results = Results(here / rule / "results.h5")
        assert results.read_history()["stage"].tolist() == [0, 1, 2]
        assert results.read_attributes()["reason"] == f"stop.{rule}=1e+06 reached"


def test_a_run_that_ends_in_an_intermediate_stage_is_measured_against_the_problem_itself(here) -> None:
    (here / "measured.py").write_text(MEASURED)
    (here / "conf/problem").mkdir(parents=True)
    (here / "conf/problem/measured.yaml").write_text("_target_: measured.Measured\n")
    more = ["problem=measured", "stop.steps=2", "figures=off", "folder=way"]
    assert cli.main(["train", *words("a2", "[1]")[1:], *more]) == 0
    results = Results(here / "way" / "results.h5")
    history = results.read_history()
    assert set(history["metric/of"]) == {1.0}
    assert results.read("metrics") == {"of": 4.0}
    assert results.read("error")["u"] != history["error/u"][-1]
    x, y = torch.as_tensor(results.read("fields/points")[""]).T
    assert results.read("fields/reference")["u"] == pytest.approx(Helmholtz(a2=4.0).exact(x, y).numpy())


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (words("a3"), "coefficient=a3: expected a known coefficient of the problem (a1, a2, k)"),
        (words("a2", "[one]"), "through=['one']: expected numbers, e.g. [100,400]"),
        (words("a2", "1"), "through=1: expected numbers, e.g. [100,400]"),
        (words("a2", "one"), "through=one: expected numbers, e.g. [100,400]"),
        (words("a2", "{start: 1}"), "through={'start': 1}: expected numbers, e.g. [100,400], or steps above 0"),
        (words("a2", "{start: 1, step: 0}"), "expected numbers, e.g. [100,400], or steps above 0 from another value"),
        (words("a2", "{start: 4, step: 1}"), "expected numbers, e.g. [100,400], or steps above 0 from another value"),
        (words("a2", "{start: 1, step: 1, loss: 0}"), "expected numbers, e.g. [100,400], or steps above 0"),
        (words("a2", "{start: 1, step: 1, stop: 3}"), "expected numbers, e.g. [100,400], or steps above 0"),
        (STEADY, "`strategy.continuation.coefficient` has no value yet"),
    ],
)
def test_a_wrong_setting_is_refused_before_the_run(made: list[str], says: str) -> None:
    with pytest.raises(UsageError) as refused:
        preview(assemble(compose(made)))
    assert says in str(refused.value)
