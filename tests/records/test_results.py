"""The results file: what is written is read back; a kill, a full disk or a foreign file never costs a recorded row."""

import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pinn_cli.basics.errors import TrainingError, UsageError
from pinn_cli.records.lock import Lock, holder
from pinn_cli.records.results import Noted, Results, file, layout
from tests.conftest import ROOT, small_disk


def fresh(folder: Path) -> Results:
    results = Results(folder / "results.h5")
    results.path.unlink(missing_ok=True)
    results.create({"problem": "poisson", "status": "running", "seed": 0}, "seed: 0\n",
                   {"source": {"problems.mine": "u_xx\n"}})  # fmt: skip
    return results


def python(code: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)], cwd=ROOT, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_a_new_file_holds_attributes_config_and_sources(tmp_path: Path) -> None:
    results = fresh(tmp_path)
    assert results.read_attributes()["problem"] == "poisson"
    assert results.read_config() == "seed: 0\n"
    assert results.read("source") == {"problems.mine": "u_xx\n"}
    assert results.read_history() == {}


def test_a_run_is_never_overwritten(tmp_path: Path) -> None:
    results = fresh(tmp_path)
    with pytest.raises(UsageError, match="pinn resume"):
        results.create({}, "", {})


def test_late_columns_are_filled_with_nan(tmp_path: Path) -> None:
    results = fresh(tmp_path)
    results.append([{"step": 0, "loss/pde": 3.0}, {"step": 1, "loss/pde": 2.0}])
    results.append([{"step": 2, "weight/pde": torch.tensor(7.0)}])
    history = results.read_history()
    assert history["step"].dtype.kind == "i"
    np.testing.assert_array_equal(history["loss/pde"], [3.0, 2.0, np.nan])
    np.testing.assert_array_equal(history["weight/pde"], [np.nan, np.nan, 7.0])


def test_columns_keep_the_order_in_which_they_came(tmp_path: Path) -> None:
    results = fresh(tmp_path)
    results.append([{"step": 0, "loss/wall": 1.0, "loss/pde": 1.0}])
    results.append([{"step": 1, "loss/initial": 1.0}])
    assert list(results.read_history()) == ["step", "loss/wall", "loss/pde", "loss/initial"]


names = st.sampled_from(["loss/total", "loss/pde", "weight/pde", "error/u", "damping"])
rows = st.dictionaries(names, st.floats(allow_nan=True, width=64), max_size=5)
actions = st.one_of(st.lists(rows, min_size=1, max_size=4), st.integers(0, 12), st.just("status"))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(actions, max_size=8))
def test_history_is_a_list_of_rows(tmp_path: Path, script: list[object]) -> None:
    """Whatever is appended, cut and rewritten in whatever order, the file holds the rows a plain list would hold."""
    results, expected, step = fresh(tmp_path), [], 0
    for action in script:
        if isinstance(action, list):
            batch = [{"step": step + k, **row} for k, row in enumerate(action)]
            step += len(batch)
            expected += batch
            results.append(batch)
        elif isinstance(action, int):
            results.cut(action)
            expected = [row for row in expected if row["step"] <= action]
            step = len(expected)
        else:
            results.attributes(status="finished")
    for name, column in results.read_history().items():
        np.testing.assert_array_equal(column, [row.get(name, np.nan) for row in expected])


def test_groups_are_replaced_whole_and_the_rest_stays(tmp_path: Path) -> None:
    results = fresh(tmp_path)
    results.append([{"step": 0, "loss/pde": 1.0}])
    results.replace({"error": {"u": Noted(1e-6, {"max_absolute": 2e-6}), "v": 1.0}, "stages": ["adam", "lm"]})
    results.replace({"error": {"u": 2e-6}, "network": {"layers.0.weight": torch.ones(2, 3, requires_grad=True)}})
    assert results.read("error") == {"u": 2e-6}
    assert results.read("stages") == {"": ["adam", "lm"]}
    assert results.read("network")["layers.0.weight"].shape == (2, 3)
    assert results.read_history()["loss/pde"] == [1.0]
    assert results.read("nothing") == {}


def test_datasets_say_what_they_are(tmp_path: Path) -> None:
    results = fresh(tmp_path)
    results.append([{"step": 0, "time": 0.1, "loss/pde": 1.0}])
    results.replace({"fields/points": Noted(np.zeros((3, 2)), {"coordinates": ["x", "t"]})})
    assert results.read_attributes("history/time")["units"] == "s"
    assert "unweighted" in results.read_attributes("history/loss/pde")["description"]
    assert results.read_attributes("fields/points")["coordinates"] == ["x", "t"]


def test_plain_h5py_reads_it_and_the_history_is_not_compressed(tmp_path: Path) -> None:
    results = fresh(tmp_path)
    results.append([{"step": 0, "loss/pde": 1.0}])
    with h5py.File(results.path) as file:
        assert file["history/loss/pde"].compression is None
        assert file["history/loss/pde"][0] == 1.0
        assert file["config"].asstr()[()] == "seed: 0\n"


def test_reading_does_not_disturb_the_writer(tmp_path: Path) -> None:
    """Even a reader that locks the file, as other programs do, does not disturb the one who writes."""
    results = fresh(tmp_path)
    results.append([{"step": 0}])
    code = "import h5py, sys; file = h5py.File(sys.argv[1], locking=True); print('open', flush=True); input()"
    reader = python(code, results.path)
    assert reader.stdout is not None
    assert reader.stdout.readline() == "open\n"
    results.append([{"step": 1}])
    results.attributes(status="finished")
    reader.communicate("\n")
    assert list(results.read_history()["step"]) == [0, 1]


@pytest.mark.parametrize("damage", ["truncated", "text", "empty", "foreign", "folder", "missing"])
def test_a_file_that_is_no_run_gives_one_clear_line(tmp_path: Path, damage: str) -> None:
    results = fresh(tmp_path)
    results.append([{"step": 0, "loss/pde": 1.0}])
    whole = results.path.read_bytes()
    results.path.unlink()
    if damage == "foreign":
        h5py.File(results.path, "w").close()
    elif damage == "folder":
        results.path.mkdir()
    elif damage != "missing":
        results.path.write_bytes({"truncated": whole[: len(whole) // 2], "text": b"hello", "empty": b""}[damage])
    with pytest.raises(UsageError) as error:
        Results(results.path).read_history()
    assert str(results.path) in str(error.value)
    assert "expected" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("fraction", [0.1, 0.3, 0.6, 0.9, 0.99])
def test_a_truncated_file_is_refused_wherever_it_ends(tmp_path: Path, fraction: float) -> None:
    results = fresh(tmp_path)
    results.replace({"fields/prediction/u": np.arange(20000.0)})
    results.path.write_bytes(results.path.read_bytes()[: int(results.path.stat().st_size * fraction)])
    with pytest.raises(UsageError, match="damaged"):
        results.read()


WRITER = """
    import sys
    from pathlib import Path
    from pinn_cli.records.results import Results
    results = Results(Path(sys.argv[1]))
    names = [f"loss/c{i}" for i in range(12)] + [f"weight/c{i}" for i in range(12)]
    row = lambda step: {"step": step, "time": 0.1 * step, **{name: step + k for k, name in enumerate(names)}}
    step = len(results.read_history().get("step", []))
    while True:
        results.append([row(step), row(step + 1)])
        step += 2
        if step % 50 == 0:
            results.replace({"fields/prediction/u": [float(step)] * 2000})
        print(step, flush=True)
"""


def test_kill_9_at_random_moments_loses_no_recorded_row(tmp_path: Path) -> None:
    results, moments, recorded = fresh(tmp_path), random.Random(0), 0
    for _ in range(4):
        writer = python(WRITER, results.path)
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(moments.uniform(0.0, 0.25))
        writer.send_signal(signal.SIGKILL)
        output, errors = writer.communicate()
        assert writer.returncode == -signal.SIGKILL, errors
        recorded = max([recorded, *(int(line) for line in output.split())])
        history = Results(results.path).read_history()
        steps = np.arange(len(history["step"]))
        assert len(steps) >= recorded
        np.testing.assert_array_equal(history["step"], steps)
        for k in range(12):
            np.testing.assert_array_equal(history[f"loss/c{k}"], steps + k)
            np.testing.assert_array_equal(history[f"weight/c{k}"], steps + 12 + k)


def test_rows_are_on_the_disk_before_the_checkpoint_is_written(tmp_path: Path, monkeypatch) -> None:
    results, forced = fresh(tmp_path), []
    results.append([{"step": 1, "loss/pde": 1.0}])
    sync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: (forced.append(os.fstat(file).st_ino), sync(file)))
    results.append([{"step": 2, "loss/pde": 1.0}])
    assert forced == [results.path.stat().st_ino]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "disk").mkdir()
    with small_disk(tmp_path / "disk", "2m") as folder:
        yield folder


FILLER = """
    import sys
    from pathlib import Path
    from pinn_cli.records.results import Results
    results = Results(Path(sys.argv[1]))
    if sys.argv[2] == "unchecked":
        results._require = lambda size: None
    step = 0
    while True:
        results.append([{"step": step + k, "loss/pde": 1.0, "loss/wall": 2.0} for k in range(100)])
        step += 100
        print(step, flush=True)
"""


@pytest.mark.parametrize("mode", [pytest.param("checked", marks=pytest.mark.slow), "unchecked"])
def test_a_full_disk_loses_no_recorded_row(disk: Path, mode: str) -> None:
    """The check finds the disk full before a write; without it the write fails and the process leaves with one line."""
    results = fresh(disk)
    with open(disk / "ballast", "wb") as ballast:
        ballast.write(b"x" * 1_200_000)
    writer = python(FILLER, results.path, mode)
    output, errors = writer.communicate(timeout=600)
    assert writer.returncode == 1
    last = errors.strip().splitlines()[-1]
    assert "make room" in last
    if mode == "unchecked":
        assert errors.strip().startswith("pinn: cannot write")
        assert len(errors.strip().splitlines()) == 1
    history = results.read_history()
    recorded = max(int(line) for line in output.split())
    assert len(history["step"]) >= recorded
    assert set(history["loss/wall"][:recorded]) == {2.0}
    os.unlink(disk / "ballast")
    Results(results.path).append([{"step": 10**6, "loss/pde": 1.0, "loss/wall": 2.0}])
    assert results.read_history()["step"][-1] == 10**6


def test_a_disk_that_fills_during_a_replacement_keeps_the_old_file(disk: Path) -> None:
    results = fresh(disk)
    results.append([{"step": 0, "loss/pde": 1.0}])
    with pytest.raises(TrainingError, match="make room"):
        results.replace({"fields/prediction/u": np.zeros(400_000)})
    results._require = lambda size: None  # type: ignore[method-assign]
    with pytest.raises(TrainingError, match="kept"):
        results.replace({"fields/prediction/u": np.zeros(400_000)})
    assert results.read_history()["loss/pde"] == [1.0]
    assert [path.name for path in disk.iterdir()] == ["results.h5"]


HOLDER = """
    import sys, time
    from pinn_cli.records.lock import Lock
    with Lock(sys.argv[1]):
        print("held", flush=True)
        time.sleep(600)
"""


def test_a_folder_has_one_writer_and_a_killed_one_lets_go(tmp_path: Path) -> None:
    assert holder(tmp_path) is None
    writer = python(HOLDER, tmp_path)
    assert writer.stdout is not None
    writer.stdout.readline()
    assert f"process {writer.pid}" in str(holder(tmp_path))
    with pytest.raises(UsageError, match=f"process {writer.pid}"), Lock(tmp_path):
        pass
    writer.kill()
    writer.communicate()
    assert holder(tmp_path) is None
    with Lock(tmp_path):
        assert f"process {os.getpid()}" in str(holder(tmp_path))
    assert holder(tmp_path) is None


def test_the_layout_describes_and_checks_each_dataset_once(tmp_path: Path) -> None:
    names = [entry.name for entry in layout.DATASETS]
    assert len(set(names)) == len(names)
    assert [layout.entry(name.replace("<", "").replace(">", "")) for name in names] == list(layout.DATASETS)
    assert layout.entry("unheard/of") is None
    results = fresh(tmp_path)
    for wrong in ({"config": 1.0}, {"stages": "adam"}, {"error": {"u": np.zeros(2)}}, {"fields": {"points": [1.0]}}):
        Results(results.path).replace(wrong)
        with pytest.raises(UsageError, match="is of type"):
            results.examine()
        results.path.unlink()
        results = fresh(tmp_path)


def test_a_file_of_another_format_gets_one_line(tmp_path: Path) -> None:
    results = fresh(tmp_path)
    results.attributes(format="pinn-results 1")
    with pytest.raises(UsageError, match=r"has format pinn-results 1, expected pinn-results 2: .* train the run again"):
        results.read_history()


def test_a_file_is_examined_again_only_if_it_was_written_elsewhere(tmp_path: Path, monkeypatch) -> None:
    results, seen = fresh(tmp_path), []
    examine = file.examine
    monkeypatch.setattr(file, "examine", lambda opened: (seen.append(opened), examine(opened)))
    results.append([{"step": 1}], {"stages": ["adam"]})
    results.append([{"step": 2}])
    results.replace({"error": {"u": 1.0}}, {"status": "finished"})
    assert not seen
    with h5py.File(results.path, "r+") as other:
        other.attrs["status"] = 3
    with pytest.raises(TrainingError, match="attribute status is '3'"):
        results.attributes(status="running")
    assert len(seen) == 1
