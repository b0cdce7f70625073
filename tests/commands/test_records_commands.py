"""`pinn show`, `plot`, `compare` and `list runs`: from files alone, without torch, without building anything."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pinn_cli.cli import main
from tests.conftest import ROOT
from tests.run_files import write_run


@pytest.fixture(autouse=True)
def outputs(here: Path) -> None:
    write_run(Path("outputs/helmholtz/one-ab12"), started="2026-01-01T10:00:00")
    write_run(Path("outputs/helmholtz/two-cd34"), started="2026-01-02T10:00:00", weighting="lr_annealing", seed=1)


def test_show_puts_a_run_on_a_page(capsys) -> None:
    assert main(["show", "ab"]) == 0
    page = capsys.readouterr().out
    for part in ("outputs/helmholtz/one-ab12", "finished", "5900 steps in 0:32", "u 1.00e-04", "sound", "weight 296.7"):
        assert part in page


def test_show_json_is_json(capsys) -> None:
    assert main(["show", "latest", "--json"]) == 0
    found = json.loads(capsys.readouterr().out, parse_constant=lambda constant: pytest.fail(f"{constant} is no JSON"))
    assert found["summary"]["errors"] == {"u": 1e-4}
    assert found["settings"]["seed"] == 1
    assert main(["show", "--config"]) == 0
    assert "lr_annealing" in capsys.readouterr().out


def test_compare_shows_what_differs(capsys) -> None:
    assert main(["compare", "helmholtz"]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["run", "weighting", "seed", "error", "u", "time", "steps", "status"]
    assert rows[0].split() == ["one-ab12", "fixed", "0", "1.00e-04", "0:32", "5900", "finished"]
    assert rows[1].split()[1:3] == ["lr_annealing", "1"]


def test_compare_writes_markdown_and_json(capsys) -> None:
    assert main(["compare", "ab", "cd", "--md"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "| --- | --- | --- | ---: | ---: | ---: | --- |"
    assert all(line.count("|") == 8 for line in lines)
    assert main(["compare", "ab", "cd", "--json"]) == 0
    runs = json.loads(capsys.readouterr().out)["runs"]
    assert [run["settings"] for run in runs] == [
        {"weighting": "fixed", "seed": 0}, {"weighting": "lr_annealing", "seed": 1}]


def test_plot_draws_what_is_asked_for(capsys) -> None:
    assert main(["plot", "ab", "cd", "--only", "losses", "--resolution", "50"]) == 0
    paths = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert [path.name for path in paths] == ["losses.png", "losses.png"]
    assert all(path.is_file() for path in paths)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["show", "zz"], "there is no run `zz`"),
        (["plot", "--only", "loses"], "did you mean `losses`"),
        (["plot", "ab", "cd", "--out", "figures"], "--out takes one run"),
        (["compare", "ab", "zz"], "there is no run `zz`"),
    ],
)
def test_a_wrong_word_of_a_reading_command_gets_one_line(words: list[str], message: str, one_line) -> None:
    assert main(words) == 2
    assert message in one_line()


@pytest.mark.parametrize("command", ["show", "plot", "compare"])
def test_a_damaged_file_gets_one_line_and_exit_code_2(command: str, one_line) -> None:
    file = Path("outputs/helmholtz/one-ab12/results.h5")
    file.write_bytes(file.read_bytes()[:5000])
    assert main([command, "outputs/helmholtz/one-ab12"]) == 2
    assert "damaged" in one_line()


READING = """
import sys
from pinn_cli import cli
for words in ("show ab", "compare helmholtz", "list runs", "plot ab"):
    assert cli.main(words.split()) == 0
    print("that was", words)
    assert not {"torch", "matplotlib.pyplot"} & set(sys.modules), words
"""


def test_reading_commands_import_neither_torch_nor_pyplot() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.run([sys.executable, "-c", READING], capture_output=True, text=True, env=environment)
    assert (run.returncode, run.stderr) == (0, "")
    *said, rest = re.split("^that was .*\n", run.stdout, flags=re.MULTILINE)
    assert (len(said), all(said), rest) == (4, True, "")
