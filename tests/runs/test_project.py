"""A run of one's own problem works from any folder, and the modules of two projects are never confused."""

import shutil
import sys
from pathlib import Path

import pytest
import torch

from pinn_cli import load
from pinn_cli.cli import main
from pinn_cli.records.results import Results
from pinn_cli.runs.load import Prediction
from pinn_cli.runs.resume import resume
from tests.conftest import refused

SMALL = ["recipe=adam", "stop.steps=2", "points.interior=32", "points.face=8", "architecture.width=6", "figures=off"]


def new_project(folder: Path, monkeypatch: pytest.MonkeyPatch, factor: float) -> Path:
    """A project whose problem ``mine`` reads its coefficient from a data file beside it; the folder of a run of it."""
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert main(["new", "problem", "mine"]) == 0
    problem = Path("problems/mine.py")
    text = problem.read_text().replace("return sin(pi * x) * exp", f"return {factor} * sin(pi * x) * exp")
    text = text.replace("from math import pi", "from math import pi\nfrom pathlib import Path")
    read = "self.kappa = float(Path('kappa.txt').read_text())"
    problem.write_text(text.replace("self.domain =", f"{read}\n        self.domain ="))
    Path("kappa.txt").write_text("0.25")
    assert main(["train", "problem=mine", *SMALL, "folder=run"]) == 0
    return folder / "run"


def peak(solution: Prediction) -> float:
    """The exact solution of a run's problem where it is largest."""
    return float(solution.problem.exact(torch.tensor(0.5), torch.tensor(0.0)))


@pytest.mark.slow
def test_a_run_of_ones_own_problem_works_from_any_folder(own_folder: Path, monkeypatch, capsys) -> None:
    run = new_project(own_folder / "one", monkeypatch, 1.0)
    elsewhere = own_folder / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert load(run).problem.kappa == 0.25
    assert main(["predict", str(run), "--grid", "3x3", "--out", "u.npz"]) == 0
    for words in (["show", "../one/run"], ["resume", "../one/run", "stop.steps=3"],
                  ["diagnose", "../one/run", "gradient_alignment"]):  # fmt: skip
        assert main(words) == 0
    assert [path.name for path in elsewhere.iterdir()] == ["u.npz"]
    assert Path.cwd() == elsewhere
    shutil.move(own_folder / "one", own_folder / "moved")
    capsys.readouterr()
    assert main(["resume", str(own_folder / "moved/run"), "stop.steps=4"]) == 2
    assert f"uses problems.mine of the project {own_folder}/one, which is not there any more" in capsys.readouterr().err
    monkeypatch.chdir(own_folder / "moved")
    assert main(["resume", "run", "stop.steps=4"]) == 0


@pytest.mark.slow  # two texts of one module are loaded in test_provenance
def test_modules_of_one_name_in_two_projects_are_not_confused(own_folder: Path, monkeypatch) -> None:
    runs = [new_project(own_folder / f"project{factor}", monkeypatch, factor) for factor in (2.0, 3.0)]
    first = load(runs[0])
    assert [peak(load(run)) for run in (*runs, *runs)] == [2.0, 3.0, 2.0, 3.0]
    assert peak(first) == 2.0
    monkeypatch.syspath_prepend(str(own_folder / "project2.0"))  # as in a notebook that lies there
    assert peak(load(runs[1])) == 3.0


def test_a_second_name_of_an_own_module_is_hidden_too(own_folder: Path) -> None:
    assert main(["new", "problem", "mine"]) == 0
    problem = Path("problems/mine.py")
    problem.write_text(f"{problem.read_text()}\nimport sys\n\nsys.modules['nickname'] = sys.modules[__name__]\n")
    assert main(["train", "problem=mine", *SMALL, "folder=run"]) == 0
    assert not {"nickname", "problems.mine"} & sys.modules.keys()


def test_a_run_keeps_its_text_after_the_module_was_edited(own_folder: Path, monkeypatch) -> None:
    run = new_project(own_folder / "one", monkeypatch, 2.0)
    assert peak(load(run)) == 2.0
    file = own_folder / "one/problems/mine.py"
    file.write_text(file.read_text().replace("2.0 *", "5.00 *"))
    assert peak(load(run)) == 2.0
    assert peak(load(run, changed=True)) == 5.0
    with refused(r"problems\.mine has changed since the run began \(problems/mine\.py line 39: .*5\.00"):
        resume(run, {"stop.steps": 4})


@pytest.mark.slow
def test_modules_of_another_user_are_not_imported_from_afar(own_folder: Path, monkeypatch) -> None:
    run = new_project(own_folder / "one", monkeypatch, 1.0)
    monkeypatch.chdir(own_folder)
    monkeypatch.setattr("os.getuid", lambda: -1)
    with refused("belongs to another user; if you trust its modules, cd there"):
        load(run, changed=True)
    assert load(run).problem.kappa == 0.25  # the recorded text, which this user has trained with


def test_only_a_run_with_own_modules_records_its_project(own_folder: Path) -> None:
    assert main(["train", "problem=helmholtz", *SMALL, "folder=run"]) == 0
    assert "project" not in Results("run/results.h5").read_attributes()


def test_a_package_that_hides_the_project_is_named_with_its_place(here: Path, one_line, monkeypatch) -> None:
    """A checkout on PYTHONPATH has a package `problems` too."""
    other = here / "other"
    (other / "problems").mkdir(parents=True)
    (other / "problems/__init__.py").write_text("raise SystemExit('imported')")
    project = here / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    assert main(["new", "problem", "mine"]) == 0
    monkeypatch.setattr("sys.path", [str(other), *(entry for entry in sys.path if entry)])
    monkeypatch.setenv("PYTHONPATH", str(other))
    for name in [name for name in sys.modules if name.partition(".")[0] == "problems"]:
        monkeypatch.delitem(sys.modules, name)
    assert main(["check", "problem=mine"]) == 2
    assert f"Python finds `problems` in {other}/problems; expected it in {project}: take {other} out of PYTHONPATH" in (
        one_line()
    )
    monkeypatch.setenv("PYTHONPATH", "")
    monkeypatch.setattr("pinn_cli.configuration.project.enter", lambda: None)
    assert main(["check", "problem=mine"]) == 2
    assert f"give the module in {project} another name" in one_line()
