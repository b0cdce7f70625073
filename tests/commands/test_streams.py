"""Output to terminals of other encodings, to closed streams, and folders with unusual names: no run is lost."""

import io
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pinn_cli import cli
from pinn_cli.training.console import Console
from tests.conftest import TINY, each
from tests.sweep_files import write_sweep

RUN = [*TINY, "recipe=adam", "stop.steps=1"]
FOLDER = "läufe/a b=c,d%"


class Terminal(io.TextIOWrapper):
    """A standard output of an encoding that does not have every character."""

    def isatty(self) -> bool:
        return True

    def text(self) -> str:
        self.flush()
        assert isinstance(self.buffer, io.BytesIO)
        return self.buffer.getvalue().decode(self.encoding)


@pytest.fixture(params=each(["ascii", "latin-1"], ["ascii"]))
def terminal(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Terminal]:
    """Makes standard output, and standard error, such a terminal, or a pipe of the same encoding."""
    def make() -> Terminal:
        stream = Terminal(io.BytesIO(), encoding=request.param)
        for name in ("stdout", "stderr"):
            monkeypatch.setattr(sys, name, stream)
        monkeypatch.setenv("TERM", "xterm")
        return stream

    return make


def test_a_run_is_trained_and_shown_in_a_terminal_without_unicode(terminal, here) -> None:
    stream = terminal()
    assert cli.main(["train", *RUN, f'folder="{FOLDER}"']) == 0
    assert "results" in stream.text()
    assert Path(FOLDER, "results.h5").is_file()
    for words in (["show", FOLDER], ["compare", FOLDER], ["diff", FOLDER, FOLDER], ["list", "runs"], ["check", *TINY]):
        assert cli.main(words) == 0, words


def test_tables_with_dashes_are_printed_in_a_terminal_without_unicode(terminal, here) -> None:
    write_sweep()
    stream = terminal()
    for words in (["compare", "ab"], ["compare", "ab", "--md"], ["status", "ab"], ["list", "problems"]):
        assert cli.main(words) == 0, words
    assert cli.main(["compare", "é"]) == cli.USAGE
    assert "lr_annealing" in stream.text()


def test_a_live_table_is_drawn_in_a_terminal_without_unicode(terminal) -> None:
    stream = terminal()
    with Console() as console:
        console.plan("ν = 0.1")
        for step in range(3):
            console.row(step, 3, {"loss/total": 10.0**-step, "error/u": 0.5})
    assert "? = 0.1" in stream.text()
    assert "loss" in stream.text()


@pytest.mark.parametrize("folder", each(["läufe", "a=b,c", "it's 50%"], ["it's 50%"]))
def test_a_sweep_lies_in_a_folder_of_any_name(folder: str, here) -> None:
    assert cli.main(["train", "-m", *RUN, "seed=0,1", f'folder="{folder}"']) == 0
    for words in (["status", folder], ["compare", folder], ["resume", folder], ["diff", f"{folder}/0", f"{folder}/1"]):
        assert cli.main(words) == 0, words
    assert Path(folder, "1", "results.h5").is_file()


def test_the_next_command_can_be_typed_for_a_folder_of_any_name(here, capsys) -> None:
    assert cli.main(["train", *RUN, "folder='a b'"]) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.endswith("pinn show 'a b'")
    assert cli.main(shlex.split(line)[2:]) == 0


def test_a_word_that_python_could_not_decode_gets_one_line(here, one_line) -> None:
    assert cli.main(["train", *RUN, "folder=l\udcc3\udca4ufe"]) == cli.USAGE
    assert "type export PYTHONUTF8=1" in one_line()


def test_closed_streams_stop_nothing(here, monkeypatch) -> None:
    for name in ("stdout", "stderr", "stdin"):
        monkeypatch.setattr(sys, name, None)
    assert cli.main(["train", *RUN, "folder=a"]) == 0
    assert cli.main(["list", "problems"]) == 0
    assert cli.main(["show", "zz"]) == cli.USAGE
    assert Path("a/results.h5").is_file()
    for stream in (sys.stdout, sys.stderr):
        stream.close()


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb"), ("COLUMNS", "20"), ("HOME", None)])
def test_settings_of_the_terminal_stop_nothing(name: str, value: str | None, here, monkeypatch, capsys) -> None:
    write_sweep()
    monkeypatch.delenv(name, raising=False)
    if value is not None:
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    for words in (["check", *TINY], ["compare", "ab"], ["status", "ab"], ["show", "ab/0"], ["list", "recipes"]):
        assert cli.main(words) == 0, words


def test_a_folder_for_compiled_code_that_cannot_be_made_gets_one_line(here, monkeypatch, one_line) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "/proc/nope")
    assert cli.main(["train", *RUN]) == cli.USAGE
    assert "type unset TORCHINDUCTOR_CACHE_DIR" in one_line()
    assert not list(here.iterdir())
