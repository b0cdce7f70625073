"""`pinn resume`, `cancel` and `logs` with sweeps."""

import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pinn_cli.cli import main
from pinn_cli.records.lock import Lock
from pinn_cli.records.results import Results
from pinn_cli.studies import launch
from pinn_cli.studies import status as states
from pinn_cli.studies.launchers.basic import Basic
from pinn_cli.studies.launchers.slurm import SlurmArray, array
from pinn_cli.studies.sweep import Sweep
from tests.conftest import PINN, TINY
from tests.sweep_files import FOLDER, hold, set_status, write_sweep

pytestmark = pytest.mark.usefixtures("here", "without_slurm")


@contextmanager
def started(*words: str) -> Iterator[subprocess.Popen]:
    """`pinn train -m ...` as a process of its own, which never outlives its test."""
    command = [*PINN, "train", "-m", *TINY, *words]
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, **pipes) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_until(true: Callable[[], bool], seconds: float = 240.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it has not happened"
        time.sleep(0.05)


def told(sweep: str | Path) -> list[str]:
    return [entry["state"] for entry in states.states(Sweep.read(sweep))]


def weights(folder: Path) -> dict[str, np.ndarray]:
    return {name: np.asarray(value) for name, value in Results(folder / "results.h5").read("network").items()}


def test_resume_starts_missing_interrupted_and_failed_runs_only(capfd) -> None:
    assert main(["train", "-m", *TINY, "recipe=adam", "stop.steps=2", "seed=0,1,2,3", "folder=s"]) == 0
    whole = {number: weights(Path(f"s/{number}")) for number in range(4)}
    began = {number: Path(f"s/{number}/config.yaml").stat().st_mtime_ns for number in range(4)}
    shutil.rmtree("s/1")
    set_status(2, Path("s"), status="failed", reason="the loss is not finite")
    Results("s/3/results.h5").attributes(status="running")
    assert told("s") == ["finished", "missing", "failed", "interrupted"]
    capfd.readouterr()
    os.mkdir("elsewhere")
    os.chdir("elsewhere")
    assert main(["resume", "../s"]) == 0
    out = capfd.readouterr().out
    os.chdir("..")
    assert [int(number) for number in re.findall(r"^\(\d of 3\) run (\d+)", out, re.MULTILINE)] == [1, 2, 3]
    assert told("s") == ["finished"] * 4
    assert Path("s/0/config.yaml").stat().st_mtime_ns == began[0]
    for number, before in whole.items():
        assert all(np.array_equal(before[name], value) for name, value in weights(Path(f"s/{number}")).items())
    assert main(["resume", "s"]) == 0
    assert capfd.readouterr().out == "nothing is left to do in s; pinn compare s\n"


@pytest.mark.slow
def test_a_cancelled_sweep_saves_and_can_be_resumed(capfd) -> None:
    with started("recipe=adam", "compile=off", "stop.steps=9999999", "seed=0,1", "folder=s") as process:
        wait_until(lambda: Path("s/0/checkpoint.pt").exists())
        wait_until(lambda: told("s") == ["running", "queued"])
        assert main(["resume", "s"]) == 2
        assert "still goes on (run 0 is running)" in capfd.readouterr().err
        assert main(["cancel", "s"]) == 0
        said = f"process {process.pid} is asked to save and stop\ns is cancelled; pinn resume s goes on\n"
        assert capfd.readouterr().out == said
        assert process.wait(timeout=240) == 3
    assert told("s") == ["stopped", "missing"]
    assert states.states(Sweep.read("s"))[0]["note"] == "interrupted (SIGTERM)"
    assert main(["cancel", "s"]) == 0
    assert capfd.readouterr().out == "nothing of s is running\n"
    with Lock("s"):  # somebody else was faster
        assert main(["resume", "s"]) == 2
    assert "still goes on (run 1 is queued)" in capfd.readouterr().err


def test_only_one_process_writes_a_sweep_at_a_time(capsys) -> None:
    write_sweep()
    shutil.rmtree(FOLDER / "5")
    with Lock(FOLDER):
        assert told(FOLDER)[5] == "queued"
        again = ["problem=helmholtz", "weighting=fixed,lr_annealing,grad_norm", "seed=0,1,2", f"folder={FOLDER}"]
        assert main(["train", "-m", *again]) == 2
    assert f"{FOLDER} still goes on (run 5 is queued)" in capsys.readouterr().err
    assert told(FOLDER)[5] == "missing"
    assert main(["status"]) == 0
    assert capsys.readouterr().out.endswith(f"next     pinn resume {FOLDER}\n")


@pytest.mark.parametrize(
    ("tasks", "state", "note"),
    [
        ({3: "PENDING", 1: "RUNNING"}, "queued", "goes on when its job starts again"),
        ({5: "PENDING"}, "stopped", "interrupted (SIGUSR1)"),
        ({3: "PENDING", 2: "PENDING"}, "queued", "goes on when its job starts again"),
        ({3: "RUNNING"}, "queued", "goes on when its job starts again"),  # it is being set up
        ({}, "stopped", "interrupted (SIGUSR1)"),
        (None, "stopped", "interrupted (SIGUSR1)"),
    ],
)
def test_the_queue_of_a_cluster_decides_which_runs_are_queued(
    tasks: dict[int, str] | None, state: str, note: str, monkeypatch
) -> None:
    sweep = replace(write_sweep(), launcher="slurm_array").with_jobs(["12"])
    set_status(3, status="stopped", reason="interrupted (SIGUSR1)")
    set_status(2, status="failed", reason="the loss is nan")
    shutil.rmtree(FOLDER / "5")
    asked = []
    monkeypatch.setattr(SlurmArray, "queued", lambda self, sweep: asked.append(sweep.jobs) or tasks)
    found = states.states(Sweep.read(FOLDER))
    assert (found[3]["state"], found[3]["note"], found[3]["steps"]) == (state, note, 5900)
    assert found[5]["state"] == ("queued" if tasks is None or 5 in tasks else "missing")
    assert found[2]["state"] == ("queued" if tasks and 2 in tasks else "failed")
    assert asked == [sweep.jobs]


def test_a_sweep_of_a_cluster_may_continue_here(monkeypatch) -> None:
    sweep = replace(write_sweep(), launcher="slurm_array").with_jobs(["12"])
    shutil.rmtree(FOLDER / "5")
    monkeypatch.setattr(SlurmArray, "queued", lambda self, sweep: {})
    with Lock(FOLDER):
        assert states.states(sweep)[5]["state"] == "queued"
    assert states.states(sweep)[5]["state"] == "missing"


def test_a_lone_run_in_the_folder_of_a_sweep_is_refused(capsys) -> None:
    write_sweep()
    assert main(["train", "problem=helmholtz", f"folder={FOLDER}"]) == 2
    assert f"{FOLDER} holds the runs of a sweep; type folder=ANOTHER" in capsys.readouterr().err


def test_a_sweep_of_a_cluster_is_submitted_again_or_continues_here(monkeypatch) -> None:
    sweep = write_sweep().with_jobs(["12"])
    shutil.rmtree(FOLDER / "5")
    launched, submit = [], array.submit
    monkeypatch.setattr(Basic, "launch", lambda self, sweep, runs: launched.append(sweep.launcher) or 0)
    monkeypatch.setattr(SlurmArray, "launch", lambda self, sweep, runs: launched.append(self.time) or 0)
    for typed in ("train -m problem=helmholtz hydra/launcher=slurm_array", "reproduce mine --launcher slurm_array"):
        command = f"pinn {typed} 'hydra.launcher.time=\"1:00:00\"'"
        sweep = replace(sweep, command=command, launcher="slurm_array")
        for there in (False, True):
            monkeypatch.setattr(array, "submit", (lambda *_: "") if there else submit)
            assert launch.go_on(sweep) == 0
    assert launched == ["basic", "1:00:00"] * 2


def test_a_log_is_printed_and_followed_to_its_end(capsys) -> None:
    write_sweep()
    assert main(["logs", "ab/1"]) == 0
    assert capsys.readouterr().out == "problem  helmholtz\nstep 5900/6000  loss 1.0e-03\n"
    hold(FOLDER / "1")

    def go_on() -> None:
        time.sleep(0.5)
        with open(FOLDER / "1/run.log", "a") as log:
            log.write("step 6000/6000\nfinished  after 6000 steps\n")
        (FOLDER / "1/.lock").write_text("")

    thread = threading.Thread(target=go_on)
    thread.start()
    assert main(["logs", "ab/1", "--follow"]) == 0
    thread.join()
    assert capsys.readouterr().out.endswith("step 6000/6000\nfinished  after 6000 steps\n")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["logs", "ab/1"], "has no run.log (yet)"),
        (["resume", "zz"], "there is no run `zz`"),
        (["resume", "ab", "stop.steps=9"], "whose runs go on as they are; type e.g. ab/0"),
        (["cancel", "zz"], "there is no sweep `zz`"),
        (["cancel", "ab/1"], "there is no sweep `ab/1`"),
        (["logs", "ab/0"], "has no run.log (yet)"),
        (["logs", "ab/6"], "was refused"),
        (["logs", "ab/99"], "has runs 0 to 8; found 99"),
    ],
)
def test_a_mistake_gets_one_line(words: list[str], says: str, one_line) -> None:
    write_sweep()
    for number in "01":
        (FOLDER / number / "run.log").unlink()
    os.mkfifo(FOLDER / "1/run.log")  # would be waited for
    assert main(words) == 2
    assert says in one_line()
