"""Continuation in a coefficient: stages, what goes on from one to the next, when they end, what is refused."""

from dataclasses import dataclass

import pytest
import torch

from pinn_cli import cli
from pinn_cli.assembly import assemble
from pinn_cli.composition import compose
from pinn_cli.errors import UsageError
from pinn_cli.plan import preview
from pinn_cli.problems.helmholtz import Helmholtz
from pinn_cli.reports import Report
from pinn_cli.results import Results
from pinn_cli.stages import Stage
from pinn_cli.stopping import Progress, StopRules
from pinn_cli.strategies.continuation import Continuation

SMALL = ["architecture.width=4", "architecture.depth=1", "points.interior=32", "points.face=8", "stop.steps=20"]
STEADY = ["problem=helmholtz", "strategy=continuation", *SMALL]


def words(coefficient: str = "a2", through: str = "[1,2]", *more: str) -> list[str]:
    part = "strategy.continuation"
    return [*STEADY, f"{part}.coefficient={coefficient}", f"{part}.through={through}", *more]


@dataclass
class Quiet:
    reason: str | None = None


def test_stages_walk_to_the_problem_itself_each_from_the_last_parameters() -> None:
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


def test_continuation_inside_continuation() -> None:
    parts = assemble(compose(words("a2", "[1]")))
    both = Continuation(parts.strategy, "a1", [0.5])
    found = [(s.problem.a1, s.problem.a2, s.underway) for s in both(parts.problem, parts.new_models())]
    assert found == [(0.5, 1.0, True), (0.5, 4.0, True), (1.0, 1.0, True), (1.0, 4.0, False)]


def test_on_the_way_a_small_loss_or_error_ends_the_stage_alone() -> None:
    progress = Progress(step=5, stage_step=5, loss=1e-9, error=1e-9)
    for rules in (StopRules(loss=1e-6), StopRules(error=1e-6)):
        for underway in (True, False):
            stage = Stage("any", None, torch.nn.Linear(1, 1), None, None, underway=underway, report=Report())
            found = rules(stage, progress, 0.0, Quiet())
            assert found is not None
            assert found.ends_run is not underway


def test_a_stage_is_trained_and_measured_as_its_own_problem_would_be(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    common = ["stop.steps=4", "figures=off", "record.every=1"]
    way = words("a2", "[1]", "strategy.continuation.steps=2", *common, "folder=way")
    assert cli.main(["train", *way]) == 0
    assert cli.main(["train", "problem=helmholtz", "problem.a2=1", *SMALL, *common, "folder=alone"]) == 0
    way, alone = (Results(tmp_path / name / "results.h5").read_history() for name in ("way", "alone"))
    assert way["stage"].tolist() == [0, 0, 1, 1]
    for name in ("error/u", "loss/total"):
        assert way[name][:2].tolist() == alone[name][:2].tolist()
        assert way[name][2] != alone[name][2]


def test_an_end_that_a_stage_on_the_way_has_reached_is_not_that_of_the_next(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for rule in ("error", "loss"):
        more = ["strategy.continuation.steps=5", "figures=off", f"stop.{rule}=1000000", f"folder={rule}"]
        assert cli.main(["train", *words("a2", "[1,2]", *more)]) == 0
        results = Results(tmp_path / rule / "results.h5")
        assert results.read_history()["stage"].tolist() == [0, 1, 2]
        assert results.read_attributes()["reason"] == f"stop.{rule}=1e+06 reached"


def test_a_run_that_ends_on_the_way_is_measured_as_the_problem_itself(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Helmholtz, "metrics", lambda self, evaluate: {"of": self.a2}, raising=False)
    assert cli.main(["train", *words("a2", "[1]"), "stop.steps=2", "figures=off", "folder=way"]) == 0
    results = Results(tmp_path / "way" / "results.h5")
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
        (STEADY, "`strategy.continuation.coefficient` has no value yet"),
    ],
)
def test_what_cannot_be_continued_is_refused_before_the_run(made: list[str], says: str) -> None:
    with pytest.raises(UsageError) as refused:
        preview(assemble(compose(made)))
    assert says in str(refused.value)
