"""`hydra/launcher=slurm_array` without a Slurm: settings, script, arrays, frozen code."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pinn_cli import cli
from pinn_cli.basics import checkout
from pinn_cli.basics.errors import UsageError
from pinn_cli.records.lock import Lock
from pinn_cli.studies import freeze as freezing
from pinn_cli.studies import launch
from pinn_cli.studies import status as states
from pinn_cli.studies.freeze import freeze
from pinn_cli.studies.launchers.basic import Basic
from pinn_cli.studies.launchers.slurm import array, script, settings
from pinn_cli.studies.launchers.slurm import commands as slurm
from tests.conftest import ROOT

WORDS = ["train", "-m", "problem=helmholtz", "recipe=adam", "points.interior=32", "points.face=8", "stop.steps=2"]
ARRAY = [*WORDS, "hydra/launcher=slurm_array"]


@pytest.fixture(autouse=True)
def here(here, without_slurm, monkeypatch):
    """A working directory of its own, on a machine without Slurm."""
    monkeypatch.setenv("PYTHONPATH", "")
    return here


def test_a_dry_run_shows_the_script_the_number_of_runs_and_what_is_refused(here, capsys):
    words = ["seed=0,1", "problem.a1=1,nan", "weights.wall=4,-1", "hydra.launcher.time=0:10:00", "--dry-run"]
    assert cli.main([*ARRAY, *words]) == 0
    out = capsys.readouterr().out
    assert "2 runs (and 6 refused); with hydra/launcher=slurm_array; nothing has been started" in out
    assert "refused, weights.wall=-1: expected a number from 0 on" in out  # by its value
    assert "refused, problem.a1=nan: expected a finite number" in out
    assert "#SBATCH --time=0:10:00\n" in out
    assert "figures=off" in out
    assert list(here.iterdir()) == []


def test_without_slurm_nothing_is_written(here, capsys):
    assert cli.main([*ARRAY, "seed=0,1"]) == cli.USAGE
    assert "no `sbatch`" in capsys.readouterr().err
    assert list(here.iterdir()) == []


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("time=7200", 'in quotes, "2:00:00"'),
        ("time=soon", 'in quotes, "2:00:00"'),
        ("time=0:02:00", "the warning 120 s before its end would come at once"),
        ("time=2", "in quotes"),
        ("gpus=many", "or with a type e.g. a100:1"),
        ("cpus=0", "expected a whole number above 0"),
        ("runs_per_task=1.5", "expected int"),
        ("warning=-1", "from 0 on"),
        ("partitoin=gpu", "unknown key `hydra.launcher.partitoin`; did you mean `partition`?"),
    ],
)
def test_a_wrong_setting_gets_one_line(here, one_line, setting, says):
    assert cli.main([*ARRAY, "seed=0,1", f"hydra.launcher.{setting}"]) == cli.USAGE
    assert says in one_line()
    assert list(here.iterdir()) == []


def test_an_unknown_key_in_a_file_of_the_user_gets_one_line(here, one_line):
    own = here / "conf" / "hydra" / "launcher" / "cpu.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("defaults: [slurm_array]\npartion: short")
    assert cli.main([*WORDS, "hydra/launcher=cpu", "seed=0,1", "--dry-run"]) == cli.USAGE
    assert "unknown key `hydra.launcher.partion`; did you mean `partition`?" in one_line()


def test_a_launcher_without_a_sweep_is_refused(here, capsys):
    assert cli.main(["train", "problem=helmholtz", "hydra/launcher=slurm_array"]) == cli.USAGE
    assert "type pinn train -m" in capsys.readouterr().err
    assert list(here.iterdir()) == []


def test_a_cluster_of_the_user_is_one_file(here, capsys):
    own = here / "conf" / "hydra" / "launcher" / "cpu.yaml"
    own.parent.mkdir(parents=True)
    own.write_text('defaults: [slurm_array]\npartition: short\ntime: "1:00:00"\nsetup: ["module load python"]\n')
    assert cli.main([*WORDS, "hydra/launcher=cpu", "seed=0,1", "hydra.launcher.cpus=2", "--dry-run"]) == 0
    out = capsys.readouterr().out
    for line in ("#SBATCH --partition=short", "#SBATCH --cpus-per-task=2", "module load python"):
        assert f"\n{line}\n" in out


@pytest.mark.parametrize(
    ("runs", "each", "largest", "arrays"),
    [
        (4, 1, 1001, [(1, 4)]),
        (7, 1, 3, [(1, 3), (4, 3), (7, 1)]),
        (7, 2, 3, [(1, 3), (7, 1)]),
        (6, 6, 1, [(1, 1)]),
    ],
)
def test_arrays_are_not_too_large_and_leave_no_run_out(monkeypatch, runs, each, largest, arrays):
    monkeypatch.setattr(array, "largest_array", lambda: largest)
    found = array.SlurmArray(runs_per_task=each)._arrays(runs)
    assert found == arrays
    lines = [line for first, tasks in found for line in range(first, first + tasks * each) if line <= runs]
    assert lines == list(range(1, runs + 1))


@pytest.mark.parametrize(
    ("settings", "workers"),
    [({}, 1), ({"workers_per_gpu": 4}, 1), ({"runs_per_task": 9, "workers_per_gpu": 4}, 4),
     ({"runs_per_task": 9, "workers_per_gpu": 3, "gpus": "a100-80gb.mig_1g:2"}, 6)],
)  # fmt: skip
def test_workers_share_the_gpus_of_a_task(settings, workers):
    assert array.SlurmArray(**settings).workers == workers


@pytest.mark.parametrize(
    ("time", "seconds"),
    [("5", 300), ("5:30", 330), ("2:00:00", 7200), ("1-0", 86400), ("1-2:30", 95400), ("1-02:30:01", 95401)],
)
def test_a_time_limit_is_read_as_slurm_reads_it(time, seconds):
    assert settings._seconds(time) == seconds


def test_the_users_code_is_frozen_with_all_that_it_imports(here):
    files = {
        "conf/problem/mine.yaml": "_target_: problems.mine.Mine\n",
        "problems/mine.py": "import helpers\nfrom tools.grids import grid\n",
        "helpers.py": "import secret_of_nobody\n",
        "tools/grids.py": "",
        "other.py": "",
        "data/points.csv": "1,2\n",
        "outputs/old": "",
    }
    for name, text in files.items():
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).write_text(text)
    freeze(here / "outputs" / "code")
    frozen = here / "outputs" / "code"
    copies = {path.name for path in frozen.iterdir() if not path.is_symlink()}
    assert copies == {"conf", "problems", "helpers.py", "tools"}
    assert (frozen / "data" / "points.csv").read_text() == "1,2\n"
    assert not (frozen / "outputs").exists()
    (here / "helpers.py").write_text("changed\n")
    assert (frozen / "helpers.py").read_text() == files["helpers.py"]


def test_a_copy_of_the_checkout_runs_and_knows_its_commit(here):
    checkout.copy(here / "pinn")
    code = "import pinn_cli.basics.checkout as c, pinn_cli.conf; print(c.ROOT, c.commit(), *pinn_cli.conf.__path__)"
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(here / "pinn")}, cwd="/",
                          capture_output=True, text=True, check=True)  # fmt: skip
    conf = here / "pinn" / "pinn_cli" / "conf"
    assert done.stdout.split() == [str(here / "pinn"), *checkout.commit().split(), str(conf)]


# ---- submissions to a Slurm that only counts


@pytest.fixture
def submitted(monkeypatch) -> list[tuple]:
    """The arguments of sbatch, which answers with numbers from 17 on."""
    calls: list[tuple] = []

    def submit(options, script, *arguments):
        if "--test-only" not in options:
            calls.append((options, str(script), *arguments))
        return str(16 + len(calls))

    monkeypatch.setattr(array, "submit", submit)
    monkeypatch.setattr(array, "largest_array", lambda: 2)
    return calls


def test_every_run_is_a_command_that_can_be_typed_anywhere(here, submitted, capsys):
    assert cli.main([*ARRAY, "seed=0,1,2", "folder=mine", "weights.wall=4,-1", "hydra.launcher.tasks_at_once=1"]) == 0
    says = "3 runs (and 3 refused), hydra/launcher=slurm_array\njob 17: 2 tasks\njob 18: 1 task\npinn status mine\n"
    assert says in capsys.readouterr().out
    script = str(here / "mine" / "slurm" / "array.sh")
    assert submitted == [(["--array=0-1%1"], script, "1"), (["--array=0-0%1"], script, "3")]
    sweep = array.Sweep.read("mine")
    assert sweep.jobs == ("17", "18")
    lines = (here / "mine" / "slurm" / "runs.txt").read_text().splitlines()
    assert lines[1] == ("pinn train problem=helmholtz recipe=adam points.interior=32 points.face=8 stop.steps=2 seed=1 "
                        f"weights.wall=4 figures=off folder={here}/mine/2")  # fmt: skip


def test_finished_runs_are_not_submitted_again(here, submitted, capsys):
    words = [*ARRAY, "seed=0,1", "folder=mine"]
    assert cli.main(words) == 0
    lines = (here / "mine" / "slurm" / "runs.txt").read_text().splitlines()
    assert cli.main(lines[0].split()[1:]) == 0
    assert cli.main(words) == 0
    assert (here / "mine" / "slurm-2" / "runs.txt").read_text().splitlines() == lines[1:]
    assert cli.main(lines[1].split()[1:]) == 0
    assert cli.main(words) == 0
    assert "nothing is left to do in mine" in capsys.readouterr().out
    assert len(submitted) == 2


def test_a_folder_with_characters_that_slurm_refuses_gets_one_line(here, submitted, capsys):
    assert cli.main([*ARRAY, "seed=0,1", "folder='100% mine'"]) == cli.USAGE
    assert "type folder=ANOTHER" in capsys.readouterr().err
    assert list(here.iterdir()) == []
    assert submitted == []


def test_the_number_of_a_job_is_read_between_other_output(here, monkeypatch):
    (here / "sbatch").write_text('#!/bin/sh\necho welcome to 2026\necho "$NUMBER"\n')
    (here / "sbatch").chmod(0o755)
    monkeypatch.setattr(slurm, "which", lambda name: name)
    monkeypatch.setenv("PATH", f"{here}:{os.environ['PATH']}")
    monkeypatch.setenv("NUMBER", "17;here")
    assert slurm.submit([], "array.sh") == "17"
    monkeypatch.setenv("NUMBER", "queued")
    with pytest.raises(UsageError, match="gave no number of a job"):
        slurm.submit([], "array.sh")
    assert slurm.submit(["--test-only"], "array.sh") == ""


def test_temporary_files_of_editors_and_files_that_are_no_text_are_skipped(here, submitted):
    assert cli.main(["new", "problem", "mine"]) == 0
    (here / "problems" / ".#mine.py").symlink_to("me@host.1:2")
    (here / "problems" / "gone.py").symlink_to("nowhere")
    (here / "conf" / "notes.yaml").write_bytes(b"\xff\xfe")
    assert cli.main(["train", "-m", "problem=mine", "seed=0", "hydra/launcher=slurm_array", "folder=s"]) == 0
    assert (here / "s/code/problems/mine.py").is_file()
    assert not (here / "s/code/problems/.#mine.py").is_symlink()


def test_an_incomplete_copy_of_the_code_is_replaced(here, submitted, monkeypatch):
    words = [*ARRAY, "seed=0", "folder=mine"]
    with monkeypatch.context() as full:
        full.setattr(array.checkout, "copy", lambda place: place.mkdir())
        full.setattr(freezing, "freeze", lambda place, words: (place.mkdir(), 1 / 0))
        with pytest.raises(ZeroDivisionError):
            cli.main(words)
    assert not (here / "mine" / "code").exists()
    assert cli.main(words) == 0
    assert (here / "mine" / "pinn" / "pinn_cli").is_dir()
    assert (here / "mine" / "code").is_dir()
    assert not list((here / "mine").glob(".*.part"))


@pytest.mark.parametrize("there", [[], [".git"]])
def test_a_refused_submission_leaves_nothing_behind(here, submitted, monkeypatch, there):
    def refuse(options, script, *arguments):
        if "--test-only" not in options:
            raise UsageError("sbatch refused the array")

    for name in there:
        (here / "mine" / name).mkdir(parents=True)
    monkeypatch.setattr(array, "submit", refuse)
    assert cli.main([*ARRAY, "seed=0", "folder=mine"]) == cli.USAGE
    assert [path.name for path in (here / "mine").glob("*")] == there
    assert (here / "mine").exists() == bool(there)


def test_a_later_array_that_is_refused_names_those_before_it(here, submitted, monkeypatch, one_line):
    take = array.submit

    def refuse(options, script, *arguments):
        if arguments == ("3",):
            raise UsageError("sbatch refused the array (QOSMaxSubmitJobPerUserLimit)")
        return take(options, script, *arguments)

    monkeypatch.setattr(array, "submit", refuse)
    assert cli.main([*ARRAY, "seed=0,1,2", "folder=mine"]) == cli.USAGE
    assert "submitted before it: 17, and once they have ended pinn resume mine submits the rest" in one_line()
    assert array.Sweep.read("mine").jobs == ("17",)


def test_two_processes_submit_a_sweep_once(here, submitted, capsys):
    assert cli.main([*ARRAY, "seed=0,1", "folder=mine"]) == 0
    before = array.Sweep.read("mine")
    with Lock(here / "mine"):  # the other one is at it
        assert cli.main(["resume", "mine"]) == cli.USAGE
    with pytest.raises(UsageError, match="has just been submitted"):
        launch.go_on(replace(before, jobs=()))
    assert len(submitted) == 1
    assert array.Sweep.read("mine").jobs == before.jobs


def test_a_submission_without_an_answer_keeps_its_sweep(here, monkeypatch, one_line):
    def silent(words, **others):
        if "--test-only" in words:
            return subprocess.CompletedProcess(words, 0, "", "")
        raise subprocess.TimeoutExpired(words, 60)

    monkeypatch.setattr(slurm, "which", lambda name: name if name == "sbatch" else None)
    monkeypatch.setattr(slurm.subprocess, "run", silent)
    assert cli.main([*ARRAY, "seed=0,1", "folder=mine"]) == cli.USAGE
    error = one_line()
    assert "sbatch has not answered for 60 s" in error
    assert "squeue --me" in error
    assert len(array.Sweep.read("mine").runs) == 2


def test_a_sweep_is_continued_by_the_launcher_that_was_typed_last(here, submitted):
    assert cli.main([*WORDS, "seed=0", "figures=off", "folder=mine"]) == 0
    (here / "mine/0/results.h5").unlink()
    assert cli.main([*ARRAY, "seed=0", "folder=mine"]) == 0
    assert array.Sweep.read("mine").launcher == "slurm_array"


# ---- the queue


def task_of(state: str, number: int, first: int, script: str = "/elsewhere/mine/slurm/array.sh") -> slurm.Task:
    return slurm.Task(state, str(number), [script, str(first)])


def test_the_queue_names_the_runs_of_its_tasks(here, submitted, monkeypatch):
    assert cli.main([*ARRAY, "seed=range(6)", "folder=mine", "hydra.launcher.runs_per_task=2"]) == 0
    sweep = array.Sweep.read("mine")
    tasks = [task_of("PENDING", 1, 1), task_of("RUNNING", 0, 5)]
    monkeypatch.setattr(slurm, "tasks", lambda jobs: tasks)
    assert array.SlurmArray().queued(sweep) == {2: "PENDING", 3: "PENDING", 4: "RUNNING", 5: "RUNNING"}
    tasks.append(slurm.Task("PENDING", "N/A", ["(null)"]))  # nobody knows what it carries out
    assert array.SlurmArray().queued(sweep) == dict.fromkeys(range(6), "PENDING")


def test_a_queued_sweep_is_not_submitted_again(here, submitted, monkeypatch, capsys):
    words = [*ARRAY, "seed=0,1", "folder=mine"]
    assert cli.main(words) == 0
    monkeypatch.setattr(slurm, "tasks", lambda jobs: [task_of("PENDING", 0, 1), task_of("PENDING", 1, 1)])
    assert cli.main(words) == cli.USAGE
    assert " still goes on (run 0 is queued); wait for it, or pinn cancel " in capsys.readouterr().err
    assert len(submitted) == 1


def test_a_sweep_whose_jobs_have_left_the_queue_is_not_cancelled(here, submitted, monkeypatch, capsys):
    assert cli.main([*ARRAY, "seed=0,1", "folder=mine"]) == 0
    tasks, cancelled = [], []
    monkeypatch.setattr(slurm, "is_here", lambda: True)
    monkeypatch.setattr(slurm, "tasks", lambda jobs: tasks)
    monkeypatch.setattr(slurm, "cancel", lambda jobs: (cancelled.append(jobs), tasks.clear()))
    assert cli.main(["cancel", "mine"]) == 0
    assert "nothing of mine is running" in capsys.readouterr().out
    tasks.append(task_of("PENDING", 0, 1))
    assert cli.main(["cancel", "mine"]) == 0
    assert "mine (jobs 17) is cancelled" in capsys.readouterr().out
    assert cancelled == [("17",)]


def test_without_slurm_queued_runs_are_missing_and_continue_here(here, submitted, monkeypatch):
    submit = slurm.submit
    assert cli.main([*ARRAY, "seed=0,1", "folder=mine"]) == 0
    assert [entry["state"] for entry in states.states(array.Sweep.read("mine"))] == ["missing"] * 2
    launched = []
    monkeypatch.setattr(array, "submit", submit)
    monkeypatch.setattr(Basic, "launch", lambda self, sweep, runs: launched.append(sweep.launcher) or 0)
    assert cli.main(["resume", "mine"]) == 0
    assert launched == ["basic"]


# ---- the script, executed without Slurm


def task(here: Path, commands: list[str], **settings: int | list[str]) -> subprocess.CompletedProcess:
    """Execute a script of these commands instead of `pinn train`."""
    (here / "code").mkdir(exist_ok=True)
    (here / "slurm").mkdir(exist_ok=True)
    (here / "slurm" / "runs.txt").write_text("".join(f"{line}\n" for line in commands))
    (here / "sweep.json").touch()
    launcher = array.SlurmArray(runs_per_task=len(commands), **settings)
    sweep = array.Sweep.planned(here, "pinn train -m", "slurm_array", [])
    text = script.text(launcher, sweep, here / "slurm")
    return subprocess.run(["bash", "-c", text], capture_output=True, text=True, timeout=240,
                          env=os.environ | {"PYTHONPATH": str(ROOT)})  # fmt: skip


def test_a_task_carries_out_its_runs_and_tells_failed_from_refused(here):
    done = task(here, ["true", "bash -c 'exit 2'", "echo 'two words'"])
    assert done.returncode == 0
    assert "\ntwo words\n" in done.stdout
    assert task(here, ["bash -c 'exit 1'", "touch later"]).returncode == 1
    assert (here / "code" / "later").exists()  # one failing run ends no other
    assert task(here, ["bash -c 'exit 3'"]).returncode == 3
    assert task(here, ["no_such_command"]).returncode == 1
    assert task(here, ["bash -c 'kill -KILL $$'"]).returncode == 3


def test_a_requeued_task_leaves_out_what_has_ended(here, monkeypatch):
    runs = ["bash -c 'echo once >>../first'", "bash -c 'echo again >>../second; exit 3'"]
    assert task(here, runs).returncode == 3
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    assert task(here, runs).returncode == 3
    assert (here / "first").read_text() == "once\n"
    assert (here / "second").read_text() == "again\nagain\n"


def test_a_requeued_task_counts_earlier_failures(here, monkeypatch):
    runs = ["bash -c 'exit 1'", "bash -c '[ -e ../again ] || exit 3'"]
    assert task(here, runs).returncode == 3
    (here / "again").touch()
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    assert task(here, runs).returncode == 1


@pytest.mark.parametrize(
    ("end", "says"),
    [("echo no module >&2; exit 127", "exit code 127: no module\n"), ("kill -KILL $$", "killed by SIGKILL\n")],
)
def test_a_run_that_could_not_note_why_it_ended_is_noted_with_its_last_words(here, end, says):
    task(here, [f"bash -c '{end}' folder={here}/0"])
    assert (here / "0.failed").read_text() == says


def test_a_failed_set_up_is_noted_for_the_runs_of_the_task(here, monkeypatch):
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "17")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "0")
    runs = [f"bash -c 'touch {here}/begun' folder={here}/{number}" for number in (0, 1)]
    (here / "slurm").mkdir()
    (here / "slurm" / "17_0.log").write_text("the scratch disk is not there\n")
    assert task(here, runs, setup=["[ -d /scratch/me ] || exit 7"]).returncode == 7
    said = "setup ended with 7: the scratch disk is not there\n"
    assert [(here / f"{n}.failed").read_text() for n in (0, 1)] == [said, said]
    assert not (here / "begun").exists()


def test_a_signal_during_the_set_up_starts_no_run_and_is_no_failure(here):
    done = task(here, [f"touch {here}/begun folder={here}/0"], setup=["kill -USR1 $$"])  # as Slurm does
    assert done.returncode == 3  # it goes on when it is started again
    assert not (here / "begun").exists()
    assert not (here / "0.failed").exists()


@pytest.mark.parametrize(
    ("signal", "queue", "lives", "says", "asked"),
    [
        ("USR1", "RUNNING", 0, "saved and requeued", "requeue 17\n"),
        ("TERM", "COMPLETING", 0, "saved; Slurm decides whether it goes on", ""),
        pytest.param("TERM", "RUNNING", 0, "saved and requeued", "requeue 17\n", marks=pytest.mark.slow),
        pytest.param("USR1", "RUNNING", 100, "requeued 100 times already", "", marks=pytest.mark.slow),
    ],
)
def test_a_task_that_is_ended_is_requeued_unless_slurm_decides(here, monkeypatch, signal, queue, lives, says, asked):
    (here / "bin").mkdir()
    for name, does in (("squeue", f"echo {queue}"), ("scontrol", f'echo "$@" >>{here}/asked')):
        (here / "bin" / name).write_text(f"#!/bin/sh\n{does}\n")
        (here / "bin" / name).chmod(0o755)
    monkeypatch.setattr(script, "environment", lambda folder: [f"export PATH={here}/bin:$PATH"])
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    if lives:
        monkeypatch.setenv("SLURM_RESTART_COUNT", str(lives))
        (here / "slurm").mkdir()
        (here / "slurm" / "ended.1").touch()
    (here / "asked").touch()
    to_script = f"read _ _ _ script _ </proc/$PPID/stat; kill -{signal} $script"
    run = f"bash -c 'trap \"exit 3\" {signal}; {to_script}; sleep 60 >&- 2>&- & wait'"
    done = task(here, [run])
    assert (done.returncode, says in done.stdout) == (3, True), done.stdout
    assert (here / "asked").read_text() == asked
