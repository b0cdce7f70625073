"""A sweep written without training, for tests of everything that only reads."""

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from pinn_cli.records.lock import Lock
from pinn_cli.records.results import Results
from pinn_cli.studies.sweep import Sweep
from tests.conftest import TINY
from tests.run_files import write_run

FOLDER = Path("outputs/sweeps/2026-02-01_10-00-00-ab12")
REASON = "weighting=grad_norm needs several constraints; add weights.wall=1"
HELD: list[Any] = []
ERRORS = {0: 1e-3, 1: 2e-3, 2: 4e-3, 3: 1e-5, 4: 3e-5, 5: 2e-5}
# Six runs, the last of which fails.
SIX = [*TINY, "recipe=adam", "stop.steps=1000", "optimizer.adam.lr=1e-3,2e-3,3e-3,4e-3,5e-3,1e30"]


def write_sweep(folder: Path = FOLDER) -> Sweep:
    """Three weightings with three seeds each: two whole groups of finished runs, and three runs that are refused."""
    runs = [
        (["problem=helmholtz", f"weighting={weighting}", f"seed={seed}"], REASON if weighting == "grad_norm" else None)
        for weighting in ("fixed", "lr_annealing", "grad_norm")
        for seed in range(3)
    ]
    sweep = Sweep.create("pinn train -m problem=helmholtz weighting=... seed=0,1,2", "basic", runs, folder)
    shutil.copytree(_runs(), folder, dirs_exist_ok=True)
    return sweep


@cache
def _runs() -> Path:
    """The run folders of the sweep, written once per process."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for number, error in ERRORS.items():
        weighting, seed = ("fixed", "lr_annealing")[number // 3], number % 3
        run = write_run(folder / str(number), weighting=weighting, seed=seed, started=f"2026-02-01T10:00:0{number}")
        run.replace({"error": {"u": error}, "timing": {"duration": 10.0 + number}})
        (folder / str(number) / "run.log").write_text("problem  helmholtz\nstep 5900/6000  loss 1.0e-03\n")
    return folder


def set_status(number: int, folder: Path = FOLDER, **attributes: Any) -> None:
    """Let a run be running, failed ..."""
    Results(folder / str(number) / "results.h5").attributes(**attributes)


def hold(folder: Path) -> None:
    """Let this process write there until the test process ends."""
    HELD.append(Lock(folder).__enter__())
