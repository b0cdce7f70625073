"""Seconds of a run: how long it has trained, and what the time was spent on."""

import os
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
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
        self._inner: list[float] = []

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

    @contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        start = time.monotonic()
        self._inner.append(0.0)
        try:
            yield
        finally:
            elapsed, inner = time.monotonic() - start, self._inner.pop()
            self.phases[phase] += elapsed - inner
            if self._inner:
                self._inner[-1] += elapsed
            if phase == COMPILATION and self._began is not None:
                self._left_out += elapsed
