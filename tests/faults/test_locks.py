"""One writer per folder, many readers, and file systems that refuse locks."""

import ctypes
import errno
import fcntl
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import h5py
import pytest

from pinn_cli import cli
from pinn_cli.basics.errors import TrainingError, UsageError
from pinn_cli.records import lock
from pinn_cli.records.lock import Lock, holder
from pinn_cli.records.results import Results
from tests.conftest import PINN, TINY
from tests.sweep_files import write_sweep

pytestmark = pytest.mark.usefixtures("here")


def started(words: list[str], **more) -> subprocess.Popen[str]:
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    return subprocess.Popen([*PINN, *words], text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, **pipes, **more)


@contextmanager
def kill_after(process: subprocess.Popen[str]):
    """Kill a process that is still there, so that a test that fails does not wait for it."""
    try:
        yield
    finally:
        process.kill()


def wait_until(holds: Callable[[], object], process: subprocess.Popen[str] | None = None) -> None:
    """Wait for a condition, but not for ever, nor for a process that has ended."""
    end = time.monotonic() + 300
    while not holds():
        assert process is None or process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end
        time.sleep(0.05)


def trains(folder: str) -> bool:
    """Whether the run in a folder has recorded rows."""
    return (Path(folder) / "checkpoint.pt").exists() and bool(Results(Path(folder) / "results.h5").read_history())


def signed(host: str, silent: float = 0.0) -> None:
    """A lock file that somebody on `host` has signed, and last touched so many seconds ago."""
    Path(".lock").write_text(json.dumps({"pid": os.getpid(), "host": host, "born": "1"}))
    then = time.time() - silent
    os.utime(".lock", (then, then))


def test_the_second_of_two_resumes_is_refused_and_the_first_ends_undisturbed(capsys):
    train = ["train", *TINY, "recipe=adam", "stop.steps=2", "folder=run"]
    assert cli.main(train) == 0
    with started(["resume", "run", "stop.steps=1000000000"]) as first, kill_after(first):
        has_set_itself_up = lambda: Results(Path("run/results.h5")).read_attributes()["status"] == "running"  # noqa: E731
        wait_until(lambda: trains("run") and has_set_itself_up(), first)
        capsys.readouterr()
        for words in (["resume", "run"], ["diagnose", "run"], train):
            assert cli.main(words) == cli.USAGE
            assert capsys.readouterr().err.count("\n") == 1
        assert cli.main(["resume", "run"]) == cli.USAGE
        assert f"is being written by process {first.pid}" in capsys.readouterr().err
        first.terminate()
        assert first.wait(300) == cli.STOPPED, first.stderr.read()
    assert holder("run") is None


def test_a_requeued_job_waits_for_the_one_that_still_saves(monkeypatch, tmp_path):
    held, released = Lock(tmp_path), threading.Event()
    held.__enter__()

    def release() -> None:
        released.set()
        held.__exit__(None, None, None)

    threading.Timer(0.5, release).start()
    monkeypatch.setenv("PINN_PATIENCE", "600")
    with Lock(tmp_path):
        assert released.is_set()
    monkeypatch.setenv("PINN_PATIENCE", "0.2")
    with Lock(tmp_path), pytest.raises(UsageError, match="is being written by process"), Lock(tmp_path):
        pass


def test_a_requeued_job_whose_run_has_finished_exits_with_0(monkeypatch, capsys):
    """It read "running" before it waited for the lock; what counts is what it reads afterwards."""
    words = ["train", *TINY, "stop.steps=2", "folder=run"]
    assert cli.main(words) == 0
    results = Results(Path("run/results.h5"))
    results.attributes(status="running")
    held = Lock("run")
    held.__enter__()

    def finish() -> None:
        results.attributes(status="finished")
        held.__exit__(None, None, None)

    threading.Timer(1.0, finish).start()
    monkeypatch.setenv("PINN_PATIENCE", "600")
    assert cli.main(words) == 0
    assert "this very run, finished" in capsys.readouterr().out


def test_a_writer_on_another_machine_counts_while_its_lock_file_is_recent(tmp_path):
    signed("elsewhere", silent=5)
    assert holder(".") == f"process {os.getpid()} on elsewhere"
    with pytest.raises(UsageError, match="on elsewhere"), Lock("."):
        pass
    signed("elsewhere", silent=lock.SILENCE + 5)
    assert holder(".") is None
    with Lock("."):
        assert socket.gethostname() in str(holder("."))


def test_a_lock_file_from_the_future_is_ignored(tmp_path):
    """A clock that is a little ahead is another matter."""
    signed("elsewhere", silent=-3600.0 * 24 * 365)
    assert holder(".") is None
    signed("elsewhere", silent=-5.0)
    assert holder(".") is not None


def test_a_folder_in_the_place_of_a_file_gets_one_line(capsys):
    assert cli.main(["train", *TINY, "stop.steps=2", "folder=run"]) == 0
    capsys.readouterr()
    for name in (".lock", "run.log"):
        Path("run", name).unlink(missing_ok=True)
        Path("run", name).mkdir()
        for words in (["resume", "run"], ["plot", "run"]):
            assert cli.main(words) == 2
            assert f"run/{name} is no file" in capsys.readouterr().err
        Path("run", name).rmdir()
    Path("run/.results.h5.1.part").mkdir()
    assert cli.main(["resume", "run", "stop.steps=3"]) == 0


def test_a_folder_that_takes_no_lock_file_gets_one_line(monkeypatch):
    def full(*_: object, **__: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(lock.FileLock, "acquire", full)
    with pytest.raises(TrainingError, match=r"cannot write \.lock"), Lock("."):
        pass


def test_a_writer_touches_its_lock_file(monkeypatch):
    monkeypatch.setattr(lock, "BEAT", 0.05)
    with Lock("."):
        os.utime(".lock", (0, 0))
        wait_until(lambda: Path(".lock").stat().st_mtime > 0)
        assert abs(time.time() - Path(".lock").stat().st_mtime) < 300


@pytest.mark.parametrize("content", ["", "[]", "{}", "null", '{"pid": "x"}', "[" * 100000, "\x00", '{"pid": 1e999}'])
def test_a_lock_file_without_a_process_is_ignored(content):
    Path(".lock").write_text(content)
    assert holder(".") is None
    with Lock("."):
        assert holder(".") is not None


def signed_here(**name: object) -> None:
    """A lock file that names this machine and otherwise this process, which has not locked it."""
    with Lock("."):
        own = json.loads(Path(".lock").read_text())
    Path(".lock").write_text(json.dumps(own | name))


@pytest.mark.parametrize(
    "name",
    [
        {"pid": -1, "born": ""},  # every process of the user
        {"pid": 0, "born": ""},  # its group
        {"pid": 1, "born": ""},
        {"pid": 10**30, "born": ""},
        {},  # a process that is there, and has nothing to do with it
    ],
)
def test_an_invented_lock_file_is_ignored_and_no_process_is_signalled(name, monkeypatch, capsys):
    sweep = write_sweep()
    signals = []
    kill = os.kill
    monkeypatch.setattr(os, "kill", lambda pid, number: signals.append((pid, number)) if number else kill(pid, 0))
    for folder in (sweep.folder, sweep.folder / "1"):
        signed_here(**name)
        Path(".lock").rename(folder / ".lock")
        assert holder(folder) is None
    assert cli.main(["cancel", str(sweep.folder)]) == 0
    assert capsys.readouterr().out == f"nothing of {sweep.folder} is running\n"
    assert signals == []


def test_a_lock_file_that_is_a_link_or_a_pipe_is_ignored(tmp_path):
    """A link, or a pipe that nobody writes to."""
    for name in ("running", "sent", "pipe"):
        Path(name).mkdir()
    os.mkfifo("pipe/.lock")
    Path("sent/.lock").symlink_to(tmp_path / "running/.lock")
    with Lock("running"):
        assert holder("running") is not None
        assert holder("sent") is None
        assert holder("pipe") is None


def test_a_marker_lets_one_of_two_write_where_there_are_no_locks(monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with Lock("."):
        assert holder(".") == f"process {os.getpid()} on {socket.gethostname()}"
        with pytest.raises(UsageError, match=f"is being written by process {os.getpid()}"), Lock("."):
            pass
    assert holder(".") is None
    assert sorted(os.listdir()) == [".lock"]  # the marker is gone


def test_the_marker_of_a_silent_machine_is_removed_where_there_are_no_locks(monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    Path(".lock.soft").write_text("7\nelsewhere\n")
    signed("elsewhere", silent=lock.SILENCE / 2)
    with pytest.raises(UsageError, match="on elsewhere"), Lock("."):
        pass
    signed("elsewhere", silent=lock.SILENCE + 5)
    with Lock("."):
        assert socket.gethostname() in str(holder("."))


def test_a_lock_file_that_cannot_be_written_gets_one_line(monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(lock.os, "write", refuse)
    with pytest.raises(TrainingError, match="make room"), Lock("."):
        pass


READERS = [
    [sys.executable, "-c", "import h5py; print(h5py.File('run/results.h5')['history/loss/total'][-1:])"],
    [sys.executable, "-c", "import h5py, time; file = h5py.File('run/results.h5', locking=True); time.sleep(2)"],
]


@pytest.mark.slow  # four processes
def test_readers_do_not_disturb_a_run(monkeypatch):
    """Plain h5py with its own locks, h5dump, figures, while rows are appended all the time."""
    others = os.environ | {"HDF5_USE_FILE_LOCKING": "TRUE"}  # this package sets it; the readers are other programs
    dump = [[shutil.which("h5dump") or "", "-n", "run/results.h5"]] if shutil.which("h5dump") else []
    fast = (
        "import sys; from pinn_cli import cli; from pinn_cli.training import recorder; "
        "recorder.FLUSH = recorder.SAVE = 0.0; sys.exit(cli.main())"
    )
    words = ["train", *TINY, "recipe=adam", "record.every=1", "stop.steps=1000000", "folder=run"]
    with subprocess.Popen([sys.executable, "-c", fast, *words], env=others, stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True) as writer, kill_after(writer):  # fmt: skip
        wait_until(lambda: trains("run"), writer)
        readers = [subprocess.Popen(command, env=others, stderr=subprocess.PIPE, text=True) for command in
                   [*READERS, *dump]]  # fmt: skip
        for words in (["plot", "run", "--only", "losses,solution"], ["show", "run"]):
            assert cli.main(words) == 0
        for reader in readers:
            said = reader.communicate(timeout=300)[1]
            assert reader.returncode == 0 or "h5py" in reader.args[-1], said  # h5py may meet a half-written row
        assert writer.poll() is None, writer.stderr.read()
        writer.terminate()
        assert writer.wait(300) == cli.STOPPED, writer.stderr.read()
    with h5py.File("run/results.h5") as file:
        assert len(file["history/step"]) > 10


def refuse_locks() -> None:
    """From here on the kernel answers flock, and fcntl about locks, with "no locks available" (seccomp on x86-64)."""
    allow, deny = 0x7FFF0000, 0x00050000 | 37  # 37: ENOLCK
    load, equal, give = 0x20, 0x15, 0x06
    program = [
        (load, 0, 0, 0), (equal, 5, 0, 73), (equal, 0, 3, 72), (load, 0, 0, 24),  # flock; fcntl and its second word
        (equal, 2, 0, 6), (equal, 1, 0, 7), (give, 0, 0, allow), (give, 0, 0, deny),
    ]  # fmt: skip
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in program))
    filters = ctypes.create_string_buffer(struct.pack("HL", len(program), ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, filters, 0, 0):
        raise OSError(ctypes.get_errno(), "seccomp")


@pytest.mark.skipif((sys.platform, os.uname().machine) != ("linux", "x86_64"), reason="the filter is for x86-64")
@pytest.mark.slow  # five processes
def test_a_run_works_on_a_file_system_that_refuses_locks():
    probe = "import fcntl; file = open('x', 'w'); fcntl.flock(file, fcntl.LOCK_EX)"
    refused = subprocess.run([sys.executable, "-c", probe], preexec_fn=refuse_locks, capture_output=True, text=True)
    assert "No locks available" in refused.stderr

    def hold() -> subprocess.Popen[str]:
        code = "from pinn_cli.records.lock import Lock\nwith Lock('.'):\n    print('held', flush=True); input()"
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen([sys.executable, "-c", code], text=True, preexec_fn=refuse_locks, **pipes)

    with hold() as first, kill_after(first):
        assert first.stdout.readline() == "held\n"
        with hold() as second:
            assert f"is being written by process {first.pid}" in second.communicate()[1]
    with hold() as third:  # the first one was killed
        assert third.stdout.readline() == "held\n"
        third.communicate("\n")
    commands = [["train", *TINY, "stop.steps=2", "folder=run"], ["resume", "run", "stop.steps=3"], ["show", "run"]]
    code = f"from pinn_cli import cli; assert [cli.main(words) for words in {commands}] == [0, 0, 0]"
    subprocess.run([sys.executable, "-c", code], preexec_fn=refuse_locks, check=True, stdout=subprocess.DEVNULL)
