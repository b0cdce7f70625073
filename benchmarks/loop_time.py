"""How long a step of training takes in a run, with rows, errors and files, and how much of it is the compiled graph.

    python benchmarks/loop_time.py problem=helmholtz recipe=adam compile=on threads=1 stop.steps=1500 folder=timed

The words are those of `pinn train`. Milliseconds of processor time; the first 200 steps, with the compilation, do not
count.
"""

import sys
import time
from typing import Any

from pinn_cli import cli
from pinn_cli.basics.lockstep import Going
from pinn_cli.training import loop
from pinn_cli.training.compiled_step import CompiledStep

WARM = 200


def main() -> None:
    """Train with a clock around the graph, and print the means."""
    step, call = loop.step, CompiledStep._call
    begins: list[float] = []
    in_graph = [0.0]

    def timed(*parts: Any) -> Going[None]:
        begins.append(time.process_time())
        yield from step(*parts)

    def timed_call(*parts: Any) -> Any:
        begin = time.process_time()
        found = call(*parts)
        if len(begins) > WARM:
            in_graph[0] += time.process_time() - begin
        return found

    loop.step, CompiledStep._call = timed, timed_call  # type: ignore[method-assign]
    cli.main(["train", *sys.argv[1:]])
    count = len(begins) - 1 - WARM
    whole, graph = (1e3 * seconds / count for seconds in (begins[-1] - begins[WARM], in_graph[0]))
    print(f"{whole:.2f} ms a step, {graph:.2f} ms of it in the compiled graph ({graph / whole:.0%}), {count} steps")


if __name__ == "__main__":
    main()
