"""Runs of several processes: started, stopped, killed and resumed for real."""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from pinn_cli import cli
from pinn_cli.basics.errors import FAILED, STOPPED, USAGE
from pinn_cli.configuration.compose import compose
from pinn_cli.records import checkpoint
from pinn_cli.records.results import Results
from pinn_cli.runs.processes import _first_node, place_of
from pinn_cli.runs.together import obstacle
from tests.conftest import PINN, TINY, refused

pytestmark = pytest.mark.usefixtures("all_windows")  # as runs in other processes have

WORDS = [*TINY, "recipe=adam", "dtype=float64", "folder=run", "record.every=20", "stop.steps=1000000"]
PATIENCE = 200.0  # seconds, on a machine that is busy


@pytest.fixture
def started(here) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a command as a process of its own, with one other below it, and waits until it trains."""
    commands: list[subprocess.Popen[str]] = []

    def start(*words: str) -> subprocess.Popen[str]:
        command = subprocess.Popen(
            [*PINN, *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        commands.append(command)
        wait_for_a_step(command)
        return command

    yield start
    for command in commands:
        command.kill()
        command.communicate()


def wait_for_a_step(command: subprocess.Popen[str]) -> None:
    """The first step is always saved."""
    file = Path("run/checkpoint.pt")
    before = file.stat().st_mtime_ns if file.exists() else 0
    deadline = time.monotonic() + PATIENCE
    while not file.exists() or file.stat().st_mtime_ns == before:
        assert command.poll() is None, command.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.02)
    enough = seconds_of(command.pid) + 0.3  # for some steps more, also where the machine is busy
    while command.poll() is None and seconds_of(command.pid) < enough:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def seconds_of(pid: int) -> float:
    """The processor time that a process has taken."""
    try:
        user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    except OSError:  # it has ended meanwhile
        return float("inf")
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def other(command: subprocess.Popen[str]) -> int:
    """The process that a command has started."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has ended meanwhile
            continue
        if parent == command.pid:
            return int(stat.parent.name)
    raise AssertionError("there is no other process")


def ended(command: subprocess.Popen[str]) -> tuple[int, str, int]:
    """The exit code, what was said on stderr, and the step that is saved."""
    error = command.communicate(timeout=PATIENCE)[1]
    return command.returncode, error, checkpoint.load_run("run/checkpoint.pt")["progress"]["step"]


def is_there(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds the other process in /proc")
@pytest.mark.parametrize("killed_too", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_stop_and_a_kill_of_one_process_end_both_and_any_number_goes_on(started, killed_too):
    stopped = started("train", *WORDS, "processes=2")
    os.kill(other(stopped), signal.SIGTERM)
    code, error, saved = ended(stopped)
    assert (code, error) == (STOPPED, "")
    assert Results(Path("run/results.h5")).read_attributes()["reason"].startswith("interrupted")
    begun = [saved]
    if killed_too:
        begun.append(after_a_kill(started("resume", "run")))
        assert begun[1] > begun[0] + 1  # the step before the kill, and not the first one, which is always saved

    last = 20 * (begun[-1] // 20 + 2)
    assert cli.main(["resume", "run", "processes=1", f"stop.steps={last}"]) == 0
    words = [word for word in WORDS if not word.startswith(("folder", "stop"))]
    assert cli.main(["train", *words, "folder=whole", f"stop.steps={last}"]) == 0
    pieces, whole = (Results(Path(name, "results.h5")).read_history() for name in ("run", "whole"))
    assert list(pieces["step"]) == list(whole["step"])
    np.testing.assert_allclose(pieces["loss/total"], whole["loss/total"], rtol=1e-7)
    lives = [json.loads(text)["step"] for text in Results(Path("run/results.h5")).read("resumed")[""]]
    assert lives == begun


def after_a_kill(command: subprocess.Popen[str]) -> int:
    """Kill the other process of a command, which then ends with one line; the step that it has saved."""
    os.kill(other(command), signal.SIGKILL)
    begun = time.monotonic()
    code, error, step = ended(command)
    assert code == FAILED
    assert error.startswith("pinn: process 1 of 2, counted from 0, has ended (SIGKILL")
    assert error.endswith("; pinn resume run continues from the last save\n")
    assert time.monotonic() - begun < 60
    assert Results(Path("run/results.h5")).read_attributes()["status"] == "failed"
    return step


@pytest.mark.slow
def test_a_kill_of_the_first_process_ends_the_other(started):
    command = started("train", *WORDS, "processes=2")
    second = other(command)
    command.kill()
    command.communicate(timeout=PATIENCE)
    deadline = time.monotonic() + 120
    while is_there(second):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert cli.main(["resume", "run", "processes=1", "stop.steps=100000", "stop.total_seconds=1e-3"]) == STOPPED


@pytest.mark.parametrize(("words", "says"), [
    (["processes=0"], r"processes=0: expected a whole number from 1 to 4096"),
    (["processes=two"], r"processes=two: expected a whole number"),
    (["processes=17"], r"processes=17: the largest set has 16 points.* type at most processes=16"),
    (["processes=2", "device=mps"], r"device=mps has no backend"),
    (["processes=2", "device=cuda:1"], r"type device=cuda, and each takes its own"),
    (["processes=2", "optimizer=newton"], r"optimizer=newton factors the rows of all points at once"),
])  # fmt: skip
def test_what_cannot_be_divided_is_refused_in_one_line_and_leaves_nothing(here, one_line, words, says):
    assert cli.main(["train", *TINY, *words, "folder=run"]) == USAGE
    assert re.search(says, one_line())
    assert not Path("run").exists()


def test_a_network_of_a_whole_family_is_not_divided(here, one_line):
    words = ["problem=reaction_family", "architecture=deeponet", "recipe=adam", "dtype=float64", "compile=off"]
    assert cli.main(["train", *words, "points.interior=16", "points.face=4", "processes=2"]) == USAGE
    assert "several instances at once, which are not divided; type processes=1" in one_line()


def test_a_sweep_below_torchrun_and_a_discovery_of_several_processes_are_refused(here, one_line, monkeypatch):
    assert cli.main(["discover", "problem=burgers", "processes=2"]) == USAGE
    assert "processes=2: discovery runs in one" in one_line()
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    assert cli.main(["train", "-m", *TINY, "seed=0,1"]) == USAGE
    assert "torchrun starts the processes of one run" in one_line()


def test_runs_of_several_processes_do_not_share_gradients_with_other_runs():
    assert obstacle(compose([*WORDS, "processes=2"])) == "processes=2 divides the points of each run"


def test_torchrun_gives_the_number_and_another_one_is_refused(monkeypatch):
    assert place_of(1) is None
    given = {"RANK": "1", "WORLD_SIZE": "3", "LOCAL_RANK": "1", "MASTER_ADDR": "a", "MASTER_PORT": "1"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    place = place_of(1)
    assert place == place_of(3)
    assert (place.number, place.size, place.local, place.meeting) == (1, 3, 1, "env://")
    with refused(r"processes=2: torchrun has started 3; leave it out, or type torchrun --nproc-per-node 2"):
        place_of(2)
    monkeypatch.setenv("RANK", "first")
    with refused(r"the environment has RANK=first; expected a whole number"):
        place_of(1)


def test_a_step_of_slurm_gives_places_only_if_processes_asks_for_them(monkeypatch):
    step = {"SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "3", "SLURM_LOCALID": "1", "SLURM_JOB_ID": "7",
            "SLURM_STEP_ID": "2", "SLURM_STEP_NUM_NODES": "2", "SLURM_STEP_NODELIST": "gpu[07-08]"}  # fmt: skip
    for name, value in step.items():
        monkeypatch.setenv(name, value)
    assert place_of(1) is None  # four runs of their own
    place = place_of(4)
    assert (place.number, place.size, place.local, place.meeting) == (3, 4, 1, f"tcp://gpu07:{20_000 + 97 * 7 + 2}")
    monkeypatch.setenv("MASTER_PORT", "1234")
    assert place_of(4).meeting == "tcp://gpu07:1234"
    with refused(r"processes=2: this step of Slurm has 4 tasks; type processes=4, or srun --ntasks=2"):
        place_of(2)


@pytest.mark.parametrize(
    ("nodes", "first"), [("a1", "a1"), ("a1,b2", "a1"), ("a[07-09,12],b1", "a07"), ("a[3,5]", "a3")]
)
def test_the_first_node_of_a_step(nodes, first):
    assert _first_node(nodes) == first
