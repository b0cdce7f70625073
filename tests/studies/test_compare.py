"""`pinn compare`: runs and sweeps side by side, problem by problem, over their seeds, in every shape."""

import csv
import io
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from pinn_cli.basics.text import ranges, shortest
from pinn_cli.cli import main
from pinn_cli.records.results import Results
from pinn_cli.reports import tables as typeset
from pinn_cli.reports.figures.error_against_time import write_comparison
from pinn_cli.studies.compare import compare, differences
from pinn_cli.studies.compare_tables import MEDIANS, blocks, headings, in_full, legend
from pinn_cli.studies.sweep import Sweep
from tests.run_files import write_run
from tests.sweep_files import FOLDER, REASON, set_status, write_sweep

EQUATION = '''from dataclasses import dataclass

from pinn_cli import Box, Problem, on


@dataclass
class Fixme(Problem):
    """u_xx = 2 on [0, 1], u(0) = 0, u(1) = 1; the sign is wrong"""

    coordinates = ("x",)
    fields = ("u",)

    def __post_init__(self):
        self.domain = Box(x=(0, 1))

    def exact(self, x):
        return x**2

    @on("interior")
    def pde(self, u_xx):
        return u_xx + 2

    @on("x=0")
    def left(self, u):
        return u

    @on("x=1")
    def right(self, u):
        return u - 1
'''
TWO = Path("outputs/sweeps/2026-03-01_10-00-00-cd34")  # a sweep of two problems


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sweep of three weightings, and one of two problems, in the second of which a coefficient is trained."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place := tmp_path_factory.mktemp("sweeps"))
        write_sweep()
        words = [[f"problem={problem}", f"points.interior={n}", f"weights.interior={10 / n:g}", f"seed={seed}"]
                 for problem in ("helmholtz", "fhn") for n in (10, 20) for seed in (0, 1)]  # fmt: skip
        runs = [(own, None) for own in [*words, ["problem=fhn", "points.interior=30", "seed=0"]]]
        sweep = Sweep.create("pinn train -m ...", "basic", runs, TWO)
        for number, own in enumerate(words):
            results = write_run(sweep.folder / str(number), nodes=8, started=f"2026-03-01T10:00:0{number}",
                                seed=int(own[-1][-1]))  # fmt: skip
            results.attributes(problem=own[0].removeprefix("problem="))
            errors = {"u": 0.1 / (1 + number)} if number < 4 else {"v": 1.0 + number, "w": 2.0}
            unknowns = {} if number < 4 else {"unknowns": {"tau": 12.5 + 0.001 * number}}
            results.replace({"error": errors, "timing": {"duration": 5.0}, **unknowns})
    return place


@pytest.fixture(autouse=True)
def sweeps(written: Path, here: Path) -> None:
    shutil.copytree(written / "outputs", "outputs", symlinks=True)


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["compare", *words]) == 0
    return capsys.readouterr().out.rstrip("\n")


def in_lines(capsys: pytest.CaptureFixture[str], *words: str) -> list[list[str]]:
    return [line.split() for line in printed(capsys, *words).splitlines()]


def test_seeds_make_groups_with_median_mean_and_range(capsys) -> None:
    head, fixed, annealed, refused, below, reason = in_lines(capsys, "ab")
    assert head == ["runs", "weighting", "error", "u", "mean", "[min,", "max]", "time", "steps", "seeds", "note"]
    assert fixed == ["0-2", "fixed", "2.00e-03", "2.33e-03", "[1.00e-03,", "4.00e-03]", "0:11", "5900", "3"]
    assert annealed[1:6] == ["lr_annealing", "2.00e-05", "2.00e-05", "[1.00e-05,", "3.00e-05]"]
    assert refused == ["6-8", "grad_norm", *"––––––", "refused", "[1]"]
    assert " ".join(below) == MEDIANS
    assert " ".join(reason) == f"[1] {REASON}"
    *_, last, reason = in_lines(capsys, "ab", "--runs")
    assert last == ["6-8", "grad_norm", *"––––", "refused", "[1]"]
    assert " ".join(reason) == f"[1] {REASON}"


def test_each_problem_has_a_block_with_its_own_columns_and_minimum(capsys, monkeypatch) -> None:
    text = printed(capsys, "cd", "--md")
    helmholtz, fhn, below = text.split("\n\n")[1], text.split("\n\n")[3], text.split("\n\n")[4:]
    assert text.startswith("**helmholtz**\n\n| runs | points.interior | weights.interior | error u | mean |")
    assert [line.count("**") for line in helmholtz.splitlines()] == [0, 0, 0, 2]
    head, _, first, second, unstarted = fhn.splitlines()
    assert "| error v | mean v | [min, max] v | error w | mean w | [min, max] w | unknown tau | time |" in head
    assert "| **5.50e+00** | 5.50e+00 | [5.00e+00, 6.00e+00] | **2.00e+00** |" in first
    assert "| 12.5045 |" in first
    assert second.count("**") == 2  # both have the same error of w
    assert unstarted.startswith("| 8 |")
    assert unstarted.endswith("| not started |")
    assert below == [MEDIANS]
    assert printed(capsys, "cd").startswith("helmholtz\nruns  points.interior  weights.interior   error u")
    assert printed(capsys, "cd", "--latex").startswith("\\par helmholtz\n% \\usepackage{booktabs}")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    assert printed(capsys, "cd").count("\033[1m") == 4


@pytest.mark.parametrize("width", [80, 160])
def test_a_narrow_terminal_breaks_no_word_and_each_part_names_its_runs(width: int) -> None:
    tables, _ = blocks(compare([TWO / str(number) for number in range(8)]), grouped=True)
    for block in tables:
        text = typeset.text(block.rows, block.numeric, width=width)
        assert max(map(len, text.splitlines())) <= width
        assert set(text.split()) == set(typeset.text(block.rows, block.numeric).split())
        assert all(part.startswith("runs ") for part in text.split("\n\n"))
        assert "[5.00e+00, 6.00e+00]" in text or block.problem == "helmholtz"


def test_json_and_csv_name_the_problem_of_each_run_and_its_unknowns(capsys) -> None:
    found = json.loads(printed(capsys, "cd", "--json"))
    assert [group["problem"] for group in found["groups"]] == ["helmholtz", "helmholtz", "fhn", "fhn"]
    assert found["groups"][2]["unknowns"]["tau"]["median"] == 12.5045
    assert found["runs"][4]["unknowns"] == {"tau": 12.504}
    assert found["unstarted"][0]["problem"] == "fhn"
    rows = list(csv.DictReader(io.StringIO(printed(capsys, "cd", "--csv"))))
    assert [row["problem"] for row in rows] == ["helmholtz", "helmholtz", "fhn", "fhn", "fhn"]
    assert (rows[0]["unknown/tau median"], rows[2]["unknown/tau median"]) == ("", "12.5045")
    rows = list(csv.DictReader(io.StringIO(printed(capsys, "cd", "--csv", "--runs"))))
    assert (rows[4]["problem"], rows[4]["unknown/tau"], rows[-1]["status"]) == ("fhn", "12.504", "not started")


def test_only_finished_runs_count_and_the_others_are_named(capsys) -> None:
    set_status(0, status="failed", reason="the loss is not finite")
    shutil.rmtree(FOLDER / "5")
    rows = printed(capsys, "ab").splitlines()
    assert rows[1].split()[2:5] == ["3.00e-03", "3.00e-03", "[2.00e-03,"]
    assert "2 of 3" in rows[1]
    assert rows[1].endswith("0 failed [1]")
    assert rows[-2:] == ["[1] the loss is not finite", f"[2] {REASON}"]
    for number in (1, 2):
        set_status(number, status="stopped", reason="interrupted (SIGTERM)")
    rows = printed(capsys, "ab").splitlines()
    assert rows[1].split()[:7] == ["0-2", "fixed", *"–––––"]
    assert rows[1].endswith("0 of 3  0 failed [1], 1-2 stopped [2]")
    assert rows[-2] == "[2] interrupted (SIGTERM)"


def test_a_finished_run_that_is_not_ok_is_marked_with_its_verdict(capsys) -> None:
    wrong = "the equation is not satisfied yet: held-out residual relative to its largest term pde 0.2"
    Results(TWO / "0" / "results.h5").replace({"guard": {"verdict": wrong}})
    shown = " ".join(printed(capsys, str(TWO)).split())
    assert "0 not ok [1]" in shown
    assert f"[1] {wrong}" in shown
    assert "finished [1]" in " ".join(printed(capsys, str(TWO), "--runs").split())
    groups = json.loads(printed(capsys, str(TWO), "--json"))["groups"]
    assert [wrong in group["doubtful"].values() for group in groups] == [True, False, False, False]


def test_some_seeds_refused_are_named_beside_their_group() -> None:
    manifest = json.loads((FOLDER / "sweep.json").read_text())
    manifest["runs"][2]["refused"] = "no"
    (FOLDER / "sweep.json").write_text(json.dumps(manifest))
    found = compare([FOLDER / number for number in "01345"])
    assert [group["others"] for group in found["groups"]] == [{"2": "refused: no"}, {}]
    [block], below = blocks(found, grouped=True)
    assert [block.rows[1][k] for k in (0, -2, -1)] == ["0-1", "2 of 3", "2 refused [1]"]
    assert below[1:] == ["[1] no", f"[2] {REASON}"]


def test_a_run_that_has_not_started_is_named(capsys) -> None:
    shutil.rmtree(FOLDER / "5")
    row = in_lines(capsys, "ab")[2]
    assert "2 of 3" in " ".join(row)
    assert row[-3:] == ["5", "not", "started"]
    shutil.rmtree(FOLDER / "3")
    shutil.rmtree(FOLDER / "4")
    assert in_lines(capsys, "ab")[2] == ["3-5", "lr_annealing", *"––––––", "not", "started"]  # the whole combination


def test_only_the_named_runs_of_a_sweep_are_shown(capsys) -> None:
    assert [row[0] for row in in_lines(capsys, "ab/0", "ab/3")] == ["run", "0", "3"]
    assert [row[0] for row in in_lines(capsys, "cd/fhn", "--runs")] == ["run", "4", "5", "6", "7"]


@pytest.mark.parametrize("shape", [[], ["--runs"], ["--csv"], ["--json"], ["--md", "--runs"], ["--figure", "a.png"]])
def test_a_damaged_file_and_a_run_added_by_hand_stop_nothing(shape, capsys) -> None:
    (FOLDER / "2" / "results.h5").write_bytes(b"no results")
    shutil.copytree(FOLDER / "1", FOLDER / "20")
    text = printed(capsys, "ab", *shape)
    assert "damaged" in text
    assert "20" in text


def test_latex_is_a_table_with_its_signs_escaped(capsys) -> None:
    lines = printed(capsys, "ab", "--latex").splitlines()
    assert lines[1] == r"\begin{tabular}{llrrrrrrl}"
    assert lines[-3] == r"\end{tabular}"
    assert lines[-1].startswith(r"\par [1] weighting=grad\_norm needs")
    assert lines[7].startswith(r"6-8 & grad\_norm & -- & --")
    assert r"$\mathbf{2.00\times 10^{-5}}$" in lines[6]
    assert all(line.endswith(r" \\") and line.count("&") == 8 for line in (lines[3], *lines[5:-4]))
    assert typeset.latex([["a & b"], ["50 %"]], ()).count("\\&") == 1


def test_csv_has_every_number_in_full(capsys) -> None:
    rows = list(csv.DictReader(io.StringIO(printed(capsys, "ab", "--csv"))))
    assert float(rows[0]["error/u mean"]) == pytest.approx(7e-3 / 3, rel=1e-15)
    assert float(rows[0]["error/u deviation"]) == pytest.approx(1.527525e-3, rel=1e-6)
    assert (rows[0]["runs"], rows[0]["finished"], rows[0]["seconds median"]) == ("0 1 2", "3", "11.0")
    assert (rows[2]["weighting"], rows[2]["error/u median"], rows[2]["note"]) == ("grad_norm", "", f"refused: {REASON}")
    runs = list(csv.DictReader(io.StringIO(printed(capsys, "ab", "--csv", "--runs"))))
    assert [row["seed"] for row in runs] == ["0", "1", "2", "0", "1", "2", ""]
    assert [row["status"] for row in runs] == ["finished"] * 6 + ["refused"]


def test_json_has_groups_runs_and_refused_combinations(capsys) -> None:
    Results(FOLDER / "0/results.h5").replace({"error": {"u": float("nan")}})
    text = printed(capsys, "ab", "--json")
    found = json.loads(text, parse_constant=lambda constant: pytest.fail(f"{constant} is no JSON"))
    assert found["groups"][0]["errors"]["u"]["median"] == pytest.approx(3e-3)  # NaN does not count
    assert list(found["groups"][0]["others"].values()) == ["has no error u"]
    assert found["runs"][4]["settings"] == {"weighting": "lr_annealing", "seed": "1"}
    refused = {"settings": {"weighting": "grad_norm"}, "status": "refused", "reason": REASON, "numbers": [6, 7, 8],
               "seeds": ["0", "1", "2"]}  # fmt: skip
    assert found["unstarted"] == [{"problem": "helmholtz", **refused}]


def test_sorting_puts_the_most_accurate_first_within_each_problem(capsys) -> None:
    assert in_lines(capsys, "ab", "--sort")[1][:2] == ["3-5", "lr_annealing"]
    assert in_lines(capsys, "ab", "--sort", "--runs")[1][:3] == ["3", "lr_annealing", "0"]
    runs = json.loads(printed(capsys, "cd", "--sort", "--json"))["runs"]
    assert [run["run"].rpartition("/")[2] for run in runs] == [*"3210", *"4567"]


def test_runs_of_several_places_are_compared_by_their_configurations(capsys) -> None:
    write_run(Path("outputs/helmholtz/lone-ef56"), weighting="causal", seed=7)
    rows = in_lines(capsys, "ab", "ef", "--runs")
    assert rows[0][:3] == ["run", "weighting", "seed"]
    assert rows[1][:3] == [f"{FOLDER.name}/0", "fixed", "0"]
    assert rows[-1][:3] == ["lone-ef56", "causal", "7"]
    problems = [block.problem for block in blocks(compare([TWO / "4", Path("outputs/helmholtz/lone-ef56")]), False)[0]]
    assert problems == ["fhn", "helmholtz"]  # as typed behind `problem=`


def test_the_error_against_seconds_has_a_panel_for_each_problem_and_field(capsys, monkeypatch) -> None:
    drawn = []
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda figure, *_, **__: drawn.append(figure))
    assert main(["compare", "cd", "--figure", "figures/error.png"]) == 0
    assert capsys.readouterr().err.strip() == "figures/error.png"
    panels = drawn[0].axes
    assert [axes.get_title(loc="left") for axes in panels] == ["helmholtz", "fhn"]
    assert [text.get_text() for text in panels[1].get_legend().get_texts()] == [
        f"points.interior={n}, weights.interior={10 / n:g}" for n in (10, 20)]  # fmt: skip


def test_cells_are_named_by_what_differs_and_have_one_colour_in_every_panel(tmp_path, monkeypatch):
    drawn: list[Any] = []
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda figure, *_, **__: drawn.append(figure))
    runs, more = [FOLDER / "0"], [FOLDER / "3"]
    wave = {"label=wave_rad": runs, "label=wave_r3": more}
    problems = {"wave": wave, "heat": {"label=heat_r3": runs, "label=heat_rad": more}}
    assert write_comparison(problems, tmp_path / "error.png")
    named = [{line.get_label(): line.get_color() for line in axes.get_lines()} for axes in drawn[0].axes]
    assert list(named[0]) == ["rad", "r3"]
    assert named[0] == named[1]


def test_a_legend_names_the_run_where_nothing_or_too_much_differs() -> None:
    few, many = {"architecture.functions": 8, "seed": 1}, {f"weights.{name}": 1 for name in "abcde"}
    assert legend({"settings": few, "runs": ["a"]}) == "functions=8, seed=1"
    assert [legend({"settings": own, "runs": ["hard", "b"]}) for own in ({}, many)] == ["hard", "hard"]


def test_a_figure_is_written_and_needs_two_errors(tmp_path: Path) -> None:
    write_run(tmp_path / "none", reference=False)
    assert not write_comparison({"wave": {"a": [tmp_path / "none"]}}, tmp_path / "error.png")
    assert not (tmp_path / "error.png").exists()
    assert write_comparison({"wave": {"a": [FOLDER / "0"], "b": [FOLDER / "3"]}}, tmp_path / "error.png")
    assert (tmp_path / "error.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["zz"], "there is no run `zz`"),
        (["--figure", "error.doc"], "expected a file that ends in .png, .pdf, .svg"),
        (["--figure", "/proc/error.png"], "type another --figure"),
        (["ab/6"], f"was refused: {REASON}"),
    ],
)
def test_a_comparison_that_is_impossible_gets_one_line(words: list[str], says: str, one_line) -> None:
    assert main(["compare", *words]) == 2
    assert says in one_line()


def write_seeds(**changed: object) -> None:
    """Three lone runs with seeds 0, 1 and 2; the third has the changed attributes."""
    for seed in range(3):
        run = write_run(Path(f"outputs/lone/{seed}"), seed=seed, nodes=8, started=f"2026-01-01T00:00:0{seed}")
        run.attributes(**{"threads": 1, "versions": {"torch": "2.9"}} | (changed if seed == 2 else {}))


def test_runs_of_another_source_are_another_row_and_the_column_says_so(capsys) -> None:
    write_seeds(source="ffffffff")
    head, first, second, _, note = in_lines(capsys, "outputs/lone")
    assert head[:3] == ["source", "error", "u"]
    assert (first[0], first[-1], second[0], second[-1]) == ("0a1b2c3d", "2", "ffffffff", "1")
    assert " ".join(note).endswith("differs; pinn diff outputs/lone/0 outputs/lone/2")
    found = json.loads(printed(capsys, "outputs/lone", "--json"))
    assert [group["settings"] for group in found["groups"]] == [{"source": "0a1b2c3d"}, {"source": "ffffffff"}]
    assert [run["source"] for run in found["runs"]] == ["0a1b2c3d", "0a1b2c3d", "ffffffff"]
    rows = list(csv.DictReader(io.StringIO(printed(capsys, "outputs/lone", "--csv"))))
    assert [(row["source"], row["finished"]) for row in rows] == [("0a1b2c3d", "2"), ("ffffffff", "1")]
    assert main(["show", "lone/best"]) == 2
    assert "runs of 2 sources" in capsys.readouterr().err


def test_runs_of_other_coefficients_or_measurements_are_another_row(capsys) -> None:
    """They may come from an environment variable or from random numbers."""
    write_seeds(inputs="ffffffff")
    for seed in (0, 1):
        Results(f"outputs/lone/{seed}/results.h5").attributes(inputs="0a1b2c3d")
    head, first, second, _, note = in_lines(capsys, "outputs/lone")
    assert head[0] == "inputs"
    assert (first[0], first[-1], second[0], second[-1]) == ("0a1b2c3d", "2", "ffffffff", "1")
    assert "coefficients or measurements differ" in " ".join(note)
    assert main(["diff", "outputs/lone/0", "outputs/lone/2"]) == 0
    assert re.search(r"coefficients and measurements +0a1b2c3d +ffffffff", capsys.readouterr().out)


def test_a_file_without_a_source_is_told_apart_by_its_text(capsys) -> None:
    write_seeds()
    for seed in range(3):
        Results(f"outputs/lone/{seed}/results.h5").replace({"source": {"problems.mine": f"{seed > 1}"}})
        set_status(seed, Path("outputs/lone"), source="")
    assert [row[-1] for row in in_lines(capsys, "outputs/lone")[1:3]] == ["2", "1"]


def test_a_seed_that_was_trained_twice_counts_once(capsys) -> None:
    write_seeds(seed=1)
    Results("outputs/lone/2/results.h5").replace({"config": Results("outputs/lone/1/results.h5").read_config(),
                                                  "error": {"u": 3e-4}})  # fmt: skip
    head, row, *_ = in_lines(capsys, "outputs/lone")
    assert head == ["error", "u", "mean", "[min,", "max]", "time", "steps", "seeds", "note"]
    assert row == ["2.00e-04", "2.00e-04", "[1.00e-04,", "3.00e-04]", "0:32", "5900", "2", "1", "repeats", "seed", "1"]
    [group] = json.loads(printed(capsys, "outputs/lone", "--json"))["groups"]
    assert (group["finished"], group["seeds"]) == (2, ["0", "1"])
    assert group["folders"] == ["outputs/lone/0", "outputs/lone/2"]
    shutil.rmtree("outputs/lone/0")
    assert [line[0] for line in in_lines(capsys, "outputs/lone")] == ["run", "1", "2"]  # no group of seeds
    assert "deviation" not in json.loads(printed(capsys, "outputs/lone", "--json"))["groups"][0]["errors"]["u"]


def test_one_finished_seed_has_no_mean_and_no_range(capsys) -> None:
    write_seeds()
    for seed in (1, 2):
        set_status(seed, Path("outputs/lone"), status="stopped", reason="interrupted")
    head, row, *_ = in_lines(capsys, "outputs/lone")
    assert head == ["error", "u", "time", "steps", "seeds", "note"]
    assert row[3:6] == ["1", "of", "3"]


def test_device_threads_and_versions_make_no_rows_and_are_told(capsys) -> None:
    write_seeds(threads=4, versions={"torch": "2.10"}, device="cuda:1")
    *_, below, note = printed(capsys, "outputs/lone").splitlines()
    assert below == MEDIANS
    assert note == ("no settings, but different:  device cpu (0 1), cuda (2)  threads 1 (0 1), 4 (2)  "
                    "torch 2.9 (0 1), 2.10 (2); times do not compare")  # fmt: skip


def test_a_setting_that_a_resume_changed_makes_another_row_and_a_new_limit_does_not(capsys) -> None:
    write_seeds()
    config = Results("outputs/lone/2/results.h5").read_config()
    Results("outputs/lone/2/results.h5").replace({"begun": config.replace("alpha: 0.9", "alpha: 0.5")})
    head, first, second, *_ = in_lines(capsys, "outputs/lone")
    assert (head[0], first[0], second[:3]) == ("alpha", "0.9", ["0.5", "->", "0.9"])
    then, now = (f"{config}stop: {{steps: {steps}}}\n" for steps in (3, 9))
    Results("outputs/lone/2/results.h5").replace({"begun": then, "config": now})
    Results("outputs/lone/1/results.h5").replace({"config": now.replace("seed: 2", "seed: 1")})
    assert [row[-1] for row in in_lines(capsys, "outputs/lone")[1:3]] == ["1", "2"]


def test_a_yaml_that_was_edited_while_a_sweep_ran_makes_another_row(capsys) -> None:
    results = Results(FOLDER / "5/results.h5")
    results.replace({"config": results.read_config().replace("a1: 1.0", "a1: 7.0")})
    rows = in_lines(capsys, "ab")
    assert rows[0][:3] == ["runs", "weighting", "a1"]
    assert [(row[0], row[2]) for row in rows[1:5]] == [("0-2", "1.0"), ("3-4", "1.0"), ("5", "7.0"), ("6-8", "–")]


def test_a_damaged_lone_run_does_not_hide_the_others(capsys) -> None:
    write_seeds()
    Path("outputs/lone/2/results.h5").write_bytes(b"no results")
    assert "damaged" in printed(capsys, "outputs/lone/0", "outputs/lone/1", "outputs/lone/2")


def test_seeds_trained_after_an_edit_of_the_equation_are_another_row(own_folder: Path, capsys) -> None:
    for name, content in (("problems/fixme.py", EQUATION),
                          ("conf/problem/fixme.yaml", "_target_: problems.fixme.Fixme\n")):  # fmt: skip
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(content)
    few = ["points.interior=8", "points.face=1", "architecture.width=4", "architecture.depth=1", "figures=off",
           "compile=off", "threads=1", "stop.steps=1"]  # fmt: skip
    for seed in range(4):
        if seed == 2:
            Path("problems/fixme.py").write_text(EQUATION.replace("u_xx + 2", "u_xx - 2"))
        assert main(["train", "problem=fixme", f"seed={seed}", f"folder=runs/{seed}", *few]) == 0
    capsys.readouterr()
    groups = json.loads(printed(capsys, "runs", "--json"))["groups"]
    assert [(list(group["settings"]), group["finished"]) for group in groups] == [(["source"], 2), (["source"], 2)]
    assert main(["diff", "runs/0", "runs/2"]) == 0
    assert {"-        return u_xx + 2", "+        return u_xx - 2"} <= set(capsys.readouterr().out.splitlines())


def test_numbers_are_ranges_and_keys_as_short_as_they_can_be() -> None:
    assert ranges([3, 0, 1, 2, 7, 9, 10]) == "0-3 7 9-10"
    assert shortest(["a.lr", "b.lr", "seed"]) == ["a.lr", "b.lr", "seed"]
    keys = ["points.interior", "weights.wall", "stop.steps", "optimizer.adam.lr", "problem.nu"]
    assert headings(keys) == ["points.interior", "weights.wall", "stop.steps", "lr", "nu"]


def test_a_part_that_one_run_lacks_is_named_once() -> None:
    fixed = {"weighting.fixed._target_": "a.Fixed", "points.wall": 10, "architecture._target_": "b.MLP"}
    adam = {"weighting.causal._target_": "a.Causal", "weighting.causal.epsilon": 1.0, "architecture._target_": "b.MLP"}
    assert differences([fixed, adam]) == [
        {"weighting": "fixed", "points.wall": 10}, {"weighting": "causal", "points.wall": None}]


def test_without_a_reference_the_estimated_errors_are_compared(tmp_path: Path) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    for k, folder in enumerate(folders):
        write_run(folder, seed=k, reference=False).replace({"error_estimate": {"error": {"u": 3e-4}, "explained": 0.7}})
    with_reference = tmp_path / "c"
    write_run(with_reference).replace({"error_estimate": {"error": {"u": 3e-4}, "explained": 0.7}})
    (block,), _ = blocks(compare(folders), grouped=False)
    assert "3e-04" in block.rows[1][block.rows[0].index("estimated u")]
    (block,), _ = blocks(compare([with_reference]), grouped=False)
    assert "estimated u" not in block.rows[0]
    assert "estimated error/u" in in_full(compare([with_reference]), grouped=False)[0]
