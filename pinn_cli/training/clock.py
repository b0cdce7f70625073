"""Seconds of a run: how long it has trained, and what the time was spent on."""

import os
import time
from collections import defaultdict
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path

COMPILATION = "compilation"  # the phase that does not count as training


def process_age() -> float:
    """Seconds since this process started, imports included; 0 if the system does not tell."""
    try:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        uptime = float(Path("/proc/uptime").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return 0.0
    return max(0.0, uptime - ticks / os.sysconf("SC_CLK_TCK"))


class Clock:
    """The duration of a run, and the seconds of each phase.

    `seconds` is the duration that every table shows and that `stop.seconds` limits: the wall time from the first step
    to the end of training, without compilation, plus `earlier`, the duration before a resume. It includes measuring
    errors and writing between steps. `phases` are the seconds of each phase, those before a resume included; the phase
    ``setup`` ends with the first step. A phase inside another one counts only once.
    """

    def __init__(self, earlier: float = 0.0):
        now = time.monotonic()
        self.earlier, self.phases = earlier, defaultdict[str, float](float)
        self._process_start, self._made = now - process_age(), now
        self._began: float | None = None
        self._ended: float | None = None
        self._left_out = 0.0
        self._inner: list[float] = []  # seconds of the phases inside each of those that are under way
        self._each: dict[str, Phase] = {}

    def go_on(self, seconds: float, phases: Mapping[str, float]) -> None:
        """Add the duration and the phases before a resume."""
        self.earlier = seconds
        for phase, spent in phases.items():
            self.phases[phase] += spent

    def begin(self) -> None:
        """Begin to count training; later calls have no effect."""
        if self._began is None:
            self._began = time.monotonic()
            self.phases["setup"] += self._began - self._made

    def end(self) -> None:
        """Stop counting: training has ended."""
        self._ended = time.monotonic()

    @property
    def seconds(self) -> float:
        """The duration of the run."""
        if self._began is None:
            return self.earlier
        return self.earlier + (self._ended or time.monotonic()) - self._began - self._left_out

    @property
    def total_seconds(self) -> float:
        """Seconds since the process started."""
        return time.monotonic() - self._process_start

    @property
    def times(self) -> dict[str, float]:
        """All of them, as the results file keeps them."""
        return {**self.phases, "duration": self.seconds, "process": self.total_seconds}

    def __call__(self, phase: str) -> AbstractContextManager[None]:
        """A block whose seconds are those of a phase."""
        if phase not in self._each:
            self._each[phase] = Phase(self, phase)
        return self._each[phase]

    def enter(self) -> float:
        """Begin a phase; the time."""
        self._inner.append(0.0)
        return time.monotonic()

    def leave(self, phase: str, start: float) -> None:
        """End a phase that began at `start`."""
        elapsed, inner = time.monotonic() - start, self._inner.pop()
        self.phases[phase] += elapsed - inner
        if self._inner:
            self._inner[-1] += elapsed
        if phase == COMPILATION and self._began is not None:
            self._left_out += elapsed


class Phase(AbstractContextManager[None]):
    """The blocks of a phase of a clock. It is entered several times in each step, so it costs a microsecond."""

    def __init__(self, clock: Clock, name: str) -> None:
        self.clock, self.name = clock, name
        self._starts: list[float] = []

    def __enter__(self) -> None:
        self._starts.append(self.clock.enter())

    def __exit__(self, *_: object) -> None:
        self.clock.leave(self.name, self._starts.pop())
