"""Whole training loops of first-order training, side by side: this package, DeepXDE, JAX and plain torch.

    make bench                                                      every row of the table
    python benchmarks/peers/measure.py helmholtz 128 50 float32     one row: problem, points inside, width, precision
    python benchmarks/peers/measure.py --rows few --out FILE        some rows (`ROWS`), kept in FILE

The loops take turns in one process on one core with one thread, a block of steps at a time, and processor time counts.
A loop is what a user gets: new points for each step, loss, gradient, Adam; ours writes its rows and checkpoints and
measures its errors as well. Ratios are medians over the blocks of time of the other / time of ours, so that a change of
the speed of the machine counts for both. Compilation is not part of the blocks; its seconds stand apart.

Networks have four hidden layers with tanh. Each face has as many points as the inside for 128, and an eighth beyond
that. The processor's own limit for a step is that of its matrix products (`limit`), measured in the same turns.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
os.environ["OMP_NUM_THREADS"] = "1"

import bare_torch
import torch
from cases import CASES, Case

from pinn_cli import cli
from pinn_cli.basics.lockstep import Going
from pinn_cli.methods.contracts import Stage
from pinn_cli.training import loop as training
from pinn_cli.training.objective import Objective

DEPTH, BLOCK, WARM, BLOCKS = 4, 100, 3, 12
OUT = Path(__file__).resolve().parents[1] / "results" / "peers.json"
JAX = ("jaxpi", "jit", "scan")
FEW = [(name, 128, 50, "float32") for name in CASES]
ROWS = {
    "few": FEW,
    "small": [*FEW, *((name, 1000, 50, "float32") for name in ("helmholtz", "klein_gordon"))],
    "all": [
        *FEW,
        *((name, 1000, 50, "float32") for name in CASES),
        ("helmholtz", 10_000, 50, "float32"),
        ("helmholtz", 1000, 256, "float32"),
        ("helmholtz", 1000, 50, "float64"),
    ],
}
Loop = Callable[[int], None]


class Turns:
    """Stands in for the step of our loop: after each block of our steps the others take a block each."""

    def __init__(self, others: dict[str, Loop], block: int) -> None:
        self.step, self.others, self.block = training.step, others, block
        self.seconds: dict[str, list[float]] = {name: [] for name in ("pinn", *others)}
        self.first, self.began = 0, time.process_time()  # step of this block, and the time then

    def __call__(self, run: training.Run, stage: Stage, objective: Objective, observer: Any) -> Going[None]:
        made = run.progress.step - self.first  # the loop takes several steps at once
        if made >= self.block:
            self.seconds["pinn"].append((time.process_time() - self.began) / made)
            turn = time.monotonic()
            for name, steps in self.others.items():
                self.seconds[name].append(timed(steps, self.block))
            turn = time.monotonic() - turn
            observer._flushed, observer._saved = observer._flushed + turn, observer._saved + turn  # the time of others
            self.first, self.began = run.progress.step, time.process_time()
        yield from self.step(run, stage, objective, observer)


def timed(steps: Loop, count: int) -> float:
    """Processor seconds of one step."""
    before = time.process_time()
    steps(count)
    return (time.process_time() - before) / count


def face_points(points: int) -> int:
    return points if points <= 128 else points // 8


def products(case: Case, points: int, width: int, kind: torch.dtype) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """The matrix products that no loop with these streams can do without: forward, and twice for the gradient."""
    streams = {"helmholtz": 4, "klein_gordon": 5, "burgers": 4, "lid_driven_cavity": 4}[case.name]
    faces = sum(len(where.sides) * (1 + (len(where.conditions) > 1 and case.in_time)) for where in case.faces)
    rows = streams * points + faces * face_points(points)
    hidden, A = torch.randn(width, width, dtype=kind), torch.randn(rows, width, dtype=kind)
    for _ in range(DEPTH - 1):
        yield A, hidden
        yield A, hidden
        yield A.T, A


def measure(name: str, points: int, width: int, dtype: str) -> dict[str, Any]:
    """Milliseconds of a step, ratios to ours, and seconds of the first block, by contestant."""
    case, kind, face = CASES[name], getattr(torch, dtype), face_points(points)
    torch.set_num_threads(1)
    others: dict[str, Loop] = {"torch": bare_torch.loop(case, points, face, width, DEPTH, dtype)}
    others |= peers(case, points, face, width, dtype)
    pairs = list(products(case, points, width, kind))
    outs = [torch.empty(a.shape[0], b.shape[1], dtype=kind) for a, b in pairs]

    def limit(count: int) -> None:
        for _ in range(count):
            for (a, b), out in zip(pairs, outs, strict=True):
                torch.mm(a, b, out=out)

    others["limit"] = limit
    first = {other: round(timed(steps, BLOCK) * BLOCK, 1) for other, steps in others.items()}
    turns = training.step = Turns(others, BLOCK)  # type: ignore[assignment]
    words = [f"problem={name}", *case.words, "recipe=adam", f"dtype={dtype}", f"points.interior={points}",
             f"points.face={face}", f"architecture.width={width}", f"architecture.depth={DEPTH}", "compile=on",
             "threads=1", "figures=off", f"stop.steps={BLOCK * (WARM + BLOCKS) + 1}"]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(sys.stderr):
        code = cli.main(["train", *words, f"folder={folder}/run"])
    if code:
        raise SystemExit(f"pinn train {' '.join(words)}: exit code {code}")
    seconds = {other: values[WARM:] for other, values in turns.seconds.items()}
    return {
        "problem": name, "points": points, "face": face, "width": width, "dtype": dtype,
        "milliseconds": {other: 1e3 * median(values) for other, values in seconds.items()},
        "ratios": {other: median(a / b for a, b in zip(values, seconds["pinn"], strict=True))
                   for other, values in seconds.items() if other != "pinn"},
        "first_block_seconds": first, "blocks": BLOCKS, "steps_a_block": BLOCK,
    }  # fmt: skip


def peers(case: Case, points: int, face: int, width: int, dtype: str) -> dict[str, Loop]:
    """The loops of DeepXDE and JAX. Raises ImportError where they are not installed."""
    import deepxde_loop
    import jax_loops

    loops = {f"jax {kind}": jax_loops.loop(case, points, face, width, DEPTH, dtype, kind) for kind in JAX}
    return {"deepxde": deepxde_loop.loop(case, points, face, width, DEPTH, dtype), **loops}


def machine() -> dict[str, Any]:
    """What the numbers belong to; the load is that of the other processes, too."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return {
        "cpu": names[0] if names else platform.processor(), "cores": os.cpu_count(), "load": os.getloadavg()[0],
        "python": platform.python_version(), "date": time.strftime("%Y-%m-%d"),
        "versions": {name: version(name) for name in ("torch", "jax", "deepxde")},
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("row", nargs="*", metavar="problem points width precision")
    parser.add_argument("--rows", choices=ROWS, default="all")
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    if arguments.row:
        name, points, width, dtype = arguments.row
        print(json.dumps(measure(name, int(points), int(width), dtype)))
        return
    rows = []
    for row in ROWS[arguments.rows]:  # each in a process of its own: precision is a setting of a process
        command = [sys.executable, __file__, *map(str, row)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        rows.append(json.loads(done.stdout.splitlines()[-1]))
        print(*row, {name: round(ratio, 2) for name, ratio in rows[-1]["ratios"].items()}, flush=True)
        arguments.out.write_text(json.dumps({"rows": rows, "machine": machine()}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    main()
