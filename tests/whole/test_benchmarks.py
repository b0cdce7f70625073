"""What measures: runs are kept and not repeated, medians count what failed, tables show all of it."""

import importlib
import json
import threading
import time
from pathlib import Path

import pytest

from pinn_cli.records.results import Results

ROOT = Path(__file__).resolve().parents[2]
MACHINE = {"processor": "CPU", "threads": 1, "cores": 2, "torch": "2", "python": "3", "date": "today"}
RUN = {
    "status": "finished", "reason": "stop.seconds=60 reached", "verdict": "", "errors": {"u": 2e-6}, "steps": 9,
    "seconds": 60.2, "seconds_to_goal": 31.0, "dtype": "float64", "machine": MACHINE, "network": "3x50", "gate": None,
    "weighting": ["fixed"], "points": {"interior": 128}, "weights": {"wall": 4}, "scaling": "standard",
}  # fmt: skip


@pytest.fixture
def modules(monkeypatch):
    """The scripts of benchmarks/, by name."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return {name: importlib.import_module(name) for name in ("run", "accuracy", "cavity", "failure_modes", "tables")}


@pytest.mark.parametrize(("values", "expected"), [((1, 3, 2), 2), ((1, None, None), None), ((1, 2, None), 2)])
def test_a_median_where_nothing_is_worse_than_anything(modules, values, expected):
    assert modules["run"].middle(values) == expected


@pytest.mark.parametrize("status", ["finished", "failed"])
def test_a_finished_run_is_kept_and_not_repeated(modules, tmp_path, status):
    run, accuracy = modules["run"], modules["accuracy"]
    cell = run.Cell("wave", 0, (*accuracy.CASES["wave"], "stop.seconds=60"))
    for _ in range(2):  # the second reads what the first has written
        kept = run.Kept(tmp_path / "accuracy.json", {"goal": 1e-5, "untuned": []}, accuracy.summary)
        kept.put(cell, RUN | {"command": cell.command, "status": status})
        assert kept.has(cell) == (status == "finished")
    assert not kept.has(run.Cell("wave", 0, (*cell.words[:-1], "stop.seconds=30")))
    assert not kept.has(run.Cell("wave", 1, cell.words))


@pytest.mark.parametrize(("last", "seconds"), [(5e-3, 4.0), (5e-2, None)])
def test_an_easier_flow_on_the_way_does_not_meet_the_goal(modules, tmp_path, last, seconds):
    results = Results(tmp_path / "results.h5")
    results.create({}, "", {})
    lines = [(0, 1e-2), (0, 1e-3), (1, 1e-1), (1, last)]
    results.append([
        {"step": k, "time": float(k), "stage": stage, "metric/centreline": c} for k, (stage, c) in enumerate(lines, 1)
    ])
    results.replace({"stages": ["re=100: levenberg_marquardt", "levenberg_marquardt"], "metrics": {"centreline": last}})
    found = {"metrics": {"centreline": last}, "seconds_to_goal": seconds}
    assert modules["cavity"].measured("velocity", tmp_path) == found


def test_tables_show_what_is_kept(modules, tmp_path):
    run, accuracy, tables = (modules[n] for n in ("run", "accuracy", "tables"))
    kept = run.Kept(tmp_path / "accuracy.json", {"goal": 1e-5, "untuned": accuracy.UNTUNED}, accuracy.summary)
    kept.put(run.Cell("kdv", 0, ()), RUN | {"command": "pinn train accuracy"})
    text = {name: tables._block(name, tmp_path) for name in ("accuracy", "accuracy-runs")}
    assert r"| `problem=kdv` \* | 2.00e-06 | 31 | 60 | 9 | 0 |" in text["accuracy"]
    assert "`pinn train accuracy`" in text["accuracy-runs"]
    assert "CPU, 1 thread on 2 cores" in text["accuracy"]


def test_published_tables_show_what_is_kept(modules, tmp_path):
    from pinn_cli.studies.published.report import report
    from pinn_cli.studies.published.table import read_table

    table = read_table("gradient_pathologies/helmholtz")
    run = RUN | {"command": "pinn train ...", "commit": "abc", "machine": "CPU", "stated": {"dtype": "float32"}}
    found = report(table, {"3x50_m1": {s: run | {"values": {"u": e}} for s, e in enumerate((0.1, 0.2, 0.6))}}, seeds=3)
    file = tmp_path / "gradient_pathologies" / "helmholtz.json"
    file.parent.mkdir()
    file.write_text(json.dumps(found))
    text = {name: modules["tables"]._block(f"helmholtz{name}", tmp_path) for name in ("", "-whole", "-runs")}
    row = "| 3x50_m1 | 1.06e-01 | 2.00e-01 | 3.00e-01 | [1.00e-01, 6.00e-01] | 3 | 1.9 | agrees |"
    assert row in text[""]
    assert row in text["-whole"]
    assert "3x50_m2" not in text[""]
    assert "settings: dtype float32" in text["-whole"]
    assert text["-runs"].count("| `pinn train ...` |") == 3
    assert "not measured yet: `pinn reproduce" in modules["tables"]._block("cavity", tmp_path)


def test_the_failure_modes_stand_beside_the_paper(modules, tmp_path):
    from pinn_cli.studies.published.report import report
    from pinn_cli.studies.published.table import read_table

    run, failure_modes, tables = (modules[name] for name in ("run", "failure_modes", "tables"))
    kept = run.Kept(tmp_path / "failure_modes.json", {}, failure_modes.summary)
    for seed, error in enumerate((1e-6, 9e-6, 2e-6)):
        found = RUN | {"errors": {"u": error}, "command": "pinn train"}
        for case in ("reaction_5", "reaction_20", "reaction_20_causal"):
            kept.put(run.Cell(case, seed, ()), found)
    for name in tables.FAILURE_MODES:
        cells = {"rho5_plain": {0: RUN | {"command": "pinn train", "commit": "", "machine": "CPU", "stated": {},
                                          "values": {"u": 0.97, "absolute": 0.5}}}}  # fmt: skip
        found = report(read_table(f"failure_modes/{name}"), cells if name == "reaction" else {}, seeds=3)
        (tmp_path / "failure_modes").mkdir(exist_ok=True)
        (tmp_path / "failure_modes" / f"{name}.json").write_text(json.dumps(found))
    text = tables._block("failure-modes", tmp_path)
    assert "| reaction, rho = 5 | 9.79e-01 | 9.70e-01 | – | – | 7.09e-02 | – | 2.00e-06 | 60 |" in text
    assert "| convection, beta = 40 | 9.61e-01 | – | 5.33e-02 | – | 2.41e-01 | – | – | – |" in text
    text = tables._block("failure-modes-strategies", tmp_path)
    assert "causal.every=1 stop.steps=1000 stop.seconds=590 threads=1` | 2.00e-06 | [1.0e-06, 9.0e-06] | 60 |" in text
    assert "rho=5" not in text


def test_cells_are_run_several_at_a_time_and_kept(modules, tmp_path, monkeypatch):
    run = modules["run"]
    both = threading.Barrier(2, timeout=30)  # breaks unless two cells are under way together

    def measured(cell, read):
        both.wait()
        return RUN | {"command": cell.command}

    monkeypatch.setattr(run, "measure", measured)
    kept = run.Kept(tmp_path / "all.json", {}, lambda case, seeds: {})
    cells = [run.Cell("wave", seed, ("problem=wave",)) for seed in range(4)]
    run.carry_out(cells, kept, lambda case, folder: {}, again=False, jobs=2)
    assert all(kept.has(cell) for cell in cells)


def test_after_a_failure_no_further_cell_begins(modules, tmp_path, monkeypatch):
    begun = []

    def measured(cell, read):
        begun.append(cell.seed)
        time.sleep(0.01)
        raise RuntimeError("no results")

    monkeypatch.setattr(modules["run"], "measure", measured)
    kept = modules["run"].Kept(tmp_path / "none.json", {}, lambda case, seeds: {})
    cells = [modules["run"].Cell("wave", seed, ()) for seed in range(500)]
    with pytest.raises(RuntimeError, match="no results"):
        modules["run"].carry_out(cells, kept, lambda case, folder: {}, again=False)
    assert len(begun) < 500


def test_what_a_strategy_shows_on_its_way_meets_no_goal(modules, tmp_path):
    failure_modes, results = modules["failure_modes"], Results(tmp_path / "results.h5")
    results.create({}, "", {})
    results.append([{"step": k, "time": float(k), "error/u": 10.0**-k} for k in range(1, 9)])
    assert failure_modes.first_below("convection_30", tmp_path) == {"seconds_to_goal": 5.0}
    assert failure_modes.first_below("convection_100_marching", tmp_path) == {"seconds_to_goal": None}


def test_every_case_is_a_command(modules):
    from pinn_cli.configuration.compose import compose

    for words in (*modules["accuracy"].CASES.values(), *modules["failure_modes"].CASES.values()):
        compose(list(words))
    assert set(modules["accuracy"].UNTUNED) <= set(modules["accuracy"].CASES)
