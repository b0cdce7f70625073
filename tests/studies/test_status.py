"""`pinn status`: the state of every run of a sweep, read from its folder."""

import json
import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pinn_cli.cli import main
from pinn_cli.records.results import Results
from pinn_cli.studies import status as states
from pinn_cli.studies import status_view
from pinn_cli.studies.sweep import Sweep
from tests.conftest import ROOT
from tests.sweep_files import FOLDER, REASON, hold, set_status, write_sweep


@pytest.fixture(autouse=True)
def sweep(here: Path) -> Sweep:
    """Runs 0 to 5: finished, running, failed, stopped, killed, queued; 6 to 8 are refused."""
    written = write_sweep()
    hold(FOLDER)
    hold(FOLDER / "1")
    set_status(1, status="running")
    Results(FOLDER / "1/results.h5").replace({"config": "stop: {steps: 9900, seconds: null}"})
    set_status(2, status="failed", reason="the loss is not finite after step 5900")
    set_status(3, status="stopped", reason="interrupted (SIGTERM)")
    set_status(4, status="running")
    shutil.rmtree(FOLDER / "5")
    return written


def test_every_state_follows_from_the_folders(sweep: Sweep) -> None:
    entries = states.states(sweep)
    assert [entry["state"] for entry in entries] == [
        "finished", "running", "failed", "stopped", "interrupted", "queued", "refused", "refused", "refused"
    ]  # fmt: skip
    assert entries[0]["settings"] == "weighting=fixed seed=0"
    assert entries[2]["note"] == "the loss is not finite after step 5900"
    assert entries[4]["note"] == "its process is gone; last: step 5900/6000  loss 1.0e-03"
    assert entries[6]["note"] == REASON
    assert sum(states.counts(entries).values()) == 9


def test_a_running_run_has_steps_a_rate_and_an_eta(sweep: Sweep) -> None:
    run = states.states(sweep)[1]
    assert (run["steps"], run["total"]) == (5900, 9900)
    assert run["rate"] == pytest.approx(200)  # 100 steps in 0.5 s
    assert run["eta"] == pytest.approx(20)
    assert run["errors"] == {"u": pytest.approx(10 ** (-55 / 15))}  # the last that was measured
    Results(FOLDER / "1/results.h5").replace({"config": "stop: {steps: 9900, seconds: 33.5}"})
    assert states.states(sweep)[1]["eta"] == pytest.approx(4)


@pytest.mark.parametrize(
    "config",
    ["stop: {steps: many, seconds: [1]}", "stop: {steps: .nan, seconds: .inf}", "a: [1", f"stop: {{steps: {9**400}}}"],
)
def test_a_configuration_without_numbers_gives_no_eta_and_hides_no_run(config: str, sweep: Sweep) -> None:
    Results(FOLDER / "1/results.h5").replace({"config": config})
    run = states.states(sweep)[1]
    assert (run["state"], run["total"], run["eta"]) == ("running", None, None)
    assert main(["status"]) == 0


def test_control_characters_of_a_log_are_replaced_and_a_pipe_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"step 1\nfailed\x1b[2J\n\n")
    assert states.last_line(tmp_path / "log") == "failed\N{REPLACEMENT CHARACTER}[2J"
    os.mkfifo(tmp_path / "pipe")
    assert states.last_line(tmp_path / "pipe") == ""


def test_a_failure_without_a_reason_shows_the_last_line_of_its_log(sweep: Sweep) -> None:
    set_status(2, reason="")
    assert states.states(sweep)[2]["note"] == "step 5900/6000  loss 1.0e-03"
    (FOLDER / "2/run.log").unlink()
    assert states.states(sweep)[2]["note"] == ""


def test_a_damaged_file_hides_no_other_run(sweep: Sweep) -> None:
    file = FOLDER / "0/results.h5"
    file.write_bytes(file.read_bytes()[:3000])
    entries = states.states(sweep)
    assert (entries[0]["state"], entries[1]["state"]) == ("damaged", "running")
    assert "damaged or no results file" in entries[0]["note"]


def test_the_page_counts_the_states_and_has_a_row_for_each_run(capsys) -> None:
    assert main(["status"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"sweep    {FOLDER}  (basic)"
    assert lines[2].startswith("runs     9 runs: 1 finished, 1 running, 1 queued, 1 stopped, 1 interrupted, 1 failed, "
                               "3 refused; about ")  # fmt: skip
    assert lines[4].split() == ["run", "state", "step", "error", "steps/s", "eta", "time", "settings"]
    assert lines[6].split() == ["1", "running", "5900/9900", "u", "2.15e-04", "200", "0:20", "0:30", "weighting=fixed",
                                "seed=1"]  # fmt: skip
    assert lines[7].split()[:3] == ["2", "failed", "[1]"]
    assert "[1] the loss is not finite after step 5900" in lines[11:]
    assert f"– 3 refused (6-8): {REASON}" in lines
    assert main(["status", "--all"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[11].split()[:7] == ["6", "refused", "[4]", "–", "–", "–", "weighting=grad_norm"]
    assert f"[4] {REASON}" in lines


@pytest.mark.parametrize("width", [80, 160])
def test_a_narrow_terminal_breaks_no_word(width: int, sweep: Sweep) -> None:
    Results(FOLDER / "0/results.h5").replace({"error": dict.fromkeys("uvp", 1e-3)})
    entries = states.states(sweep)
    (narrow, below), (wide, lines) = (status_view.table(entries, width=columns) for columns in (width, None))
    assert set(narrow.split()) == set(wide.split())
    assert " ".join(below).split() == " ".join(lines).split()
    assert max(map(len, "\n".join([narrow, *below]).splitlines())) <= width
    assert ("u 1.00e-03  v 1.00e-03  p 1.00e-03" in narrow) == (width == 160)


def test_a_large_sweep_shows_only_runs_that_need_attention(monkeypatch, capsys) -> None:
    monkeypatch.setattr(status_view, "FEW", 8)
    assert main(["status", "ab"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[5:]] == ["1", "2", "3", "4", "[1]", "[2]", "[3]", "–"]
    assert lines[-1] == f"– 3 refused (6-8): {REASON}"
    assert main(["status", "ab", "--all"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 5 + 9 + 4


def test_json_has_every_run_and_no_nan(capsys) -> None:
    Results(FOLDER / "0/results.h5").replace({"error": {"u": float("nan")}})
    assert main(["status", "latest", "--json"]) == 0
    content = json.loads(capsys.readouterr().out, parse_constant=lambda constant: pytest.fail(f"{constant} is no JSON"))
    assert content["counts"]["refused"] == 3
    assert content["runs"][0]["errors"] == {"u": None}
    assert content["runs"][1]["total"] == 9900
    assert content["runs"][6]["words"] == ["problem=helmholtz", "weighting=grad_norm", "seed=0"]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("zz", "there is no sweep `zz`"),
        ("outputs", "there is no sweep `outputs`"),
        (str(FOLDER), "is damaged or no manifest"),
    ],
)
def test_a_name_without_a_sweep_gets_one_line(name: str, says: str, one_line) -> None:
    (FOLDER / "sweep.json").write_text('{"format": 1, "runs": [')
    assert main(["status", name]) == 2
    assert says in one_line()


def test_watch_without_a_terminal_prints_a_line_for_each_change(monkeypatch, capsys) -> None:
    looks = []

    def sleep(seconds: float) -> None:
        """Between two looks the running run ends, then the queued one is refused."""
        looks.append(seconds)
        if len(looks) == 2:
            set_status(1, status="finished")
        if len(looks) == 3:
            (FOLDER / "5.refused").write_text("no such thing\n")
        assert len(looks) < 5

    monkeypatch.setattr("time.sleep", sleep)
    assert main(["status", "--watch"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition("; ")[0] for line in lines] == [
        "9 runs: 1 finished, 1 running, 1 queued, 1 stopped, 1 interrupted, 1 failed, 3 refused",
        "9 runs: 2 finished, 1 queued, 1 stopped, 1 interrupted, 1 failed, 3 refused",
        "9 runs: 2 finished, 1 stopped, 1 interrupted, 1 failed, 4 refused",
    ]


def test_watch_on_a_terminal_draws_a_picture_until_all_runs_have_ended(tmp_path: Path) -> None:
    (FOLDER / ".lock").unlink()
    set_status(1, status="finished")
    shutil.copytree(FOLDER / "0", FOLDER / "5")
    parent, child = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "COLUMNS": "150"}
    words = [sys.executable, "-m", "pinn_cli.cli", "status", "--watch"]
    with subprocess.Popen(words, stdout=child, env=environment, cwd=tmp_path) as process:
        os.close(child)
        seen = b""
        try:
            while data := os.read(parent, 65536):
                seen += data
        except OSError:  # the other end is closed
            pass
    os.close(parent)
    assert process.returncode == 0
    text = seen.decode()
    assert "\x1b[32m━" in text  # what is finished, in green
    assert "9 runs: 3 finished" in text
    assert "the loss is not finite" in text
