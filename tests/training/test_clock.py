"""The duration of a run: what it counts, what it leaves out, and that every place shows the same number."""

import json
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from pinn_cli import cli
from pinn_cli.basics.errors import FINISHED, STOPPED
from pinn_cli.basics.text import duration
from pinn_cli.configuration import plan
from pinn_cli.methods.contracts import Report, Stage
from pinn_cli.physics.piecewise import Solution
from pinn_cli.records.results import Results
from pinn_cli.training.clock import COMPILATION, Clock
from pinn_cli.training.stopping import Progress, StopRules
from tests.conftest import SMALL, TINY

STAGE = Stage("any", None, torch.nn.Linear(1, 1), None, None, report=Report())


class Told:
    reason = None


@pytest.fixture
def wait(monkeypatch) -> Callable[[float], None]:
    """Lets so many seconds pass on a clock that stands still otherwise."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return lambda seconds: now.append(now.pop() + seconds)


def test_the_duration_counts_from_the_first_step_without_compilation(wait) -> None:
    clock = Clock(earlier=100.0)
    assert clock.seconds == 100.0
    wait(2.0)
    clock.begin()
    with clock("training"):
        wait(0.5)
        with clock(COMPILATION):
            wait(30.0)
        wait(0.25)
    assert clock.seconds == 100.75
    assert clock.phases == {"setup": 2.0, COMPILATION: 30.0, "training": 0.75}, "a phase inside another counts once"
    clock.end()
    wait(1.0)
    assert clock.seconds == 100.75


def test_phases_before_a_resume_are_added(wait) -> None:
    clock = Clock()
    clock.go_on(100.0, {"setup": 2.0, "sampling": 30.0})
    wait(0.5)
    clock.begin()
    with clock("sampling"):
        wait(4.0)
    assert clock.seconds == 104.0
    assert clock.times["sampling"] == 34.0
    assert clock.times["setup"] == 2.5


def test_a_limit_on_training_ends_the_run_and_one_on_the_process_stops_it() -> None:
    clock = Clock(earlier=5.0)
    ended = StopRules(seconds=5.0)(STAGE, Progress(), clock, Told())
    assert (ended.reason, ended.resumable) == ("stop.seconds=5 reached", False)
    stopped = StopRules(seconds=50.0, total_seconds=1e-3)(STAGE, Progress(), clock, Told())
    assert (stopped.reason, stopped.ends_run, stopped.resumable) == ("stop.total_seconds=0.001 reached", True, True)
    assert StopRules(seconds=50.0, total_seconds=1e6)(STAGE, Progress(), clock, Told()) is None
    assert StopRules(seconds=50.0, total_seconds=1e6).seconds_left(clock) == pytest.approx(45.0)


def test_a_goal_that_a_window_reaches_is_said_to_be_of_this_window_alone() -> None:
    reached, windows = Progress(loss=1e-7, error=1e-7), replace(STAGE, solution=Solution(None, []))
    for rules, said in ((StopRules(loss=1e-6), "stop.loss=1e-06 reached"),
                        (StopRules(error=1e-6), "stop.error=1e-06 reached")):  # fmt: skip
        assert rules(STAGE, reached, Clock(), Told()).reason == said
        assert rules(windows, reached, Clock(), Told()).reason == f"{said} in this window of time alone"


def test_a_run_of_a_sweep_does_not_pay_for_the_set_up(here, monkeypatch) -> None:
    """The clock goes 1,000 seconds forward during the set-up."""
    preview, now, ahead = plan.preview, time.monotonic, [0.0]

    def slow(parts):
        ahead[0] = 1000.0
        return preview(parts)

    monkeypatch.setattr(plan, "preview", slow)
    monkeypatch.setattr(time, "monotonic", lambda: now() + ahead[0])
    assert cli.main(["train", *TINY, "stop.seconds=900", "stop.steps=2", "folder=a"]) == FINISHED
    results = Results(here / "a" / "results.h5")
    assert results.read_history()["step"][-1] == 2
    timing = results.read("timing")
    assert timing["setup"] >= 1000.0
    assert timing["duration"] < 900.0
    assert timing["process"] > timing["setup"] + timing["duration"]


def test_every_command_shows_the_same_duration(here, capsys) -> None:
    assert cli.main(["train", *TINY, "stop.steps=3"]) == FINISHED
    (head,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("finished")]
    folder = here / "outputs" / "helmholtz" / "latest"
    results = Results(folder / "results.h5")
    assert f"in {duration(results.read('timing')['duration'])}:" in head
    results.replace({"timing": {"duration": 75.4, "setup": 3.0}})
    for words in (["list", "runs"], ["show", str(folder)], ["compare", str(folder)]):
        assert cli.main([*words, "--json"]) == 0
        assert 75.4 in list(numbers(json.loads(capsys.readouterr().out))), words


def numbers(node):
    if isinstance(node, dict):
        for value in node.values():
            yield from numbers(value)
    elif isinstance(node, list):
        for value in node:
            yield from numbers(value)
    else:
        yield node


def test_a_limit_of_the_process_leaves_a_run_that_can_be_resumed(here, capsys) -> None:
    assert cli.main(["train", *TINY, "stop.steps=2", "stop.total_seconds=0.001", "folder=a"]) == STOPPED
    assert cli.main(["resume", "a", "stop.total_seconds=null"]) == FINISHED
    assert Results(here / "a" / "results.h5").read_history()["step"][-1] == 2


def test_compilation_is_announced_and_does_not_count(here, capsys, monkeypatch) -> None:
    """The clock goes 100,000 seconds forward during the compilation."""
    now, ahead = time.monotonic, [0.0]

    def pretend(graph, tensors, **_):
        ahead[0] += 100_000.0
        return graph

    monkeypatch.setattr(torch._inductor, "compile", pretend)
    monkeypatch.setattr(time, "monotonic", lambda: now() + ahead[0])
    words = ["recipe=adam", "compile=on", "stop.steps=2", "folder=a"]
    assert cli.main(["train", *SMALL, *words]) == FINISHED
    lines = capsys.readouterr().out.splitlines()
    announced = lines.index("compiling the step, once: 10 to 30 seconds, more for long formulas")
    assert lines[announced + 1].startswith("compiled in 27:4")
    assert any(line.startswith("before ") and "compilation 27:4" in line for line in lines)
    timing = Results(here / "a" / "results.h5").read("timing")
    assert timing[COMPILATION] >= 100_000.0
    assert timing["duration"] < 50_000.0
