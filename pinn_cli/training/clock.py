"""Seconds of a run: since the process began, and by what they were spent on."""

import os
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_first_job = True


def process_age() -> float:
    """Seconds since this process was started, imports included; 0 where the system does not say."""
    try:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        uptime = float(Path("/proc/uptime").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return 0.0
    return max(0.0, uptime - ticks / os.sysconf("SC_CLK_TCK"))


class Clock:
    """Wall time of a run over all its lives.

    The first run of a process counts from the start of the process, later ones of a sweep from their own start;
    `earlier` are the seconds of the lives before a resume.
    """

    def __init__(self, earlier: float = 0.0):
        global _first_job
        self.earlier = earlier + (process_age() if _first_job else 0.0)
        _first_job = False
        self.start = time.monotonic()
        self.phases: dict[str, float] = defaultdict(float)

    @property
    def seconds(self) -> float:
        return self.earlier + time.monotonic() - self.start

    @contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        start = time.monotonic()
        try:
            yield
        finally:
            self.phases[phase] += time.monotonic() - start
