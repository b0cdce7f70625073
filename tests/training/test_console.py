"""What a person sees: plain lines into a pipe, a bar and a table on a terminal."""

import io
import os
import pty
import re
import subprocess
import sys

import pytest
import rich.console
from hypothesis import given
from hypothesis import strategies as st

from pinn_cli.basics import pace
from pinn_cli.basics.text import duration, rate, trend
from pinn_cli.training.console import Console, State, Summary, parts, picture
from tests.conftest import ROOT

ROW = {"step": 1, "loss/total": 1.23e-4, "loss/pde": 9.1e-5, "loss/wall": 3.2e-5, "weight/pde": 1.0, "error/u": 4.5e-3}


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def summary() -> Summary:
    return Summary("finished", "no progress", 500, 66.0, "outputs/a/results.h5", {"u": 3e-6}, {"pde": 1e-4},
                   "sound", ["outputs/a/figures/solution.png"], "pinn compare a b")


def test_a_line_is_exactly_as_promised() -> None:
    clock, stream = Clock(), io.StringIO()
    console = Console(stream=stream, clock=clock)
    console.row(8256, 40000, ROW)
    clock.now = 12.0
    console.row(12000, 40000, ROW, seconds_left=26.0)
    expected = "step 12000/40000  loss 1.23e-04  pde 9.1e-05  wall 3.2e-05  rel_l2 4.5e-03  312 it/s  eta 0:26"
    assert stream.getvalue().splitlines()[1] == expected


def test_lines_come_every_few_seconds_and_the_first_and_last_always() -> None:
    clock, stream = Clock(), io.StringIO()
    with Console(stream=stream, clock=clock) as console:
        for step in range(1, 102):
            clock.now = step * 0.125
            console.row(step, None, ROW)
        console.finish(summary())
    steps = [int(found) for found in re.findall(r"^step (\d+) ", stream.getvalue(), re.MULTILINE)]
    assert steps == [1, 25, 49, 73, 97, 101]


def test_errors_of_several_fields_have_names_and_stay_between_measurements() -> None:
    clock, stream = Clock(), io.StringIO()
    console = Console(stream=stream, clock=clock)
    console.row(1, 10, {"loss/total": 1.0, "error/u": 0.5, "error/p": 0.25})
    clock.now = 10.0
    console.row(2, 10, {"loss/total": 1.0, "error/u": float("nan")})
    assert stream.getvalue().splitlines()[1].startswith("step 2/10  loss 1.00e+00  rel_l2/u 5.0e-01  rel_l2/p 2.5e-01")


def test_the_summary_says_all_there_is_to_know() -> None:
    stream = io.StringIO()
    Console(stream=stream).finish(summary())
    text = stream.getvalue()
    for part in ("finished", "after 500 steps in 1:06: no progress", "u 3.00e-06", "sound", "results.h5"):
        assert part in text
    assert text.splitlines()[-2:] == ["figure    outputs/a/figures/solution.png", "next      pinn compare a b"]
    assert "held out" not in text


def test_without_a_reference_the_summary_shows_held_out_residuals() -> None:
    stream, end = io.StringIO(), summary()
    end.errors = {}
    Console(stream=stream).finish(end)
    assert re.search(r"held out +pde 1\.00e-04 of the largest term", stream.getvalue())


def test_metrics_of_the_problem_stand_five_in_a_line() -> None:
    stream, end = io.StringIO(), summary()
    end.metrics = {f"m{k}": 10.0**-k for k in range(7)}
    Console(stream=stream).finish(end)
    lines = [line for line in stream.getvalue().splitlines() if line.startswith("metric")]
    assert [len(re.findall(r"m\d 1\.00e", line)) for line in lines] == [5, 2]


def test_a_reader_that_goes_away_does_not_stop_the_run() -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    console = Console(stream=Closed())
    console.plan("nobody reads this")
    console.row(1, 10, ROW)
    console.finish(summary())


SCRIPT = """
import time
from pinn_cli.training.console import Console, Summary
with Console() as console:
    console.plan("the plan")
    for step in range(1, 31):
        loss = 1 / step
        console.row(step, 100, {"loss/total": loss, "loss/pde": loss, "weight/pde": 100.0, "error/u": 0.1 * loss})
        time.sleep(0.02)
    console.finish(Summary("finished", "no progress", 30, 0.6, "results.h5", {"u": 0.1}))
"""


@pytest.mark.slow  # the lines above are plain
def test_a_pipe_gets_only_plain_characters() -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    run = subprocess.run([sys.executable, "-c", SCRIPT], cwd=ROOT, capture_output=True, env=environment, check=True)
    assert b"\x1b" not in run.stdout
    assert run.stdout.splitlines()[1].startswith(b"step 1/100  loss 1.00e+00")
    assert run.stderr == b""


def test_a_terminal_gets_a_bar_and_a_table() -> None:
    parent, child = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30"}
    process = subprocess.Popen([sys.executable, "-c", SCRIPT], cwd=ROOT, stdout=child, stderr=child, env=environment)
    os.close(child)
    output = b""
    while True:
        try:
            block = os.read(parent, 4096)
        except OSError:  # the other end has closed
            break
        if not block:
            break
        output += block
    os.close(parent)
    assert process.wait() == 0
    text = output.decode()
    for part in ("the plan", "step 30 / 100", "━", "weight", "trend", "relative L2 error, u", "finished"):
        assert part in text
    assert text.rstrip().endswith("results.h5")
    assert text.count("\x1b[?25h") >= 1  # the cursor is given back


@pytest.mark.parametrize("total", [None, 100])
@pytest.mark.parametrize("width", [30, 60, 120])
def test_the_picture_fits_any_terminal(total: int | None, width: int) -> None:
    state = State()
    for step in range(1, 50):
        state.update(float(step), step, total, {**ROW, "loss/pde": 1 / step}, None)
        state.remember()
    stream = io.StringIO()
    rich.console.Console(file=stream, width=width).print(picture(state))
    assert max(len(line) for line in stream.getvalue().splitlines()) <= width


def test_the_rate_is_that_of_the_last_moments() -> None:
    state = State()
    for second in range(100):
        state.update(float(second), second * (1 if second < 50 else 10), 2000, ROW, None)
    assert state.rate == pytest.approx(10.0)
    assert state.eta == pytest.approx(101.0)
    state.update(100.0, 1000, None, ROW, 5.0)
    assert state.eta == 5.0


def test_memory_of_a_long_run_stays_bounded() -> None:
    state = State()
    for step in range(5000):
        state.update(float(step), step, None, ROW, None)
        state.remember()
    assert max(len(values) for values in state.trends.values()) < 1000


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0:00"), (26, "0:26"), (725, "12:05"), (11261, "3:07:41")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_rates() -> None:
    assert [rate(value) for value in (312.4, 3.14, 0.0213)] == ["312", "3.1", "0.021"]


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=60))
def test_a_trend_takes_any_values(values: list[float]) -> None:
    assert len(trend(values, 24)) == min(24, len(values))


@pytest.mark.parametrize(
    ("times", "steps", "rate", "left"),
    [
        ([], [], None, 7.0),
        ([1.0], [5], None, 7.0),
        ([0.0, 50.0, 60.0, 70.0], [0, 10, 20, 40], 1.5, 4.0),  # the last 20 seconds
        ([0.0, 100.0], [0, 50], 0.5, 7.0),  # at least two rows
        ([0.0, 1.0], [5, 5], None, 7.0),
    ],
)
def test_the_pace_is_that_of_the_recent_rows(times, steps, rate, left) -> None:
    assert pace.steps_per_second(times, steps) == rate
    assert pace.seconds_left(6, 7.0, rate) == left
    assert pace.seconds_left(None, None, rate) is None
    assert pace.seconds_left(-1, None, 1.0) == 0.0


def test_unknown_coefficients_are_in_the_lines_and_in_the_picture() -> None:
    values = {**ROW, "unknown/nu": 0.298812}
    stream = io.StringIO()
    Console(stream=stream).row(1, 10, values)
    assert "wall 3.2e-05  nu 0.29881  rel_l2 4.5e-03" in stream.getvalue()
    state = State()
    state.update(0.0, 1, 10, values, None)
    drawn = io.StringIO()
    rich.console.Console(file=drawn, width=80).print(picture(state))
    assert re.search(r"nu +0\.298812", drawn.getvalue())


def test_the_log_shows_what_the_screen_shows(tmp_path) -> None:
    stream = io.StringIO()
    with Console(stream=stream, log=tmp_path / "run.log") as console:
        console.plan("the plan")
        console.row(1, 10, ROW)
        console.finish(summary())
    log = (tmp_path / "run.log").read_text()
    assert stream.getvalue() == log
    with Console(stream=stream, log=tmp_path / "missing" / "run.log") as console:
        console.plan("a run without a log")


def test_an_estimated_error_that_is_not_to_be_trusted_is_followed_by_a_question_mark() -> None:
    row = {"error/u": 1e-3, "estimated_error/u": 2e-3, "estimate/explained": 0.9, "estimate/trusted": 1.0}
    assert parts(row) == ["rel_l2 1.0e-03", "estimated 2e-03"]
    assert parts(row | {"estimated_error/p": 1e-4, "estimate/trusted": 0.0})[1:] == [
        "estimated/u 2e-03?", "estimated/p 1e-04?"
    ]  # fmt: skip
