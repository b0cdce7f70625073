"""A stall begins a stage anew: new points, and an optimizer with or without its memory."""

import pytest

from pinn_cli.basics.errors import FINISHED, UsageError
from pinn_cli.cli import main
from pinn_cli.configuration.assemble import assemble
from pinn_cli.configuration.compose import compose
from pinn_cli.methods.strategies.restarts import STALLED
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


@pytest.mark.parametrize(("memory", "kept"), [("keep", True), ("forget", False)])
def test_the_memory_of_the_optimizer_stays_or_is_new(memory, kept):
    run = stages("strategy.restarts.restarts=1", f"strategy.restarts.memory={memory}", "optimizer.lbfgs.keep=true")
    next(run)
    stage, _ = next(run)
    pairs = len(stage.optimizer.inner.s)
    assert pairs > 3 if kept else pairs <= 3


def test_a_stage_that_ends_otherwise_is_not_repeated():
    run = stages("strategy.restarts.patience=100", "optimizer.lbfgs.gradient_tolerance=1e9")
    assert [stage.report.stop for stage, _ in run] == ["grad_tol"]


def test_a_resumed_run_has_the_same_bits(here):
    words = ["train", *WORDS, *SOON, "stop.steps=11"]
    assert main([*words, "folder=whole"]) == FINISHED
    assert main([*words[:-1], "stop.steps=5", "folder=parts"]) == FINISHED
    assert main(["resume", "parts", "stop.steps=11"]) == FINISHED
    whole, parts = (Results(here / name / "results.h5").read_history() for name in ("whole", "parts"))
    assert parts["loss/total"][-1] == whole["loss/total"][-1]
    assert parts["step"][-1] == whole["step"][-1] == 11


@pytest.mark.parametrize("word", ["restarts=-1", "memory=some", "patience=0"])
def test_impossible_settings_are_refused(word):
    with refused("expected", (ValueError, UsageError)):
        next(stages(f"strategy.restarts.{word}"))
