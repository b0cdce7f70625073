"""How much longer a step of many runs trained together takes than a step of one run, with all that is recorded.

    python benchmarks/batched_time.py 64 problem=helmholtz recipe=gradient_pathologies/helmholtz_m4 compile=on threads=1

The first word is the number of runs, the others are those of `pinn train`; each run has another seed. The lone run and
the batch take turns in one process, a few steps each, and the times of their steps are compared: medians over the
turns. `wall` is what one waits for on idle cores, `process` the processor time, which other work changes less. The
first steps, with the compilation, do not count. `--profile` shows where the time of the batch goes.
"""

import cProfile
import pstats
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from pinn_cli.basics.lockstep import Going
from pinn_cli.configuration.compose import read
from pinn_cli.runs.start import starting
from pinn_cli.runs.together import together
from pinn_cli.training import loop

PARTS = 3  # of a step, as `training/loop.py` divides it
STEPS, TURNS = 10, 5  # steps in a turn, of which the lone run takes at least three times as many
STEP = loop.step
TAKEN: list[int] = []  # steps that the loop has taken, by its calls


def step(runs: Sequence[Going]) -> None:
    """One step of every run."""
    for _ in range(PARTS):
        for run in runs:
            next(run)


def seconds(runs: Sequence[Going], turns: int) -> tuple[float, float]:
    """Wall and processor seconds of a step of all of these runs. A compiled lone run takes several in a turn."""
    TAKEN.clear()
    start = time.perf_counter(), time.process_time()
    for _ in range(turns):
        step(runs)
    steps = sum(TAKEN) / len(runs)
    return (time.perf_counter() - start[0]) / steps, (time.process_time() - start[1]) / steps


def counted(run: loop.Run, *parts: Any) -> Going[None]:
    """A step of the loop, or several at once; their number is kept."""
    before = run.progress.step
    yield from STEP(run, *parts)
    TAKEN.append(run.progress.step - before)


def main(count: int, words: Sequence[str], profiled: bool) -> None:
    """Print milliseconds of a step of both, and their ratio."""
    loop.step = counted  # type: ignore[assignment]
    with tempfile.TemporaryDirectory() as folder:
        words = ["stop.steps=1000000", *words, "figures=off"]
        requests = [read([*words, f"seed={k}", f"folder={folder}/{k}"]) for k in range(count)]
        lone = [starting(read([*words, f"folder={folder}/lone"]))]
        next(lone[0])  # up to its first part
        with together(requests[0].config, count, None, print) as shared:
            many = [starting(request, shared) for request in requests]
            for run in many:
                next(run)
            for runs in (lone, many):
                seconds(runs, STEPS)
            turns = [(seconds(lone, 3 * STEPS), seconds(many, STEPS)) for _ in range(TURNS)]
            for number, kind in enumerate(("wall", "process")):
                one, batch = (1e3 * median(of[number] for of in column) for column in zip(*turns, strict=True))
                print(f"{kind:<8} lone {one:.2f} ms, {count} together {batch:.1f} ms a step: ratio {batch / one:.1f}, "
                      f"{batch / count:.2f} ms a run")  # fmt: skip
            if profiled:
                with cProfile.Profile() as profile:
                    seconds(many, STEPS)
                pstats.Stats(profile).sort_stats("tottime").print_stats(25)
            for run in [*reversed(many), *lone]:
                run.close()


if __name__ == "__main__":
    typed = [word for word in sys.argv[1:] if word != "--profile"]
    if not typed or not typed[0].isdecimal():
        sys.exit(f"expected the number of runs, then the words of pinn train\n{Path(__file__).name} 64 problem=...")
    main(int(typed[0]), typed[1:], "--profile" in sys.argv)
