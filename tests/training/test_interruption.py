"""Ctrl-C answers at once and ends a long step in its middle; the resumed run has the same bits."""

import signal

import numpy as np
import pytest

from pinn_cli import cli
from pinn_cli.basics.errors import FINISHED, STOPPED
from pinn_cli.basics.signals import Interrupted, Interruption
from pinn_cli.methods.optimizers.adam import Adam
from pinn_cli.records.results import Results
from pinn_cli.training.objective import Objective
from tests.conftest import TINY
from tests.objectives import objective_of
from tests.run_files import assert_same_run


def test_the_first_signal_answers_at_once_and_a_second_ctrl_c_does_not_wait() -> None:
    said: list[str] = []
    with Interruption(said.append) as interruption:
        interruption.check()
        signal.raise_signal(signal.SIGINT)
        assert said == ["stopping after this step; again: now"]
        with pytest.raises(Interrupted):
            interruption.check()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    with Interruption(said.append) as interruption:
        signal.raise_signal(signal.SIGTERM)
    assert said[1:] == ["stopping after this step (SIGTERM)"]


@pytest.mark.parametrize("view", ["loss", "vector", "residuals", "linearise", "gradients"])
def test_every_view_of_the_objective_can_end_a_step(view) -> None:
    objective, interruption = objective_of("mlp"), Interruption()
    linear = objective.linearise()
    objective.check = linear.check = interruption.check
    getattr(objective, view)()
    interruption.reason = "Ctrl-C"
    with pytest.raises(Interrupted):
        getattr(objective, view)()
    for part in (linear.gram, linear.kernel):  # between the parts of an assembly that may take minutes
        with pytest.raises(Interrupted):
            part(1e3)


WORDS = [*TINY, "stop.steps=6", "record.every=1", "sampler.held_out.every=2"]


@pytest.mark.parametrize(
    ("optimizer", "call"),
    [
        ("levenberg_marquardt", 5),
        pytest.param("lbfgs", 0, marks=pytest.mark.slow),
        pytest.param("levenberg_marquardt", 0, marks=pytest.mark.slow),
        pytest.param("lbfgs", 5, marks=pytest.mark.slow),
    ],
)
def test_an_interrupted_step_is_undone_and_repeated_bit_for_bit(optimizer, call, here, monkeypatch) -> None:
    """The signal comes in the last view of some step, after the parameters have moved to a trial point."""
    view, calls = Objective._residuals, []
    assert cli.main(["train", *WORDS, f"optimizer={optimizer}", "folder=whole"]) == FINISHED

    def interrupted(objective):
        if objective.check.__name__ == "check":  # inside a step
            calls.append(1)
            if len(calls) == call + 1:
                signal.raise_signal(signal.SIGINT)
        return view(objective)

    monkeypatch.setattr(Objective, "_residuals", interrupted)
    assert cli.main(["train", *WORDS, f"optimizer={optimizer}", "folder=a"]) == STOPPED
    assert len(calls) == call + 1, "no view is computed after the signal"
    monkeypatch.setattr(Objective, "_residuals", view)
    steps = Results(here / "a" / "results.h5").read_history().get("step", np.zeros(1))
    assert len(steps) == 0 or steps[-1] < 6
    assert cli.main(["resume", "a"]) == FINISHED
    assert_same_run("whole", "a")


def test_a_short_step_is_finished_first(here, monkeypatch) -> None:
    step = Adam.step

    def interrupted(optimizer, objective):
        signal.raise_signal(signal.SIGINT)
        return step(optimizer, objective)

    monkeypatch.setattr(Adam, "step", interrupted)
    assert cli.main(["train", *TINY, "recipe=adam", "stop.steps=5", "folder=a", "record.every=1"]) == STOPPED
    assert Results(here / "a" / "results.h5").read_history()["step"].tolist() == [1]
