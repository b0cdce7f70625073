"""Published tables: every cell composes, stopped runs are resumed, other runs are refused, the arithmetic is right."""

import io
import json
import os
import re
import shlex
import shutil
import signal
import sys
import threading
import time
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml

from pinn_cli import cli
from pinn_cli.configuration import catalogue
from pinn_cli.configuration.compose import compose
from pinn_cli.records import checkpoint
from pinn_cli.records import summary as runs
from pinn_cli.records.lock import Lock
from pinn_cli.records.results import Results
from pinn_cli.studies.launchers.slurm import array
from pinn_cli.studies.launchers.slurm import commands as slurm
from pinn_cli.studies.published import views
from pinn_cli.studies.published.measured import refuse_others, value
from pinn_cli.studies.published.report import report, result
from pinn_cli.studies.published.table import read_table
from pinn_cli.studies.sweep import Sweep
from tests.conftest import ROOT, refused
from tests.run_files import told_to_stop_in, write_run

TABLES = catalogue.options(catalogue.PUBLISHED)
SMALL = "problem=helmholtz, recipe=adam, compile=off, threads=1, figures=off, points.interior=16, points.face=4"
TINY = """# A tiny table
source: Nobody (2026)
number: made up
seeds: {seeds}
every: [{small}, stop.steps={steps}, {more}]
rows:
  2x8: [architecture.depth=2, architecture.width=8]
  2x6: [architecture.depth=2, architecture.width=6]
columns: {{plain: [], annealed: [weighting=lr_annealing_code]}}
quantities:
  u: {{title: relative L2 error of u, read: error/u, paper: {{2x8: [1.5, null]}}}}
  loss: {{title: largest loss, read: history/loss/total, take: max}}
  worst: {{title: largest error, read: error/u, attribute: max_absolute}}
  ratio: {{title: a quotient, read: history/loss/*, over: history/loss/wall, rows: [2x8]}}
ratios: [[plain, annealed]]
stated: [dtype]
quick: {{cells: [2x8_plain], overrides: [stop.steps=2], seeds: 1}}
notes: [{{text: everything differs}}, {{text: only the annealing, columns: [annealed]}}]
"""
RUNS = Path("outputs/reproduce/mine/tiny")


def write_table(folder: Path, seeds: int = 1, steps: int = 3, more: str = "record.every=1", text: str = TINY) -> None:
    file = folder / "conf" / "published" / "mine" / "tiny.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text.format(seeds=seeds, steps=steps, more=more, small=SMALL))


@pytest.fixture
def tiny(here):
    """Writes the table `mine/tiny` into a working directory of its own."""
    write_table(here)
    return partial(write_table, here)


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    """A folder in which two of the four cells have been run, and what the command printed."""
    place = tmp_path_factory.mktemp("once")
    write_table(place)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setattr(sys, "path", list(sys.path))
        patch.setenv("PYTHONPATH", str(ROOT))
        with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
            assert reproduce("mine/tiny", "--only", "2x8", "--launcher", "basic") == 0
    return place, out.getvalue(), err.getvalue()


@pytest.fixture
def measured(once, here):
    """The folder of `once`, copied."""
    shutil.copytree(once[0], here, dirs_exist_ok=True, symlinks=True)
    return partial(write_table, here)


def reproduce(*words: str) -> int:
    return cli.main(["reproduce", *words])


def place(cell: str, seed: int = 0, folder: Path = RUNS) -> Path:
    """The folder of a run of the table."""
    return next(run.folder for run in Sweep.read(folder).runs if (run.label, run.words[-1]) == (cell, f"seed={seed}"))


def steps(run: Path) -> list[int]:
    return list(Results(run / "results.h5").read_history().get("step", ()))


def stamps() -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in RUNS.rglob("results.h5")}


# ---- the tables of the package


@pytest.mark.parametrize("name", TABLES)
def test_every_table_is_read_and_its_first_quick_cell_composes(name):
    table = read_table(name)
    quick = table.shortened()
    assert table.title
    assert set(quick.cells) <= set(table.cells)
    assert quick.folder == Path(f"{table.folder}_quick")
    assert 0 < len(quick.cells) * quick.seeds <= 8
    compose([*next(iter(quick.cells.values())).words, "seed=0"])


@pytest.mark.slow
@pytest.mark.parametrize("name", TABLES)
def test_every_cell_of_every_table_composes(name):
    table = read_table(name)
    for words in {cell.words for cell in (*table.cells.values(), *table.shortened().cells.values())}:
        compose([*words, "seed=0"])


def test_the_published_grid_of_helmholtz():
    table = read_table("gradient_pathologies/helmholtz")
    paper = table.quantities["u"].paper
    assert len(paper) == len(table.cells) == 36
    assert (paper["3x50_m4"], paper["7x100_m4"]) == (3.87e-3, 1.49e-3)
    config = compose([*table.cells["7x100_m4"].words, "seed=0"])
    assert (config.architecture.depth, config.architecture.width, config.stop.steps) == (7, 100, 40000)
    quotients = [paper[f"{row}_m1"] / paper[f"{row}_m4"] for row in table.rows]
    assert (round(min(quotients)), round(max(quotients))) == (23, 97)


# ---- running them


def test_the_missing_runs_are_carried_out(once, measured, capsys):
    _, out, err = once
    assert "(1 of 2) run 0  label=2x8_plain\n" in err
    assert re.search(r"^2x8_plain +1\.50e\+00 .* 1 ", out, re.MULTILINE)
    assert re.search(r"^2x6_plain( +–){6}$", out, re.MULTILINE)
    assert "one seed" in out
    assert len(stamps()) == 2
    assert reproduce("mine/tiny", "--dry-run") == 0
    commands = capsys.readouterr().out.splitlines()
    assert [line.rpartition("/tiny/")[2] for line in commands[:2]] == ["2", "3"]
    assert commands[0].endswith("architecture.width=6 seed=0 folder=outputs/reproduce/mine/tiny/2")


def test_a_finished_run_is_not_repeated_and_its_values_are_those_of_its_file(measured, capsys):
    before = stamps()
    assert reproduce("mine/tiny", "--only", "2x8", "--json") == 0
    out, err = capsys.readouterr()
    assert not err
    assert stamps() == before
    run = json.loads(out)["cells"]["2x8_plain"]["runs"]["0"]
    results = Results(place("2x8_plain") / "results.h5")
    assert run["values"] == {
        "u": results.read("error/u")[""],
        "loss": max(results.read_history()["loss/total"]),
        "worst": results.read_attributes("error/u")["max_absolute"],
        "ratio": max(results.read_history()[f"loss/{n}"][-1] for n in ("total", "pde", "wall"))
        / results.read_history()["loss/wall"][-1],
    }
    assert (run["steps"], run["stated"], run["errors"]["u"]) == (3, {"dtype": "float32"}, run["values"]["u"])
    assert run["command"].endswith("architecture.depth=2 architecture.width=8 seed=0")


def test_a_table_is_written_beside_its_runs(measured):
    assert "| 2x8_plain | 1.50e+00 |" in (RUNS / "table.md").read_text()
    with h5py.File(RUNS / "table.h5") as file:
        assert file["u/values"].shape == (2, 2, 1)
        assert file["u/values"][0, 0, 0] == Results(place("2x8_plain") / "results.h5").read("error/u")[""]
        assert np.isnan(file["u/median"][1]).all()
        assert np.isnan(file["u/paper"][0, 1])


@pytest.mark.parametrize("name", [name for name in TABLES if name.startswith("default/")])
def test_a_run_has_the_quantities_of_the_tables_of_the_default(name, measured):
    results = Results(place("2x8_plain") / "results.h5")
    shared = {"error", "u", "seconds", "steps"} & set(quantities := read_table(name).quantities)
    assert len(shared) > 1
    assert all(value(results, quantities[quantity]) is not None for quantity in shared)


def test_cells_are_left_out_by_a_pattern_and_get_words_of_their_own(tiny):
    tiny(text=TINY.replace("ratios:", 'without: ["*_annealed"]\ncells: {{2x6_plain: [stop.seconds=9]}}\nratios:'))
    cells = read_table("mine/tiny").cells
    assert list(cells) == ["2x8_plain", "2x6_plain"]
    assert [cell.words[-1] for cell in cells.values()] == ["architecture.width=8", "stop.seconds=9"]


def test_a_quick_table_has_its_own_folder_and_says_that_it_is_quick(tiny, capsys):
    assert reproduce("mine/tiny", "--quick", "--launcher", "basic") == 0
    out, err = capsys.readouterr()
    assert "not comparable" in out
    assert "quick" in err
    assert re.search(r"^2x8_plain +1\.50e\+00 .* –  quick$", out, re.MULTILINE)
    assert steps(place("2x8_plain", folder=Path(f"{RUNS}_quick"))) == [1, 2]
    assert "not comparable" in Path(f"{RUNS}_quick/table.md").read_text()
    assert not (RUNS / "table.md").exists()


@pytest.mark.slow  # an interrupted run is resumed below
def test_ctrl_c_stops_a_table_and_the_same_command_resumes_it(tiny, capsys):
    tiny(steps=6)
    words = ("mine/tiny", "--only", "2x8_plain", "--launcher", "basic")
    with told_to_stop_in(3, signal.SIGINT):
        assert reproduce(*words) == cli.STOPPED
    assert "the same command goes on from here" in capsys.readouterr().err
    run = place("2x8_plain")
    assert Results(run / "results.h5").read_attributes()["status"] == "stopped"
    assert checkpoint.load_run(run / "checkpoint.pt")["progress"]["step"] == 3
    assert reproduce(*words) == 0
    assert steps(run) == [1, 2, 3, 4, 5, 6]
    assert "from step 3\n" in (run / "run.log").read_text()


@pytest.mark.slow
def test_ctrl_c_stops_the_workers_of_a_table(tiny, capfd):
    tiny(steps=1000000, more="record.every=10")
    words = ("mine/tiny", "--only", "2x8_plain")

    def press() -> None:
        end = time.monotonic() + 240
        while not (RUNS / "0" / "checkpoint.pt").exists() and time.monotonic() < end:  # it trains
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=press)
    thread.start()
    assert reproduce(*words) == cli.STOPPED
    thread.join()
    errors = capfd.readouterr().err
    assert "Ctrl-C: waiting for 1 run to save" in errors
    assert "the same command goes on from here" in errors
    run = place("2x8_plain")
    assert Results(run / "results.h5").read_attributes()["status"] == "stopped"
    assert checkpoint.load_run(run / "checkpoint.pt")["progress"]["step"] > 0


def test_an_interrupted_run_is_resumed(measured):
    results = Results(place("2x8_plain") / "results.h5")
    results.attributes(status="running")  # and no process holds its folder
    assert reproduce("mine/tiny", "--only", "2x8_plain", "--launcher", "basic") == 0
    assert results.read_attributes()["status"] == "finished"
    assert steps(place("2x8_plain")) == [1, 2, 3]


def test_seeds_of_a_cell_that_trained_different_sources_are_refused(here, monkeypatch):
    for seed, source in enumerate(("0a1b2c3d", "ffffffff")):
        write_run(Path(f"{seed}"), nodes=8, seed=seed, source=source)
    cells = {"cell": {0: Path("0"), 1: Path("1")}}
    monkeypatch.setattr("pinn_cli.studies.published.measured.folders", lambda table: cells)
    write_table(here)
    with refused(r"the runs of cell differ in their source \(pinn diff 0 1\)"):
        refuse_others(read_table("mine/tiny"))


def test_a_run_with_other_settings_is_refused(measured, capsys):
    measured(steps=4)
    before = stamps()
    for words in ((), ("--show",), ("--dry-run",)):
        assert reproduce("mine/tiny", *words) == cli.USAGE
        out, err = capsys.readouterr()
        assert "stop.steps=3 is now 4" in err
        assert f"{RUNS}/0 is not the run of 2x8_plain" in err
        assert (out, err.count("\n")) == ("", 1)
    assert stamps() == before


@pytest.mark.slow
def test_words_that_follow_the_seed_are_no_other_settings(here):
    write_table(here, seeds=2, more="'problem.k=${seed}'")
    assert reproduce("mine/tiny", "--only", "2x8_plain", "--launcher", "basic") == 0
    assert reproduce("mine/tiny", "--only", "2x8_plain", "--show") == 0
    configs = [Results(place("2x8_plain", seed) / "results.h5").read_config() for seed in (0, 1)]
    assert ["k: 0" in configs[0], "k: 1" in configs[1]] == [True, True]


def test_a_run_that_another_process_writes_is_left_alone(measured, capsys):
    Results(place("2x8_plain") / "results.h5").attributes(status="running")
    with Lock(place("2x8_plain")):
        assert reproduce("mine/tiny", "--only", "2x8_plain") == 0
    assert f"1 run queued or running in {RUNS}, not started twice" in capsys.readouterr().err


@pytest.mark.parametrize(("value", "same"), [({}, True), (None, True), (["a"], False), (0, False), (False, False)])
def test_an_empty_setting_that_an_older_run_did_not_know_is_no_difference(tmp_path, value, same):
    write_run(tmp_path / "run")
    config = yaml.safe_load(Results(tmp_path / "run" / "results.h5").read_config())
    assert not runs.differences(tmp_path / "run", config)
    config["new"] = value
    assert (not runs.differences(tmp_path / "run", config)) == same
    config["seed"] = 5
    assert "seed=0 is now 5" in runs.differences(tmp_path / "run", config)


def test_a_run_that_fails_leaves_the_others_and_is_named(tiny, capsys):
    tiny(more="optimizer.adam.lr=1e30", steps=20)
    assert reproduce("mine/tiny", "--only", "2x8_plain", "--launcher", "basic") == cli.FAILED
    out, err = capsys.readouterr()
    assert "run 0  failed" in err
    assert "residual of `" in err
    assert re.search(r"^2x8_plain .*seed 0 failed$", out, re.MULTILINE)


# ---- through a launcher


@pytest.fixture
def cluster(without_slurm, monkeypatch):
    """A Slurm that accepts every job and starts none: the submitted scripts, and the tasks in the queue."""
    scripts: list[Path] = []
    waiting: list[slurm.Task] = []

    def submit(options, script, *arguments):
        if "--test-only" not in options:
            scripts.append(Path(script))
            count = int(re.findall(r"--array=0-(\d+)", " ".join(options))[0]) + 1
            waiting.extend(slurm.Task("PENDING", str(n), [str(script), "1"]) for n in range(count))
        return str(16 + len(scripts))

    def tasks(jobs):
        return [task for task in waiting if str(17 + scripts.index(Path(task.command[0]))) in jobs]

    monkeypatch.setattr(array, "submit", submit)
    monkeypatch.setattr(slurm, "tasks", tasks)
    return scripts, waiting


def submitted(script: Path) -> list[str]:
    """Cell and seed of the runs of a script."""
    numbers = [int(line.rpartition("/")[2]) for line in script.with_name("runs.txt").read_text().splitlines()]
    runs = Sweep.read(RUNS).runs
    return [f"{runs[number].label} {runs[number].words[-1]}" for number in numbers]


def test_the_missing_runs_of_all_cells_and_seeds_are_one_sweep(measured, capsys):
    measured(seeds=2)
    words = ("mine/tiny", "--launcher", "basic", "--only", "2x8")
    assert reproduce(*words, "--dry-run") == 0
    out, err = capsys.readouterr()
    folders = [line.rpartition("folder=")[2] for line in out.splitlines() if "folder=" in line]
    assert folders == [f"{RUNS}/{number}" for number in (2, 3)]
    assert (out.splitlines()[-1], err) == ("2 runs; with hydra/launcher=basic; nothing has been started", "")
    assert len(Sweep.read(RUNS).runs) == 2
    assert reproduce(*words) == 0
    out, err = capsys.readouterr()
    assert out.startswith("mine/tiny: A tiny table\n")
    assert "(2 of 2) run 3" in err
    sweep = Sweep.read(RUNS)
    assert [(run.label, run.words[-1]) for run in sweep.runs] == [
        ("2x8_plain", "seed=0"), ("2x8_annealed", "seed=0"), ("2x8_plain", "seed=1"), ("2x8_annealed", "seed=1"),
    ]  # fmt: skip
    assert sweep.command == "pinn reproduce mine/tiny --launcher basic --only 2x8"
    assert steps(place("2x8_annealed", 1)) == [1, 2, 3]
    assert reproduce("mine/tiny", "--only", "2x8", "--dry-run") == 0  # they are the runs of the table
    assert "nothing is missing" in capsys.readouterr().out
    assert cli.main(["status", str(RUNS), "--all"]) == 0
    assert "label=2x8_annealed seed=1" in capsys.readouterr().out
    assert cli.main(["compare", str(RUNS), "--json"]) == 0
    groups = json.loads(capsys.readouterr().out)["groups"]
    assert [group["settings"] for group in groups] == [{"label": "2x8_plain"}, {"label": "2x8_annealed"}]


@pytest.mark.slow
def test_workers_print_nothing_into_the_table(measured, capfd):
    measured(seeds=2)
    assert reproduce("mine/tiny", "--only", "2x8_plain", "--launcher", "local", "--json") == 0
    out, err = capfd.readouterr()
    assert json.loads(out)["cells"]["2x8_plain"]["results"]["u"]["count"] == 2
    assert re.search(r"\[1/1\] run \d+ .*: finished, 3 steps", err)


def test_runs_in_the_queue_of_a_cluster_are_not_submitted_twice(tiny, cluster, capsys):
    scripts, _ = cluster
    tiny(seeds=2)
    words = ("mine/tiny", "--launcher", "slurm_array", "hydra.launcher.partition=gpu")
    assert reproduce(*words, "--only", "2x8") == 0
    out, err = capsys.readouterr()
    assert (out, "job 17: 4 tasks" in err) == ("", True)
    assert reproduce("mine/tiny") == cli.USAGE  # by another launcher
    assert "slurm_array still has runs of" in capsys.readouterr().err
    assert reproduce(*words) == 0
    assert [submitted(script) for script in scripts] == [
        [f"{row}_{column} seed={k}" for k in (0, 1) for column in ("plain", "annealed")] for row in ("2x8", "2x6")
    ]
    for others in ([], ["--launcher", "basic"], [*words[1:]]):
        capsys.readouterr()
        assert reproduce("mine/tiny", *others) == 0
        out, err = capsys.readouterr()
        assert f"8 runs queued or running in {RUNS} (jobs 17 18), not started twice; pinn status {RUNS}" in err
        assert (out, len(scripts)) == ("", 2)
    assert reproduce("mine/tiny", "--show") == 0
    assert "0 of 4 cells have finished runs" in capsys.readouterr().out


def test_finished_runs_of_a_cluster_are_shown_and_failed_ones_are_submitted_again(tiny, once, cluster, capsys):
    scripts, waiting = cluster
    words = ("mine/tiny", "--launcher", "slurm_array", "--only", "2x8_plain", "2x6_plain")
    assert reproduce(*words) == 0
    lines = scripts[0].with_name("runs.txt").read_text().splitlines()
    waiting.clear()
    shutil.copytree(once[0] / RUNS / "0", RUNS / "0")
    Path(f"{RUNS}/1.failed").write_text("no such node\n")
    capsys.readouterr()
    assert reproduce(*words) == 0
    err = capsys.readouterr().err
    assert "1 run failed when last started: no such node\n" in err
    assert "job 18: 1 task\n" in err
    assert submitted(scripts[1]) == ["2x6_plain seed=0"]
    waiting.clear()
    assert cli.main(shlex.split(lines[1])[1:]) == 0
    assert not Path(f"{RUNS}/1.failed").exists()
    capsys.readouterr()
    assert reproduce(*words) == 0
    out, err = capsys.readouterr()
    assert ("2 of 4 cells have finished runs" in out, err, len(scripts)) == (True, "", 2)


# ---- mistakes


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("gradient_pathologies/helmholz", "did you mean `gradient_pathologies/helmholtz`?"),
        ("mine/tiny --only 2x8_plane", "did you mean `2x8_plain`?"),
        ("mine/tiny --launcher slurm_arry", "did you mean `slurm_array`?"),
        ("mine/tiny --launcher nowhere", "expected one of basic"),
        ("mine/tiny stop.steps=9", "the table sets everything but the launcher"),
        ("mine/tiny hydra.launcher.partition=gpu", "unknown key `hydra.launcher.partition`"),
    ],
)
def test_a_mistake_gets_one_line_with_exit_code_2_and_writes_nothing(tiny, capsys, words, says):
    assert reproduce(*words.split()) == cli.USAGE
    out, err = capsys.readouterr()
    assert says in err
    assert (out, err.count("\n")) == ("", 1)
    assert not Path("outputs").exists()


@pytest.mark.parametrize("words", ["--seeds 0", "--seeds two", "--jobs 0"])
def test_a_number_that_is_no_count_is_refused(tiny, words, capsys):
    assert reproduce("mine/tiny", *words.split()) == cli.USAGE
    assert "expected a whole number above 0" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ("number: made up", "nummer: made up", "did you mean `number`?"),
        ("source: Nobody", "sauce: Nobody", "`source` is missing"),
        ("stated:", "statted:", "did you mean `stated`?"),
        ("ratios:", "cells: {{2x9_plain: []}}\nratios:", "did you mean `2x8_plain`?"),
        ("take: max", "when: error/*", "`when` and `below` belong together"),
        ("paper: {{2x8: [1.5, null]}}", "paper: {{2x9: [1.5, null]}}", "did you mean `2x8`?"),
        ("paper: {{2x8: [1.5, null]}}", "paper: {{2x8: [1.5]}}", "expected 2, one for each column"),
        ("take: max", "take: maximum", "expected one of last, max, min"),
        ("rows: [2x8]", "rows: [2x9]", "did you mean `2x8`?"),
        ("cells: [2x8_plain]", "cells: [2x8_plane]", "did you mean `2x8_plain`?"),
        ("columns: [annealed]", "columns: [anealed]", "did you mean `annealed`?"),
        ("ratios: [[plain, annealed]]", "ratios: [[plain, anealed]]", "did you mean `annealed`?"),
        ("ratios:", 'without: ["2x9*"]\nratios:', "no cell fits `2x9*`"),
        ("seeds: {seeds}", "seeds: many", "tiny.yaml"),
        ("rows:", "rows: [", "tiny.yaml"),
    ],
)
def test_a_mistake_in_a_table_names_the_file(tiny, one_line, before, after, says):
    tiny(text=TINY.replace(before, after))
    assert reproduce("mine/tiny", "--dry-run") == cli.USAGE
    assert says in one_line()


def test_without_a_name_the_tables_are_listed(tiny, capsys):
    assert reproduce() == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert list(lines) == sorted([*TABLES, "mine/tiny"])
    assert lines["mine/tiny"].endswith("A tiny table")


# ---- the arithmetic


@pytest.mark.parametrize(
    ("paper", "values", "median", "ratio", "verdict"),
    [
        (2.0, [3.0, 1.0, 2.5], 2.5, 1.25, "agrees"),
        (4.0, [3.0, 1.0], 2.0, 0.5, "differs"),
        (0.5, [3.0, 1.0], 2.0, 4.0, "differs"),
        (1.0, [3.0, 1.0], 2.0, 2.0, "agrees"),
        (4.0, [2.0], 2.0, 0.5, "one seed"),
        (None, [2.0, 3.0], 2.5, None, ""),
        (4.0, [], None, None, ""),
    ],
)
def test_median_ratio_and_verdict(paper, values, median, ratio, verdict):
    numbers = result(paper, values)
    assert (numbers["median"], numbers["ratio"], numbers["verdict"]) == (median, ratio, verdict)
    assert (numbers["low"], numbers["high"]) == ((min(values), max(values)) if values else (None, None))


def made_up(value: float | None, status: str = "finished") -> dict:
    about = {"reason": "", "steps": 3, "seconds": 1.0, "started": "", "command": "", "commit": "", "machine": "CPU"}
    values = {"u": value, "loss": 1.0, "worst": None, "ratio": None}
    return about | {"status": status, "stated": {"dtype": "float32"}, "values": values}


def test_a_report_counts_finished_runs_and_names_the_others(tiny):
    table = read_table("mine/tiny")
    numbers = report(table, {
        "2x8_plain": {0: made_up(1.0), 1: made_up(4.0), 2: made_up(9.0, "failed")},
        "2x8_annealed": {0: made_up(0.5), 1: made_up(None)},
        "2x6_plain": {0: made_up(7.0, "stopped")},
    }, seeds=3)  # fmt: skip
    plain, annealed = (numbers["cells"][f"2x8_{name}"]["results"]["u"] for name in ("plain", "annealed"))
    assert (plain["median"], plain["count"], plain["verdict"]) == (2.5, 2, "agrees")
    assert (annealed["median"], annealed["verdict"], annealed["rest"]) == (0.5, "", {"1": "has no value"})
    assert numbers["cells"]["2x6_plain"]["results"]["u"]["median"] is None
    assert "ratio" not in numbers["cells"]["2x6_plain"]["results"]  # it belongs to the other row
    assert [row[0] for row in views.rows(numbers, "ratio")[1:]] == ["2x8_plain", "2x8_annealed"]
    first, second = (quotient for quotient in numbers["ratios"] if quotient["quantity"] == "u")
    assert (first["ours"], first["paper"], second["ours"]) == (5.0, None, None)
    rows = {row[0]: row[1:] for row in views.rows(numbers, "u")}
    assert rows["2x8_plain"] == [
        "1.50e+00", "2.50e+00", "[1.00e+00, 4.00e+00]", "2 of 3", "1.7", "agrees, seed 2 failed",
    ]  # fmt: skip
    assert rows["2x6_plain"] == ["–", "–", "–", "–", "–", "seed 0 stopped"]
    assert rows["2x6_annealed"] == ["–"] * 6
    assert [row[0] for row in views.rows(numbers, "u", empty=False)[1:]] == ["2x8_plain", "2x8_annealed"]
    assert "2 of 4 cells have finished runs; 1 agree" in views.text(numbers)
    assert json.loads(json.dumps(numbers)) == numbers


def test_the_mean_stands_beside_the_median_where_the_paper_prints_means(tiny):
    for number, column in (("mean of 10 initialisations", ["mean"]), ("no meaningful one", [])):
        tiny(text=TINY.replace("number: made up", f"number: {number}"))
        runs_of_cell = {0: made_up(1.0), 1: made_up(2.0), 2: made_up(6.0), 3: made_up(90.0, "failed")}
        numbers = report(read_table("mine/tiny"), {"2x8_plain": runs_of_cell}, seeds=3)
        head, plain, *others = views.rows(numbers, "u")
        assert head == ["cell", "paper", "ours", *column, "[min, max]", "seeds", "ratio", ""]
        mean = ["3.00e+00"] * len(column)
        assert plain[1:-2] == ["1.50e+00", "2.00e+00", *mean, "[1.00e+00, 6.00e+00]", "3"]
        assert {len(row) for row in others} == {len(head)}
        assert ("median, mean and [least, greatest]" in views.text(numbers)) == bool(column)
        assert views.arrays(numbers)["u/mean"][0, 0] == 3.0
        assert np.isnan(views.arrays(numbers)["u/mean"][1]).all()


def test_a_table_of_ours_may_ask_for_means(tiny):
    text = TINY.replace("number: made up", "mean: true")
    tiny(text=text.replace(", paper: {{2x8: [1.5, null]}}", ""))
    numbers = report(read_table("mine/tiny"), {"2x8_plain": {0: made_up(1.0), 1: made_up(3.0)}}, seeds=2)
    head, plain, *_ = views.rows(numbers, "u")
    assert head == ["cell", "median", "mean", "[min, max]", "seeds", ""]
    assert plain[:3] == ["2x8_plain", "2.00e+00", "2.00e+00"]


@pytest.mark.parametrize(("values", "verdict"), [([3.0], "one seed a"), ([3.0, 4.0], "differs a")])
def test_a_cell_that_does_not_agree_names_the_known_differences(tiny, values, verdict):
    differing = report(read_table("mine/tiny"), {"2x8_plain": dict(enumerate(map(made_up, values)))}, seeds=len(values))
    assert views.rows(differing, "u")[1][-1] == verdict
    text = views.text(differing)
    assert "  a  everything differs" in text
    assert "only the annealing" not in text
