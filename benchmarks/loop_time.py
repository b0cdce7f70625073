"""How long one step of the training loop takes in a run, without recording: the median over its later steps.

    python benchmarks/loop_time.py problem=helmholtz recipe=adam compile=on threads=1 stop.steps=1500 folder=timed

The words are those of `pinn train`. The first 200 steps, with the compilation, do not count.
"""

import sys
import time
from statistics import median
from typing import Any

from pinn_cli import cli
from pinn_cli.basics.lockstep import Going
from pinn_cli.training import loop

WARM = 200


def main() -> None:
    """Train with a clock around every step, and print the median in milliseconds."""
    inner, seconds = loop.step, []

    def timed(*parts: Any) -> Going[None]:
        start = time.perf_counter()
        yield from inner(*parts)
        seconds.append(time.perf_counter() - start)

    loop.step = timed
    cli.main(["train", *sys.argv[1:]])
    print(f"{1e3 * median(seconds[WARM:] or seconds):.2f} ms a step, median of {len(seconds[WARM:] or seconds)}")


if __name__ == "__main__":
    main()
