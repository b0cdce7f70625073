"""Runs of a sweep that end without a results file: which are refused, and which are tried again."""

import json
import os
import shutil
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from pinn_cli.cli import main
from pinn_cli.configuration import plan
from pinn_cli.records import folder as run_folder
from pinn_cli.records.lock import Lock
from pinn_cli.records.results import Results
from pinn_cli.runs import start
from pinn_cli.studies import status as states
from pinn_cli.studies.find import find_sweep
from pinn_cli.studies.sweep import Sweep
from tests.conftest import TINY

TRAIN = ["train", *TINY, "recipe=adam", "stop.steps=1"]
SWEEP = [*TRAIN, "-m", "seed=0", "folder=s"]
pytestmark = pytest.mark.usefixtures("here", "without_slurm")


def told() -> list[tuple[str, str]]:
    """State and note of every run."""
    return [(entry["state"], entry["note"]) for entry in states.states(Sweep.read("s"))]


def test_a_missing_device_is_a_failure_that_is_tried_again(monkeypatch, capfd) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert main([*TRAIN, "device=cuda"]) == 2
    assert main([*SWEEP, "device=cuda"]) == 1
    err = capfd.readouterr().err
    assert err.count("\n") == 2
    assert "finds no such device here" in err
    ((state, note),) = told()
    assert (state, "finds no such device here" in note) == ("failed", True)
    assert main(["logs", "s/0"]) == 2
    assert "run 0 of s failed before its first step: device=cuda" in capfd.readouterr().err
    monkeypatch.setattr("pinn_cli.configuration.device.choose", lambda name, dtype: torch.device("cpu"))
    assert main(["resume", "s"]) == 0
    assert told() == [("finished", "")]
    assert not Path("s/0.failed").exists()


def test_a_dry_run_does_not_refuse_a_device_that_a_node_may_have(monkeypatch, capsys) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert main([*SWEEP, "device=cuda", "hydra/launcher=slurm_array", "--dry-run"]) == 0
    assert "1 run; " in capsys.readouterr().out


def test_short_memory_and_a_full_disk_are_failures(monkeypatch) -> None:
    with monkeypatch.context() as short:
        short.setattr("pinn_cli.configuration.cost.free_memory", lambda device: 10.0)
        assert main(SWEEP) == 1
    assert "are free" in told()[0][1]
    with monkeypatch.context() as full:
        mkdir = Path.mkdir

        def refuse(folder: Path, *arguments: Any, **keywords: Any) -> None:
            if folder.name == "0":
                raise OSError(28, "No space left on device")
            mkdir(folder, *arguments, **keywords)

        full.setattr(run_folder.Path, "mkdir", refuse)
        assert main(["resume", "s"]) == 1
    ((state, note),) = told()
    assert (state, "s/0 cannot be made (No space left on device)" in note) == ("failed", True)


def test_an_error_before_the_first_results_is_a_failure_with_its_message(monkeypatch, capsys) -> None:
    def broken(parts: object) -> None:
        raise RuntimeError("CUDA error: an illegal instruction\nCompile with TORCH_USE_CUDA_DSA")

    with monkeypatch.context() as node:
        node.setattr(plan, "preview", broken)
        assert main(SWEEP) == 1
    assert told() == [("failed", "RuntimeError: CUDA error: an illegal instruction")]
    assert main(["status", "s"]) == 0
    assert capsys.readouterr().out.endswith("next     pinn resume s\n")
    assert main(["resume", "s"]) == 0
    assert told() == [("finished", "")]


def test_a_signal_during_the_set_up_of_a_run_starts_nothing(monkeypatch) -> None:
    assemble = start.assemble

    def told_meanwhile(*arguments: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        return assemble(*arguments)

    monkeypatch.setattr(start, "assemble", told_meanwhile)
    assert main([*TRAIN, "-m", "seed=0,1", "folder=s"]) == 3
    assert told() == [("stopped", "interrupted (before it began)"), ("missing", "")]
    monkeypatch.setattr(start, "assemble", assemble)
    assert main(["resume", "s"]) == 0


def test_a_started_run_that_cannot_continue_has_failed(capfd) -> None:
    assert main(SWEEP) == 0
    whole = Path("s/0/checkpoint.pt").read_bytes()
    Results("s/0/results.h5").attributes(status="stopped", reason="interrupted (SIGTERM)")
    Path("s/0/checkpoint.pt").write_bytes(whole[:100])
    assert main([*TRAIN, "seed=0", "folder=s/0"]) == 1  # as a task of a cluster types it
    assert main(["resume", "s"]) == 1
    assert "run 0  failed" in capfd.readouterr().out
    ((state, note),) = told()
    assert (state, "checkpoint.pt" in note) == ("failed", True)
    Path("s/0/checkpoint.pt").write_bytes(whole)
    assert main(["resume", "s"]) == 0
    assert told() == [("finished", "")]


def test_a_run_that_another_process_writes_gets_no_note_and_is_tried_again(here: Path, capsys) -> None:
    run = Sweep.create("pinn train -m", "basic", [([*TRAIN[1:], "seed=0"], None)], "s").runs[0]
    line = ["train", *run.full_words]
    Path("s/0").mkdir()
    Path("s/0/.lock").write_text(json.dumps({"pid": 7, "host": "node7", "born": "1"}))
    assert main(line) == 1
    assert capsys.readouterr().err.count("is being written by process 7 on node7") == 1
    os.utime("s/0/.lock", (0, 0))  # that node has died while it set the run up
    assert told() == [("missing", "")]
    assert main(["resume", "s"]) == 0
    assert told() == [("finished", "")]
    Results("s/0/results.h5").attributes(status="running")
    with Lock("s/0"):
        assert main(line) == 1
    Results("s/0/results.h5").attributes(status="stopped", reason="interrupted (SIGTERM)")
    assert told() == [("stopped", "interrupted (SIGTERM)")]


@pytest.mark.slow  # test_locks has requeued jobs
def test_a_requeued_run_waits_for_its_earlier_process_and_continues(monkeypatch, capsys) -> None:
    assert main([*TRAIN, "stop.steps=2", "folder=first"]) == 0
    Results("first/results.h5").attributes(status="running")
    assemble, held = start.assemble, Lock("run")

    def begun_meanwhile(*arguments: Any) -> Any:
        monkeypatch.setattr(start, "assemble", assemble)
        shutil.copytree("first", "run")
        held.__enter__()
        threading.Timer(0.5, held.__exit__, (None, None, None)).start()
        return assemble(*arguments)

    monkeypatch.setattr(start, "assemble", begun_meanwhile)
    monkeypatch.setenv("PINN_PATIENCE", "120")
    assert main([*TRAIN, "stop.steps=2", "folder=run"]) == 0
    assert "resume   run from step 2" in capsys.readouterr().out


@pytest.mark.slow
def test_folder_null_is_a_new_folder() -> None:
    assert main([*TRAIN, "-m", "seed=0", "folder=null"]) == 0
    assert [path.name for path in Path().iterdir()] == ["outputs"]
    assert find_sweep().runs[0].folder.parent.parent == Path("outputs/sweeps")


@pytest.mark.slow
def test_a_sweep_continues_a_run_that_a_resume_has_changed(capsys) -> None:
    assert main(SWEEP) == 0
    assert main(["resume", "s/0", "stop.steps=3"]) == 0
    assert main(["resume", "s/0", "stop.steps=5", "record.every=2"]) == 0
    results = Results("s/0/results.h5")
    results.attributes(status="running")  # as a kill leaves it
    assert main(["resume", "s"]) == 0
    assert told() == [("finished", "")]
    assert results.read_attributes()["reason"] == "stop.steps=5 reached"
    assert main([*TRAIN, "seed=0", "stop.steps=5", "record.every=2", "folder=s/0"]) == 0
    assert "holds this very run, finished" in capsys.readouterr().out
    assert main([*TRAIN, "seed=0", "stop.steps=7", "folder=s/0"]) == 1
    assert "stop.steps=5 is now 7" in capsys.readouterr().err


@pytest.mark.parametrize("folder", ["x/${seed}", "x,y", "a/${architecture.width}"])
def test_a_folder_that_differs_between_runs_gets_one_line(folder: str, here: Path, one_line) -> None:
    assert main([*TRAIN, "-m", "seed=0,1", f"folder={folder}"]) == 2
    assert "differs between runs; the runs of a sweep lie in its folder: type folder=NAME" in one_line()
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("place", ["file/x", "shut/x"])
def test_a_folder_that_cannot_be_made_gets_one_line(place: str, here: Path, capsys, monkeypatch) -> None:
    Path("file").touch()
    Path("shut").mkdir()
    monkeypatch.setattr(run_folder.os, "access", lambda path, mode: path.name != "shut")
    assert main([*TRAIN, "-m", "seed=0", f"folder={place}"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert sorted(path.name for path in here.rglob("*")) == ["file", "shut"]


def test_a_sweep_whose_runs_are_all_refused_says_so_and_exits_with_2(capfd) -> None:
    march = ["recipe=accurate", "strategy=time_marching", "strategy.time_marching.windows=-1,-2"]
    words = [*TRAIN, "problem=wave", *march, "-m", "folder=s"]
    nothing = (
        "nothing can be trained: all 2 runs are refused (run 0: strategy.time_marching.windows=-1: expected a whole"
    )
    assert main([*words, "--dry-run"]) == 2
    assert main(words) == 2
    assert nothing in capfd.readouterr().out
    for again in (words, ["resume", "s"]):
        assert main(again) == 2
        assert nothing in capfd.readouterr().err
        assert told() == [
            ("refused", f"strategy.time_marching.windows={k}: expected a whole number above 0") for k in (-1, -2)
        ]
    assert main([*words[:-1], "strategy.time_marching.windows=-1,2", "folder=t"]) == 0
