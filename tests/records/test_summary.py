"""The summary of a run comes from its files alone."""

import json
import os
from pathlib import Path

import h5py
import pytest

from pinn_cli.cli import main
from pinn_cli.records import summary as runs
from pinn_cli.records.lock import Lock
from pinn_cli.studies import find as names
from tests.run_files import write_run


@pytest.fixture(autouse=True)
def outputs(here: Path) -> Path:
    """Three runs of two problems, and a link as `pinn train` leaves it."""
    write_run(Path("outputs/helmholtz/2026-01-01_10-00-00-ab12"), started="2026-01-01T10:00:00")
    second = Path("outputs/helmholtz/2026-01-02_10-00-00-cd34")
    write_run(second, started="2026-01-02T10:00:00", weighting="lr_annealing")
    write_run(Path("outputs/wave/2026-01-03_10-00-00-ef56"), started="2026-01-03T10:00:00", status="running")
    os.symlink("2026-01-02_10-00-00-cd34", "outputs/helmholtz/latest")
    return here / "outputs"


def test_a_summary_says_what_the_file_says() -> None:
    run = runs.summary(names.find("ab12"))
    assert run["status"] == "finished"
    assert (run["steps"], run["seconds"], run["errors"], run["verdict"]) == (5900, 31.5, {"u": 1e-4}, "ok: sound")
    json.dumps(run)


def test_a_run_whose_writer_is_gone_is_interrupted() -> None:
    folder = names.find("wave")
    assert runs.summary(folder)["status"] == "interrupted"
    with Lock(folder):
        assert runs.summary(folder)["status"] == "running"


def test_reading_takes_no_lock() -> None:
    folder = names.find("wave")
    runs.summary(folder)
    assert not (folder / ".lock").exists()
    with Lock(folder):
        main(["list", "runs"])


def test_settings_are_flat() -> None:
    assert runs.settings(names.find("cd34"))["weighting.lr_annealing.alpha"] == 0.9


def test_the_list_shows_damaged_runs_as_damaged(capsys) -> None:
    file = Path("outputs/helmholtz/2026-01-01_10-00-00-ab12/results.h5")
    file.write_bytes(file.read_bytes()[:1000])
    h5py.File(Path("outputs/foreign.h5"), "w").close()
    assert main(["list", "runs"]) == 0
    text = capsys.readouterr().out
    assert len(text.splitlines()) == 4
    assert "damaged" in text
    assert "u 1.00e-04" in text
    assert main(["list", "runs", "--json"]) == 0
    assert {run["status"] for run in json.loads(capsys.readouterr().out)} == {"damaged", "finished", "interrupted"}


def test_no_runs_yet(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path / "outputs")
    assert main(["list", "runs"]) == 0
    assert "pinn train" in capsys.readouterr().out
