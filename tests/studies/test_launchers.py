"""Sweeps through Hydra's launchers, for real: the same runs, the same bits, and one run ends no other."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from pinn_cli import cli
from pinn_cli.records.results import Results
from pinn_cli.studies.launchers.task import deal_gpus
from pinn_cli.studies.sweep import Sweep

ROOT = Path(__file__).resolve().parents[2]
SMALL = ["problem=helmholtz", "points.interior=32", "points.face=8", "figures=off", "compile=off", "threads=1"]
PINN = [sys.executable, "-m", "pinn_cli.cli", "train", "-m"]
LAUNCHERS = {
    "basic": ("hydra", ["hydra/launcher=basic"]),
    "joblib": ("hydra_plugins.hydra_joblib_launcher", ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]),
    "submitit": ("hydra_plugins.hydra_submitit_launcher", ["hydra/launcher=submitit_local"]),
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return tmp_path


def through(launcher: str, *words: str) -> tuple[Sweep, subprocess.CompletedProcess]:
    """A sweep carried out by a process of its own."""
    module, settings = LAUNCHERS[launcher]
    pytest.importorskip(module, reason=f"pip install pinn-cli[{launcher.replace('submitit', 'slurm')}]")
    command = [*PINN, *SMALL, *words, f"folder={launcher}", *settings]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    return Sweep.read(launcher), done


def ends(sweep: Sweep) -> list[str]:
    """How each run ended: its status, or that it was refused."""
    status = [run.refused or Results(run.folder / "results.h5").read_attributes()["status"] for run in sweep.runs]
    return ["refused" if end.startswith("Helmholtz") else end for end in status]


@pytest.mark.parametrize("launcher", ["joblib", "submitit"])
def test_the_same_sweep_gives_the_same_bits(here, launcher):
    words = ["stop.steps=3", "seed=0,1", "problem.a1=1,nan"]
    sweep, done = through(launcher, *words)
    assert done.returncode == 0, done.stderr
    assert ends(sweep) == ["finished", "refused"] * 2
    one_by_one, _ = through("basic", *words)
    assert ends(one_by_one) == ends(sweep)
    for run, other in zip(sweep.wanted, one_by_one.wanted, strict=True):
        mine, theirs = (Results(r.folder / "results.h5").read("network") for r in (run, other))
        assert all(np.array_equal(mine[name], theirs[name]) for name in theirs)
        about = Results(run.folder / "results.h5").read_attributes()
        assert about["command"] == run.command  # not the sweep's


def test_one_failing_run_ends_no_other_and_the_same_command_does_what_is_left(here):
    words = ["recipe=adam", "stop.steps=20", "optimizer.adam.lr=1e30,1e-3"]
    sweep, done = through("joblib", *words)
    assert done.returncode == cli.FAILED
    assert ends(sweep) == ["failed", "finished"]
    assert "pinn: run 0: " in done.stderr
    assert "run 0  failed" in done.stdout
    stamps = [(run.folder / "results.h5").stat().st_mtime_ns for run in sweep.runs]
    _, done = through("joblib", *words)
    assert "run 0: resume " in done.stdout  # every line of a worker says whose it is
    again = [(run.folder / "results.h5").stat().st_mtime_ns for run in sweep.runs]
    assert [a == b for a, b in zip(stamps, again, strict=True)] == [False, True]


@pytest.mark.parametrize(
    ("launcher", "tell"),
    [("basic", lambda process: os.killpg(process.pid, signal.SIGINT)),
     ("joblib", lambda process: os.killpg(process.pid, signal.SIGINT)),
     ("joblib", lambda process: process.terminate())],  # which tells its workers
    ids=["basic", "joblib", "joblib-SIGTERM"],
)  # fmt: skip
def test_ctrl_c_saves_the_runs_underway_and_begins_no_other(here, launcher, tell):
    module, settings = LAUNCHERS[launcher]
    pytest.importorskip(module)
    command = [*PINN, *SMALL, "seed=range(4)", "stop.steps=100000", "stop.plateau=null", "folder=sweep", *settings]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    both = [Path("sweep/0/checkpoint.pt"), *([Path("sweep/1/checkpoint.pt")] if launcher == "joblib" else [])]
    end = time.monotonic() + 120
    while not all(path.exists() for path in both):
        assert time.monotonic() < end, process.communicate()
        time.sleep(0.1)
    tell(process)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == cli.STOPPED, out
    begun = sorted(path.parent.name for path in Path("sweep").glob("*/results.h5"))
    assert begun == [path.parent.name for path in both]
    ended = [Results(f"sweep/{name}/results.h5").read_attributes()["status"] for name in begun]
    assert ended == ["stopped"] * len(begun)


def test_a_worker_that_is_killed_leaves_a_line_and_what_was_done(here):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    command = [*PINN, *SMALL, "seed=range(2)", "stop.steps=100000", "stop.plateau=null", "folder=sweep"]
    process = subprocess.Popen([*command, *LAUNCHERS["joblib"][1]], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
                               text=True)  # fmt: skip
    end = time.monotonic() + 120
    while not Path("sweep/0/checkpoint.pt").exists():
        assert time.monotonic() < end
        time.sleep(0.1)
    os.kill(json.loads(Path("sweep/0/.lock").read_text())["pid"], signal.SIGKILL)
    _, err = process.communicate(timeout=60)
    assert process.returncode == cli.FAILED
    (line,) = [line for line in err.splitlines() if line.startswith("pinn: ")]
    assert "the launcher broke" in line
    assert "pinn resume sweep goes on" in line


@pytest.mark.parametrize(
    ("launcher", "says"),
    [("slurm_aray", "did you mean `slurm_array`?"), ("joblib", "pip install 'pinn-cli[joblib]'"),
     ("submitit_slurm", "pip install 'pinn-cli[slurm]'")],
)  # fmt: skip
def test_a_launcher_that_is_not_there_names_what_brings_it(here, monkeypatch, capsys, launcher, says):
    from hydra._internal.config_loader_impl import ConfigLoaderImpl

    monkeypatch.setattr(ConfigLoaderImpl, "get_group_options", lambda *_: ["basic", "slurm_array"])
    assert cli.main(["train", "-m", *SMALL, "seed=0,1", f"hydra/launcher={launcher}"]) == cli.USAGE
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("launcher", ["joblib", "submitit_local", "basic"])
@pytest.mark.parametrize("sign", ["", "+", "++"])
def test_a_setting_that_a_launcher_does_not_have_starts_nothing(here, capsys, launcher, sign):
    if launcher in LAUNCHERS:
        pytest.importorskip(LAUNCHERS[launcher][0])
    words = [f"hydra/launcher={launcher}", f"{sign}hydra.launcher.n_jbos=2"]
    assert cli.main(["train", "-m", "problem=helmholtz", "seed=0,1", *words]) == cli.USAGE
    error = capsys.readouterr().err
    assert "unknown key `hydra.launcher.n_jbos`" in error
    assert error.count("\n") == 1
    assert not Path("outputs").exists()


@pytest.mark.parametrize(
    ("visible", "number", "dealt"), [("0,1,2", 4, "1"), ("GPU-a,GPU-b", 0, "GPU-a"), ("3", 7, "3"), ("", 1, "")]
)
def test_gpus_are_dealt_round_robin(monkeypatch, visible, number, dealt):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    deal_gpus(number)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == dealt


def test_all_gpus_of_the_machine_are_dealt_where_none_are_named(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "to be restored")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr("torch.cuda.device_count", lambda: 3)
    deal_gpus(5)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "2"
