"""kill -9 over the whole life of a run: every file opens, no recorded row is lost, a resume ends bit for bit the same.

A life is killed before one of its operations on files (so that every moment of the set-up, of a batch, of a checkpoint,
of the end and of the figures comes up), or after a random time.
"""

import json
import random
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread
from omegaconf import OmegaConf

from pinn_cli import cli
from pinn_cli.records import checkpoint
from pinn_cli.records.results import Results
from tests.lives import Lives
from tests.run_files import assert_same_run

pytestmark = pytest.mark.usefixtures("all_windows")  # as runs in other processes have

SMALL = ["problem=helmholtz", "points.interior=32", "points.face=8", "architecture.width=8", "architecture.depth=2"]
CASES = {
    "levenberg_marquardt": ["stop.steps=12", "figures=on"],
    "adam": ["recipe=adam", "compile=off", "stop.steps=60", "record.every=3", "figures=off",
             "weighting=[lr_annealing_code]"],
    "stages": ["recipe=adam", "optimizer=[adam,levenberg_marquardt]", "optimizer.adam.steps=24", "compile=off",
               "record.every=3", "stop.steps=32", "figures=off", "diagnostics=[gradient_alignment]",
               "diagnostics.gradient_alignment.every=12"],
}  # fmt: skip
VISIBLE = {"results.h5", "checkpoint.pt", "config.yaml", "run.log", "figures"}


def rows(folder: Path) -> dict[str, np.ndarray]:
    """The history but for the clock."""
    return {name: column for name, column in Results(folder / "results.h5").read_history().items() if name != "time"}


def check_files(folder: Path, expected: dict[str, np.ndarray]) -> None:
    """Whatever is there is whole: nothing is unreadable, and no row up to the checkpoint is missing or different."""
    assert {path.name for path in folder.glob("[!.]*")} <= VISIBLE
    if (folder / "results.h5").exists():
        Results(folder / "results.h5").examine()
        rows(folder)
    if (folder / "config.yaml").exists():
        assert OmegaConf.load(folder / "config.yaml").folder == str(folder)
    for figure in folder.glob("figures/*.png"):
        assert imread(figure).size
    if (folder / "checkpoint.pt").exists():
        step = checkpoint.load_run(folder / "checkpoint.pt")["progress"]["step"]
        found = rows(folder)
        kept, wanted = found["step"] <= step, expected["step"] <= step
        for name, column in expected.items():  # a column that belongs to a later stage is not there yet
            missing = np.full(wanted.sum(), -1 if name == "stage" else np.nan)
            np.testing.assert_array_equal(found[name][kept] if name in found else missing, column[wanted])


def check_end(folder: Path, whole: Path) -> None:
    """The end is the undisturbed one: the same bits, the same files, and nothing left over."""
    assert Results(folder / "results.h5").read_attributes()["status"] == "finished"
    assert_same_run(whole, folder)
    assert {p.relative_to(folder) for p in folder.rglob("*")} == {p.relative_to(whole) for p in whole.rglob("*")}


def killed_runs(lives: Lives, here: Path, case: str, kills: int, seed: int) -> int:
    """Kill runs so many times, each up to five times before it may end; how often it happened in the set-up."""
    command = ["train", *SMALL, *CASES[case]]
    whole = lives.live([*command, f"folder={here}/whole"], here)
    assert whole["code"] == 0, whole["errors"]
    expected, chance, done, number, early = rows(here / "whole"), random.Random(seed), 0, 0, 0
    while done < kills:
        number += 1
        folder = here / f"run{number}"
        words = begin = [*command, f"folder={folder}"]
        for _ in range(min(5, kills - done)):
            life = lives.live(words, here, **_moment(chance, whole))
            if not life["killed"]:
                assert life["code"] == 0, life["errors"]
                break
            done += 1
            if folder.exists():
                check_files(folder, expected)
            there = (folder / "results.h5").exists()
            early += not there
            goes_on = there and Results(folder / "results.h5").read_attributes()["status"] != "finished"
            words = ["resume", str(folder)] if goes_on and chance.random() < 0.5 else begin
        life = lives.live(begin, here)
        assert life["code"] == 0, life["errors"]
        check_end(folder, here / "whole")
    return early


def _moment(chance: random.Random, whole: dict[str, float]) -> dict[str, float]:
    """When to kill: half of the time at an operation, the early ones (the set-up) more often; else after a time."""
    if chance.random() < 0.4:
        return {"after": chance.uniform(0, whole["seconds"])}
    return {"at": chance.randint(1, int(whole["operations"]) // chance.choice((1, 1, 2, 50)))}


def test_a_killed_run_resumes_bit_for_bit(lives, tmp_path):
    """A run of two optimizers; the slow test below also kills runs of one, and while figures are drawn."""
    killed_runs(lives, tmp_path, "stages", 3, seed=0)


def test_one_failing_run_does_not_stop_the_others(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    few = ["points.interior=16", "points.face=4", "stop.steps=5", "compile=off", "figures=off"]
    rates = "1e-4,1e30,1e-3"
    words = [*SMALL, *few, "recipe=adam", f"optimizer.adam.lr={rates}", "folder=sweep"]
    assert cli.main(["train", "-m", *words]) == cli.FAILED
    err = capsys.readouterr().err
    assert "run 1" in err
    assert "the loss is nan at step 2" in err
    assert cli.main(["status", "sweep", "--json"]) == 0
    states = {run["number"]: run for run in json.loads(capsys.readouterr().out)["runs"]}
    assert [number for number, run in states.items() if run["state"] != "finished"] == [1]
    assert states[1]["state"] == "failed"
    assert "the loss is nan at step 2" in states[1]["note"]
    assert len(states) == 3


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_a_run_survives_seventy_kills(lives, tmp_path, case):
    early = killed_runs(lives, tmp_path, case, 70, seed=1)
    print(f"{case}: 70 kills, {early} of them before there was a results file")
