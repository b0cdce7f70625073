"""Sweeps on a real Slurm of one node (tests/slurm), started and stopped here: `make test-slurm`, as root."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pinn_cli.basics.errors import UsageError
from pinn_cli.cli import FAILED, main
from pinn_cli.records.results import Results
from pinn_cli.studies import status as states
from pinn_cli.studies.sweep import PlannedRun, Sweep
from tests.conftest import PINN
from tests.run_files import assert_same_run
from tests.sweep_files import SIX

pytestmark = [pytest.mark.slurm, pytest.mark.usefixtures("all_windows")]  # as runs in other processes have

HERE = Path(__file__).resolve().parents[1]
LARGEST = 2  # MaxArraySize of this Slurm: small, so that a sweep soon exceeds it
SMALL = ["problem=helmholtz", "points.interior=32", "points.face=8", "compile=off", "threads=1"]
FAMILY = ["problem=reaction_family", "recipe=hard_constraints/convection", *SMALL[1:], "architecture.functions=5",
          "architecture.basis.width=6", "architecture.instances=2", "architecture.validation=1",
          "architecture.test=2", "architecture.points.interior=40", "architecture.points.face=10",
          "record.every=1"]  # fmt: skip
# Steps take longer until the file `go` is there: the queue takes a while to disturb a run.
PACED = """
import time
from pathlib import Path
from pinn_cli.problems.helmholtz import Helmholtz


class Paced(Helmholtz):
    def exact(self, x, y):
        if not Path("{go}").exists():
            time.sleep(0.1)
        return super().exact(x, y)
"""
ARRAY = "hydra/launcher=slurm_array"
NOBODY = "nobody"
TABLE = f"""# A tiny table
source: Nobody (2026)
number: made up
seeds: 1
every: [{", ".join(SMALL)}, recipe=adam, stop.steps=40, record.every=40, figures=off]
rows: {{small: [], large: [optimizer.adam.lr=1e30]}}
columns: {{plain: []}}
quantities: {{u: {{title: relative L2 error of u, read: error/u}}}}
quick: {{cells: [small_plain], overrides: [stop.steps=2], seeds: 1}}
"""


@pytest.fixture(scope="module", autouse=True)
def cluster():
    """A Slurm; skipped with the reason where there cannot be one."""
    if os.geteuid() != 0:
        pytest.skip("a Slurm of one's own needs root")
    if shutil.which("slurmctld") is None and shutil.which("apt-get") is None:
        pytest.skip("no slurmctld here, and no apt-get to install it with")
    extra = os.environ | {"SLURM_TEST_EXTRA": f"MaxArraySize={LARGEST}"}
    command = ["bash", HERE / "slurm" / "slurm_up.sh"]
    try:
        up = subprocess.run(command, env=extra, capture_output=True, text=True, timeout=300)
    except subprocess.TimeoutExpired:
        pytest.skip("no Slurm could be installed and started within five minutes")
    if up.returncode:
        pytest.skip(f"no Slurm could be started: {(up.stdout + up.stderr).strip().splitlines()[-1]}")
    yield
    subprocess.run(["bash", HERE / "slurm" / "slurm_down.sh"], check=True, timeout=120)


@pytest.fixture
def here(monkeypatch):
    """A working directory that everybody may enter."""
    folder = Path(tempfile.mkdtemp(prefix="pinn-slurm-"))
    folder.chmod(0o755)
    monkeypatch.chdir(folder)
    yield folder
    shutil.rmtree(folder)


def installed_for_everybody(place: Path) -> list[str]:
    """`pinn` with a Python that an ordinary user may start, wherever root's own lies."""
    base, lib = Path(sys.base_prefix), f"lib/python{sys.version_info.major}.{sys.version_info.minor}"
    rest = shutil.ignore_patterns("site-packages", "test", "config-*", "*.a", "*.opt-?.pyc", "idlelib", "tkinter",
                                  "ensurepip", "lib2to3", "pydoc_data", "turtledemo")  # fmt: skip
    shutil.copytree(base / lib, place / lib, ignore=rest)
    for file in (base / "lib").glob("libpython*.so*"):
        shutil.copy2(file, place / "lib")
    (place / "bin").mkdir()
    shutil.copy2(Path(sys.executable).resolve(), place / "bin" / "python3")
    packages = f"{Path(np.__file__).parents[1]}:{HERE.parent}"
    command = f"exec {place}/bin/python3 -m pinn_cli.cli"
    environment = f"LD_LIBRARY_PATH={place}/lib PYTHONPATH=${{PYTHONPATH:+$PYTHONPATH:}}{packages}"
    (place / "bin" / "pinn").write_text(f'#!/bin/sh\n{environment} {command} "$@"\n')
    (place / "bin" / "pinn").chmod(0o755)
    return ["runuser", "-u", NOBODY, "--", f"{place}/bin/pinn"]


def own_problem(here: Path, name: str, text: str, cls: str) -> None:
    """Write a problem of the user's own."""
    for folder in ("problems", "conf/problem"):
        (here / folder).mkdir(parents=True)
    (here / "problems" / f"{name}.py").write_text(text)
    (here / "conf" / "problem" / f"{name}.yaml").write_text(f"_target_: problems.{name}.{cls}\n")


def started(*words: str, pinn: list[str] = PINN) -> subprocess.CompletedProcess:
    """`pinn train -m WORDS` as a process of its own, in a plain environment."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(Path.cwd())}
    command = [*pinn, "train", "-m", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, env=environment)
    assert done.returncode == 0, done.stderr
    return done


def submit(*words: str, pinn: list[str] = PINN) -> Sweep:
    """`pinn train -m WORDS` as a process of its own; the sweep that it has submitted."""
    done = started(ARRAY, *words, pinn=pinn)
    sweep = Sweep.read(Path("outputs/sweeps/latest").resolve())
    for job in sweep.jobs:
        assert f"job {job}: " in done.stdout
    return sweep


def slurm(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True, timeout=60).stdout.strip()


def until(what: Callable[[], object], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, slurm("squeue")
        time.sleep(0.3)


def step(run: PlannedRun) -> int:
    """How far a run has come."""
    try:
        return int(Results(run.folder / "results.h5").read_history()["step"][-1])
    except (UsageError, KeyError, IndexError, OSError):
        return 0


def is_over(sweep: Sweep) -> bool:
    return not slurm("squeue", "-h", "-j", ",".join(sweep.jobs))


def logs(sweep: Sweep) -> str:
    return "\n".join(path.read_text() for path in sorted(sweep.folder.glob("slurm*/*.log")))


def status(run: PlannedRun) -> str:
    return str(Results(run.folder / "results.h5").read_attributes()["status"])


def assert_equal(run: PlannedRun, other: PlannedRun) -> None:
    assert status(run) == status(other) == "finished"
    assert_same_run(run.folder, other.folder)


def test_requeued_and_preempted_runs_have_the_bits_of_undisturbed_ones(here):
    """An array of 2: one is requeued, then all are preempted by the partition `urgent`, and go on."""
    own_problem(here, "paced", PACED.format(go=here / "go"), "Paced")
    words = ["problem=paced", *SMALL[1:], "architecture.width=4", "architecture.depth=1", "stop.steps=200", "seed=0,1"]
    sweep = submit(*words)
    until(lambda: all(step(run) > 2 for run in sweep.runs), 300)
    slurm("scontrol", "requeue", f"{sweep.jobs[0]}_0")
    slurm("sbatch", "--partition=urgent", "--ntasks=4", "--output=/dev/null", "--wrap=sleep 2")
    until(lambda: "DUE TO JOB REQUEUE" in logs(sweep) and "DUE TO PREEMPTION" in logs(sweep), 300)
    assert [status(run) for run in sweep.runs] != ["finished"] * 2
    (here / "go").touch()
    until(lambda: is_over(sweep), 900)
    assert logs(sweep).count("resume   ") >= 2
    started(*words, "figures=off", "folder=alone")
    for run, other in zip(sweep.runs, Sweep.read("alone").runs, strict=True):
        assert_equal(run, other)


def test_a_sweep_is_watched_cancelled_and_submitted_again(here, capsys):
    """`pinn status`, `cancel` and `resume` ask the queue: what waits there is queued, and afterwards missing."""
    def told(sweep: Sweep) -> list[str]:
        return [entry["state"] for entry in states.states(Sweep.read(sweep.folder))]

    sweep = submit(*SMALL, "stop.steps=100000", "seed=0,1", "hydra.launcher.tasks_at_once=1")
    until(lambda: step(sweep.runs[0]) > 2, 300)
    assert told(sweep) == ["running", "queued"]
    assert main(["resume", "latest"]) == 2
    assert "still goes on (run 0 is running)" in capsys.readouterr().err
    assert main(["cancel", "latest"]) == 0
    until(lambda: is_over(sweep), 120)
    assert told(sweep) == ["stopped", "missing"]
    assert "requeued" not in logs(sweep)
    assert slurm("squeue", "-h") == ""
    environment = {"PATH": os.environ["PATH"], "HOME": str(here)}
    done = subprocess.run([*PINN, "resume", "latest"], capture_output=True, text=True, timeout=60, env=environment)
    assert done.returncode == 0, done.stderr
    again = Sweep.read(sweep.folder)
    assert len(again.jobs) == 2
    until(lambda: told(again)[0] == "running", 300)
    assert main(["cancel", "latest"]) == 0
    until(lambda: is_over(again), 120)


@pytest.mark.slow
def test_a_run_that_needs_its_time_limit_three_times_finishes(here):
    """Slurm's limits are whole minutes, and its warning may come up to a minute early."""
    words = ["problem=helmholtz", "recipe=adam", "points.interior=256", "points.face=64", "compile=off", "threads=1"]
    words += ["record.every=1000", "seed=0"]
    trial = submit(*words, "stop.steps=1000")
    until(lambda: is_over(trial), 300)
    seconds = Results(trial.runs[0].folder / "results.h5").read_history()["time"][-1]
    words += [f"stop.steps={round(200 / seconds)}000"]  # more than three minutes, unless the machine is freed meanwhile
    sweep = submit(*words, "hydra.launcher.time=0:01:00", "hydra.launcher.warning=5")
    until(lambda: is_over(sweep), 900)
    print(logs(sweep))
    assert logs(sweep).count("saved and requeued") >= 2
    alone = submit(*words)
    until(lambda: is_over(alone), 900)
    assert "resume" not in logs(alone)
    assert_equal(sweep.runs[0], alone.runs[0])


def test_an_ordinary_user_submits_a_sweep_larger_than_an_array(here, monkeypatch):
    """Every run of 3, in two arrays, by a user who is not root, in jobs that are handed no environment."""
    pinn = installed_for_everybody(here)
    if subprocess.run([*pinn, "list", "problems"], cwd=here, capture_output=True).returncode:
        pytest.skip(f"{np.__file__} or {HERE} cannot be read by an ordinary user")
    (here / "work").mkdir()
    shutil.chown(here / "work", NOBODY)
    monkeypatch.chdir(here / "work")
    python = f"export LD_LIBRARY_PATH={here}/lib PYTHONPATH=$PYTHONPATH:{Path(np.__file__).parents[1]}:{HERE.parent}"
    words = [*SMALL, "stop.steps=2", "seed=range(3)", "hydra.launcher.options=['--export=NONE']"]
    sweep = submit(*words, f"hydra.launcher.setup=['{python}']", pinn=pinn)
    assert len(sweep.jobs) == 2
    until(lambda: is_over(sweep), 900)
    assert [status(run) for run in sweep.runs] == ["finished"] * 3, logs(sweep)
    assert {run.folder.owner() for run in sweep.runs} == {NOBODY}


def test_code_that_is_edited_while_jobs_queue_changes_nothing(here):
    source = (HERE.parent / "problems" / "poisson_1d.py").read_text().replace("Poisson1D", "Mine")
    own_problem(here, "mine", source, "Mine")
    words = ["problem=mine", *SMALL[1:], "stop.steps=2", "seed=0"]
    sweep = submit(*words, "hydra.launcher.options=[--hold]")
    (here / "problems" / "mine.py").write_text("raise ImportError('edited')\n")
    slurm("scontrol", "release", sweep.jobs[0])
    until(lambda: is_over(sweep), 900)
    assert status(sweep.runs[0]) == "finished", logs(sweep)
    assert Results(sweep.runs[0].folder / "results.h5").read("source")["problems.mine"] == source


def test_a_task_can_be_repeated_by_hand_and_what_is_finished_is_not_repeated(here):
    sweep = submit(*SMALL, "stop.steps=2", "seed=0")
    until(lambda: is_over(sweep), 900)
    (command,) = (sweep.folder / "slurm" / "runs.txt").read_text().splitlines()
    done = subprocess.run([*PINN, *shlex.split(command)[1:]], capture_output=True, text=True, cwd="/", check=True)
    assert "holds this very run, finished" in done.stdout
    stamp = (sweep.runs[0].folder / "results.h5").stat().st_mtime_ns
    slurm("scontrol", "requeue", f"{sweep.jobs[0]}_0")
    until(lambda: is_over(sweep), 900)
    assert (sweep.runs[0].folder / "results.h5").stat().st_mtime_ns == stamp


def test_a_published_table_is_one_sweep_that_is_submitted_once(here):
    """All cells and seeds in one array, one of which fails; the same command then submits that one alone."""
    (here / "conf" / "published").mkdir(parents=True)
    (here / "conf" / "published" / "tiny.yaml").write_text(TABLE)
    command = [*PINN, "reproduce", "tiny", "--launcher", "slurm_array"]

    def reproduce(*words: str) -> subprocess.CompletedProcess:
        environment = {"PATH": os.environ["PATH"], "HOME": str(here)}
        return subprocess.run([*command, *words], capture_output=True, text=True, timeout=60, env=environment)

    first = reproduce("hydra.launcher.options=[--hold]")
    assert (first.returncode, first.stdout) == (0, ""), first.stderr
    place = Path("outputs/reproduce/tiny")
    sweep = Sweep.read(place)
    assert [run.label for run in sweep.runs] == ["small_plain", "large_plain"]
    assert f"job {sweep.jobs[0]}: 2 tasks" in first.stderr
    assert f"2 runs queued or running in {place}" in reproduce().stderr
    assert Sweep.read(place) == sweep
    slurm("scontrol", "release", sweep.jobs[0])
    until(lambda: is_over(sweep), 900)
    assert [status(run) for run in sweep.runs] == ["finished", "failed"], logs(sweep)
    assert main(["compare", str(place)]) == 0
    assert ": 1 task\n" in reproduce("hydra.launcher.options=[--hold]").stderr
    lines = (place / "slurm-2" / "runs.txt").read_text().splitlines()
    assert [line.rpartition("/")[2] for line in lines] == ["1"]
    assert main(["cancel", str(place)]) == 0
    shown = reproduce("--show").stdout
    assert "1 of 2 cells have finished runs" in shown
    assert "seed 0 failed" in shown


def test_tasks_of_several_runs_survive_failed_and_refused_ones_with_the_bits_of_the_other_launchers(here):
    """Six runs in two tasks, two runs at a time, one of which fails; six more are refused. One after the other too."""
    words = [word for word in SIX if word not in ("figures=off", "stop.steps=1000")] + ["stop.steps=100"]
    sweep = submit(*words, "problem.a1=1,nan", "hydra.launcher.runs_per_task=3", "hydra.launcher.workers_per_gpu=2")
    assert main(["train", "-m", *words, "figures=off", "folder=basic"]) == FAILED
    until(lambda: is_over(sweep), 900)
    sweep, basic = Sweep.read(sweep.folder), Sweep.read("basic")
    assert [run.number for run in sweep.runs if run.refused] == [1, 3, 5, 7, 9, 11]
    assert [status(run) for run in sweep.wanted] == [status(run) for run in basic.runs] == ["finished"] * 5 + ["failed"]
    for run, other in zip(sweep.wanted[:5], basic.runs[:5], strict=True):
        assert_equal(run, other)
    states = re.findall(r"JobState=(\w+)", slurm("scontrol", "--oneliner", "show", "job", sweep.jobs[0]))
    assert sorted(states) == ["COMPLETED", "FAILED"]


def test_networks_for_families_have_the_bits_of_the_other_launchers_and_are_compared(here, capsys):
    words = [*FAMILY, "stop.steps=3", "seed=0,1"]
    sweep = submit(*words)
    until(lambda: is_over(sweep), 900)
    assert main(["train", "-m", *words, "folder=basic"]) == 0
    for run, other in zip(sweep.runs, Sweep.read("basic").runs, strict=True):
        assert status(run) == "finished", logs(sweep)
        assert_equal(run, other)
    capsys.readouterr()
    assert main(["compare", str(sweep.folder)]) == 0
    median = np.median([float(Results(run.folder / "results.h5").read("error")["u"]) for run in sweep.runs])
    assert f"{median:.2e}" in capsys.readouterr().out


def test_a_submission_that_slurm_refuses_leaves_nothing(here):
    command = [*PINN, "train", "-m", ARRAY, *SMALL, "seed=0,1", "hydra.launcher.partition=nowhere"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "sbatch refused the array" in done.stderr
    assert done.stderr.count("\n") == 1
    assert list(here.iterdir()) == []


def test_the_tasks_of_a_step_are_the_processes_of_one_run_if_it_asks_for_as_many(here):
    words = [*SMALL, "recipe=adam", "dtype=float64", "stop.steps=20", "record.every=5", "figures=off"]
    slurm("srun", "--ntasks=2", *PINN, "train", *words, "processes=2", "folder=two")
    assert main(["train", *words, "folder=one"]) == 0
    two, one = (Results(Path(name, "results.h5")).read_history()["loss/total"] for name in ("two", "one"))
    np.testing.assert_allclose(two, one, rtol=1e-9)
    command = ["srun", "--ntasks=3", *PINN, "train", *words, "processes=2", "folder=three"]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert refused.returncode == 2
    assert "processes=2: this step of Slurm has 3 tasks; type processes=3, or srun --ntasks=2" in refused.stderr
    assert not Path("three").exists()
