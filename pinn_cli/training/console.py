"""What a person sees while a run goes on, and at its end. The only module that imports rich.

On a terminal: one progress bar over a small live table. Elsewhere (a pipe, a batch system's log, a worker of a sweep):
one flushed, greppable line every few seconds,

    step 12000/40000  loss 1.23e-04  pde 9.1e-05  wall 3.2e-05  rel_l2 4.5e-03  312 it/s  eta 0:26

Values go by their names in the history (``loss/pde``, ``weight/pde``, ``error/u``); what a row lacks keeps its value.
"""

import math
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from types import TracebackType
from typing import IO, Protocol

import rich.console
from rich import box
from rich.console import Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from pinn_cli.basics import pace
from pinn_cli.basics.text import duration, rate, scientific, trend

LINE_INTERVAL = 3.0  # seconds between two lines of a log
LIVE_INTERVAL = 0.2  # seconds between two pictures of the live table
METRICS = 5  # of the problem on one line
TREND = 24  # bars in a trend


@dataclass
class Summary:
    """The end of a run: `status` and `reason` of the stop, errors by field, `held_out` residuals by constraint ..."""

    status: str
    reason: str
    steps: int
    seconds: float
    results: str
    errors: Mapping[str, float] = field(default_factory=dict)
    held_out: Mapping[str, float] = field(default_factory=dict)
    verdict: str = ""
    figures: list[str] = field(default_factory=list)
    next: str = ""
    unknowns: Mapping[str, float] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)

    def lines(self) -> list[tuple[str, str]]:
        """Pairs of a label and a text, in the order in which they are shown."""
        head = (self.status, f"after {self.steps} steps in {duration(self.seconds)}: {self.reason}")
        errors = [("error", f"{name} {scientific(value)} (relative L2)") for name, value in self.errors.items()]
        held_out = [("held out", f"{name} {scientific(v)} of the largest term") for name, v in self.held_out.items()]
        unknowns = [("unknown", f"{name} {value:.6g}") for name, value in self.unknowns.items()]
        metrics = [f"{name} {scientific(value)}" for name, value in self.metrics.items()]
        shown = [("metric", "  ".join(metrics[k : k + METRICS])) for k in range(0, len(metrics), METRICS)]
        files = [("results", self.results), *(("figure", path) for path in self.figures)]
        rest = [("guard", self.verdict), *files, ("next", self.next)]
        return [head, *(errors or held_out), *shown, *unknowns, *(pair for pair in rest if pair[1])]


class View(Protocol):
    """A way to show a run: lines or a live picture."""

    interval: float  # seconds from one look to the next

    def show(self, state: "State") -> None:
        """Show the present state."""

    def write(self, text: str) -> None:
        """Show a text of one or more lines."""

    def close(self) -> None:
        """Leave the terminal as it was found."""


class State:
    """The latest values, how fast it goes and how the losses went."""

    def __init__(self) -> None:
        self.step = 0
        self.total: int | None = None
        self.seconds_left: float | None = None
        self.values: dict[str, float] = {}
        self.trends: dict[str, list[float]] = {}
        self._times: list[float] = []  # of the recent rows, and their steps
        self._steps: list[int] = []

    def update(self, now: float, step: int, total: int | None, values: Mapping[str, float], left: float | None) -> None:
        """Take in a row seen at `now` (s); `left` is what remains of a limit on time (s)."""
        self.step, self.total, self.seconds_left = step, total, left
        for name, value in values.items():
            if not (name.startswith("error/") and math.isnan(value)):  # errors are measured now and then
                self.values[name] = value
        self._times.append(now)
        self._steps.append(step)
        first = pace.recent(self._times)
        del self._times[:first], self._steps[:first]

    def remember(self) -> None:
        """Add the present values to the trends; old ones thin out, so that memory stays bounded."""
        for name, value in self.values.items():
            trend = self.trends.setdefault(name, [])
            trend.append(value)
            if len(trend) > 20 * TREND:
                del trend[1::2]

    @property
    def rate(self) -> float | None:
        """Steps per second over the recent rows; None before there are two."""
        return pace.steps_per_second(self._times, self._steps)

    @property
    def eta(self) -> float | None:
        """Seconds to the last step or the limit on time, whichever comes first."""
        steps = None if self.total is None else self.total - self.step
        return pace.seconds_left(steps, self.seconds_left, self.rate)


class Console:
    """``with Console() as console``: `plan` before the first step, `row` as often as one likes, `finish` at the end.

    `prefix` marks the lines of one worker among many and switches the live table off.
    """

    def __init__(self, prefix: str = "", stream: IO[str] | None = None, clock: Callable[[], float] = time.monotonic):
        stream = stream or sys.stdout
        terminal = rich.console.Console(file=stream, highlight=False)
        live = not prefix and (_in_notebook(terminal) or (stream.isatty() and not terminal.is_dumb_terminal))
        self._view: View = Picture(terminal) if live else Lines(stream, prefix)
        self._state, self._clock, self._shown = State(), clock, -math.inf

    def __enter__(self) -> "Console":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._view.close()

    def plan(self, text: str) -> None:
        """Show the plan, or any notice of one or more lines."""
        self._view.write(text)

    def row(
        self, step: int, total: int | None, values: Mapping[str, float], seconds_left: float | None = None
    ) -> None:
        """Show this row if it is time to: `step` of `total` (None: open end), values by their names in the history."""
        now = self._clock()
        self._state.update(now, step, total, values, seconds_left)
        if now - self._shown >= self._view.interval:
            self._shown = now
            self._show()

    def finish(self, summary: Summary) -> None:
        """Show the last row, then errors, time, reason, verdict, where the results lie and what to type next."""
        if self._state.values:
            self._show()
        self._view.close()
        width = max(len(label) for label, _ in summary.lines())
        self._view.write("\n".join(f"{label:<{width}}  {text}" for label, text in summary.lines()))

    def _show(self) -> None:
        self._state.remember()
        self._view.show(self._state)


def _in_notebook(terminal: rich.console.Console) -> bool:
    """Whether this is the output of a Jupyter notebook that can show a live picture; without ipywidgets it cannot."""
    return terminal.is_jupyter and terminal.file is sys.stdout and find_spec("ipywidgets") is not None


class Lines:
    """Plain lines, flushed one by one. A reader that goes away (``| head``), or a full disk, does not stop the run."""

    interval = LINE_INTERVAL

    def __init__(self, stream: IO[str], prefix: str = ""):
        self.stream, self.prefix, self.last = stream, prefix, ""

    def show(self, state: State) -> None:
        """One line, unless nothing has changed since the one before."""
        head = f"step {state.step}" + (f"/{state.total}" if state.total is not None else "")
        speed = f"{rate(state.rate)} it/s" if state.rate else ""
        eta = f"eta {duration(state.eta)}" if state.eta is not None else ""
        line = "  ".join(part for part in [head, *losses(state.values), *errors(state.values), speed, eta] if part)
        if head != self.last:
            self.write(line)
        self.last = head

    def write(self, text: str) -> None:
        """Print, each line with the prefix."""
        try:
            for line in text.split("\n"):
                print(self.prefix + line, file=self.stream, flush=True)
        except BrokenPipeError:
            self.write = lambda text: None  # type: ignore[method-assign]
        except OSError:
            pass  # a log on a full disk has gaps; the results file is what says so, and ends the run if it must

    def close(self) -> None:
        """Nothing is left open."""


class Picture:
    """A progress bar over a table of losses, their weights, and errors against the reference."""

    interval = LIVE_INTERVAL

    def __init__(self, terminal: rich.console.Console):
        self.terminal = terminal
        self.live: Live | None = None

    def show(self, state: State) -> None:
        """Draw the present state in place of the one before."""
        with suppress(OSError):  # a terminal that is gone; the run goes on
            if self.live is None:
                self.live = Live(console=self.terminal, auto_refresh=False)
                self.live.start()
            self.live.update(picture(state), refresh=True)

    def write(self, text: str) -> None:
        """Print above the picture, or below it once it is closed."""
        with suppress(OSError):
            self.terminal.print(text, markup=False, soft_wrap=True)

    def close(self) -> None:
        """Leave the last picture standing and give the cursor back."""
        live, self.live = self.live, None
        if live is not None:
            with suppress(OSError):
                live.stop()


def picture(state: State) -> Group:
    """The bar and the table as something rich can draw."""
    bar = Progress(TextColumn("[bold]{task.description}"), BarColumn(), TextColumn("{task.fields[speed]}"))
    steps = f"step {state.step:,}" + (f" / {state.total:,}" if state.total is not None else "")
    eta = f"   eta {duration(state.eta)}" if state.eta is not None else ""
    speed = f"{rate(state.rate)} steps/s" if state.rate else ""
    bar.add_task(steps, total=state.total, completed=state.step, speed=speed + eta)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading, justify in (("", "left"), ("value", "right"), ("weight", "right"), ("trend", "left")):
        table.add_column(heading, justify=justify, header_style="dim", no_wrap=True)  # type: ignore[arg-type]
    for name, value in state.values.items():
        kind, _, label = name.partition("/")
        if kind in ("loss", "error"):
            style = "bold cyan" if kind == "error" else "bold" if label == "total" else ""
            weight = state.values.get(f"weight/{label}") if kind == "loss" else None
            title = f"relative L2 error, {label}" if kind == "error" else "loss" if label == "total" else f"  {label}"
            bars = Text(trend(state.trends.get(name, []), TREND), "dim")
            table.add_row(title, scientific(value), "" if weight is None else f"{weight:.3g}", bars, style=style)
    return Group(bar, table)


def losses(values: Mapping[str, float]) -> list[str]:
    """``loss 1.23e-04``, then each constraint: ``pde 9.1e-05``."""
    total = [f"loss {scientific(values['loss/total'])}"] if "loss/total" in values else []
    parts = {name[5:]: value for name, value in values.items() if name.startswith("loss/") and name != "loss/total"}
    return total + [f"{name} {scientific(value, 2)}" for name, value in parts.items()]


def errors(values: Mapping[str, float]) -> list[str]:
    """``rel_l2 4.5e-03`` for one field, ``rel_l2/u 4.5e-03`` for each of several."""
    parts = {name[6:]: value for name, value in values.items() if name.startswith("error/")}
    return [f"rel_l2{f'/{name}' if len(parts) > 1 else ''} {scientific(value, 2)}" for name, value in parts.items()]
