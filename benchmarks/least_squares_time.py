"""What a Levenberg-Marquardt run costs beside the linear algebra that it cannot avoid, whole loop included.

    python benchmarks/least_squares_time.py [--steps 30] [--threads 1]

Runs of the default recipe are trained as `pinn train` trains them. After each step, the product J^T J (J J^T where
there are fewer rows than parameters) by one GEMM and its Cholesky factor by torch are timed on numbers of the same
size, and so is the half of the product that a symmetric one needs, with its factor. All times are CPU seconds.
`loop` is everything between two steps: points, step, guard, error against the reference, rows, files. Its mean over the
steps that were accepted at the first trial is compared with the medians of the linear algebra.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import mean, median

import torch
from step_time import machine

from pinn_cli.configuration.compose import read
from pinn_cli.methods.symmetric import add_product, factor
from pinn_cli.runs import job
from pinn_cli.runs.start import start
from pinn_cli.training.recorder import Recorder

RUNS = {
    "helmholtz": ["problem=helmholtz"],
    "burgers": ["problem=burgers"],
    "lid_driven_cavity": ["problem=lid_driven_cavity"],
    "helmholtz, 4x50": ["problem=helmholtz", "architecture.width=50", "architecture.depth=4"],
}


class Algebra:
    """The products and factors of one size, on random numbers, in memory that is kept."""

    def __init__(self, rows: int, parameters: int) -> None:
        J = torch.randn(rows, parameters, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        self.J = J if parameters <= rows else J.T
        self.A = torch.empty(min(rows, parameters), min(rows, parameters), dtype=torch.float64)

    def whole(self) -> None:
        torch.mm(self.J.T, self.J, out=self.A)
        torch.linalg.cholesky_ex(self.A)

    def half(self) -> None:
        add_product(self.A, self.J, keep=False)
        factor(self.A)


def seconds(work: Callable[[], None]) -> float:
    """CPU seconds."""
    start = time.process_time()
    work()
    return time.process_time() - start


def measure(words: list[str], steps: int, threads: int) -> dict[str, float]:
    """Milliseconds of the loop and of the linear algebra, taken in turns, and their ratios."""
    loops: list[float] = []
    whole: list[float] = []
    half: list[float] = []
    size: list[int] = []

    class Timed(Recorder):
        def after_step(self, run, stage, objective, last):
            super().after_step(run, stage, objective, last)
            if last:
                return
            if size and not stage.report.values["rejected"]:  # the first step has no beginning
                loops.append(time.process_time() - self.began)
            size[:] = [sum(map(len, objective.batch.values())), objective.columns[-1].stop]
            algebra = Algebra(*size)
            whole.append(seconds(algebra.whole))
            half.append(seconds(algebra.half))
            self.began = time.process_time()

    job.Recorder, plain = Timed, job.Recorder
    try:
        with tempfile.TemporaryDirectory() as folder:
            settings = [f"stop.steps={steps}", f"threads={threads}", "figures=off", f"folder={folder}/run"]
            start(read([*words, *settings]))
    finally:
        job.Recorder = plain
    loop, all_of_it, the_half = mean(loops), median(whole), median(half)
    return {
        "parameters": size[1], "rows": size[0], "steps": len(loops), "loop (ms)": 1e3 * loop,
        "GEMM + Cholesky (ms)": 1e3 * all_of_it, "ratio": loop / all_of_it,
        "half (ms)": 1e3 * the_half, "ratio to the half": loop / the_half,
    }  # fmt: skip


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "least_squares_time.json")
    arguments = parser.parse_args()
    found = {name: measure(words, arguments.steps, arguments.threads) for name, words in RUNS.items()}
    found["machine"] = machine() | {"threads": arguments.threads}
    print(json.dumps(found, indent=1))
    arguments.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
