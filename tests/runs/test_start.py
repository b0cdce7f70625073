"""New runs through the command line: short ones, on few points."""

import re
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
from pinn_cli.runs import job
from pinn_cli.training import compilation
from tests.conftest import ROOT, each

RECIPES = catalogue.options("recipe")
# Together they have every architecture, optimizer, weighting, strategy and diagnostic of a recipe, and all samplers but
# one of the two adaptive ones.
FAST = {
    "accurate", "corrected", "random_features_in_time", "adapted_features_in_time", "random_functions",
    "adaptive/tc2", "failure_modes/expressivity", "failure_modes/reaction_curriculum",
    "gradient_pathologies/cavity_velocity_m4", "gradient_pathologies/helmholtz_m2", "gradient_pathologies/poisson_1d",
    "gradient_pathologies/stiffness", "hard_constraints/convection_soft",
}  # fmt: skip
SMALL = ["points.interior=32", "points.face=8", "figures=off", "compile=off"]
SHORT = ["train", "problem=helmholtz", "architecture.depth=1", *SMALL]
TINY = ["points.interior=8", "points.face=2", "architecture.width=6", "figures=off", "compile=off"]


@pytest.fixture(autouse=True)
def in_own_folder(own_folder):
    """Every test has a working directory of its own."""


def runs() -> list[Path]:
    found = [*Path("outputs").glob("*/*/results.h5"), *Path("outputs").glob("sweeps/20*/*/results.h5")]
    return sorted(path.parent for path in found if not path.parent.is_symlink())


FEW = ["architecture.functions=24", "architecture.instances=2", "architecture.validation=1", "architecture.test=1",
       "architecture.basis.features=16"]  # fmt: skip
# By the beginning of the name; the longest that fits counts.
QUICK = {
    "": [],
    "adaptive/tc": ["sampler.adaptive_gradient.pool=400"],
    "adaptive/tc2": ["sampler.adaptive_residual.pool=100"],
    "corrected": ["optimizer.levenberg_marquardt.steps=1", "strategy.correction.features=20"],
    "hard_constraints": [*FEW, "architecture.points.interior=60", "architecture.points.face=10"],
    "hard_constraints/.*_soft": FEW,
    "random_functions": ["architecture.functions=40", "architecture.basis.width=40",
                         "architecture.points.interior=100", "architecture.points.face=20"],
    "random_features": ["architecture.width=60"],
    ".*_features_in_time": ["architecture.width=30", "strategy.time_marching.windows=2"],
}  # fmt: skip


@pytest.mark.parametrize("recipe", each(RECIPES, FAST))
def test_every_recipe_runs_and_makes_every_tensor_on_its_device(recipe):
    problem = [] if "/" in recipe else ["problem=wave"]
    torch.set_default_device("meta")  # a tensor made without `device=` would lie there, and the run would fail
    try:
        quick = QUICK[max((start for start in QUICK if re.match(start, recipe)), key=len)]
        words = [f"recipe={recipe}", *problem, "device=cpu", "stop.steps=2", *quick, *SMALL]
        assert cli.main(["train", *words]) == 0
    finally:
        torch.set_default_device(None)
    (run,) = runs()
    history = Results(run / "results.h5").read_history()
    assert list(history["step"]) == [1, 2]


@pytest.mark.parametrize("problem", each(catalogue.options("problem"), ("kovasznay", "plate")))
def test_every_problem_trains(problem):
    """Many other tests train a simple one, and `test_the_end_of_an_inverse_run_shows_...` an inverse one."""
    assert cli.main(["train", f"problem={problem}", "stop.steps=2", *TINY]) == 0


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["problem=burgers"], marks=pytest.mark.slow),
        pytest.param(["problem=lid_driven_cavity_streamfunction", "problem.corner_flow=false"], marks=pytest.mark.slow),
    ],
)
def test_a_run_takes_its_derivatives_from_autograd_too(words):
    """That both engines agree is tested in `test_everything`; others in `test_random_feature_runs` are faster."""
    assert cli.main(["train", "derivatives=autograd", "stop.steps=2", *TINY, *words]) == 0


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


def test_a_sweep_runs_what_is_not_refused(capsys):
    words = ["recipe=adam", "stop.steps=1", "seed=0,1", "architecture.width=4,20000"]
    assert cli.main([*SHORT, "-m", *words]) == 0
    assert [Results(run / "results.h5").read_attributes()["status"] for run in runs()] == ["finished", "finished"]
    out, err = capsys.readouterr()
    reasons = [line.partition(f"pinn: run {n}: ")[2] for line, n in zip(err.splitlines(), (1, 3), strict=True)]
    assert reasons == ["architecture.width=20000: expected at most 10000"] * 2
    shown = " ".join(out.split())  # long lines are wrapped
    for seed in (0, 1):
        assert f"run {2 * seed + 1} refused seed={seed} width=20000 ({reasons[seed]})" in shown
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


def test_constraints_can_be_exact_and_keys_can_name_one_constraint():
    words = ["constraints=exact", "units=raw", "weights.pde=2", "points.pde=50", "scaling=standard", "stop.steps=2"]
    assert cli.main([*SHORT, *words]) == 0
    results = Results(runs()[0] / "results.h5")
    assert "loss/wall" not in results.read_history()
    assert results.read_history()["weight/pde"][0] == 2


@pytest.mark.parametrize(("residual", "says"), [("u[:, None]", "expected"), ("u_q", "u_q")])
def test_a_residual_that_cannot_be_trained_makes_nothing(residual, says, capsys, one_line):
    assert cli.main(["new", "problem", "broken"]) == 0
    file = Path("problems/broken.py")
    symbol = residual if residual == "u_q" else "u"
    before, after = "def wall(self, u):\n        return u", f"def wall(self, {symbol}):\n        return {residual}"
    file.write_text(file.read_text().replace(before, after))
    capsys.readouterr()
    assert cli.main(["train", "problem=broken", *SMALL]) == cli.USAGE
    assert says in one_line()
    assert not Path("outputs").exists()


def test_rows_are_kept_as_often_as_the_optimizer_asks_and_at_both_ends():
    assert cli.main([*SHORT, "recipe=adam", "stop.steps=150"]) == 0
    assert list(Results(runs()[0] / "results.h5").read_history()["step"]) == [1, 100, 150]


@pytest.mark.parametrize("setting", ["on", "off"])
def test_compile_is_a_switch_and_a_missing_compiler_a_notice(setting, monkeypatch, capsys):
    monkeypatch.setattr(compilation, "_failure", lambda: "there is none")
    assert cli.main([*SHORT, "recipe=adam", f"compile={setting}", "stop.steps=1"]) == 0
    assert ("no working compiler (there is none)" in capsys.readouterr().out) == (setting == "on")


def test_half_of_a_compiled_step_gets_one_line(monkeypatch, one_line):
    """A kill in the middle of a compilation leaves such a file in torch's cache."""
    from torch._inductor.exc import InductorError

    def broken(run, recorder):
        raise InductorError(ImportError("/tmp/cache/main.so: file too short"), None)

    monkeypatch.setattr(job, "training", broken)
    assert cli.main([*SHORT, "stop.steps=1", "folder=mine"]) == cli.FAILED
    assert "main.so: file too short; if another process was killed while it compiled, remove " in one_line()


def test_long_runs_of_cheap_steps_are_compiled(monkeypatch):
    monkeypatch.setattr(compilation, "_failure", lambda: None)
    cheap, dear = FirstOrder(), LevenbergMarquardt()
    assert compilation.decide("auto", cheap, 40000, Taylor, print)
    assert not compilation.decide("auto", cheap, 1000, Taylor, print)
    assert not compilation.decide("auto", dear, 40000, Taylor, print)
    assert compilation.decide("on", dear, 10, Taylor, print)
    assert not compilation.decide("on", dear, 10, Autograd, print)


def test_a_run_that_ends_between_two_stages_has_its_results(capsys):
    """The last row of a stage measures the error again, which may end the run."""
    words = ["recipe=adam", "optimizer=[adam,lbfgs]", "optimizer.adam.steps=3", "record.every=1000", "stop.error=100"]
    assert cli.main([*SHORT, *words]) == 0
    (run,) = runs()
    assert {"u"} == set(Results(run / "results.h5").read("error"))
    assert Results(run / "results.h5").read("network")


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


def test_the_end_of_an_inverse_run_shows_the_trained_coefficient(capsys):
    data = "problem.data={points: 30, noise: 0.01, seed: 1}"
    assert cli.main(["train", "problem=heat_inverse", data, *TINY, "stop.steps=2"]) == 0
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
    return ["train", "problem=steep", "recipe=adam", "record.every=1", *SMALL, "stop.steps=3"]


def test_the_metrics_of_a_problem_are_in_every_row_at_the_end_and_in_tables(capsys):
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
        assert f"steepest {final:.2e}" in capsys.readouterr().out
    assert cli.main(["compare", "outputs/sweeps", "--runs"]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["run", "seed", "error", "u", "steepest", "time", "steps", "status"]
    assert {row.split()[3] for row in rows[:2]} == {
        f"{Results(r / 'results.h5').read('metrics')['steepest']:.2e}" for r in runs()
    }


@pytest.mark.slow
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
    assert cli.main(["train", "problem=burgers", "stop.steps=2", *SMALL]) == cli.USAGE
    assert capsys.readouterr().err == "pinn: no steady flow found\n"
    results = Results(runs()[0] / "results.h5")
    assert results.read_attributes()["status"] == "failed"
    assert not len(results.read_history().get("step", ()))


def test_a_metric_that_is_no_number_gets_one_line(capsys, one_line):
    words = with_metrics('"lost": "nan"')
    capsys.readouterr()
    assert cli.main(words) == cli.USAGE
    assert "metrics: `lost` is 'nan'; expected one number" in one_line()
    assert Results(runs()[0] / "results.h5").read_attributes()["status"] == "failed"
