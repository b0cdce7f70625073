"""Steps that differ in their points alone are taken at once, and a run has the same bits as with one at a time."""

from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pinn_cli import cli
from pinn_cli.basics.errors import FAILED, FINISHED
from pinn_cli.methods.contracts import Report, Stage
from pinn_cli.methods.optimizers.adam import Adam
from pinn_cli.methods.optimizers.schedules import Exponential, Plateau, WarmUp
from pinn_cli.methods.samplers.uniform import Uniform
from pinn_cli.methods.weightings.lr_annealing import LRAnnealing
from pinn_cli.records.results import Results
from pinn_cli.training import compilation, loop
from pinn_cli.training.clock import Clock
from pinn_cli.training.stopping import Progress, StopRules
from tests.conftest import SMALL, each

WORDS = [*SMALL, "problem=reaction", "architecture.depth=1", "recipe=adam", "dtype=float64", "compile=on", "threads=1",
         "record.every=7"]  # fmt: skip
CHANGES = {
    "new points": [],
    "kept points": ["sampler.uniform.every=5"],
    "annealing": ["weighting=[lr_annealing]", "weighting.lr_annealing.every=4"],
    "causal": ["weighting=causal"],
    "decay": ["optimizer.adam.schedule.every=5"],
    "moving points": ["sampler=[uniform,rad]", "sampler.uniform.every=3", "sampler.rad.every=8", "sampler.rad.pool=64"],
    "guard": ["sampler=[sobol,held_out]", "sampler.held_out.ratio=0.1"],
    "stalls": ["sampler=[sobol,adaptive_residual]", "sampler.adaptive_residual.every=9"],
    "phases": ["optimizer=[adam,first_order]", "optimizer.adam.steps=13"],
}
LARGEST = {"annealing": 4, "causal": 1, "kept points": 5, "moving points": 3, "guard": 6, "stalls": 1, "phases": 6}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Graphs are traced, and not translated to C++; a moment is long, so that time plays no part."""
    monkeypatch.setattr(torch._inductor, "compile", lambda graph, tensors, options: graph)
    monkeypatch.setattr(compilation, "_failure", lambda: None)
    monkeypatch.setattr(loop, "MOMENT", 1e6)


@pytest.fixture
def taken(monkeypatch):
    """How often so many steps were taken at once."""
    counts, inner = Counter(), Adam.stride

    def counted(self, objective, ahead):
        counts[1 + len(ahead)] += 1
        return inner(self, objective, ahead)

    monkeypatch.setattr(Adam, "stride", counted)
    return counts


def history(here, folder, *words):
    assert cli.main(["train", *WORDS, *words, "stop.steps=30", f"folder={folder}"]) == FINISHED
    return Results(here / folder / "results.h5").read_history()


@pytest.mark.parametrize("change", each(CHANGES, ["new points", "annealing"]))
def test_a_run_has_the_same_bits_however_many_steps_are_taken_at_once(change, here, monkeypatch, taken):
    at_once = history(here, "many", *CHANGES[change])
    largest = max(taken)
    monkeypatch.setattr(loop, "LONGEST", 1)
    taken.clear()
    alone = history(here, "one", *CHANGES[change])
    assert set(taken) == {1}
    assert largest == LARGEST.get(change, 7), "rows come every 7 steps"
    assert at_once.keys() == alone.keys()
    for name in alone.keys() - {"time"}:
        assert torch.equal(torch.tensor(at_once[name]).nan_to_num(), torch.tensor(alone[name]).nan_to_num()), name


@pytest.mark.slow
def test_an_interruption_is_noticed_within_a_moment(here, monkeypatch, taken):
    monkeypatch.setattr(loop, "MOMENT", 0.0)
    history(here, "run")
    assert set(taken) == {1}, "a step takes longer than this moment"


def test_a_loss_that_is_not_finite_names_its_own_step(here, monkeypatch, capsys):
    inner = Adam.stride

    def broken(self, objective, ahead):
        report = inner(self, objective, ahead)
        report.before = [float("nan") if i == 2 else loss for i, loss in enumerate(report.before)]
        return report

    monkeypatch.setattr(Adam, "stride", broken)
    assert cli.main(["train", *WORDS, "stop.steps=30", "folder=run"]) == FAILED
    assert "the loss is nan at step 4" in capsys.readouterr().err, "steps 2 to 7 are taken at once"


def stage_of(steps, share):
    return Stage("any", None, torch.nn.Linear(1, 1), None, None, steps=steps, share=share, report=Report())


@given(
    total=st.none() | st.integers(1, 60), steps=st.none() | st.integers(1, 60), share=st.sampled_from([0.1, 0.5, 1.0]),
    began=st.integers(0, 20), made=st.integers(0, 20), reserved=st.integers(0, 10),
)  # fmt: skip
def test_no_rule_on_steps_holds_before_the_steps_that_are_left(total, steps, share, began, made, reserved):
    rules, stage, told = StopRules(steps=total), stage_of(steps, share), type("Told", (), {"reason": None})
    stage.reserved = reserved

    def stop(after):
        progress = Progress(step=began + after, stage_step=after, began=began)
        return rules(stage, progress, Clock(), told)

    left = rules.steps_left(stage, Progress(step=began + made, stage_step=made, began=began))
    if made and stop(made):
        return  # the stage has ended already
    following = range(made + 1, made + 200)
    first = next((after - made for after in following if stop(after)), float("inf"))
    assert max(1, left) == first


@pytest.mark.parametrize("rule", ["loss", "plateau"])
def test_a_rule_on_every_loss_lets_no_steps_be_taken_at_once(rule):
    assert StopRules(steps=100, **{rule: 3}).steps_left(stage_of(None, 1.0), Progress()) == 1


def test_a_schedule_that_looks_at_the_loss_needs_each_step_by_itself():
    assert Adam(schedule=WarmUp(then=Exponential())).many
    assert not Adam(schedule=Plateau()).many
    assert not Adam(schedule=WarmUp(then=Plateau())).many


def test_a_method_of_ones_own_makes_no_promise_of_the_class_that_it_inherits():
    class Weights(LRAnnealing):
        def __call__(self, batch, residuals):
            return {name: r.square().mean() for name, r in residuals.items()}

    class Points(Uniform):
        def draw(self, step, problem, objective):
            return {name: X * step for name, X in super().draw(step, problem, objective).items()}

    class Halved(Adam):
        def step(self, objective):
            return super().step(objective)

    class Falling(Exponential):
        def observe(self, loss):
            self.factor *= 0.99

    assert Weights(every=10).unchanged(3) == 1 < LRAnnealing(every=10).unchanged(3) == 7
    assert Points({}).ahead(0, 5) == []
    assert not Halved().many
    assert not Adam(schedule=Falling()).many
