"""benchmarks/tables.py writes what the kept results say."""

import importlib
import json
import shlex
import time

import numpy as np
import pytest

from pinn_cli.configuration.assemble import assemble
from pinn_cli.configuration.compose import compose
from pinn_cli.records.results import Results
from pinn_cli.studies.published.measured import value
from pinn_cli.studies.published.report import report, result
from pinn_cli.studies.published.table import Quantity, read_table
from pinn_cli.training import clock
from tests.conftest import ROOT

RUN = {
    "status": "finished", "reason": "stop.seconds=60 reached", "verdict": "", "steps": 9, "seconds": 60.2,
    "started": "2026-01-01T10:00:00", "command": "pinn train problem=kdv stop.seconds=60 threads=2 seed=0",
    "commit": "abc", "machine": "CPU, 1 thread", "stated": {"dtype": "float32"}, "errors": {"u": 2e-6}, "metrics": {},
}  # fmt: skip


@pytest.fixture
def tables(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module("tables")


@pytest.fixture
def kept(tmp_path):
    """Keeps the report of a table whose cells have these values by seed, as `--show --json` prints it."""
    def keep(name, cells, **run):
        records = {cell: dict(enumerate([RUN | run | {"values": one} for one in values]))
                   for cell, values in cells.items()}  # fmt: skip
        file = tmp_path / f"{name}.json"
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(report(read_table(name), records, seeds=3)))

    return keep


def test_the_accuracy_of_the_default(tables, kept, tmp_path):
    good, bad = ({"error": e, "goal": goal, "seconds": 60.2, "steps": 9} for e, goal in ((2e-6, 31.0), (1.0, None)))
    kept("default/accuracy", {"kdv_default": [good, good, bad], "heat_2d_default": [bad]})
    text = tables._block("accuracy", tmp_path)
    assert r"| `problem=kdv` \* | 2.00e-06 | 31 | 60 | 9 | 0 1 2 |" in text
    assert r"| 1.00e+00 | – | 60 | 9 | 0 |" in text
    assert r"\* no setting was chosen by looking at this problem" in text
    assert "CPU, 1 thread, 2026-01-01" in text
    assert f"| `{RUN['command']}` | 2.00e-06 | 60 | 9 | stop.seconds=60 reached | – |" in tables._block(
        "accuracy-runs", tmp_path)  # fmt: skip


def test_the_table_of_discovery_counts_claims_and_not_what_happens_to_be_right(tables):
    def run(right, decided, error):
        return {"right": right, "decided": decided, "seconds": 6.0, "relative": {"u": error, "u_xx": 0.001},
                "standard_errors": {"u": 1000 * error, "u_xx": 0.0}}  # fmt: skip

    text = tables.discovery({"kdv 0.01 3": run(True, True, 0.001), "kdv 0.01 0": run(True, True, 0.003),
                             "kdv 0.01 2": run(True, False, 0.5), "kdv 0.1 1": run(False, True, 0.0)})  # fmt: skip
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[2:]]
    assert rows[0] == ["kdv", "1%", "0 2 3", "2", "0", "1", "0.20%", "0.30%", "3 of 4", "6"]
    assert rows[1] == ["kdv", "10%", "1", "0", "1", "0", "–", "–", "–", "6"]


def test_a_published_table_and_one_that_is_not_measured(tables, kept, tmp_path):
    kept("gradient_pathologies/helmholtz", {"3x50_m1": [{"u": error} for error in (0.1, 0.2, 0.6)]})
    text = {name: tables._block(f"helmholtz{name}", tmp_path) for name in ("", "-whole", "-runs")}
    row = "| 3x50_m1 | 1.06e-01 | 2.00e-01 | 3.00e-01 | [1.00e-01, 6.00e-01] | 3 | 1.9 | agrees |"
    assert row in text[""]
    assert row in text["-whole"]
    assert "3x50_m2" not in text[""]
    assert "settings: dtype float32" in text["-whole"]
    assert text["-runs"].count(f"| `{RUN['command']}` |") == 3
    assert "not measured yet: `pinn reproduce" in tables._block("cavity", tmp_path)


def test_a_table_of_one_row_is_turned(tables, kept, tmp_path):
    hard = [{"error": e, "steps": 40, "goal": 3.0, "solver": 6} for e in (3e-4, 4e-4, 9e-4)]
    soft = [{"error": 0.09, "steps": 1700, "goal": goal, "solver": 0} for goal in (None, 200.0, None)]
    kept("hard_constraints/burgers", {"burgers_hard": hard, "burgers_soft": soft, "burgers_random_features": hard[:1]})
    file = tmp_path / "hard_constraints/burgers.json"
    kept_report = json.loads(file.read_text())
    kept_report["cells"]["burgers_random_features"]["runs"]["1"] = RUN | {"status": "running", "values": {}}
    file.write_text(json.dumps(kept_report))
    text = tables._block("hard-constraints-burgers", tmp_path)
    assert "|  | hard a | soft a | random features d |" in text
    assert "the mean over 50 test instances | 4.0e-04 [3.0e-04, 9.0e-04] | 0.09 | 3.0e-04 |" in text
    assert "validation instances | 3 | – [200, –] | 3 |" in text  # most seeds did not reach it
    assert "| steps of the solver for it | 6 | 0 | 6 |" in text
    assert "| seeds | 0 1 2 | 0 1 2 | 0 |" in text
    assert "* d: one test instance alone" in text
    assert "random functions that are not trained" not in text  # the note of a column without runs
    other = tables._block("hard-constraints-darcy", tmp_path)
    assert other == "not measured yet: `pinn reproduce hard_constraints/darcy`"


def test_the_failure_modes_stand_beside_the_paper(tables, kept, tmp_path):
    values = [{"u": error, "seconds": 60.2} for error in (1e-6, 9e-6, 2e-6)]
    cells = ("reaction_5_default", "reaction_20_default", "reaction_20_causal")
    command = "pinn train problem=reaction weighting=causal stop.steps=1000 seed=0"
    kept("default/failure_modes", dict.fromkeys(cells, values), command=command)
    for name in tables.FAILURE_MODES:
        theirs = {"rho5_plain": [{"u": 0.97, "absolute": 0.5}]} if name == "reaction" else {}
        kept(f"failure_modes/{name}", theirs)
    text = tables._block("failure-modes", tmp_path)
    assert "| reaction, rho = 5 | 9.79e-01 | 9.70e-01 | – | – | 7.09e-02 | – | 2.00e-06 | 60 |" in text
    assert "| convection, beta = 40 | 9.61e-01 | – | 5.33e-02 | – | 2.41e-01 | – | – | – |" in text
    rows = tables._block("failure-modes-strategies", tmp_path).splitlines()[2:]
    words = "`problem=reaction weighting=causal stop.steps=1000`"
    assert rows == [f"| {words} | 2.00e-06 | [1.0e-06, 9.0e-06] | 60 | 0 1 2 |"] * 2  # not rho = 5


@pytest.mark.parametrize(("last", "seconds"), [(5e-3, 4.0), (5e-2, None)])
def test_an_easier_flow_on_the_way_does_not_meet_the_goal(tmp_path, last, seconds):
    results = Results(tmp_path / "results.h5")
    results.create({}, "", {})
    lines = [(True, 1e-2), (True, 1e-3), (False, 1e-1), (False, last)]
    results.append([
        {"step": k, "time": float(k), "underway": easier, "metric/centreline": c}
        for k, (easier, c) in enumerate(lines, 1)
    ])
    goal = read_table("default/cavity").quantities["goal"]
    assert value(results, goal) == seconds
    assert value(results, Quantity("", "history/time", when="history/error/*", below=1.0)) is None


@pytest.mark.parametrize(("values", "middle"), [((1, 3, 2), 2), ((1, np.inf, np.inf), None), ((1, 2, np.inf), 2)])
def test_a_goal_that_was_not_reached_counts_as_later_than_any(values, middle):
    assert result(None, values)["median"] == middle


def test_a_run_of_random_features_is_a_command_and_the_page_shows_it_as_it_is_typed(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    script, page = importlib.import_module("random_features"), (ROOT / "docs" / "methods.md").read_text()
    shown = [f"| `{shlex.join(run.split())}` |" for run in script.RUNS]
    assert [row for row in shown if row.count("recipe=") != 1 or row not in page] == []
    typed = []
    monkeypatch.setattr(script, "compose", typed.extend)
    with pytest.raises(AttributeError):  # nothing is assembled of the nothing that was composed
        script.trained(script.RUNS[0])
    assert typed == script.RUNS[0].split()


def test_the_coefficients_of_largest_likelihood_fit_the_measurements_best(monkeypatch):
    """A third of a standard error to either side is worse; the noise is the cause of the whole error."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    likelihood = importlib.import_module("likelihood")
    problem = assemble(compose(["problem=heat_inverse", "problem.data={points: 60, noise: 0.01}"])).problem
    values, errors, truths = likelihood.fit(problem)
    x, t, u = problem.data.T

    def misfit(kappa: float) -> float:
        return float((problem.with_(kappa=kappa).exact(x, t) - u).square().sum())

    ends = [values["kappa"] + shift * errors["kappa"] for shift in (-0.3, 0.3)]
    assert misfit(values["kappa"]) < min(map(misfit, ends))
    assert abs(values["kappa"] - truths["kappa"]) < 4 * errors["kappa"]
    assert misfit(values["kappa"]) < misfit(truths["kappa"])


def test_the_largest_likelihood_takes_each_quantity_at_its_own_points(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    likelihood = importlib.import_module("likelihood")
    (tmp_path / "a.csv").write_text("t,u,v\n1,1.6,\n2,2.6,1.2\n3,,2.4\n5,1.2,\n7,,0.7\n")
    words = ["problem=lotka_volterra", f"problem.data={tmp_path / 'a.csv'}", "problem.unknowns.alpha=1"]
    problem = assemble(compose(words)).problem
    values, errors, _ = likelihood.fit(problem)

    def misfit(alpha: float) -> float:
        solution = problem.with_(alpha=alpha).reference()(problem.data[:, :1])
        return sum(float((solution[n] - problem.data[:, k]).square().nansum()) for n, k in (("u", 1), ("v", 2)))

    ends = [values["alpha"] + shift * errors["alpha"] for shift in (-0.3, 0.3)]
    assert misfit(values["alpha"]) < min(map(misfit, ends))


def test_the_table_of_coefficients_has_a_row_for_each_unknown(tables, kept, tmp_path):
    def run(error, floor, inside):
        known = {"relative_error": error, "relative_floor": floor, "floors": error / floor, "inside": inside}
        return RUN | {"values": {}, "unknowns": {"a": known, "b": known | {"inside": 1.0}}}

    records = {"heat_0": {0: run(1e-5, 1e-6, 0.0)}, "heat_0.01": {0: run(0.02, 0.01, 1.0), 1: run(0.01, 0.01, 0.0)},
               "heat_0.1": {0: run(0.9, 0.1, 0.0) | {"status": "failed"}}}  # fmt: skip
    table = report(read_table("inverse/coefficients"), records, seeds=5)
    text = tables.coefficients(table)
    assert "| heat | `a` | 1.0e-05 | 1.5e-02 / 1.0e-02 | 1.5 | 1 of 2 | – | – | – |" in text
    assert "| heat | `b` | 1.0e-05 | 1.5e-02 / 1.0e-02 | 1.5 | 2 of 2 | – | – | – |" in text
    assert "3 of 4 intervals of 95 % hold the truth (with noise). Seeds 0 1." in text


def test_a_clock_of_processor_seconds_does_not_count_what_other_processes_do(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    script = importlib.import_module("processor_time")
    monkeypatch.setattr(clock, "time", time)  # both are put back after the test
    monkeypatch.setattr(clock, "process_age", clock.process_age)

    def trained(words):
        own = clock.Clock()
        own.begin()
        time.sleep(0.3)
        seconds.append(own.seconds)
        assert own.total_seconds == pytest.approx(time.process_time(), abs=0.1)
        return words

    seconds: list[float] = []
    monkeypatch.setattr(script.cli, "main", trained)
    assert script.main(["recipe=adam"]) == ["train", "recipe=adam"]
    assert seconds[0] < 0.1
