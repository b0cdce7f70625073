"""kill -9 at random moments of a run: the file opens, no row up to the checkpoint is lost, a resume ends bit-equal."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from pinn_cli import checkpoint
from pinn_cli.results import Results

PINN = [sys.executable, "-m", "pinn_cli.cli"]
RUN = [
    "problem=wave",
    "points.interior=64",
    "points.face=8",
    "architecture.width=8",
    "architecture.depth=2",
    "figures=off",
]
CASES = {
    "levenberg_marquardt": ["stop.steps=60"],
    "adam": ["recipe=adam", "compile=off", "stop.steps=400", "weighting=[lr_annealing_code]"],
}


def launch(words, cwd):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [*PINN, *words], cwd=cwd, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )


def finish(words, cwd):
    with launch(words, cwd) as process:
        _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors.decode()


def weights(folder):
    return {k: np.asarray(v) for k, v in Results(folder / "results.h5").read("network").items()}


def killed_after(seconds, words, cwd):
    """Whether the run was still going on when it was killed."""
    with launch(words, cwd) as process:
        try:
            process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            return True
    assert process.returncode == 0, process.args
    return False


def check_files(folder):
    """What is on disk after a kill is whole: the file opens, and holds every row up to the checkpoint."""
    history = Results(folder / "results.h5").read_history()
    assert len({len(column) for column in history.values()}) <= 1
    if (folder / "checkpoint.pt").exists():
        step = checkpoint.load(folder / "checkpoint.pt")["progress"]["step"]
        recorded = history["step"][history["step"] <= step]
        cadence = int(np.diff(history["step"]).max()) if len(history["step"]) > 1 else step
        assert recorded.max() > step - max(cadence, 1)
        assert (np.diff(recorded) > 0).all()


def killed_runs(tmp_path: Path, case: str, kills: int, seed: int = 0) -> int:
    chance = random.Random(seed)
    start = time.monotonic()
    finish(["train", *RUN, *CASES[case], "folder=undisturbed"], tmp_path)
    whole, expected = time.monotonic() - start, weights(tmp_path / "undisturbed")
    done, number = 0, 0
    while done < kills:
        number += 1
        folder = tmp_path / f"run{number}"
        words = ["train", *RUN, *CASES[case], f"folder={folder.name}"]
        while killed_after(chance.uniform(0.2, 1.05) * whole, words, tmp_path):
            done += 1
            if (folder / "results.h5").exists():
                check_files(folder)
                words = ["resume", folder.name]
                if Results(folder / "results.h5").read_attributes()["status"] == "finished":
                    break  # killed while it was leaving
        for name, value in weights(folder).items():
            np.testing.assert_array_equal(value, expected[name])
        steps = Results(folder / "results.h5").read_history()["step"]
        np.testing.assert_array_equal(steps, Results(tmp_path / "undisturbed" / "results.h5").read_history()["step"])
    return done


@pytest.mark.parametrize("case", CASES)
def test_a_killed_run_goes_on_bit_for_bit(tmp_path, case):
    assert killed_runs(tmp_path, case, kills=2) >= 2


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_fifty_kills(tmp_path, case):
    assert killed_runs(tmp_path, case, kills=50, seed=1) >= 50
