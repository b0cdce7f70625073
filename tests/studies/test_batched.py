"""Sweeps whose runs are trained together: the same folders and runs as with any launcher."""

from pathlib import Path

import numpy as np
import pytest

from pinn_cli import cli
from pinn_cli.records.results import Results
from pinn_cli.studies import status
from pinn_cli.studies.sweep import Sweep
from tests.conftest import TINY
from tests.run_files import assert_same_run, told_to_stop_in

BATCHED = "hydra/launcher=batched"
ADAM = [*TINY, "recipe=adam", "weighting=lr_annealing_code", "record.every=2", "dtype=float64"]
TWO = ["train", "-m", *ADAM, "seed=range(2)", "optimizer.adam.lr=1e-2", "stop.steps=4"]


def states(sweep: str) -> list[str]:
    return [entry["state"] for entry in status.states(Sweep.read(sweep))]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sweeps") / "s"
    assert cli.main([*TWO, BATCHED, f"folder={folder}"]) == 0
    return folder


def test_a_sweep_has_the_folders_histories_and_results_of_its_lone_runs(here, undisturbed, capsys):
    assert states(undisturbed) == ["finished"] * 2
    for run in Sweep.read(undisturbed).runs[:1]:
        assert cli.main(["train", *run.words, f"folder=lone{run.number}"]) == 0
        lone, batched = Path(f"lone{run.number}"), undisturbed / str(run.number)
        made = {file.name for file in batched.iterdir()}
        assert made == {file.name for file in lone.iterdir()}
        one, other = (Results(folder / "results.h5") for folder in (batched, lone))
        for group in ("history", "network", "error", "fields/prediction", "collocation", "guard"):
            now, then = one.read(group), other.read(group)
            assert now.keys() == then.keys()
            for name in then.keys() - {"time"}:
                if np.asarray(then[name]).dtype.kind == "f":
                    np.testing.assert_allclose(now[name], then[name], rtol=1e-8, atol=1e-10, err_msg=name)
    capsys.readouterr()
    assert cli.main(["compare", str(undisturbed)]) == 0
    assert "source" not in capsys.readouterr().out, "all have the same text, and none has read data"


@pytest.mark.slow
def test_an_interrupted_sweep_saves_all_of_its_runs_and_goes_on_with_the_same_bits(here, undisturbed):
    with told_to_stop_in(3):
        assert cli.main([*TWO, BATCHED, "folder=s"]) == cli.STOPPED
    assert states("s") == ["stopped"] * 2
    assert cli.main(["status", "s"]) == 0
    assert cli.main(["resume", "s"]) == 0
    for number in range(2):
        assert_same_run(undisturbed / str(number), f"s/{number}")


@pytest.mark.slow
def test_a_killed_sweep_goes_on_with_the_same_bits(here, undisturbed, lives):
    words = [*TWO, BATCHED, "folder=s"]
    life = lives.live(words, here, at=80)
    assert life["killed"]
    assert Path("s/1/checkpoint.pt").exists()
    assert "finished" not in states("s")
    assert lives.live(["resume", "s"], here)["code"] == 0
    for number in range(2):
        assert_same_run(undisturbed / str(number), f"s/{number}")


@pytest.mark.slow
def test_a_run_that_stops_or_fails_leaves_the_others(here, capsys):
    words = [*ADAM, "optimizer.adam.lr=1e-3,1e200", "stop.steps=3,5"]
    assert cli.main(["train", "-m", *words, BATCHED, "folder=s"]) == cli.FAILED
    said = capsys.readouterr()
    assert "4 runs together" in said.out
    assert sum(line.startswith("pinn: run ") for line in said.err.splitlines()) == 2
    assert states("s") == ["finished", "finished", "failed", "failed"]
    assert [Results(f"s/{number}/results.h5").read_attributes()["steps"] for number in (0, 1)] == [3, 5]


@pytest.mark.slow
def test_runs_that_cannot_be_trained_together_go_one_by_one(here, capsys):
    words = ["train", "-m", *TINY, "recipe=adam", "seed=0,1", "stop.steps=1", BATCHED, "folder=s"]
    assert cli.main([*words, "optimizer=adam,lbfgs"]) == 0
    said = capsys.readouterr().out
    assert said.count("2 runs together") == 1
    assert "\n2 runs one by one, because optimizer=lbfgs needs more than one gradient at a step\n" in said
    assert states("s") == ["finished"] * 4


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["optimizer=schedule_free"], "optimizer=schedule_free needs more than one gradient"),
        (["strategy=restarts"], "strategy=restarts gives each run stages of its own"),
        (["derivatives=autograd"], "derivatives=autograd has no graph"),
        (["recipe=accurate"], "optimizer=levenberg_marquardt needs more than one gradient"),
    ],
)
def test_the_reason_why_runs_go_one_by_one(words, reason):
    from pinn_cli.configuration.compose import read
    from pinn_cli.runs.together import likeness, obstacle

    one, other = (read([*TINY, "recipe=adam", *words, f"seed={k}"]).config for k in range(2))
    assert likeness(one) == likeness(other)
    assert str(obstacle(one)).startswith(reason)


@pytest.mark.parametrize("word", ["problem.k=2", "weights.wall=3", "optimizer.adam.lr=1", "stop.steps=9"])
def test_runs_that_differ_in_numbers_are_alike(word):
    from pinn_cli.configuration.compose import read
    from pinn_cli.runs.together import likeness, obstacle

    words = [*TINY, "recipe=adam"]
    one = read(words).config
    assert obstacle(one) is None
    assert likeness(one) == likeness(read([*words, word]).config)
    assert likeness(one) != likeness(read([*words, "architecture.width=5"]).config)


def test_a_number_of_runs_below_one_is_refused(here, one_line):
    assert cli.main([*TWO, BATCHED, "hydra.launcher.at_once=0"]) == cli.USAGE
    assert "hydra.launcher.at_once=0: expected a whole number above 0" in one_line()
