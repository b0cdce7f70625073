"""Runs that train all instances of a family at once, by the command line: results, resume, prediction, refusals."""

from contextlib import chdir
from pathlib import Path

import numpy as np
import pytest

from pinn_cli import cli, load
from pinn_cli.basics.errors import UsageError
from pinn_cli.records.results import Results
from pinn_cli.records.summary import summary
from pinn_cli.training.recorder import Recorder
from tests.conftest import each
from tests.run_files import assert_same_run

FAMILIES = ["convection_family", "helmholtz_family", "reaction_family", "burgers_family", "darcy", "darcy_smooth",
            "darcy_streamfunction"]  # fmt: skip
SMALL = ["dtype=float64", "optimizer=adam", "sampler=[uniform]", "sampler.uniform.every=1", "weighting=[fixed]",
         "points.interior=24", "points.face=8", "architecture.functions=5", "architecture.instances=2",
         "architecture.validation=1", "architecture.test=2", "architecture.basis.width=6",
         "architecture.basis.depth=1", "figures=off", "threads=1", "record.every=1"]  # fmt: skip
# Below, one with a nonlinear equation is trained, by Newton steps. Recipes train the other way in test_start.
FAST = [("convection_family", "constrained")]
WAYS = {
    "constrained": ["architecture=constrained", "architecture.points.interior=40", "architecture.points.face=10"],
    "deeponet": ["architecture=deeponet", "architecture.branch_width=8", "architecture.sensors=9"],
}


def words(problem: str, way: str, *more: str) -> list[str]:
    return ["train", f"problem={problem}", *WAYS[way], *SMALL, *more]


@pytest.fixture(autouse=True)
def in_own_folder(own_folder: Path) -> None:
    """Every test has a working directory of its own."""


@pytest.fixture(scope="module", params=each(WAYS, ["constrained"]))
def whole(request, tmp_path_factory):
    """Four steps at once, and which way they were trained."""
    with chdir(tmp_path_factory.mktemp("trained")):
        assert cli.main(words("helmholtz_family", request.param, "stop.steps=4", "folder=whole")) == 0
        return Path("whole").resolve(), request.param


@pytest.mark.parametrize(
    ("problem", "way"),
    [
        pytest.param(problem, way, marks=() if (problem, way) in FAST else pytest.mark.slow)
        for problem in FAMILIES
        for way in WAYS
    ],
)
def test_every_family_trains_in_both_ways(problem, way, capsys):
    assert cli.main(words(problem, way, "stop.steps=2", "folder=run")) == 0
    shown = capsys.readouterr().out
    assert "mean over 2 test instances" in shown
    guard = next(line for line in shown.splitlines() if line.startswith("guard"))
    assert "(instance 0)" in guard or "(instance 1)" in guard
    results = Results(Path("run/results.h5"))
    loss = results.read_history()["loss/total"]
    assert len(loss) == 2
    assert np.isfinite(loss).all()
    instances, error = results.read("instances"), results.read("error")
    assert list(instances["seed"]) == [0, 1]
    assert float(error["u"]) == pytest.approx(np.mean(instances["error/u"]))
    assert f"{max(instances['error/u']):.2e} at most" in shown
    assert (instances["seconds"] > 0).all()
    assert (instances["steps"] > 0).all() if way == "constrained" else (instances["steps"] == 0).all()
    first = list(instances["seed"]).index(instances["shown/seed"][0])
    assert instances["error/u"][first] == min(instances["error/u"])
    found, truth = (instances[f"shown/{kind}/u"][0] for kind in ("prediction", "reference"))
    assert np.linalg.norm(found - truth) / np.linalg.norm(truth) == pytest.approx(min(instances["error/u"]), rel=1e-6)


@pytest.mark.slow
def test_a_run_over_a_family_resumes_to_the_same_bits(whole):
    folder, way = whole
    assert cli.main(words("helmholtz_family", way, "stop.steps=2", "folder=parts")) == 0
    assert cli.main(["resume", "parts", "stop.steps=4"]) == 0
    assert_same_run(folder, Path("parts"))


class Killed(BaseException):
    """The end of a process: nobody catches it, and nothing is written any more."""


@pytest.mark.slow
def test_a_killed_run_over_a_family_resumes_to_the_same_bits(whole, monkeypatch):
    folder, way = whole
    after_step = Recorder.after_step

    def killed(recorder, run, stage, objective, last):
        after_step(recorder, run, stage, objective, last)
        if run.progress.step == 3:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("pinn_cli.training.recorder.SAVE", 0.0)
        patch.setattr(Recorder, "after_step", killed)
        with pytest.raises(Killed):
            cli.main(words("helmholtz_family", way, "stop.steps=4", "folder=killed"))
    assert summary(Path("killed"))["status"] == "interrupted"
    assert cli.main(["resume", "killed"]) == 0
    assert_same_run(folder, Path("killed"))


@pytest.mark.slow
def test_a_sweep_of_networks_for_a_family_is_compared(capfd):
    sweep = words("reaction_family", "constrained", "seed=0,1", "stop.steps=1", "folder=s")
    assert cli.main([sweep[0], "-m", *sweep[1:]]) == 0
    assert cli.main(["compare", "s"]) == 0
    shown = capfd.readouterr().out
    errors = [float(Results(Path(f"s/{k}/results.h5")).read("error")["u"]) for k in (0, 1)]
    assert errors[0] != errors[1]
    assert "reaction_family" in shown
    assert f"{np.median(errors):.2e}" in shown


@pytest.mark.slow
def test_any_instance_is_predicted(whole):
    folder, _ = whole
    assert cli.main(["predict", str(folder), "--grid", "3x4", "--out", "u.npz", "--instance", "7"]) == 0
    u = load(folder, instance=7)
    assert u.problem.seed == 7
    assert "helmholtz_family, instance 7 on" in repr(u)
    assert "instance 7 with other k on" in repr(u.with_(k=2.5))
    assert "; mean relative L2 error of u over the test instances " in repr(u), "it is not the error of this one"
    x, y = np.meshgrid(np.linspace(-1, 1, 3), np.linspace(-1, 1, 4), indexing="ij")
    np.testing.assert_allclose(np.load("u.npz")["u"], u(x=x, y=y), rtol=1e-12, atol=1e-12)
    assert not np.allclose(load(folder)(x=x, y=y), u(x=x, y=y))
    assert u(x=0.1, y=0.2, derivatives="residual/pde").shape == ()


def test_a_prediction_has_the_error_that_the_results_tell(whole):
    folder, _ = whole
    u = load(folder, instance=1)
    x, y = np.meshgrid(np.linspace(-1, 1, 100), np.linspace(-1, 1, 100), indexing="ij")
    truth = u.problem.exact(*(u.objective.parameters[0].new_tensor(c.ravel()) for c in (x, y))).numpy()
    error = np.linalg.norm(u(x=x, y=y).ravel() - truth) / np.linalg.norm(truth)
    assert error == pytest.approx(Results(folder / "results.h5").read("instances")["error/u"][1], rel=1e-6)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["optimizer=levenberg_marquardt"], "optimizer=levenberg_marquardt: it needs the rows of the Jacobian"),
        pytest.param(["diagnostics=[ntk_spectrum]"], "diagnostics=ntk_spectrum: it looks at one solution",
                     marks=pytest.mark.slow),  # afterwards too, below
        (["weighting=[causal]"], "a point has no weight of its own"),
        (["architecture.points=100"], "architecture.points=100: expected names and values, e.g. {name: value}"),
        pytest.param(["architecture.backward=none"],
                     "architecture.backward=none: expected one of implicit, implicit_gn, unroll",
                     marks=pytest.mark.slow),
        pytest.param(["architecture.every=often"], "architecture.every=often: expected int or null",
                     marks=pytest.mark.slow),
        pytest.param(["architecture.functions=70"],
                     "70 coefficients and 60 equations; type more architecture.points, or fewer",
                     marks=pytest.mark.slow),  # in test_family_residuals too
        (["strategy=[continuation]", "strategy.continuation.coefficient=beta", "strategy.continuation.through=[5]"],
         "trains other problems on the way; type strategy=[]"),
        pytest.param(["record.estimated_error=1"], "record.estimated_error", marks=pytest.mark.slow),
        (["strategy=[time_marching]", "strategy.time_marching.length=0.5"], "found Window"),
    ],
)  # fmt: skip
def test_what_needs_one_solution_is_refused_in_one_line(more, says, capsys):
    typed = [word for word in SMALL if not (more[0].startswith("optimizer") and word == "optimizer=adam")]
    assert cli.main(["train", "problem=convection_family", *WAYS["constrained"], *typed, "stop.steps=1", *more]) == 2
    assert says in capsys.readouterr().err
    assert not Path("outputs").exists()


@pytest.mark.slow  # nor has an ordinary problem, below
def test_a_network_of_one_problem_has_no_other_instance(here):
    small = ["points.interior=16", "points.face=8", "architecture.width=4", "figures=off", "compile=off"]
    assert cli.main(["train", "problem=convection_family", *small, "stop.steps=1", "folder=one"]) == 0
    with pytest.raises(UsageError, match="was trained for one problem alone"):
        load("one", instance=3)


@pytest.mark.slow
def test_a_deeponet_trains_in_single_precision():
    assert cli.main(words("convection_family", "deeponet", "dtype=float32", "stop.steps=2", "folder=single")) == 0
    assert np.isfinite(Results(Path("single/results.h5")).read_history()["loss/total"]).all()


def test_an_instance_that_no_set_has_is_refused(whole):
    with pytest.raises(UsageError, match="expected a whole number from 0"):
        load(whole[0], instance=-1)


def test_a_diagnostic_of_one_solution_is_refused_afterwards_too(whole, capsys):
    assert cli.main(["diagnose", str(whole[0]), "hessian_spectrum"]) == 2
    assert "a diagnostic looks at one solution" in capsys.readouterr().err


def test_an_instance_that_is_not_solved_is_never_silent(capsys):
    """One Newton step is too few for a nonlinear equation, and least squares are not at their minimum."""
    short = words("reaction_family", "constrained", "architecture.steps=1", "stop.steps=2", "folder=run")
    assert cli.main(short) == 0
    shown = capsys.readouterr().out
    says = "instance 0: it needs more steps (residual "
    guard = f"guard     not solved: {says}"
    assert guard in shown
    assert "train with architecture.steps=2; 1 more of 2 test instances" in shown
    assert "in 2 of 2 recorded steps an instance was not solved" in shown
    results = Results(Path("run/results.h5"))
    assert all(str(text).startswith("it needs more steps") for text in results.read("instances")["failure"])
    assert str(results.read("guard")["verdict"]).startswith("not solved: instance 0: ")
    assert cli.main(["show", "run"]) == 0
    page = " ".join(capsys.readouterr().out.split())
    assert f"guard not solved: {says}" in page
    assert "in 2 of 2 recorded steps" in page
    assert cli.main(["predict", "run", "--grid", "3x3", "--out", "u.npz", "--instance", "7"]) == 0
    error = capsys.readouterr().err
    assert error.startswith("pinn: instance 7 is not solved: it needs more steps (residual ")
    assert error.splitlines()[0].endswith("train with architecture.steps=2")
    with pytest.warns(UserWarning, match="instance 7 is not solved: it needs more steps"):
        u = load("run", instance=7)
    assert "instance 7 is not solved" in repr(u)


def test_dependent_functions_are_refused_with_a_gradient_and_said_without_one(capsys):
    short = words("convection_family", "constrained", "architecture.ridge=0", "architecture.basis.width=2",
                  "architecture.basis.depth=1", "stop.steps=1", "folder=run")  # fmt: skip
    assert cli.main(short) != 0
    error = capsys.readouterr().err
    assert "of 5 basis functions are independent" in error
    assert "type architecture.ridge=1e-10" in error
    assert error.count("\n") == 1


ONE = ["train", "problem=poisson_1d", "architecture=constrained", "dtype=float64", "optimizer=adam", "figures=off",
       "sampler=[uniform]", "weighting=[fixed]", "points.interior=24", "threads=1"]  # fmt: skip
RANDOM = ["architecture@architecture.basis=random_features", "architecture.basis.width=60", "architecture.functions=61",
          "architecture.points.interior=200", "scaling=unit", "weights.face=1e4"]  # fmt: skip


def test_an_ordinary_problem_is_a_family_of_one(capsys):
    """Its functions are trained; the same least squares hold the equation at every step."""
    small = ["architecture.functions=12", "architecture.basis.width=12", "architecture.points.interior=40"]
    assert cli.main([*ONE, *small, "stop.steps=3", "folder=run", "record.every=1"]) == 0
    shown = capsys.readouterr().out
    assert "instance 0" not in shown
    assert "(relative L2)" in shown
    u = load("run")
    assert u(x=[0.25, 0.5]).shape == (2,)
    with pytest.raises(UsageError, match="was trained for one problem alone"):
        load("run", instance=3)
    assert cli.main(["train", "problem=poisson_1d", "architecture=deeponet", "optimizer=adam"]) == 2
    assert "DeepONet is trained for all instances of a family" in capsys.readouterr().err
    assert cli.main(["predict", "run", "--grid", "5", "--out", "u.npz"]) == 0
    np.testing.assert_allclose(np.load("u.npz")["u"], u(x=np.load("u.npz")["x"]))


@pytest.mark.slow
def test_random_functions_that_are_not_trained_solve_a_linear_problem_in_one_step():
    assert cli.main([*ONE, *RANDOM, "stop.steps=1", "folder=one"]) == 0
    first = float(Results(Path("one/results.h5")).read("error")["u"])
    assert first < 1e-5
    assert cli.main([*ONE, *RANDOM, "stop.steps=20", "folder=more"]) == 0
    more = float(Results(Path("more/results.h5")).read("error")["u"])
    assert more == pytest.approx(first, rel=1.0)  # the span of the functions is the same
