"""How long a step of training takes in a run, with rows, errors and files, and how much of it is the compiled graph.

    python benchmarks/loop_time.py problem=helmholtz recipe=adam compile=on threads=1 stop.steps=1500 folder=timed

The words are those of `pinn train`. Milliseconds of processor time; the first 200 steps, with the compilation, do not
count.
"""

import sys
import time
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from pinn_cli import cli
from pinn_cli.basics.lockstep import Going
from pinn_cli.training import compiled_step, loop

WARM = 200


def main() -> None:
    """Train with a clock around the graph, and print the means."""
    step, unchecked = loop.step, compiled_step.unchecked
    in_graphs = 0.0
    marks: list[tuple[int, float, float]] = []  # steps taken, processor time, and how much of it was in graphs

    def timed(run: loop.Run, *parts: Any) -> Going[None]:
        yield from step(run, *parts)
        if run.progress.step >= WARM:
            marks[1:] = [(run.progress.step, time.process_time(), in_graphs)]

    def with_clock(*parts: Any) -> compiled_step.Graph:
        graph = unchecked(*parts)

        def timed_graph(*tensors: Tensor) -> Sequence[Tensor]:
            nonlocal in_graphs
            begin = time.process_time()
            found = graph(*tensors)
            in_graphs += time.process_time() - begin
            return found

        return timed_graph

    loop.step, compiled_step.unchecked = timed, with_clock  # type: ignore[assignment]
    cli.main(["train", *sys.argv[1:]])
    (first, *begin), (last, *end) = marks
    whole, graph = (1e3 * (b - a) / (last - first) for a, b in zip(begin, end, strict=True))
    share = f"{graph:.2f} ms of it in the compiled graph ({graph / whole:.0%})"
    print(f"{whole:.2f} ms a step, {share}, {last - first} steps")


if __name__ == "__main__":
    main()
