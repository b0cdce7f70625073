"""How much faster a step of several processes is than that of one, without recording.

    torchrun --nproc-per-node 2 benchmarks/processes_time.py problem=helmholtz points.interior=10000 threads=1

The words are those of `pinn train`. The first process alone and all together take turns, with the same steps from the
same start; medians over the steps of all turns but the first turn. `process` is processor time of the first process: a
core that is shared with other work does not change it much. `sums` is what the sums over the processes take of it.
"""

import sys
import time
from collections.abc import Sequence
from statistics import median
from typing import Any

from torch import Tensor

from pinn_cli.basics.ranks import ALONE, Group, Ranks
from pinn_cli.configuration.assemble import assemble
from pinn_cli.configuration.compose import read
from pinn_cli.configuration.sources import Sources
from pinn_cli.runs.follow import Silent
from pinn_cli.runs.job import Job, surroundings
from pinn_cli.runs.processes import device_of, place_of

STEPS, TURNS = 6, 4  # the first turn and the first step of each turn do not count
Times = list[tuple[float, float, float, float]]  # of each step: wall and processor seconds, those of sums among them


class Timed(Silent):
    """Keeps the times of every step."""

    def __init__(self) -> None:
        self.marks: Times = [_now()]

    def after_step(self, *_: Any, last: bool = False) -> None:
        if not last:
            self.marks.append(_now())

    @property
    def steps(self) -> Times:
        return [tuple(b - a for a, b in zip(*pair, strict=True)) for pair in zip(self.marks, self.marks[1:])]  # type: ignore[misc]  # noqa: B905


spent = [0.0, 0.0]  # wall and processor seconds of sums so far


def _now() -> tuple[float, float, float, float]:
    return time.perf_counter(), time.process_time(), *spent  # type: ignore[return-value]


def _timed(group: Group) -> None:
    """Count what the sums of a group take."""
    inner = group.sum

    def timed(tensor: Tensor) -> Tensor:
        start = time.perf_counter(), time.process_time()
        try:
            return inner(tensor)
        finally:
            spent[0] += time.perf_counter() - start[0]
            spent[1] += time.process_time() - start[1]

    group.sum = timed  # type: ignore[method-assign]


def steps(words: Sequence[str], ranks: Ranks) -> Times:
    """Train some steps from the start, and the times of all but the first."""
    config, code, timed = read(words).config, Sources(), Timed()
    with surroundings(config), code.active():
        Job(config, "timed", assemble(config), code).followed(timed, ranks, None)
    return timed.steps[1:]


def main(words: Sequence[str]) -> None:
    """Print milliseconds of a step of one process and of all."""
    place = place_of(1)
    if place is None:
        sys.exit("type torchrun --nproc-per-node 2 benchmarks/processes_time.py ...")
    words = [f"stop.steps={STEPS}", "compile=off", *words, "figures=off"]
    group = place.join(device_of("auto", place.local))
    _timed(group)
    lone, shared = Times(), Times()
    for turn in range(TURNS):
        one = steps(words, ALONE) if place.number == 0 else []
        group.tell(turn)  # the others wait, without using a processor
        several = steps(words, group)
        if turn:
            lone, shared = lone + one, shared + several
    if place.number == 0:
        one, many = ([1e3 * median(column) for column in zip(*times, strict=True)] for times in (lone, shared))
        for kind, place_in in (("wall", 0), ("process", 1)):
            times = f"one {one[place_in]:.1f} ms, {place.size} together {many[place_in]:.1f} ms a step"
            print(f"{kind:<8} {times}: {one[place_in] / many[place_in]:.2f} times; sums {many[2 + place_in]:.1f} ms")
    group.leave()


if __name__ == "__main__":
    main(sys.argv[1:])
