"""Tables and pages for the width at hand: nothing breaks inside a word, and narrow tables stay tables."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from pinn_cli.basics.text import page, wrap
from pinn_cli.reports import tables
from tests.conftest import ROOT
from tests.run_files import write_run

ROWS = [
    ["run", "settings", "error u", "steps", "note"],
    ["sweep-ab12/0", "weighting=lr_annealing seed=0", "1.23e-04", "5900", ""],
    ["sweep-ab12/10", "weighting=fixed seed=0 problem.rho=10", "4.56e-02", "12", "stopped by a signal at step 12"],
]
NUMERIC = (2, 3)


def test_a_table_that_fits_is_not_changed_by_the_width():
    assert tables.text(ROWS, NUMERIC, width=200) == tables.text(ROWS, NUMERIC)
    assert len(tables.text(ROWS, NUMERIC).splitlines()) == 3


@pytest.mark.parametrize("width", [60, 72, 80, 100])
def test_a_wide_table_wraps_its_text_at_words(width: int):
    text = tables.text(ROWS, NUMERIC, width=width)
    assert max(map(len, text.splitlines())) <= width
    assert set(text.split()) == set(tables.text(ROWS, NUMERIC).split())
    lines = text.splitlines()
    ends = [line.index(cell) + len(cell) for line, cell in ((lines[0], "steps"), (text.splitlines()[1], "5900"))]
    assert ends[0] == ends[1] or width < 72  # numbers stay in one column, aligned to the right


def test_a_table_too_wide_for_that_continues_below_beside_its_first_column():
    rows = [["run", *(f"quantity_{k}" for k in range(12))], ["one", *(f"{k}.5" for k in range(12))]]
    text = tables.text(rows, range(1, 13), {(1, 12)}, width=80)
    blocks = [block.splitlines() for block in text.split("\n\n")]
    assert len(blocks) == 2
    assert all(block[0].startswith("run ") and block[1].startswith("one ") for block in blocks)
    assert " ".join(block[0] for block in blocks).split().count("quantity_7") == 1
    assert blocks[1][1].endswith(f"{tables.ON}       11.5{tables.OFF}")
    assert max(len(line.replace(tables.ON, "").replace(tables.OFF, "")) for block in blocks for line in block) <= 80


def test_only_a_word_longer_than_the_width_goes_beyond_it():
    long = "x" * 100
    assert long in tables.text([["a", "b"], [long, "two words"]], (), width=80)


def test_text_breaks_at_double_spaces_first():
    assert wrap("error 1e-3  steps 100  time 0:10", 22) == ["error 1e-3  steps 100", "time 0:10"]
    assert wrap("one two three four", 9) == ["one two", "three", "four"]
    assert wrap("one two", None) == ["one two"]
    assert wrap("from [1, 2] to", 4) == ["from", "[1, 2]", "to"]
    assert page([("stop", "steps=100  seconds=20"), ("", "more")], 20) == (
        "stop     steps=100\n         seconds=20\n         more"
    )
    assert tables.below(["[1] a reason of many words"], 16) == ["[1] a reason\n    of many\n    words"]


@pytest.mark.parametrize("columns", [80, pytest.param(160, marks=pytest.mark.slow)])
def test_commands_fit_the_terminal(here: Path, columns: int):
    """`pinn list`, `show` and `compare` in a terminal of this width, with the longest names that runs usually have."""
    for seed in range(2):
        write_run(Path(f"outputs/gray_scott/2026-01-01_10-00-0{seed}-ab1{seed}"), seed=seed, fields=("u", "v"),
                  weighting=("fixed", "lr_annealing")[seed])  # fmt: skip
    for words in ("list runs", "list", "list weightings", "list problems", "show latest", "compare gray_scott"):
        lines = in_terminal(words.split(), columns)
        table = [line for line in lines if "/" not in line.split("  ")[-1]]  # paths may be longer than the terminal
        assert lines
        assert max(map(len, table)) <= columns, f"pinn {words}: {max(table, key=len)}"


def in_terminal(words: list[str], columns: int) -> list[str]:
    """The lines that a command prints on a terminal of this width."""
    reader, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    code = f"import sys; from pinn_cli import cli; sys.exit(cli.main({words!r}))"
    environment = {key: value for key, value in os.environ.items() if key != "COLUMNS"} | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, "-c", code], stdout=terminal, stderr=terminal, env=environment)
    os.close(terminal)
    said = b""
    try:
        while part := os.read(reader, 65536):
            said += part
    except OSError:  # the terminal is closed
        pass
    os.close(reader)
    assert process.wait() == 0, said.decode()
    return said.decode().replace(tables.ON, "").replace(tables.OFF, "").replace("\r", "").splitlines()
