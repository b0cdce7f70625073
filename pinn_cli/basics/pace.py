"""How fast a run goes, and how long it still takes."""

from collections.abc import Sequence

WINDOW = 20.0  # seconds over which steps per second are measured


def recent(times: Sequence[float]) -> int:
    """The first of the rows over which the pace is measured: the last WINDOW seconds, but at least two rows."""
    within = next((k for k, time in enumerate(times) if time >= times[-1] - WINDOW), 0)
    return max(0, min(within, len(times) - 2))


def steps_per_second(times: Sequence[float], steps: Sequence[float]) -> float | None:
    """Over the recent rows; None before there are two, and where no step was made or no time has passed."""
    if not len(times):
        return None
    first = recent(times)
    seconds, made = float(times[-1] - times[first]), float(steps[-1] - steps[first])
    return made / seconds if seconds > 0 and made > 0 else None


def seconds_left(steps: float | None, seconds: float | None, rate: float | None) -> float | None:
    """Seconds until these steps are made or these seconds have passed, whichever comes first; None: no such limit."""
    by_steps = max(0.0, steps) / rate if steps is not None and rate else None
    by_time = None if seconds is None else max(0.0, seconds)
    return min((left for left in (by_steps, by_time) if left is not None), default=None)
