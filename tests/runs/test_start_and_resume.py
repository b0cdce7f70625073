"""Whole runs through the command line: short ones, on few points."""

import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from pinn_cli import cli
from pinn_cli.basics.errors import UsageError
from pinn_cli.configuration import catalogue
from pinn_cli.derivatives.engines import Autograd, Taylor
from pinn_cli.methods.optimizers.first_order import FirstOrder
from pinn_cli.methods.optimizers.levenberg_marquardt import LevenbergMarquardt
from pinn_cli.records.results import Results
from pinn_cli.records.summary import summary
from pinn_cli.runs import job
from pinn_cli.training import compilation, recorder
from pinn_cli.training import loop as train

RECIPES = catalogue.options("recipe")
SMALL = ["points.interior=32", "points.face=8", "figures=off", "compile=off"]
SHORT = ["train", "problem=helmholtz", *SMALL]
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def in_own_folder(own_folder):
    """Every test has a working directory of its own."""


def runs() -> list[Path]:
    found = [*Path("outputs").glob("*/*/results.h5"), *Path("outputs").glob("sweeps/20*/*/results.h5")]
    return sorted(path.parent for path in found if not path.parent.is_symlink())


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_runs_with_no_tensor_born_without_a_device(recipe):
    problem = [] if "/" in recipe else ["problem=helmholtz"]
    torch.set_default_device("meta")  # a tensor that does not say where it lives would end up there, and fail
    try:
        words = [f"recipe={recipe}", *problem, "device=cpu", "stop.steps=2", *SMALL]
        assert cli.main(["train", *words]) == 0
    finally:
        torch.set_default_device(None)
    (run,) = runs()
    history = Results(run / "results.h5").read_history()
    assert list(history["step"]) == [1, 2]


@pytest.mark.parametrize("derivatives", ["taylor", "autograd"])
@pytest.mark.parametrize("problem", catalogue.options("problem"))
def test_every_problem_trains(problem, derivatives):
    words = [f"problem={problem}", f"derivatives={derivatives}", "stop.steps=2", *SMALL]
    assert cli.main(["train", *words]) == 0


def test_a_run_folder_holds_what_outputs_readme_says():
    assert cli.main([*SHORT, "stop.steps=2", "figures=on"]) == 0
    (run,) = runs()
    names = {path.name for path in run.iterdir() if not path.name.startswith(".")}
    readme = (ROOT / "outputs" / "README.md").read_text()
    assert names == {"config.yaml", "results.h5", "checkpoint.pt", "run.log", "figures"}
    assert all(f"`{name}" in readme for name in names)
    assert (Path("outputs") / "helmholtz" / "latest").resolve() == run.resolve()
    about = Results(run / "results.h5").read_attributes()
    assert about["status"] == "finished"
    assert about["reason"] == "stop.steps=2 reached"
    assert OmegaConf.load(run / "config.yaml").seed == 0
    assert "problem  helmholtz" in (run / "run.log").read_text()


@pytest.mark.parametrize(
    "words",
    [
        "recipe=accurate",
        "recipe=accurate sampler.held_out.every=2",
        "recipe=adam weighting=lr_annealing weighting.lr_annealing.every=2",
        "recipe=adam optimizer=lbfgs",
        "recipe=adam optimizer=[adam,levenberg_marquardt] optimizer.adam.steps=2",
        "strategy=continuation strategy.continuation.coefficient=a2 strategy.continuation.through=[1] "
        "strategy.continuation.steps=2",
        "strategy=pseudo_time strategy.pseudo_time.evolves={pde:u} strategy.pseudo_time.steps=2",
        "strategy=[continuation,pseudo_time] strategy.continuation.coefficient=a2 strategy.continuation.through=[1] "
        "strategy.pseudo_time.evolves={pde:u} strategy.pseudo_time.steps=1 strategy.pseudo_time.rounds=1 "
        "strategy.continuation.steps=1",
    ],
)
def test_a_stopped_run_goes_on_bit_for_bit(words, monkeypatch):
    short = [*SHORT, *words.split(), "stop.steps=6", "record.every=4"]
    assert cli.main([*short, "folder=whole"]) == 0
    advance = train.Progress.advance

    def interrupt(self, loss):
        advance(self, loss)
        if self.step == 3:
            signal.raise_signal(signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patch:
        patch.setattr(train.Progress, "advance", interrupt)
        assert cli.main([*short, "folder=parts"]) == cli.STOPPED
    assert signal.getsignal(signal.SIGTERM) is before
    assert Results(Path("parts/results.h5")).read_attributes()["status"] == "stopped"
    assert cli.main(["resume", "parts"]) == 0
    assert_equal("parts", "whole")


def assert_equal(folder: str, undisturbed: str) -> None:
    """Bit for bit: the network, the history but for the clock, and the records of diagnostics."""
    parts, whole = (Results(Path(name) / "results.h5") for name in (folder, undisturbed))
    for now, then in (
        (parts.read("network"), whole.read("network")),
        (parts.read_history(), whole.read_history()),
        (parts.read("diagnostics"), whole.read("diagnostics")),
    ):
        assert now.keys() == then.keys()
        assert all(np.array_equal(then[name], now[name], equal_nan=then[name].dtype.kind == "f")
                   for name in then if name != "time")  # fmt: skip


TWO_STAGES = [*SHORT, "recipe=adam", "optimizer=[adam,levenberg_marquardt]", "optimizer.adam.steps=2", "record.every=4",
              "diagnostics=[gradient_alignment]", "diagnostics.gradient_alignment.every=4", "stop.steps=6"]  # fmt: skip


@pytest.mark.parametrize("step", [0, 1, 2, 5, 6])
def test_a_stop_before_between_and_at_the_ends_of_stages_leaves_no_trace(step, monkeypatch):
    """The history has no row for it, and yet the run says how far it came; what has ended has not been stopped."""
    assert cli.main([*TWO_STAGES, "folder=whole"]) == 0
    look = train.Run.ended

    def told(self, stage):
        if self.progress.step == step:
            self.interruption.reason = "SIGTERM"
        return look(self, stage)

    with monkeypatch.context() as patch:
        patch.setattr(train.Run, "ended", told)
        assert cli.main([*TWO_STAGES, "folder=parts"]) == (0 if step == 6 else cli.STOPPED)
    assert summary(Path("parts"))["steps"] == step
    assert step == 6 or cli.main(["resume", "parts"]) == 0
    assert_equal("parts", "whole")


def test_the_last_step_of_a_stage_is_saved_with_its_row(monkeypatch):
    """A kill between the two would lose it: what the row tells of that step is not known afterwards."""
    assert cli.main([*TWO_STAGES, "folder=whole"]) == 0
    after_step = recorder.Recorder.after_step

    def killed(self, run, stage, objective, last):
        if last and run.progress.step == 2:
            raise KeyboardInterrupt
        after_step(self, run, stage, objective, last)

    with monkeypatch.context() as patch:
        patch.setattr(recorder, "SAVE", 0.0)
        patch.setattr(recorder.Recorder, "after_step", killed)
        assert cli.main([*TWO_STAGES, "folder=parts"]) == cli.FAILED
    assert cli.main(["resume", "parts"]) == 0
    assert_equal("parts", "whole")


def test_a_finished_run_goes_further_only_when_told():
    assert cli.main([*SHORT, "stop.steps=2"]) == 0
    assert cli.main(["resume", "helmholtz"]) == cli.USAGE
    assert cli.main(["resume", "helmholtz", "seed=3"]) == cli.USAGE
    assert cli.main(["resume", "helmholtz", "stop.steps=4"]) == 0
    assert list(Results(runs()[0] / "results.h5").read_history()["step"]) == [1, 2, 3, 4]


def test_a_folder_that_holds_a_run_is_never_overwritten(capsys):
    words = [*SHORT, "stop.steps=2", "folder=mine"]
    assert cli.main(words) == 0
    stamp = Path("mine/results.h5").stat().st_mtime_ns
    assert cli.main(words) == 0
    assert "this very run" in capsys.readouterr().out
    assert cli.main([*words, "seed=1"]) == cli.USAGE
    assert "seed=0 is now 1" in capsys.readouterr().err
    assert Path("mine/results.h5").stat().st_mtime_ns == stamp


def test_a_sweep_runs_what_is_not_refused(capsys):
    words = ["stop.steps=1", "seed=0,1", "problem.a1=1.0,nan"]
    assert cli.main([*SHORT, "-m", *words]) == 0
    assert [Results(run / "results.h5").read_attributes()["status"] for run in runs()] == ["finished", "finished"]
    out, err = capsys.readouterr()
    assert "run 1: Helmholtz.pde" in err
    reason = "  (Helmholtz.pde: no field changes the residual; expected one that depends on u)"
    assert out.splitlines()[-5:-1] == [
        "run 0  finished  seed=0 a1=1.0",
        "run 1  refused   seed=0 a1=nan" + reason,
        "run 2  finished  seed=1 a1=1.0",
        "run 3  refused   seed=1 a1=nan" + reason,
    ]
    there = {path.name for path in Path("outputs/sweeps/latest").resolve().iterdir() if path.name != ".lock"}
    assert there == {"0", "1.refused", "2", "3.refused", "sweep.json"}
    assert sorted(path.name for path in Path().iterdir()) == ["outputs"]


def test_a_loss_that_is_not_finite_names_the_constraint_and_the_step(capsys):
    assert cli.main([*SHORT, "recipe=adam", "optimizer.adam.lr=1e30", "stop.steps=20"]) == cli.FAILED
    err = capsys.readouterr().err
    assert "residual of `" in err
    assert "at step" in err


def test_a_schedule_lays_settings_of_a_phase_over_the_runs():
    words = ["recipe=adam", "optimizer=[adam,levenberg_marquardt]", "optimizer.adam.steps=2", "stop.steps=4"]
    assert cli.main([*SHORT, *words, "optimizer.levenberg_marquardt.points.interior=40"]) == 0
    results = Results(runs()[0] / "results.h5")
    assert len(results.read("collocation")["pde"]) == 40
    assert list(results.read_history()["stage"]) == [0, 0, 1, 1]


def test_exact_constraints_and_other_spellings():
    words = ["constraints=exact", "weights.pde=2", "points.pde=50", "scaling=standard", "stop.steps=2"]
    assert cli.main([*SHORT, *words]) == 0
    results = Results(runs()[0] / "results.h5")
    assert "loss/wall" not in results.read_history()
    assert results.read_history()["weight/pde"][0] == 2


def test_a_new_problem_trains_as_it_is():
    assert cli.main(["new", "problem", "my_heat"]) == 0
    assert cli.main(["train", "problem=my_heat", "stop.steps=2", *SMALL]) == 0
    assert "problems.my_heat" in Results(runs()[0] / "results.h5").read("source")


def test_a_changed_problem_is_not_resumed_unless_told(capsys):
    assert cli.main(["new", "problem", "my_wave"]) == 0
    assert cli.main(["train", "problem=my_wave", "stop.steps=2", *SMALL]) == 0
    text = Path("problems/my_wave.py").read_text()
    Path("problems/my_wave.py").write_text(text.replace("return u - sin", "return u + sin"))
    assert cli.main(["resume", "my_wave", "stop.steps=4"]) == cli.USAGE
    assert "has changed" in capsys.readouterr().err
    assert cli.main(["resume", "my_wave", "stop.steps=4", "--changed"]) == 0


def test_a_truncated_checkpoint_is_one_line(capsys):
    assert cli.main([*SHORT, "stop.steps=2", "folder=mine"]) == 0
    checkpoint = Path("mine/checkpoint.pt")
    checkpoint.write_bytes(checkpoint.read_bytes()[:100])
    assert cli.main(["resume", "mine", "stop.steps=4"]) == cli.USAGE
    assert capsys.readouterr().err.count("\n") == 1
    assert Results(Path("mine/results.h5")).read_attributes()["status"] == "finished"


def test_a_checkpoint_whose_parts_are_no_tables_is_one_line(capsys):
    assert cli.main([*SHORT, "stop.steps=2", "folder=mine"]) == 0
    state = torch.load("mine/checkpoint.pt", weights_only=True)
    for key, says in (("optimizer", "holds no `optimizer`"), ("finished", "how its finished stages ended")):
        value = [torch.zeros(3)] if key == "finished" else torch.zeros(3)
        torch.save(state | {key: value}, "mine/checkpoint.pt")
        assert cli.main(["resume", "mine", "stop.steps=4"]) == cli.USAGE
        assert says in capsys.readouterr().err


def test_what_a_kill_left_half_written_is_gone_once_a_run_goes_on():
    assert cli.main([*SHORT, "stop.steps=2", "folder=mine"]) == 0
    Path("mine/figures").mkdir()
    parts = [Path("mine/.results.h5.7.part"), Path("mine/figures/.losses.png.7.part")]
    for part in parts:
        part.touch()
    assert cli.main(["resume", "mine", "stop.steps=3"]) == 0
    assert not any(part.exists() for part in parts)


@pytest.mark.parametrize(
    ("recipe", "table", "name", "value"),
    [
        ("accurate", "optimizer", "damping", []),
        ("accurate", "optimizer", "damping", -1.0),  # no factor lifts it above the ceiling
        ("accurate", "optimizer", "growth", 0.5),
        ("accurate", "sampler", "ratios", {"pde": None}),
        ("adam", "optimizer", "steps", "many"),
        ("adam", "model", "hidden.0.weight", torch.zeros(1)),
    ],
)
def test_a_checkpoint_that_no_such_run_has_saved_is_one_line(recipe, table, name, value, capsys):
    assert cli.main([*SHORT, f"recipe={recipe}", "stop.steps=2", "folder=mine"]) == 0
    state = torch.load("mine/checkpoint.pt", weights_only=True)
    state[table][name] = value
    torch.save(state, "mine/checkpoint.pt")
    assert cli.main(["resume", "mine", "stop.steps=4"]) == cli.USAGE
    err = capsys.readouterr().err
    assert "the checkpoint does not fit the run" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(("residual", "says"), [("u[:, None]", "expected"), ("u_q", "u_q")])
def test_a_residual_that_cannot_be_trained_makes_nothing(residual, says, capsys):
    assert cli.main(["new", "problem", "broken"]) == 0
    file = Path("problems/broken.py")
    symbol = residual if residual == "u_q" else "u"
    before, after = "def wall(self, u):\n        return u", f"def wall(self, {symbol}):\n        return {residual}"
    file.write_text(file.read_text().replace(before, after))
    capsys.readouterr()
    assert cli.main(["train", "problem=broken", *SMALL]) == cli.USAGE
    err = capsys.readouterr().err
    assert says in err
    assert err.count("\n") == 1
    assert not Path("outputs").exists()


def test_rows_are_kept_as_often_as_the_optimizer_asks_and_at_both_ends():
    assert cli.main([*SHORT, "recipe=adam", "stop.steps=150"]) == 0
    assert list(Results(runs()[0] / "results.h5").read_history()["step"]) == [1, 100, 150]


@pytest.mark.parametrize("setting", ["on", "off"])
def test_compile_is_a_switch_and_a_missing_compiler_a_notice(setting, monkeypatch, capsys):
    monkeypatch.setattr(compilation, "_failure", lambda: "there is none")
    assert cli.main([*SHORT, "recipe=adam", f"compile={setting}", "stop.steps=1"]) == 0
    assert ("no working compiler (there is none)" in capsys.readouterr().out) == (setting == "on")


def test_half_of_a_compiled_step_is_one_line(monkeypatch, capsys):
    """As a kill in the middle of a compilation leaves it in the cache of torch."""
    from torch._inductor.exc import InductorError

    def broken(run, recorder):
        raise InductorError(ImportError("/tmp/cache/main.so: file too short"), None)

    monkeypatch.setattr(job, "train", broken)
    assert cli.main([*SHORT, "stop.steps=1", "folder=mine"]) == cli.FAILED
    error = capsys.readouterr().err
    assert "main.so: file too short; if another process was killed while it compiled, remove " in error
    assert error.count("\n") == 1


def test_long_runs_of_cheap_steps_are_compiled(monkeypatch):
    monkeypatch.setattr(compilation, "_failure", lambda: None)
    cheap, dear = FirstOrder(), LevenbergMarquardt()
    assert compilation.decide("auto", cheap, 40000, Taylor, print)
    assert not compilation.decide("auto", cheap, 1000, Taylor, print)
    assert not compilation.decide("auto", dear, 40000, Taylor, print)
    assert compilation.decide("on", dear, 10, Taylor, print)
    assert not compilation.decide("on", dear, 10, Autograd, print)


def test_a_run_that_ends_between_two_stages_has_its_results(capsys):
    """The last row of a stage measures the error anew, and that may be what ends the run."""
    words = ["recipe=adam", "optimizer=[adam,lbfgs]", "optimizer.adam.steps=3", "record.every=1000", "stop.error=100"]
    assert cli.main([*SHORT, *words]) == 0
    (run,) = runs()
    assert {"u"} == set(Results(run / "results.h5").read("error"))
    assert Results(run / "results.h5").read("network")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("stop.steps=x", "stop.steps=x: expected a whole number"),
        ("stop.stepz=9", "unknown key `stop.stepz`"),
        ("record.every=0", "record.every=0: expected"),
        ("figures=maybe", "figures=maybe: expected on | off"),
        ("stop.steps=1", "is at 2 already"),
    ],
)
def test_what_is_typed_on_resume_is_checked_like_anything_typed(change, says, capsys):
    assert cli.main([*SHORT, "stop.steps=2"]) == 0
    words = [change] if change.startswith("stop.") else ["stop.steps=3", change]
    assert cli.main(["resume", "helmholtz", *words]) == cli.USAGE
    assert says in capsys.readouterr().err
    assert Results(runs()[0] / "results.h5").read_attributes()["status"] == "finished"


def test_what_is_changed_on_resume_is_kept():
    assert cli.main([*SHORT, "stop.steps=2"]) == 0
    assert cli.main(["resume", "helmholtz", "stop.steps=3"]) == 0
    (run,) = runs()
    assert OmegaConf.load(run / "config.yaml").stop.steps == 3
    assert OmegaConf.create(Results(run / "results.h5").read_config()).stop.steps == 3


def test_a_resume_may_change_the_number_of_threads_and_says_what_that_means(capsys):
    assert cli.main([*SHORT, "stop.steps=2", "threads=1"]) == 0
    assert cli.main(["resume", "helmholtz", "stop.steps=3", "threads=2"]) == 0
    assert "note     threads=2 instead of 1: the last bits of the numbers may differ" in capsys.readouterr().out
    results = Results(runs()[0] / "results.h5")
    assert results.read_attributes()["threads"] == OmegaConf.create(results.read_config()).threads == 2
    assert cli.main(["resume", "helmholtz", "stop.steps=4"]) == 0
    assert "threads=" not in capsys.readouterr().out


def test_a_folder_of_other_things_is_no_run_folder(capsys):
    Path("notes").mkdir()
    Path("notes/draft.txt").write_text("mine")
    assert cli.main([*SHORT, "stop.steps=2", "folder=notes"]) == cli.USAGE
    assert "notes holds draft.txt, which is not pinn's" in capsys.readouterr().err
    assert [path.name for path in Path("notes").iterdir()] == ["draft.txt"]


def test_a_phase_that_never_ends_leaves_nothing_for_the_next(capsys):
    words = ["recipe=adam", "optimizer=[adam,levenberg_marquardt]", "stop.steps=4"]
    assert cli.main([*SHORT, *words]) == cli.USAGE
    assert "nothing would be left for levenberg_marquardt; type e.g. optimizer.adam.steps" in capsys.readouterr().err
    assert cli.main([*SHORT, *words, "optimizer.adam.steps=9"]) == cli.USAGE
    assert "nothing would be left for levenberg_marquardt; type e.g. stop.steps=13" in capsys.readouterr().err


def test_the_end_of_an_inverse_run_says_what_was_found(capsys):
    assert cli.main(["train", "problem=heat_inverse", *SMALL, "stop.steps=2"]) == 0
    assert "unknown   kappa" in capsys.readouterr().out


MEASURED = """
    def metrics(self, evaluate):
        slope = evaluate(["u_x"], self.domain.grid(5))["u_x"]
        return {"steepest": slope.abs().max(), WRONG}
"""


def with_metrics(wrong: str = "") -> list[str]:
    """A problem of one's own that measures something."""
    assert cli.main(["new", "problem", "steep"]) == 0
    with open("problems/steep.py", "a") as file:
        file.write(MEASURED.replace("WRONG", wrong))
    return ["train", "problem=steep", *SMALL, "stop.steps=3"]


def test_what_a_problem_measures_is_in_every_row_at_the_end_and_in_tables(capsys):
    words = with_metrics()
    assert cli.main([*words, "-m", "seed=0,1"]) == 0
    shown = capsys.readouterr().out
    for run in runs():
        results = Results(run / "results.h5")
        column, final = results.read_history()["metric/steepest"], results.read("metrics")["steepest"]
        assert np.isfinite(column).all()
        assert (len(column), column[-1]) == (3, final)
        assert f"metric    steepest {final:.2e}" in shown
        assert cli.main(["show", str(run)]) == 0
        assert f"metric    steepest {final:.2e}" in capsys.readouterr().out
    assert cli.main(["compare", "outputs/sweeps", "--runs"]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["run", "seed", "error", "u", "steepest", "time", "steps", "status"]
    assert {row.split()[3] for row in rows} == {f"{Results(r / 'results.h5').read('metrics')['steepest']:.2e}"
                                                for r in runs()}


def test_a_metric_that_has_no_value_does_not_end_the_run(capsys):
    words = with_metrics('"lost": float("nan")')
    assert cli.main([*words, "figures=off"]) == 0
    assert "lost nan" in capsys.readouterr().out
    results = Results(runs()[0] / "results.h5")
    assert np.isnan(results.read_history()["metric/lost"]).all()
    assert np.isnan(results.read("metrics")["lost"])
    for words in (["show", "steep"], ["compare", "steep"]):
        assert cli.main(words) == 0
        assert "nan" in capsys.readouterr().out
    assert cli.main(["show", "steep", "--json"]) == 0
    assert '"lost": null' in capsys.readouterr().out


def test_a_reference_that_cannot_be_computed_is_a_failed_run(monkeypatch, capsys):
    def refuse(problem):
        raise UsageError("no steady flow found")

    monkeypatch.setattr(job, "reference_of", refuse)
    assert cli.main([*SHORT, "stop.steps=2"]) == cli.USAGE
    assert capsys.readouterr().err == "pinn: no steady flow found\n"
    results = Results(runs()[0] / "results.h5")
    assert results.read_attributes()["status"] == "failed"
    assert not len(results.read_history().get("step", ()))


def test_a_metric_that_is_no_number_is_one_line(capsys):
    words = with_metrics('"lost": "nan"')
    capsys.readouterr()
    assert cli.main(words) == cli.USAGE
    err = capsys.readouterr().err
    assert "metrics: `lost` is 'nan'; expected one number" in err
    assert err.count("\n") == 1
    assert Results(runs()[0] / "results.h5").read_attributes()["status"] == "failed"
