"""What a run shows while it trains and at its end, on the screen and in its run.log.

On a terminal it is one progress bar over a small live table. Elsewhere (a pipe, a batch system's log, a worker of a
sweep) it is one flushed line every few seconds, easy to search,

    step 12000/40000  loss 1.23e-04  pde 9.1e-05  wall 3.2e-05  rel_l2 4.5e-03  312 it/s  eta 0:26

Values have their names in the history (``loss/pde``, ``weight/pde``, ``error/u``); a value that a row lacks stays.
"""

import math
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import IO, Protocol

import rich.console
from rich import box
from rich.console import Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from pinn_cli.basics import pace, streams
from pinn_cli.basics.text import duration, page, rate, scientific, trend
from pinn_cli.training.uncertainty import Uncertainty

LINE_INTERVAL = 3.0  # seconds between two lines of a log
LIVE_INTERVAL = 0.2  # seconds between two pictures of the live table
METRICS = 5  # of the problem on one line
TREND = 24  # bars in a trend
TITLES = {  # of the rows of the live table by kind, and their style
    "loss": ("  ", ""), "error": ("relative L2 error, ", "bold cyan"), "estimated_error": ("estimated error, ", "cyan"),
}  # fmt: skip


@dataclass
class Summary:
    """The end of a run. `seconds` is its duration, without the phases in `apart`; `held_out` are relative residuals.

    `extrapolated` tells which part of the time has not been trained, and counts in the errors; "": none. `instances`
    tells by field of which instances of a family its error is the mean; {}: errors are those of one problem.
    """

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
    uncertainty: Uncertainty = field(default_factory=Uncertainty)  # of the unknowns
    metrics: Mapping[str, float] = field(default_factory=dict)
    apart: Mapping[str, float] = field(default_factory=dict)  # seconds of set-up and compilation, by phase
    estimated: Sequence[str] = ()  # lines on the estimated errors
    extrapolated: str = ""
    instances: Mapping[str, str] = field(default_factory=dict)

    def lines(self) -> list[tuple[str, str]]:
        """Pairs of a label and a text, in the order in which they are shown."""
        head = (self.status, f"after {self.steps} steps in {duration(self.seconds)}: {self.reason}")
        errors = [("error", f"{name} {scientific(value)} ({self._kind(name)})") for name, value in self.errors.items()]
        held_out = [("held out", f"{name} {scientific(v)} of the largest term") for name, v in self.held_out.items()]
        known = {name: self.uncertainty.shown(name) for name in self.uncertainty.names}
        unknowns = [("unknown", known.get(name, f"{name} {value:.6g}")) for name, value in self.unknowns.items()]
        sought = unknowns or self.uncertainty.fields
        unknowns += [("", line) for line in self.uncertainty.lines()] if sought else []
        metrics = [f"{name} {scientific(value)}" for name, value in self.metrics.items()]
        shown = [("metric", "  ".join(metrics[k : k + METRICS])) for k in range(0, len(metrics), METRICS)]
        files = [("results", self.results), *(("figure", path) for path in self.figures)]
        rest = [("guard", self.verdict), *files, ("next", self.next)]
        apart = ", ".join(f"{phase} {duration(seconds)}" for phase, seconds in self.apart.items())
        rest = [("before", apart), *rest]
        estimated = [("", line) for line in self.estimated]
        return [head, *(errors or held_out), *estimated, *shown, *unknowns, *(pair for pair in rest if pair[1])]

    def _kind(self, name: str) -> str:
        """What an error is: of which instances, and whether it counts a time that has not been trained."""
        return "; ".join(filter(None, ["relative L2", self.instances.get(name, ""), self.extrapolated]))


class View(Protocol):
    """A way to show a run: lines or a live picture."""

    interval: float  # seconds between two pictures or lines
    width: int | None  # columns; None: no limit

    def show(self, state: "State") -> None:
        """Show the present state."""

    def write(self, text: str) -> None:
        """Show a text of one or more lines."""

    def close(self) -> None:
        """Restore the terminal."""


class State:
    """The latest values, the rate of steps, and the past of each value."""

    def __init__(self) -> None:
        self.step = 0
        self.total: int | None = None
        self.seconds_left: float | None = None
        self.values: dict[str, float] = {}
        self.trends: dict[str, list[float]] = {}
        self._times: list[float] = []  # of the recent rows, and their steps
        self._steps: list[int] = []

    def update(self, now: float, step: int, total: int | None, values: Mapping[str, float], left: float | None) -> None:
        """Add a row at time `now` (s); `left` (s) remains until a limit on time."""
        self.step, self.total, self.seconds_left = step, total, left
        for name, value in values.items():
            if not (name.startswith("error/") and math.isnan(value)):  # errors are measured now and then
                self.values[name] = value
        self._times.append(now)
        self._steps.append(step)
        first = pace.recent(self._times)
        del self._times[:first], self._steps[:first]

    def remember(self) -> None:
        """Add the present values to the trends; old values are thinned out, so that memory stays bounded."""
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

    Everything goes to `stream` (a terminal or a notebook gets the live table) and as plain lines to the file `log`; if
    it is not `shown`, to the file alone.
    """

    def __init__(
        self,
        stream: IO[str] | None = None,
        log: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
        shown: bool = True,
    ):
        streams.prepare()  # a run may be started from Python as well
        stream = stream or sys.stdout
        terminal = rich.console.Console(file=stream, highlight=False)
        live = _in_notebook(terminal) or (stream.isatty() and not terminal.is_dumb_terminal)
        self._views: list[View] = ([Picture(terminal)] if live else [Lines(stream)]) if shown else []
        self._log = None if log is None else _opened(log)
        if self._log is not None:
            self._views.append(Lines(self._log))
        self._state, self._clock, self._shown = State(), clock, [-math.inf] * len(self._views)

    def __enter__(self) -> "Console":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for view in self._views:
            view.close()
        if self._log is not None:
            with suppress(OSError):  # on a full disk
                self._log.close()

    def plan(self, text: str) -> None:
        """Show the plan, or any notice of one or more lines."""
        for view in self._views:
            view.write(text)

    def row(self, step: int, total: int | None, values: Mapping[str, float], seconds_left: float | None = None) -> None:
        """Show this row if it is time to: `step` of `total` (None: open end), values by their names in the history."""
        now = self._clock()
        self._state.update(now, step, total, values, seconds_left)
        for k, view in enumerate(self._views):
            if now - self._shown[k] >= view.interval:
                self._shown[k] = now
                view.show(self._state)

    def finish(self, summary: Summary) -> None:
        """Show the last row, then errors, duration, reason, verdict, the results file and the next command."""
        for view in self._views:
            if self._state.values:
                view.show(self._state)
            view.close()
            view.write(page(summary.lines(), view.width))


def _opened(log: Path) -> IO[str]:
    """The log, to append to; nothing is kept if it cannot be opened, since the screen shows the same."""
    try:
        return open(log, "a", encoding="utf-8")
    except OSError:
        return open(os.devnull, "a", encoding="utf-8")


def _in_notebook(terminal: rich.console.Console) -> bool:
    """Whether this is the output of a Jupyter notebook that can show a live picture; without ipywidgets it cannot."""
    return terminal.is_jupyter and terminal.file is sys.stdout and find_spec("ipywidgets") is not None


class Lines:
    """Plain lines, flushed one by one. A closed pipe (``| head``) or a full disk does not stop the run."""

    interval = LINE_INTERVAL
    width: int | None = None

    def __init__(self, stream: IO[str]):
        self.stream, self.last = stream, ""

    def show(self, state: State) -> None:
        """One line, unless the step is that of the line before."""
        head = f"step {state.step}" + (f"/{state.total}" if state.total is not None else "")
        speed = f"{rate(state.rate)} it/s" if state.rate else ""
        eta = f"eta {duration(state.eta)}" if state.eta is not None else ""
        line = "  ".join(part for part in [head, *parts(state.values), speed, eta] if part)
        if head != self.last:
            self.write(line)
        self.last = head

    def write(self, text: str) -> None:
        """Print, and flush each line."""
        try:
            for line in text.split("\n"):
                print(line, file=self.stream, flush=True)
        except BrokenPipeError:
            self.write = lambda text: None  # type: ignore[method-assign]
        except OSError:
            pass  # a log on a full disk has gaps; the results file reports the full disk

    def close(self) -> None:
        """Lines leave nothing open."""


class Picture:
    """A progress bar over a table of losses, their weights, and errors against the reference."""

    interval = LIVE_INTERVAL

    def __init__(self, terminal: rich.console.Console):
        self.terminal = terminal
        self.width: int | None = terminal.width
        self.live: Live | None = None

    def show(self, state: State) -> None:
        """Draw the present state over the one before."""
        with suppress(OSError):  # the terminal is gone; the run continues
            if self.live is None:
                self.live = Live(console=self.terminal, auto_refresh=False)
                self.live.start()
            state.remember()
            self.live.update(picture(state), refresh=True)

    def write(self, text: str) -> None:
        """Print above the picture, or below it after it is closed."""
        with suppress(OSError):
            self.terminal.print(text, markup=False, soft_wrap=True)

    def close(self) -> None:
        """Keep the last picture and show the cursor again."""
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
        if kind in TITLES:
            style = "bold" if label == "total" else TITLES[kind][1]
            weight = state.values.get(f"weight/{label}") if kind == "loss" else None
            title = "loss" if label == "total" else f"{TITLES[kind][0]}{label}"
            bars = Text(trend(state.trends.get(name, []), TREND), "dim")
            doubt = _doubt(state.values) if kind == "estimated_error" else ""
            shown = "" if weight is None else f"{weight:.3g}"
            table.add_row(title, scientific(value) + doubt, shown, bars, style=style)
        elif kind == "unknown":
            table.add_row(label, f"{value:.6g}", "", "", style="bold green")
    return Group(bar, table)


def parts(values: Mapping[str, float]) -> list[str]:
    """``loss 1.23e-04``, each constraint ``pde 9.1e-05``, each unknown ``nu 0.29881``, ``rel_l2 4.5e-03``.

    With several fields the errors are ``rel_l2/u 4.5e-03``. Estimated errors follow, ``estimated 4e-03``, or
    ``estimated 4e-03?`` where they are not to be trusted.
    """
    by_kind: dict[str, dict[str, float]] = {"loss": {}, "unknown": {}, "error": {}, "estimated_error": {}}
    for name, value in values.items():
        kind, _, label = name.partition("/")
        by_kind.setdefault(kind, {})[label] = value
    loss, errors = by_kind["loss"], by_kind["error"]
    total = [f"loss {scientific(loss.pop('total'))}"] if "total" in loss else []
    losses = [f"{name} {scientific(value, 2)}" for name, value in loss.items()]
    unknowns = [f"{name} {value:.5g}" for name, value in by_kind["unknown"].items()]
    named = [f"rel_l2{_label(name, errors)} {scientific(v, 2)}" for name, v in errors.items()]
    estimated, doubt = by_kind["estimated_error"], _doubt(values)
    guessed = [f"estimated{_label(name, estimated)} {scientific(v, 1)}{doubt}" for name, v in estimated.items()]
    return [*total, *losses, *unknowns, *named, *guessed]


def _label(name: str, errors: Mapping[str, float]) -> str:
    return f"/{name}" if len(errors) > 1 else ""


def _doubt(values: Mapping[str, float]) -> str:
    """A ? after an estimated error that is rough, a lower bound or no guide."""
    return "" if values.get("estimate/trusted") else "?"
