"""Runs are found by path, beginning, `latest` and problem, from files alone."""

import json
import os
from pathlib import Path

import h5py
import pytest

from pinn_cli.basics.errors import UsageError
from pinn_cli.cli import main
from pinn_cli.records import summary as runs
from pinn_cli.records.lock import Lock
from pinn_cli.studies import find as names
from tests.run_files import write_run


@pytest.fixture(autouse=True)
def outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three runs of two problems, and a link as `pinn train` leaves it."""
    monkeypatch.chdir(tmp_path)
    write_run(Path("outputs/helmholtz/2026-01-01_10-00-00-ab12"), started="2026-01-01T10:00:00")
    second = Path("outputs/helmholtz/2026-01-02_10-00-00-cd34")
    write_run(second, started="2026-01-02T10:00:00", weighting="lr_annealing")
    write_run(Path("outputs/wave/2026-01-03_10-00-00-ef56"), started="2026-01-03T10:00:00", status="running")
    os.symlink("2026-01-02_10-00-00-cd34", "outputs/helmholtz/latest")
    return tmp_path / "outputs"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("outputs/helmholtz/2026-01-01_10-00-00-ab12", "ab12"),
        ("outputs/helmholtz/2026-01-01_10-00-00-ab12/results.h5", "ab12"),
        ("helmholtz/2026-01-01_10-00-00-ab12", "ab12"),
        ("2026-01-01", "ab12"),
        ("ab", "ab12"),
        ("latest", "ef56"),
        ("helmholtz/latest", "cd34"),
        ("outputs/helmholtz/latest", "cd34"),
        ("outputs/latest", "ef56"),
        ("wave/latest", "ef56"),
        ("helmholtz", "cd34"),
        ("outputs", "ef56"),
    ],
)
def test_a_run_is_found(text: str, name: str) -> None:
    found = names.find(text)
    assert found.name.endswith(name)
    assert not found.is_absolute()


def test_latest_needs_no_link() -> None:
    os.unlink("outputs/helmholtz/latest")
    assert names.find("helmholtz/latest").name.endswith("cd34")
    os.symlink("removed", "outputs/helmholtz/latest")
    assert names.find("outputs/helmholtz/latest").name.endswith("cd34")


def test_an_ambiguous_or_unknown_name_is_refused() -> None:
    with pytest.raises(UsageError, match=r"3 runs .*type more"):
        names.find("2026-01")
    with pytest.raises(UsageError, match="pinn list runs"):
        names.find("xyz")
    with pytest.raises(UsageError, match="pinn list runs"):
        names.find("latest", Path("nothing-here"))


def test_a_folder_stands_for_all_its_runs_when_several_are_asked_for() -> None:
    found = [run.name[-4:] for run in names.find_all(["helmholtz", "ef", "outputs/wave/latest"])]
    assert found == ["ab12", "cd34", "ef56"]
    assert [run.name[-4:] for run in names.find_all(["helmholtz/latest"])] == ["cd34"]


def test_a_summary_says_what_the_file_says() -> None:
    run = runs.summary(names.find("ab12"))
    assert run["status"] == "finished"
    assert (run["steps"], run["seconds"], run["errors"], run["verdict"]) == (5900, 31.5, {"u": 1e-4}, "sound")
    json.dumps(run)


def test_a_run_whose_writer_is_gone_is_interrupted() -> None:
    folder = names.find("wave")
    assert runs.summary(folder)["status"] == "interrupted"
    with Lock(folder):
        assert runs.summary(folder)["status"] == "running"


def test_looking_takes_no_lock() -> None:
    folder = names.find("wave")
    runs.summary(folder)
    assert not (folder / ".lock").exists()
    with Lock(folder):
        main(["list", "runs"])


def test_settings_are_flat() -> None:
    assert runs.settings(names.find("cd34"))["weighting.lr_annealing.alpha"] == 0.9


def test_the_list_shows_damaged_runs_as_damaged(capsys: pytest.CaptureFixture[str]) -> None:
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


def test_no_runs_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path / "outputs")
    assert main(["list", "runs"]) == 0
    assert "pinn train" in capsys.readouterr().out
