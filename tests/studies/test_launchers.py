"""The same sweep through every launcher that needs no cluster, and refused launchers."""

import asyncio
import os
import re
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from pinn_cli import cli
from pinn_cli.records.lock import writer
from pinn_cli.records.results import Results
from pinn_cli.studies import status
from pinn_cli.studies.grid import combinations
from pinn_cli.studies.launchers import pool
from pinn_cli.studies.launchers.progress import Progress
from pinn_cli.studies.sweep import Sweep
from tests.conftest import PINN, ROOT, TINY, each
from tests.run_files import assert_same_run
from tests.sweep_files import SIX, set_status, write_sweep

pytestmark = pytest.mark.usefixtures("all_windows")  # as runs in other processes have

TRAIN = [*TINY, "recipe=adam"]
JOBS = {
    "local": ["hydra/launcher=local", "hydra.launcher.jobs=2"],
    "dask": ["hydra/launcher=dask", "hydra.launcher.jobs=2", "hydra.launcher.options={silence_logs: 50}"],
}
PBS = ["hydra/launcher=dask", "hydra.launcher.cluster=PBSCluster"]
OPTIONS = "{cores: 4, processes: 1, memory: 16GB, queue: gpu, walltime: '02:00:00'}"


def wait_for(paths: list[Path], process: subprocess.Popen) -> None:
    end = time.monotonic() + 240
    while not all(path.exists() for path in paths):
        assert time.monotonic() < end
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


def ends(sweep: str) -> list[str]:
    return [entry["state"] for entry in status.states(Sweep.read(sweep))]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sweep of six runs, one after the other and undisturbed."""
    place = tmp_path_factory.mktemp("sweeps")
    done = subprocess.run([*PINN, "train", "-m", *SIX, "folder=basic"], capture_output=True, text=True, cwd=place)
    assert done.returncode == cli.FAILED, done.stderr
    assert done.stderr.startswith("pinn: run 5: ")
    assert "\nrun 5  failed    lr=1e+30\nnext   pinn resume basic\n" in done.stdout
    return place / "basic"


@pytest.mark.slow
@pytest.mark.parametrize("launcher", JOBS)
def test_every_launcher_gives_the_same_bits_after_a_kill_a_cancel_and_a_resume(here, whole, launcher):
    """One run fails and one is killed: the others go on."""
    command = [*PINN, "train", "-m", *SIX, *JOBS[launcher], "folder=s"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        wait_for([Path("s/0/checkpoint.pt"), Path("s/1/checkpoint.pt")], process)
        if (at := writer(Path("s/0"))) is not None:  # else it has finished already
            os.kill(at[0], signal.SIGKILL)
        wait_for([Path("s/2/checkpoint.pt")], process)
        assert cli.main(["cancel", "s"]) == 0
        out, err = process.communicate(timeout=300)
    assert process.returncode == cli.STOPPED, (out, err)
    assert "missing" in ends("s")
    assert "running" not in ends("s")
    done = subprocess.run([*PINN, "resume", "s"], capture_output=True, text=True, timeout=300)
    assert done.returncode == cli.FAILED, done.stderr
    assert "run 5  lr=1e+30: failed" in done.stdout
    assert ends("s") == ["finished"] * 5 + ["failed"]
    for number in range(5):
        assert_same_run(whole / str(number), f"s/{number}")
    run = Sweep.read("s").runs[1]
    assert Results(run.folder / "results.h5").read_attributes()["command"] == run.command  # not the sweep's


@pytest.mark.parametrize("launcher", each(JOBS, []))
def test_a_launcher_gives_the_bits_of_a_run_here(here, launcher, capfd):
    """What is quick of the test above."""
    words = ["train", "-m", *TRAIN, "stop.steps=2", "seed=3"]
    assert cli.main([*words, "folder=whole"]) == 0
    assert cli.main([*words, *(word.replace("jobs=2", "jobs=1") for word in JOBS[launcher]), "folder=s"]) == 0
    assert ends("s") == ["finished"]
    assert_same_run("whole/0", "s/0")


@pytest.mark.slow  # below, a pool of other processes gets Ctrl-C
@pytest.mark.parametrize("launcher", ["basic", "local"])
def test_the_first_ctrl_c_saves_the_running_runs_and_starts_no_other(here, launcher):
    words = [*TRAIN, "seed=range(4)", "stop.steps=1000000", "folder=s", *JOBS.get(launcher, [])]
    process = subprocess.Popen([*PINN, "train", "-m", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               start_new_session=True)  # fmt: skip
    begun = [0, 1] if launcher == "local" else [0]
    wait_for([Path(f"s/{number}/checkpoint.pt") for number in begun], process)
    os.killpg(process.pid, signal.SIGINT)
    out, _ = process.communicate(timeout=240)
    assert process.returncode == cli.STOPPED, out
    assert ends("s") == ["stopped"] * len(begun) + ["missing"] * (4 - len(begun))


# ---- the pool of processes


class Watcher:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.codes: list[int] = []
        self.errors: list[str] = []

    def begun(self, command: pool.Command) -> None: ...

    def ended(self, command: pool.Command, code: int, errors: str) -> None:
        self.codes.append(code)
        self.errors.append(errors)

    def stopping(self, reason: str, running: int) -> None:
        self.errors.append(reason)


def shell(*lines: str) -> list[pool.Command]:
    return [pool.Command(("sh", "-c", line), Path(f"run{number}")) for number, line in enumerate(lines)]


def test_the_pool_passes_on_exit_codes_and_errors():
    watcher = Watcher()
    assert pool.carry_out(shell("exit 3", "echo why >&2; exit 1"), 1, watcher) is None
    assert (watcher.codes, watcher.errors) == ([3, 1], ["", "why"])


def test_a_second_ctrl_c_kills_the_runs_that_do_not_stop(here):
    commands = shell("trap '' TERM; echo $$ >pid; while :; do sleep 0.1; done", "touch begun")

    watcher = Watcher()

    def press() -> None:
        """The second one only after the first is known: two that come at once are one."""
        for come in (lambda: Path("pid").exists() and Path("pid").read_text(), lambda: watcher.errors):
            end = time.monotonic() + 240
            while not come() and time.monotonic() < end:
                time.sleep(0.02)
            os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=press)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        pool.carry_out(commands, 1, watcher)
    thread.join()
    assert watcher.errors == ["Ctrl-C"]
    assert not Path("begun").exists()
    with pytest.raises(ProcessLookupError):
        os.kill(int(Path("pid").read_text()), 0)


@pytest.mark.parametrize(
    ("visible", "dealt"), [("0,1,2", ["0", "1", "2", "0"]), ("GPU-a", ["GPU-a"] * 4), ("", [""] * 4)]
)
def test_the_runs_take_the_gpus_in_turn(here, monkeypatch, visible, dealt):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    until_all_run = "while [ ! -e 3 ]; do sleep 0.02; done"
    commands = shell(*[f'printf %s "$CUDA_VISIBLE_DEVICES" >{number}; {until_all_run}' for number in range(4)])
    pool.carry_out(commands, 4, Watcher())
    assert [Path(str(number)).read_text() for number in range(4)] == dealt


def test_all_gpus_of_the_machine_are_used_where_none_are_named(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 3)
    assert pool.visible_gpus() == ["0", "1", "2"]


def test_the_first_run_is_alone_until_its_first_step_is_saved(here):
    first = "sleep 0.5; mkdir run0; touch run0/checkpoint.pt; sleep 0.5"
    watcher = Watcher()
    pool.carry_out(shell(first, *["test -e run0/checkpoint.pt"] * 2), 3, watcher, leader=True)
    assert watcher.codes == [0, 0, 0]


def test_the_other_runs_start_when_the_first_ends_without_a_step():
    watcher = Watcher()
    pool.carry_out(shell("exit 2", "true", "true"), 2, watcher, leader=True)
    assert watcher.codes == [2, 0, 0]


# ---- a launcher of one's own, and the clusters of Dask


def as_on_the_page(here: Path) -> list[str]:
    """A sweep with the launcher whose files the page shows."""
    page = (ROOT / "docs" / "clusters.md").read_text()
    for name, text in re.findall(r"^`(my_launcher\.py|conf\S+nice\.yaml)`:\n\n```\w+\n(.*?)^```", page, re.M | re.S):
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).write_text(text)
    return ["train", "-m", *TRAIN, "stop.steps=1", "folder=s", "hydra/launcher=nice"]


def test_the_launcher_of_the_page_needs_one_file_and_one_yaml(here, capsys):
    words = as_on_the_page(here)
    assert cli.main([*words, "seed=0,1", "--dry-run", "hydra.launcher.jobs=1"]) == 0
    assert "\n2 runs, 1 at a time, niceness 19\n" in capsys.readouterr().out


@pytest.mark.slow
def test_the_launcher_of_the_page_carries_out_runs(here, capsys):
    words = as_on_the_page(here)
    assert cli.main([*words, "seed=0"]) == 0
    assert ends("s") == ["finished"]
    assert cli.main(["resume", "s"]) == 0
    assert "nothing is left to do" in capsys.readouterr().out


@pytest.mark.parametrize(("cluster", "first"), [
    ("PBSCluster", "#PBS -q gpu"), pytest.param("SGECluster", "#$ -q gpu", marks=pytest.mark.slow)
])
def test_a_dry_run_shows_the_job_script_of_dask_jobqueue(here, capsys, cluster, first):
    import dask_jobqueue
    from distributed.core import Status

    words = [PBS[0], f"hydra.launcher.cluster={cluster}", f"hydra.launcher.options={OPTIONS}"]
    assert cli.main(["train", "-m", *TRAIN, "stop.steps=1", "seed=0,1", "--dry-run", *words]) == 0
    out = capsys.readouterr().out
    assert f"\n{first}\n" in out

    async def script() -> str:
        keywords = {"cores": 4, "processes": 1, "memory": "16GB", "queue": "gpu", "walltime": "02:00:00"}
        theirs = getattr(dask_jobqueue, cluster)(asynchronous=True, **keywords)
        theirs.status = Status.closed
        return theirs.job_script()

    assert asyncio.run(script()) in out
    assert list(here.iterdir()) == []


# ---- what may be typed wrongly


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["hydra/launcher=slurm_aray"], "did you mean `slurm_array`?"),
        (["hydra/launcher=joblib"], "there is no launcher `joblib` here; expected one of basic, batched, dask, "),
        (["hydra/launcher=local,basic"], "one value each"),
        (["hydra.launcher=3"], "a sweep expects hydra/launcher=NAME"),
        (["hydra/launcher=basic", "hydra.launcher.jobs=2"], "unknown key `hydra.launcher.jobs`"),
        (["hydra/launcher=local", "+hydra.launcher.jbos=2"], "did you mean `jobs`?"),
        (["hydra/launcher=local", "~hydra.launcher.jobs"], "expected a value"),
        (["hydra/launcher=local", "hydra.launcher.jobs=0"], "expected a whole number above 0"),
        (["hydra/launcher=local", "hydra.launcher.jobs=two"], "hydra.launcher.jobs=two: expected"),
        (["hydra/launcher=dask", "hydra.launcher.cluster=PBCluster"], "did you mean `PBSCluster`?"),
        ([*PBS, f"hydra.launcher.options={OPTIONS}"], "there is no `qsub` here"),
        ([*PBS, "hydra.launcher.options={cores: 4}"], "how much cores and memory per job"),
        ([*PBS, "hydra.launcher.options={cores: 4, memory: 1GB, queu: gpu}"], "queu"),
        (["hydra/launcher=mine"], "line 2, column 4"),
        (["hydra/launcher=theirs"], "names no class"),
        (["hydra/launcher=evil"], "expected a class of"),
    ],
)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of Dask, for keywords it refuses
def test_a_wrong_launcher_is_refused_in_one_line_and_nothing_is_made(here, one_line, words, says):
    own = here / "conf" / "hydra" / "launcher"
    own.mkdir(parents=True)
    (own / "mine.yaml").write_text("defaults: [local]\n   jobs: 2")
    (own / "theirs.yaml").write_text("jobs: 2")
    (own / "evil.yaml").write_text("_target_: subprocess.Popen")
    assert cli.main(["train", "-m", *TRAIN, "seed=0,1", *words]) == cli.USAGE
    assert says in one_line()
    assert [path.name for path in here.iterdir()] == ["conf"]


def test_a_scheduler_that_does_not_answer_gets_one_line(here, one_line, monkeypatch):
    monkeypatch.setattr("pinn_cli.studies.launchers.dask.PATIENCE", "1s")
    words = ["hydra/launcher=dask", "hydra.launcher.scheduler=tcp://127.0.0.1:9"]
    assert cli.main(["train", "-m", *TRAIN, "seed=0,1", "folder=s", *words]) == cli.FAILED
    assert "Dask broke" in one_line()
    assert ends("s") == ["missing", "missing"]


def test_without_dask_one_line_says_what_to_install(here, one_line, monkeypatch):
    monkeypatch.setattr("pinn_cli.studies.launchers.dask.find_spec", lambda name: None)
    assert cli.main(["train", "-m", *TRAIN, "seed=0,1", "hydra/launcher=dask"]) == cli.USAGE
    assert "pip install 'pinn-cli[dask]'" in one_line()


def test_a_run_that_a_signal_ends_after_it_has_saved_has_not_failed(here):
    sweep = write_sweep()
    set_status(1, status="stopped")
    set_status(2, status="running")  # it was killed
    progress = Progress(sweep, sweep.runs[:3])
    for run in sweep.runs[:3]:
        progress.ended(pool.train(sweep, run), -signal.SIGTERM, "")
    assert list(progress.codes.values()) == [0, cli.STOPPED, cli.FAILED]


def test_combinations_are_checked_once_and_no_run_pays_for_it(here, monkeypatch):
    """The clock of a run counts from its own start, also in the first run of a sweep."""
    calls = []

    def slow(words):
        calls.append(words)
        time.sleep(2.0)
        return combinations(words)

    monkeypatch.setattr("pinn_cli.studies.launch.combinations", slow)
    before = time.perf_counter()
    assert cli.main(["train", "-m", *TRAIN, "stop.steps=1", "seed=0,1", "folder=s"]) == 0
    after = time.perf_counter()
    assert len(calls) == 1
    files = [Results(f"s/{number}/results.h5") for number in range(2)]
    paid = sum(float(results.read(f"timing/{name}")[""]) for results in files for name in ("duration", "setup"))
    assert paid <= after - before - 2.0
