"""`pinn collect` writes a sweep into one file that plain h5py reads."""

import json
import os
import shutil
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from pinn_cli.cli import main
from pinn_cli.records.results import Results
from pinn_cli.studies.sweep import Sweep
from tests.run_files import write_run
from tests.sweep_files import ERRORS, FOLDER, REASON, set_status, write_sweep

FILE = FOLDER / "collected.h5"


@pytest.fixture(autouse=True)
def sweep(here: Path) -> None:
    """Runs 0 to 4 have started, 5 is missing, 6 to 8 are refused."""
    write_sweep()
    for number in range(6):
        Results(FOLDER / f"{number}/results.h5").replace({"network": {"layers.0.weight": np.full((3, 2), number)}})
    set_status(4, status="failed", reason="the loss is not finite")
    shutil.rmtree(FOLDER / "5")


def test_every_run_is_copied_as_it_is_in_its_own_file(capsys) -> None:
    assert main(["collect"]) == 0
    size = FILE.stat().st_size
    said = f"{FILE}  5 runs, {size / 1e6:.1f} MB  (the sweep: 4 finished, 1 missing, 1 failed, 3 refused)\n"
    assert capsys.readouterr().out == said
    with h5py.File(FILE) as file, h5py.File(FOLDER / "3/results.h5") as own:
        run = file["runs/3"]
        assert set(file["runs"]) == set("01234")
        assert run["network/layers.0.weight"][:].tolist() == [[3, 3]] * 3
        assert run["config"].asstr()[()] == own["config"].asstr()[()]
        assert run["error/u"][()] == ERRORS[3]
        assert dict(run.attrs) == dict(own.attrs)
        assert list(run["history"]) == list(own["history"])
        for name in ("step", "loss/total", "error/u"):
            np.testing.assert_array_equal(run["history"][name][:], own["history"][name][:])
            assert dict(run["history"][name].attrs) == dict(own["history"][name].attrs)
        assert "fields" not in run
        assert file.attrs["command"].startswith("pinn train -m problem=helmholtz")


def test_the_table_has_a_row_for_every_run(capsys) -> None:
    assert main(["collect", "latest", "--out", "all.h5"]) == 0
    with h5py.File("all.h5") as file:
        table = file["table"]
        assert table["number"][:].tolist() == list(range(9))
        assert table["state"].asstr()[:].tolist() == ["finished"] * 4 + ["failed", "missing"] + ["refused"] * 3
        assert table["note"].asstr()[4] == "the loss is not finite"
        assert table["note"].asstr()[8] == REASON
        assert table["settings/weighting"].asstr()[:].tolist() == [
            name for name in ("fixed", "lr_annealing", "grad_norm") for _ in range(3)]  # fmt: skip
        assert table["settings/seed"][:].tolist() == [0.0, 1.0, 2.0] * 3
        np.testing.assert_array_equal(table["error/u"][:], [*(ERRORS[k] for k in range(5)), *[np.nan] * 4])
        assert table["steps"][:].tolist() == [5900] * 5 + [-1] * 4
        assert "relative L2 error" in table["error/u"].attrs["description"]


def test_runs_of_another_text_or_data_have_another_source() -> None:
    for number in range(5):
        Results(FOLDER / f"{number}/results.h5").attributes(source="0a1b2c3d" if number else "99887766")
    assert main(["collect"]) == 0
    with h5py.File(FILE) as file:
        assert file["table/source"].asstr()[:].tolist() == ["99887766", *["0a1b2c3d"] * 4, *[""] * 4]


def test_groups_are_chosen(capsys) -> None:
    assert main(["collect", "--without", "network,config", "--with", "fields", "--json"]) == 0
    written = json.loads(capsys.readouterr().out)
    assert (written["runs"], written["bytes"]) == (5, FILE.stat().st_size)
    with h5py.File(FILE) as file:
        assert set(file["runs/0"]) == {"stages", "history", "error", "guard", "timing", "fields"}
        assert file["runs/0/fields/prediction/u"].shape == (576,)


def test_only_a_collection_is_replaced(capsys) -> None:
    assert main(["collect"]) == main(["collect"]) == 0
    capsys.readouterr()
    Path("mine.h5").write_text("mine")
    for other in (str(FOLDER / "0/results.h5"), "mine.h5"):
        before = Path(other).read_bytes()
        assert main(["collect", "--out", other]) == 2
        assert "is not a collection of runs" in capsys.readouterr().err
        assert Path(other).read_bytes() == before


def test_a_damaged_run_is_left_out_and_named(capsys) -> None:
    file = FOLDER / "2/results.h5"
    file.write_bytes(file.read_bytes()[:3000])
    assert main(["collect"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "4 runs, " in lines[0]
    assert lines[0].endswith("(the sweep: 3 finished, 1 missing, 1 failed, 1 damaged, 3 refused)")
    assert lines[1].startswith("without run 2: ")
    with h5py.File(FILE) as found:
        assert set(found["runs"]) == set("0134")


def test_names_that_hdf5_cannot_hold_together_hide_no_run(capsys) -> None:
    Results(FOLDER / "0/results.h5").replace({"error": {"a": 1.0}})
    Results(FOLDER / "1/results.h5").replace({"error": {"a": {"b": 2.0}}})
    assert main(["collect"]) == 0
    with h5py.File(FILE) as found:
        assert (found["table/error/a"][0], found["table/error/a.b"][1]) == (1.0, 2.0)
        assert found["runs/1/error/a/b"][()] == 2.0


def test_a_pipe_in_place_of_a_collection_is_refused_at_once(capsys) -> None:
    FILE.unlink(missing_ok=True)
    os.mkfifo(FILE)
    assert main(["collect"]) == 2
    assert "is not a collection of runs" in capsys.readouterr().err


def test_a_run_with_a_link_to_another_file_is_left_out(capsys) -> None:
    with h5py.File(FOLDER / "1/results.h5", "r+") as file:
        file["network/elsewhere"] = h5py.ExternalLink("/etc/passwd", "/")
    with h5py.File(FOLDER / "3/results.h5", "r+") as file:
        del file["history"]
        file["history"] = h5py.SoftLink("/error")
    assert main(["collect"]) == 0
    assert [line[:14] for line in capsys.readouterr().out.splitlines()[1:]] == ["without run 1:", "without run 3:"]
    with h5py.File(FILE) as file:
        assert set(file["runs"]) == set("024")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["zz"], "there is no sweep `zz`"),
        (["--with", "feilds"], "did you mean `fields`?"),
        (["--without", "fields"], "`fields` cannot be chosen here"),
        (["--out", "nowhere/all.h5"], "cannot write nowhere/all.h5"),
    ],
)
def test_a_wrong_word_gets_one_line(words: list[str], says: str, one_line) -> None:
    assert main(["collect", *words]) in (1, 2)
    assert says in one_line()
    assert not FILE.exists()


@pytest.mark.slow
@pytest.mark.parametrize(("command", "limit"), [("list", 2), ("status", 2), ("compare", 2), ("collect", 5)])
def test_commands_on_two_hundred_runs_take_seconds(command: str, limit: float, many: None) -> None:
    """Seconds of this process, so that others on the machine do not count; twice the limit, for slower machines."""
    before = time.process_time()
    assert main([command, "runs" if command == "list" else "outputs/many"]) == 0
    assert time.process_time() - before < 2 * limit


@pytest.fixture(scope="module")
def two_hundred(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep of 200 runs below a folder of its own."""
    place = tmp_path_factory.mktemp("many")
    words = [(["problem=helmholtz", f"seed={seed}"], None) for seed in range(200)]
    sweep = Sweep.create("pinn train -m problem=helmholtz 'seed=range(200)'", "basic", words, place / "outputs/many")
    write_run(sweep.runs[0].folder, nodes=8)
    for run in sweep.runs[1:]:
        shutil.copytree(sweep.runs[0].folder, run.folder)
    return place


@pytest.fixture
def many(two_hundred: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(two_hundred)
