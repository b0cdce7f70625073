"""A stall begins a stage anew: new points, and an optimizer with or without its memory."""

from unittest.mock import Mock

import pytest

from pinn_cli.basics.errors import FINISHED, UsageError
from pinn_cli.cli import main
from pinn_cli.configuration.assemble import assemble
from pinn_cli.configuration.compose import compose
from pinn_cli.methods.contracts import Report
from pinn_cli.methods.stall import Stall
from pinn_cli.methods.strategies.restarts import STALLED, Watched
from pinn_cli.records import checkpoint
from pinn_cli.records.results import Results
from pinn_cli.training.objective import Objective
from tests.conftest import TINY, refused

WORDS = [*TINY, "strategy=restarts", "optimizer=lbfgs", "sampler=[uniform]", "sampler.uniform.every=null"]
SOON = ["strategy.restarts.patience=2", "strategy.restarts.absolute=1e9"]  # every look after the first is no progress


def stages(*more):
    """The stages of a run, each trained until its optimizer says that it ends."""
    parts = assemble(compose([*WORDS, *SOON, *more]))
    for stage in parts.strategy(parts.problem, parts.new_models()):
        objective = Objective(stage.problem, stage.model, parts.engine, parts.weighting, parts.weights)
        stage.sampler.begin_stage(stage.problem)
        for step in range(20):
            objective.begin(stage.sampler.draw(step, stage.problem, objective))
            stage.report.become(stage.optimizer.step(objective))
            if stage.report.stop:
                break
        stage.reason = f"the optimizer stopped: {stage.report.stop}"
        yield stage, objective


def test_a_stage_is_repeated_with_new_points_until_the_restarts_are_used():
    trained = list(stages("strategy.restarts.restarts=2"))
    assert [stage.name for stage, _ in trained] == ["lbfgs", "lbfgs: restart 1", "lbfgs: restart 2"]
    assert [stage.report.stop for stage, _ in trained] == [STALLED] * 3
    first, second, third = (objective.batch["pde"] for _, objective in trained)
    assert not any(a.equal(b) for a, b in ((first, second), (second, third)))
    assert trained[0][0].model is trained[2][0].model


@pytest.mark.parametrize("word", ["false", "true", "if_positive"])
@pytest.mark.parametrize(("memory", "kept"), [("keep", True), ("keep_if_positive", True), ("reset", False)])
def test_the_memory_of_the_optimizer_stays_or_is_new(memory, kept, word):
    """At a restart the strategy says so, whatever the optimizer does when a sampler changes its points."""
    run = stages("strategy.restarts.restarts=1", f"strategy.restarts.memory={memory}", f"optimizer.lbfgs.keep={word}")
    next(run)
    stage, _ = next(run)
    pairs = len(stage.optimizer.inner.s)
    assert pairs > 3 if kept else pairs <= 3
    assert str(stage.optimizer.inner.carried).lower() == word, "for one step only"


def test_a_stage_that_ends_otherwise_is_not_repeated():
    run = stages("strategy.restarts.patience=100", "optimizer.lbfgs.gradient_tolerance=1e9")
    assert [stage.report.stop for stage, _ in run] == ["grad_tol"]


@pytest.mark.parametrize(("steps", "said"), [(1, "line_search_failed"), (2, STALLED)])
def test_an_optimizer_that_cannot_continue_stalls_unless_it_stops_in_its_first_step(steps, said):
    reports = [Report({"loss/total": 1.0})] * (steps - 1) + [Report({"loss/total": 1.0}, "line_search_failed")]
    inner = Mock(step=Mock(side_effect=reports))
    watched = Watched(inner, Stall(), Report())
    for _ in range(steps):
        watched.report.become(watched.step(Mock()))
    assert watched.report.stop == said
    resumed = Watched(inner, Stall(), Report())
    resumed.load_state_dict(watched.state_dict())
    assert resumed.report.stop == (STALLED if said == STALLED else None), "a stage that is saved at its stall is over"


def test_after_a_stall_at_which_a_sampler_had_other_points_the_stage_goes_on():
    """The loss at the new points, which is larger, is no stall; and a resumed run knows that the stage went on."""
    inner, stall = Mock(step=lambda objective: Report({"loss/total": next(losses)})), Stall(patience=2)
    losses = iter([1.0, 1.0, 1.0, 5.0, 5.0, 5.0])
    watched = Watched(inner, stall, Report())
    said = []
    for _ in range(6):
        watched.report.become(watched.step(Mock()))
        said.append(watched.report.stop)
        watched.report.stop = None  # a sampler has drawn others
        resumed = Watched(inner, Stall(patience=2), Report())
        resumed.load_state_dict(watched.state_dict())
        assert resumed.report.stop is None
    assert said == [None, None, STALLED, None, None, STALLED]


@pytest.mark.slow
def test_a_resumed_run_draws_adaptive_points_at_the_same_stalls(here):
    """The loss of the last step decides; Adam has not evaluated that after it, which would be a stall too early."""
    words = ["train", *TINY, "recipe=adam", "optimizer.adam.lr=0.2", "sampler=[uniform,adaptive_residual]",
             "sampler.uniform.every=null", "sampler.adaptive_residual.pool=100", "record.every=1",
             "sampler.adaptive_residual.patience=1"]  # fmt: skip
    assert main([*words, "stop.steps=12", "folder=whole"]) == FINISHED
    assert main([*words, "stop.steps=6", "folder=parts"]) == FINISHED
    assert main(["resume", "parts", "stop.steps=12"]) == FINISHED
    whole, parts = histories(here, "whole", "parts")
    for name in whole.keys() - {"time"}:
        assert list(parts[name]) == list(whole[name]), name


@pytest.mark.parametrize("memory", ["keep_if_positive", pytest.param("reset", marks=pytest.mark.slow)])
def test_a_resumed_run_has_the_same_bits(memory, here):
    """Stopped in the middle of a part, and at a stall, which ends it without another step."""
    words = ["train", *WORDS, *SOON, f"strategy.restarts.memory={memory}", "record.every=1"]
    assert main([*words, "stop.steps=11", "folder=whole"]) == FINISHED
    assert main([*words, "stop.steps=5", "folder=parts"]) == FINISHED
    for steps in (6, 11):
        assert main(["resume", "parts", f"stop.steps={steps}"]) == FINISHED
    whole, parts = histories(here, "whole", "parts")
    assert list(whole["stage"]) == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3]
    for name in whole.keys() - {"time"}:
        assert list(parts[name]) == list(whole[name]), name


def histories(here, *names):
    return [Results(here / name / "results.h5").read_history() for name in names]


def test_the_steps_of_a_phase_are_those_of_all_its_parts(here):
    """Of the Adam phase, which stalls every 3 steps; L-BFGS has the others."""
    words = ["train", *WORDS, *SOON, "optimizer=[adam,lbfgs]", "optimizer.adam.steps=7", "stop.steps=12"]
    assert main([*words, "record.every=1", "folder=run"]) == FINISHED
    stages, (history,) = Results(here / "run" / "results.h5").read("stages")[""], histories(here, "run")
    assert [stages[int(k)] for k in history["stage"]] == [
        *["adam"] * 3, *["adam: restart 1"] * 3, "adam: restart 2", *["lbfgs"] * 3, *["lbfgs: restart 1"] * 2
    ]  # fmt: skip


def test_a_restart_is_not_recorded_as_an_end(here, capsys):
    """No row, no notice, and of the parts before it no parameters in the checkpoint."""
    words = ["train", *WORDS, *SOON, "record.every=100", "stop.steps=10", "folder=run"]
    assert main(words) == FINISHED
    (history,) = histories(here, "run")
    assert list(history["step"]) == [1, 10]
    assert "ended" not in capsys.readouterr().out
    ends = checkpoint.load(here / "run" / "checkpoint.pt")["finished"]
    assert len(ends) == 3
    assert not any("model" in end for end in ends)


def test_a_phase_that_stalls_at_its_last_step_is_over(here):
    words = ["train", *WORDS, *SOON, "optimizer=[adam,lbfgs]", "optimizer.adam.steps=3", "stop.steps=5"]
    assert main([*words, "record.every=1", "folder=run"]) == FINISHED
    assert list(Results(here / "run" / "results.h5").read("stages")[""]) == ["adam", "lbfgs"]


@pytest.mark.parametrize(
    "order", ["restarts,time_marching", pytest.param("time_marching,restarts", marks=pytest.mark.slow)]
)
def test_the_share_of_a_window_is_that_of_all_its_parts(order, here):
    """Two of three parts of the steps for the first of two windows, and the rest for the other, in either order."""
    words = ["train", *WORDS, "problem=wave", f"strategy=[{order}]", "strategy.time_marching.windows=2", *SOON]
    assert main([*words, "stop.steps=15", "record.every=1", "folder=run"]) == FINISHED
    stages, (history,) = Results(here / "run" / "results.h5").read("stages")[""], histories(here, "run")
    assert [list(history["stage"]).count(k) for k in range(len(stages))] == [3, 3, 3, 1, 3, 2]


@pytest.mark.slow
@pytest.mark.parametrize(
    "order", ["continuation,restarts", pytest.param("restarts,continuation", marks=pytest.mark.slow)]
)
def test_other_strategies_read_how_a_stage_has_ended(order, here):
    """Adapted steps of a coefficient: each value is reached, so that the steps are doubled, in either order."""
    through = "strategy.continuation.through={start: 1, step: 1, loss: 1e9}"
    words = ["train", *WORDS, "problem=reaction", "problem.rho=12", f"strategy=[{order}]", *SOON, through,
             "strategy.continuation.coefficient=rho", "strategy.restarts.restarts=1"]  # fmt: skip
    assert main([*words, "stop.steps=60", "folder=run"]) == FINISHED
    stages = Results(here / "run" / "results.h5").read("stages")[""]
    values = [name.partition(":")[0] for name in stages if not name.endswith("restart 1")]
    assert values == ["rho=1", "rho=2", "rho=4", "rho=8", "rho=12", "lbfgs"]
    assert len(stages) == 12


@pytest.mark.parametrize("word", ["restarts=-1", "memory=some", "patience=0"])
def test_impossible_settings_are_refused(word):
    with refused("expected", (ValueError, UsageError)):
        next(stages(f"strategy.restarts.{word}"))
