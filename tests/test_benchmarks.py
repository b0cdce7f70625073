"""What measures: runs are kept and not repeated, medians count what failed, tables show all of it."""

import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
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
    return {name: importlib.import_module(name) for name in ("run", "accuracy", "gradient_pathologies", "tables")}


@pytest.mark.parametrize(("values", "expected"), [((1, 3, 2), 2), ((1, None, None), None), ((1, 2, None), 2)])
def test_a_median_where_nothing_is_worse_than_anything(modules, values, expected):
    assert modules["run"].middle(values) == expected


@pytest.mark.parametrize("status", ["finished", "failed"])
def test_a_finished_run_is_kept_and_not_repeated(modules, tmp_path, status):
    run, accuracy = modules["run"], modules["accuracy"]
    cell = run.Cell("wave", 0, (*accuracy.CASES["wave"], "stop.seconds=60"))
    for _ in range(2):  # the second reads what the first has written
        kept = run.Kept(tmp_path / "accuracy.json", {"goal": 1e-5, "untuned": []}, accuracy.medians)
        kept.put(cell, RUN | {"command": cell.command, "status": status})
        assert kept.has(cell) == (status == "finished")
    assert not kept.has(run.Cell("wave", 0, (*cell.words[:-1], "stop.seconds=30")))
    assert not kept.has(run.Cell("wave", 1, cell.words))


def test_tables_show_what_is_kept(modules, tmp_path):
    run, accuracy, pathologies, tables = (modules[n] for n in ("run", "accuracy", "gradient_pathologies", "tables"))
    for file, script, summary, case in (
        ("accuracy.json", accuracy, accuracy.medians, "kdv"),
        ("gradient_pathologies.json", pathologies, pathologies.summary, "helmholtz_m1"),
    ):
        kept = run.Kept(tmp_path / file, {"goal": 1e-5, "untuned": accuracy.UNTUNED}, summary)
        kept.put(run.Cell(case, 0, ()), RUN | {"command": f"pinn train {script.__name__}"})
    text = {name: tables._block(name, tmp_path) for name in tables.BLOCKS if name != "step-time"}
    assert r"| `problem=kdv` \* | 2.00e-06 | 31 | 60 | 9 | 0 |" in text["accuracy"]
    m1 = "| `helmholtz_m1` | 3x50 | – | fixed | 2.00e-06 | 1.06e-01 | 1.9e-05 | 60 | 0 |"
    assert m1 in text["gradient-pathologies"]
    assert "`pinn train accuracy`" in text["accuracy-runs"]
    assert "wall 4" in text["gradient-pathologies-runs"]
    assert "CPU, 1 thread on 2 cores" in text["accuracy"]


def test_every_case_is_a_command(modules):
    from pinn_cli.composition import compose

    for words in modules["accuracy"].CASES.values():
        compose(list(words))
    for case in modules["gradient_pathologies"].PAPER:
        compose([f"recipe=gradient_pathologies/{case}"])
    assert set(modules["accuracy"].UNTUNED) <= set(modules["accuracy"].CASES)
