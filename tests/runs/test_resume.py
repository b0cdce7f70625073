"""Runs that go on: bit for bit after a stop, further when told, and never from what does not fit."""

import shutil
import signal
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from torch._dynamo.exc import BackendCompilerFailed

from pinn_cli import cli
from pinn_cli.records import checkpoint
from pinn_cli.records.results import Results
from pinn_cli.records.summary import summary
from pinn_cli.training import loop, recorder
from tests.conftest import each
from tests.run_files import assert_same_run, told_to_stop_in

POINTS = ["points.interior=32", "points.face=8", "figures=off", "compile=off"]
SHORT = ["train", "problem=helmholtz", "architecture.width=6", "architecture.depth=2", *POINTS]
TWO_STEPS = [*SHORT, "stop.steps=2", "folder=mine"]
TWO_STAGES = [*SHORT, "recipe=adam", "optimizer=[adam,levenberg_marquardt]", "optimizer.adam.steps=2", "record.every=4",
              "diagnostics=[gradient_alignment]", "diagnostics.gradient_alignment.every=4", "stop.steps=6"]  # fmt: skip


@pytest.fixture(autouse=True)
def in_own_folder(own_folder: Path) -> None:
    """Every test has a working directory of its own."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs that tests copy: `accurate` and `adam` of two steps, and `stages`, two stages that nothing stopped."""
    folder = tmp_path_factory.mktemp("trained")
    with chdir(folder):
        for recipe in ("accurate", "adam"):
            assert cli.main([*SHORT, "stop.steps=2", f"recipe={recipe}", f"folder={recipe}"]) == 0
        assert cli.main([*TWO_STAGES, "folder=stages"]) == 0
    return folder


@pytest.fixture
def mine(trained: Path) -> Path:
    """The finished run of `TWO_STEPS`, in the folder `mine`."""
    return Path(shutil.copytree(trained / "accurate", "mine"))


def status(folder: Path) -> Any:
    return Results(folder / "results.h5").read_attributes()["status"]


def refused(words: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The command is refused in one line that says this."""
    capsys.readouterr()
    assert cli.main(words) == cli.USAGE
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        "recipe=accurate sampler.held_out.every=2",
        pytest.param("recipe=adam weighting=lr_annealing weighting.lr_annealing.every=2", marks=pytest.mark.slow),
        pytest.param("recipe=adam optimizer=lbfgs", marks=pytest.mark.slow),
        pytest.param(
            "recipe=adam sampler=[uniform] record.estimated_error=2 stop.estimated_error=1e-9", marks=pytest.mark.slow
        ),
        pytest.param(
            "strategy=[continuation,pseudo_time] strategy.continuation.coefficient=a2 "
            "strategy.continuation.through=[1] strategy.pseudo_time.evolves={pde:u} strategy.pseudo_time.steps=1 "
            "strategy.pseudo_time.rounds=1 strategy.continuation.steps=1",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_stopped_run_resumes_bit_for_bit(words: str) -> None:
    short = [*SHORT, *words.split(), "stop.steps=6", "record.every=4"]
    assert cli.main([*short, "folder=whole"]) == 0
    before = signal.getsignal(signal.SIGTERM)
    with told_to_stop_in(3):
        assert cli.main([*short, "folder=parts"]) == cli.STOPPED
    assert signal.getsignal(signal.SIGTERM) is before
    assert status(Path("parts")) == "stopped"
    before_stop = checkpoint.load_run(Path("parts") / "checkpoint.pt")["phases"]
    assert before_stop["sampling"] > 0
    assert cli.main(["resume", "parts"]) == 0
    times = Results(Path("parts") / "results.h5").read("timing")
    assert all(times[phase] >= seconds for phase, seconds in before_stop.items())
    assert_same_run("whole", "parts")


@pytest.mark.slow
@pytest.mark.parametrize("step", each([0, 1, 2, 5, 6], [2]))
def test_a_stop_before_between_and_at_the_ends_of_stages_leaves_no_trace(step: int, trained: Path, monkeypatch) -> None:
    """The history has no row for the stop, and yet the run says how far it came. A stop at the end is none."""
    ended = loop.Run.ended

    def asked_to_stop(self: loop.Run, stage: Any) -> Any:
        if self.progress.step == step:
            self.interruption.reason = "SIGTERM"
        return ended(self, stage)

    with monkeypatch.context() as patch:
        patch.setattr(loop.Run, "ended", asked_to_stop)
        assert cli.main([*TWO_STAGES, "folder=parts"]) == (0 if step == 6 else cli.STOPPED)
    assert summary(Path("parts"))["steps"] == step
    assert step == 6 or cli.main(["resume", "parts"]) == 0
    assert_same_run(trained / "stages", "parts")


@pytest.mark.slow
def test_the_last_step_of_a_stage_is_saved_with_its_row(trained: Path, monkeypatch) -> None:
    """A kill between the two would lose the row: nobody could write it afterwards."""
    after_step = recorder.Recorder.after_step

    def killed(self: recorder.Recorder, run: loop.Run, stage: Any, objective: Any, last: bool) -> None:
        if last and run.progress.step == 2:
            raise KeyboardInterrupt
        after_step(self, run, stage, objective, last)

    with monkeypatch.context() as patch:
        patch.setattr(recorder, "SAVE", 0.0)
        patch.setattr(recorder.Recorder, "after_step", killed)
        assert cli.main([*TWO_STAGES, "folder=parts"]) == cli.FAILED
    assert cli.main(["resume", "parts"]) == 0
    assert_same_run(trained / "stages", "parts")


def test_a_finished_run_continues_only_with_a_new_limit(mine: Path, capsys) -> None:
    refused(["resume", "mine"], "has finished", capsys)
    refused(["resume", "mine", "seed=3"], "`seed=3` cannot be changed on resume", capsys)
    parts = [mine / ".results.h5.7.part", mine / "figures" / ".losses.png.7.part"]  # as kills leave them
    parts[1].parent.mkdir()
    for part in parts:
        part.touch()
    assert cli.main(["resume", "mine", "stop.steps=4"]) == 0
    assert list(Results(mine / "results.h5").read_history()["step"]) == [1, 2, 3, 4]
    assert not any(part.exists() for part in parts)
    for config in (OmegaConf.load(mine / "config.yaml"), OmegaConf.create(Results(mine / "results.h5").read_config())):
        assert config.stop.steps == 4


def test_a_run_whose_optimizer_has_stopped_is_not_told_to_train_further(capsys) -> None:
    linear = ["recipe=random_features", "architecture.width=20", "folder=linear"]
    assert cli.main(["train", "problem=helmholtz", *POINTS, *linear]) == 0
    refused(["resume", "linear"], "stopped: stagnated); more steps change nothing; `pinn show linear` has", capsys)


def test_a_resume_may_change_the_number_of_threads_and_says_what_that_means(mine: Path, capsys, monkeypatch) -> None:
    """Torch is not told: threads that wait for a processor take seconds."""
    results = Results(mine / "results.h5")
    before = results.read_attributes()["threads"]
    told = [before]
    monkeypatch.setattr(torch, "set_num_threads", told.append)
    monkeypatch.setattr(torch, "get_num_threads", lambda: told[-1])
    assert cli.main(["resume", "mine", "stop.steps=3", f"threads={before + 1}"]) == 0
    assert before + 1 in told
    assert f"note     threads={before + 1} instead of {before}: the last bits" in capsys.readouterr().out
    assert results.read_attributes()["threads"] == OmegaConf.create(results.read_config()).threads == before + 1
    assert cli.main(["resume", "mine", "stop.steps=4"]) == 0
    assert "threads=" not in capsys.readouterr().out


def test_a_folder_that_holds_a_run_is_never_overwritten(mine: Path, capsys) -> None:
    stamp = (mine / "results.h5").stat().st_mtime_ns
    assert cli.main(TWO_STEPS) == 0
    assert "this very run" in capsys.readouterr().out
    refused([*TWO_STEPS, "seed=1"], "seed=0 is now 1", capsys)
    assert (mine / "results.h5").stat().st_mtime_ns == stamp


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("stop.steps=x", "stop.steps=x: expected a whole number"),
        ("stop.stepz=9", "unknown key `stop.stepz`"),
        ("stop.steps=3 record.every=0", "record.every=0: expected"),
        ("stop.steps=3 figures=maybe", "figures=maybe: expected on | off"),
        ("stop.steps=1", "is at 2 already"),
    ],
)
def test_a_wrong_setting_of_resume_gets_one_line(change: str, says: str, mine: Path, capsys) -> None:
    refused(["resume", "mine", *change.split()], says, capsys)
    assert status(mine) == "finished"


@pytest.mark.slow  # test_provenance changes modules and data files
def test_a_changed_problem_is_not_resumed_unless_told(capsys) -> None:
    assert cli.main(["new", "problem", "my_wave"]) == 0
    assert cli.main(["train", "problem=my_wave", "recipe=adam", "stop.steps=2", *SHORT[2:], "folder=mine"]) == 0
    assert "problems.my_wave" in Results("mine/results.h5").read("source")
    file = Path("problems/my_wave.py")
    file.write_text(file.read_text().replace("return u - sin", "return u + sin"))
    refused(["resume", "mine", "stop.steps=4"], "has changed", capsys)
    assert cli.main(["resume", "mine", "stop.steps=4", "--changed"]) == 0


def test_a_checkpoint_that_is_damaged_gets_one_line(mine: Path, capsys) -> None:
    checkpoint = mine / "checkpoint.pt"
    whole, state = checkpoint.read_bytes(), torch.load(checkpoint, weights_only=True)
    checkpoint.write_bytes(whole[:100])
    refused(["resume", "mine", "stop.steps=4"], "checkpoint.pt", capsys)
    for key, says in (("optimizer", "holds no `optimizer`"), ("finished", "how its finished stages ended")):
        value = [torch.zeros(3)] if key == "finished" else torch.zeros(3)
        torch.save(state | {key: value}, checkpoint)
        refused(["resume", "mine", "stop.steps=4"], says, capsys)
    assert status(mine) == "finished"


@pytest.mark.parametrize(
    ("recipe", "table", "name", "value"),
    [
        ("accurate", "optimizer", "damping", []),
        pytest.param("accurate", "optimizer", "damping", -1.0, marks=pytest.mark.slow),  # no factor lifts it
        pytest.param("accurate", "optimizer", "growth", 0.5, marks=pytest.mark.slow),
        ("accurate", "sampler", "ratios", {"pde": None}),
        ("adam", "optimizer", "steps", "many"),
        ("adam", "model", "hidden.0.weight", torch.zeros(1)),
    ],
)
def test_a_checkpoint_that_no_such_run_has_saved_gets_one_line(
    recipe: str, table: str, name: str, value: Any, trained: Path, capsys
) -> None:
    mine = Path(shutil.copytree(trained / recipe, "mine"))
    state = torch.load(mine / "checkpoint.pt", weights_only=True)
    state[table][name] = value
    torch.save(state, mine / "checkpoint.pt")
    refused(["resume", "mine", "stop.steps=4"], "the checkpoint does not fit the run", capsys)


def test_a_ctrl_c_that_ends_the_compiler_leaves_a_stopped_run_that_can_be_resumed(monkeypatch, capsys):
    """The terminal sends Ctrl-C to the compiler as well, whose error then says nothing about the run."""

    def ended(run, recorder):
        run.interruption.reason = "Ctrl-C"
        raise BackendCompilerFailed(lambda: None, RuntimeError("the compiler was killed"), None)

    with monkeypatch.context() as patch:
        patch.setattr("pinn_cli.runs.job.training", ended)
        assert cli.main([*SHORT, "stop.steps=2", "folder=run"]) == cli.STOPPED
    assert "next     pinn resume run" in capsys.readouterr().out
    assert cli.main(["resume", "run"]) == 0
    assert Results("run/results.h5").read_attributes()["status"] == "finished"
