"""Runs in processes that can be killed at any moment: forked from one that has imported everything, so a life is short.

`python lives.py` is that process: a line of JSON comes in for each life, one goes out when it has ended.
"""

import json
import os
import resource
import select
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
ROOM = 2 << 30  # bytes that a life may take on top of what has been imported
OPERATIONS = {"os.rename", "os.mkdir", "os.remove", "os.truncate", "os.symlink", "fcntl.flock"}


class Lives:
    """``with Lives() as lives: lives.live(["train", ...], cwd)``: how each life ended, as plain values."""

    def __enter__(self) -> "Lives":
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        self.server = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        return self

    def __exit__(self, *_: object) -> None:
        self.server.communicate(timeout=600)

    def live(
        self, words: list[str], cwd: Path, at: int | None = None, after: float | None = None, fill: bool = False
    ) -> dict[str, Any]:
        """One life, killed before its `at`-th operation on a file, or `after` so many seconds, if it lives that long.

        With `fill` it is not killed: the disk of `cwd` is filled to its last byte, by a file `ballast`.
        {"killed": bool, "code": exit code, "errors": what it said, "operations": how many there were, "seconds": ...}
        """
        assert self.server.stdin is not None
        assert self.server.stdout is not None
        order = {"words": words, "cwd": str(cwd), "at": at, "after": after, "fill": fill}
        self.server.stdin.write(json.dumps(order) + "\n")
        self.server.stdin.flush()
        return dict(json.loads(self.server.stdout.readline()))


def serve() -> None:
    import matplotlib.backends.backend_agg  # noqa: F401
    import scipy.special  # noqa: F401
    import torch._dynamo  # noqa: F401 (torch.optim imports it)

    from pinn_cli.commands import compare, plot, resume, show, train  # noqa: F401
    from pinn_cli.reports.figures import figures
    from pinn_cli.runs import start  # noqa: F401
    from pinn_cli.training import recorder

    figures()
    recorder.FLUSH, recorder.SAVE = 0.01, 0.04  # short runs, yet with many batches and checkpoints
    for line in sys.stdin:
        print(json.dumps(_life(**json.loads(line))), flush=True)


def _life(words: list[str], cwd: str, at: int | None, after: float | None, fill: bool) -> dict[str, Any]:
    errors, done = Path(tempfile.mkdtemp(), "errors"), os.pipe()
    start = time.monotonic()
    child = os.fork()
    if child == 0:
        _be(words, cwd, at, fill, errors, done[1])
    os.close(done[1])
    if after is not None and not select.select([done[0]], [], [], after)[0]:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    count = os.read(done[0], 100)
    os.close(done[0])
    return {
        "killed": os.WIFSIGNALED(status), "code": os.waitstatus_to_exitcode(status), "errors": errors.read_text(),
        "operations": int(count or 0), "seconds": time.monotonic() - start,
    }  # fmt: skip


def _be(words: list[str], cwd: str, at: int | None, fill: bool, errors: Path, done: int) -> None:
    """The child: it never returns."""
    import h5py

    from pinn_cli import cli

    os.chdir(cwd)
    size = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (size + ROOM, size + ROOM))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 2)
    sys.stdin.close()
    operations = 0

    def count(*_: object) -> None:
        nonlocal operations
        operations += 1
        if operations == at and fill:
            fill_disk(Path("ballast"))
        elif operations == at:
            os.kill(os.getpid(), signal.SIGKILL)

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event in OPERATIONS or (event == "open" and isinstance(arguments[0], str) and arguments[2] & WRITES):
            count()

    resize = h5py.Dataset.resize
    h5py.Dataset.resize = lambda data, *rest: (count(), resize(data, *rest))[1]  # between two columns of a batch
    sys.addaudithook(watch)
    code = cli.main(words)
    sys.stderr.flush()
    os.write(done, str(operations).encode())
    os._exit(code)


def fill_disk(ballast: Path) -> None:
    """Leave not a byte on the disk."""
    with open(ballast, "wb", buffering=0) as file:
        for size in (1 << 16, 1 << 10, 1):
            with suppress(OSError):
                while True:
                    file.write(b"x" * size)


if __name__ == "__main__":
    serve()
