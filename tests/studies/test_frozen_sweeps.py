"""A sweep that runs here is frozen: an edited file changes none of its runs."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from pinn_cli import cli
from pinn_cli.records.results import Results
from pinn_cli.runs import start
from pinn_cli.studies.status import states
from pinn_cli.studies.sweep import Sweep
from tests.conftest import ROOT

SMALL = ["recipe=adam", "stop.steps=1", "points.interior=16", "architecture.width=4", "architecture.depth=1",
         "threads=1", "figures=off", "compile=off"]  # fmt: skip
SWEEP = ["train", "-m", "problem=bend", *SMALL, "seed=0,1", "folder=s"]
PROBLEM = """\
from dataclasses import dataclass
from pathlib import Path
import torch
from pinn_cli import Box, Problem, on
from helper import SLOPE

@dataclass
class Bend(Problem):
    load: float = 2.0
    coordinates = ("x",)
    fields = ("u",)
    def __post_init__(self):
        self.domain = Box(x=(0, 1))
    @on("interior")
    def pde(self, u_xx):
        return u_xx - self.load
    @on("x=1")
    def right(self, u_x):
        return u_x - SLOPE
    def measurements(self):
        x, u = map(float, (Path("data") / "table.txt").read_text().split(","))
        return {"x": torch.tensor([x]), "u": torch.tensor([u])}
"""
FILES = {
    "conf/problem/bend.yaml": "# b\n_target_: problems.bend.Bend\nload: 2.0\n", "problems/bend.py": PROBLEM,
    "helper.py": "SLOPE = 2.0\n", "data/table.txt": "0.5,1.25\n", "notes.txt": "mine\n",
}  # fmt: skip
EDITED = {
    "conf/problem/bend.yaml": "# b\n_target_: problems.bend.Bend\nload: 3.0\n", "helper.py": "SLOPE = 3.0\n",
    "problems/bend.py": PROBLEM.replace("u_xx - self.load", "u_xx + self.load"), "data/table.txt": "0.5,7.5\n",
}  # fmt: skip


def write(files: dict[str, str]) -> None:
    for name, text in files.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text)


@pytest.fixture
def project(own_folder: Path) -> Path:
    """A problem with a helper module and a data file."""
    write(FILES)
    return own_folder


def facts(run: str) -> tuple[Any, ...]:
    """What a run was trained with."""
    results = Results(f"{run}/results.h5")
    source, data = results.read("source"), results.read("data")[""]
    return results.read_attributes()["source"], source["helper"], source["problems.bend"], data, "load: 2.0" in (
        results.read_config())  # fmt: skip


def test_editing_a_file_while_a_sweep_runs_changes_nothing(project: Path, monkeypatch, capsys) -> None:
    assemble = start.assemble

    def edited_meanwhile(*arguments: Any) -> Any:
        parts = assemble(*arguments)
        for name, text in EDITED.items():
            (project / name).write_text(text)
        return parts

    monkeypatch.setattr(start, "assemble", edited_meanwhile)
    assert cli.main(SWEEP) == 0
    assert facts("s/0") == facts("s/1")
    assert facts("s/0")[1:3] == (FILES["helper.py"], PROBLEM)
    assert facts("s/0")[4]
    assert Path.cwd() == project
    assert Path("s/code/notes.txt").is_symlink()
    Results("s/1/results.h5").attributes(status="running")  # as a kill leaves it
    capsys.readouterr()
    assert cli.main(SWEEP) == cli.USAGE
    assert "conf/problem/bend.yaml has changed since the sweep began (conf/problem/bend.yaml line 3: -load: 2.0; " in (
        capsys.readouterr().err)  # fmt: skip
    assert cli.main(["resume", "s"]) == 0
    assert facts("s/0") == facts("s/1")
    write(FILES)
    assert cli.main(SWEEP) == 0


@pytest.mark.slow
def test_processes_of_a_pool_train_the_frozen_text(project: Path, monkeypatch) -> None:
    """The files are edited as soon as the sweep has written its copy."""
    from pinn_cli.studies.launchers import pool

    carry_out = pool.carry_out

    def edited(*arguments: Any, **keywords: Any) -> Any:
        write(EDITED)
        return carry_out(*arguments, **keywords)

    monkeypatch.setattr(pool, "carry_out", edited)
    place = project.parent / "path"  # this checkout without its problems/, which would hide the user's
    place.mkdir()
    (place / "pinn_cli").symlink_to(ROOT / "pinn_cli")
    monkeypatch.setenv("PYTHONPATH", str(place))
    one = [word for word in SWEEP if not word.startswith("seed")]
    assert cli.main([*one, "seed=0", "hydra/launcher=local", "hydra.launcher.jobs=1"]) == 0
    assert facts("s/0")[1:3] == (FILES["helper.py"], PROBLEM)


def test_a_sweep_without_own_files_is_not_copied(own_folder: Path) -> None:
    assert cli.main(["train", "-m", "problem=poisson_1d", *SMALL, "seed=0", "folder=s"]) == 0
    assert not Path("s/code").exists()


def test_a_file_that_is_missing_when_a_run_starts_is_a_failure_that_is_tried_again(project: Path, capsys) -> None:
    outside = project.parent / "disk"
    outside.mkdir()
    write({"problems/bend.py": PROBLEM.replace('Path("data")', f'Path("{outside}")')})
    assert cli.main(SWEEP) == cli.FAILED
    assert [entry["state"] for entry in states(Sweep.read("s"))] == ["failed", "failed"]
    assert "table.txt" in capsys.readouterr().err
    (outside / "table.txt").write_text("0.5,1.25\n")
    assert cli.main(["resume", "s"]) == 0
    assert [entry["state"] for entry in states(Sweep.read("s"))] == ["finished", "finished"]


@pytest.mark.slow  # a missing file is above
def test_a_table_that_is_missing_when_a_run_starts_is_tried_again(project: Path) -> None:
    text = PROBLEM.replace("        x, u = map", "        from pinn_cli.physics.references.table import read_table\n"
                           "        return dict(read_table('/' + 'nowhere/u.csv'))\n        x, u = map")  # fmt: skip
    write({"problems/bend.py": text})
    assert cli.main(SWEEP) == cli.FAILED
    assert [entry["state"] for entry in states(Sweep.read("s"))] == ["failed", "failed"]
    assert cli.main(["train", *SWEEP[2:-2], "seed=0"]) == cli.USAGE


def test_a_link_that_was_copied_is_own(project: Path) -> None:
    """Files beside a copied one stay links, and a large one too."""
    write({"data/other.txt": "x"})
    assert cli.main(SWEEP) == 0
    assert subprocess.run(["cmp", "s/code/data/table.txt", "data/table.txt"], check=False).returncode == 0
    assert not Path("s/code/data").is_symlink()
