"""`pinn compare`: runs and sweeps side by side, over their seeds, in every shape."""

import csv
import io
import json
import shutil
from pathlib import Path

import pytest

from pinn_cli.basics.text import ranges, shortest
from pinn_cli.cli import main
from pinn_cli.records.results import Results
from pinn_cli.reports import tables as typeset
from pinn_cli.reports.figures.error_against_time import write_comparison
from pinn_cli.studies.compare import compare, differences
from pinn_cli.studies.compare_tables import of_groups
from tests.run_files import write_run
from tests.sweep_files import FOLDER, REASON, set_status, write_sweep


@pytest.fixture(autouse=True)
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_sweep()


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["compare", *words]) == 0
    return capsys.readouterr().out.rstrip("\n")


def test_seeds_make_groups_with_median_mean_and_range(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys).splitlines()
    assert [line.split()[0] for line in lines] == ["weighting", "fixed", "lr_annealing", "grad_norm", "[1]"]
    assert lines[0].split()[1:] == ["error", "u", "mean", "[min,", "max]", "time", "steps", "seeds", "runs", "note"]
    assert lines[1].split() == ["fixed", "2.00e-03", "2.33e-03", "[1.00e-03,", "4.00e-03]", "0:11", "5900", "3", "0-2"]
    assert lines[2].split()[:5] == ["lr_annealing", "2.00e-05", "2.00e-05", "[1.00e-05,", "3.00e-05]"]


def test_a_refused_combination_is_a_dash_with_its_reason(capsys: pytest.CaptureFixture[str]) -> None:
    *_, last, below = printed(capsys).splitlines()
    assert last.split() == ["grad_norm", *"––––––", "6-8", "refused", "[1]"]
    assert below == f"[1] {REASON}"
    *_, last, below = printed(capsys, "latest", "--runs").splitlines()
    assert last.split() == ["6-8", "grad_norm", "–", "–", "–", "–", "refused", "[1]"]
    assert below == f"[1] {REASON}"


def test_only_finished_runs_count_and_the_others_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    set_status(0, status="failed", reason="the loss is not finite")
    shutil.rmtree(FOLDER / "5")
    rows = printed(capsys).splitlines()
    assert rows[1].split()[1:4] == ["3.00e-03", "3.00e-03", "[2.00e-03,"]
    assert "2 of 3" in rows[1]
    assert rows[1].endswith("0 failed [1]")
    assert rows[-2:] == ["[1] the loss is not finite", f"[2] {REASON}"]
    for number in (1, 2):
        set_status(number, status="stopped", reason="interrupted (SIGTERM)")
    rows = printed(capsys).splitlines()
    assert rows[1].split()[:6] == ["fixed", *"–––––"]
    assert rows[1].endswith("0-2  0 failed [1], 1-2 stopped [2]")
    assert rows[-2] == "[2] interrupted (SIGTERM)"


def test_some_seeds_refused_are_named_beside_their_group() -> None:
    manifest = json.loads((FOLDER / "sweep.json").read_text())
    manifest["runs"][2]["refused"] = "no"
    (FOLDER / "sweep.json").write_text(json.dumps(manifest))
    found = compare([FOLDER / number for number in "01345"])
    assert [group["others"] for group in found["groups"]] == [{"2": "refused: no"}, {}]
    assert of_groups(found).rows[1][-3:] == ["2 of 3", "0-1", "2 refused [1]"]
    assert of_groups(found).below == ["[1] no", f"[2] {REASON}"]


def test_a_run_that_never_began_is_missed(capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(FOLDER / "5")
    rows = printed(capsys).splitlines()
    assert "2 of 3" in rows[2]
    assert rows[2].split()[-3:] == ["5", "not", "started"]
    shutil.rmtree(FOLDER / "3")
    shutil.rmtree(FOLDER / "4")
    row = printed(capsys).splitlines()[2]  # of this combination nothing has begun
    assert row.split() == ["lr_annealing", *"––––––", "3-5", "not", "begun"]


def test_of_some_runs_of_a_sweep_only_those_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert [row.split()[0] for row in printed(capsys, "ab/0", "ab/3").splitlines()] == ["run", "0", "3"]


def test_a_setting_is_not_called_as_a_column_of_ours() -> None:
    group = {"settings": {"stop.steps": "5", "optimizer.adam.lr": "1"}, "errors": {}, "metrics": {}, "runs": ["s/0"],
             "others": {}, "finished": 1}  # fmt: skip
    found = {"sweep": "s", "groups": [group], "unstarted": []}
    assert of_groups(found).rows[0] == ["stop.steps", "lr", "time", "steps", "seeds", "runs"]


@pytest.mark.parametrize("shape", [[], ["--runs"], ["--csv"], ["--json"], ["--md", "--runs"], ["--figure", "a.png"]])
def test_a_damaged_file_and_a_run_added_by_hand_stop_nothing(shape, capsys: pytest.CaptureFixture[str]) -> None:
    (FOLDER / "2" / "results.h5").write_bytes(b"no results")
    shutil.copytree(FOLDER / "1", FOLDER / "20")
    text = printed(capsys, "latest", *shape)
    assert "damaged" in text
    assert "20" in text


def test_runs_in_folders_of_their_own_are_compared_by_their_sweeps_name(capsys: pytest.CaptureFixture[str]) -> None:
    manifest = json.loads((FOLDER / "sweep.json").read_text())
    Path("mine").mkdir()
    for run in manifest["runs"][:6]:
        run["words"].append(f"folder={Path('mine', str(run['number'])).absolute()}")
        (FOLDER / str(run["number"])).rename(Path("mine", str(run["number"])))
    (FOLDER / "sweep.json").write_text(json.dumps(manifest))
    assert "lr_annealing" in printed(capsys, str(FOLDER))


def test_the_best_median_is_bold(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert of_groups(compare([FOLDER / str(k) for k in range(6)])).bold == {(2, 1)}
    assert "| lr_annealing | **2.00e-05** | 2.00e-05 |" in printed(capsys, "--md")
    assert r"$\mathbf{2.00\times 10^{-5}}$" in printed(capsys, "--latex")
    assert "\033" not in printed(capsys)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert "\033[1m2.00e-05\033[0m" in printed(capsys)


def test_latex_is_a_table_with_its_signs_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, "--latex").splitlines()
    assert lines[1] == r"\begin{tabular}{lrrrrrrrl}"
    assert lines[-2] == r"\end{tabular}"
    assert lines[-1].startswith(r"\par [1] weighting=grad\_norm needs")
    assert lines[7].startswith(r"grad\_norm & -- & --")
    assert all(line.endswith(r" \\") and line.count("&") == 8 for line in (lines[3], *lines[5:-3]))
    assert typeset.latex([["a & b"], ["50 %"]], ()).count("\\&") == 1


def test_csv_has_every_number_in_full(capsys: pytest.CaptureFixture[str]) -> None:
    rows = list(csv.DictReader(io.StringIO(printed(capsys, "--csv"))))
    assert float(rows[0]["error/u mean"]) == pytest.approx(7e-3 / 3, rel=1e-15)
    assert float(rows[0]["error/u deviation"]) == pytest.approx(1.527525e-3, rel=1e-6)
    assert (rows[0]["runs"], rows[0]["finished"], rows[0]["seconds median"]) == ("0 1 2", "3", "11.0")
    assert (rows[2]["weighting"], rows[2]["error/u median"], rows[2]["note"]) == ("grad_norm", "", f"refused: {REASON}")
    runs = list(csv.DictReader(io.StringIO(printed(capsys, "--csv", "--runs"))))
    assert [row["seed"] for row in runs] == ["0", "1", "2", "0", "1", "2", ""]
    assert [row["status"] for row in runs] == ["finished"] * 6 + ["refused"]


def test_json_has_groups_runs_and_what_was_refused(capsys: pytest.CaptureFixture[str]) -> None:
    Results(FOLDER / "0/results.h5").replace({"error": {"u": float("nan")}})
    found = json.loads(printed(capsys, "--json"), parse_constant=lambda constant: pytest.fail(f"{constant} is no JSON"))
    assert found["groups"][0]["errors"]["u"]["median"] == pytest.approx(3e-3)  # a number that is none does not count
    assert found["runs"][4]["settings"] == {"weighting": "lr_annealing", "seed": "1"}
    unstarted = {"settings": {"weighting": "grad_norm"}, "status": "refused", "reason": REASON, "numbers": [6, 7, 8]}
    assert found["unstarted"] == [unstarted]


def test_several_fields_have_columns_of_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(6):
        Results(FOLDER / f"{number}/results.h5").replace({"error": {"u": 1e-3, "p": 10.0**-number}})
    head = printed(capsys, "--md").splitlines()[0]
    assert "| error u | mean u | [min, max] u | error p | mean p | [min, max] p |" in head


def test_sorting_puts_the_most_accurate_first(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, "--sort").splitlines()[1].startswith("lr_annealing")
    assert printed(capsys, "--sort", "--runs").splitlines()[1].split()[:3] == ["3", "lr_annealing", "0"]


def test_runs_of_several_places_are_compared_by_their_configurations(capsys: pytest.CaptureFixture[str]) -> None:
    write_run(Path("outputs/helmholtz/lone-cd34"), weighting="causal", seed=7)
    rows = printed(capsys, "ab", "cd", "--runs").splitlines()
    assert rows[0].split()[:3] == ["run", "weighting", "seed"]
    assert rows[1].split()[:3] == [f"{FOLDER.name}/0", "fixed", "0"]
    assert rows[-1].split()[:3] == ["lone-cd34", "causal", "7"]


def test_the_error_against_seconds_is_a_figure(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "--figure", "figures/error.png"]) == 0
    assert Path("figures/error.png").stat().st_size > 10_000
    assert capsys.readouterr().err.strip() == "figures/error.png"


def test_a_figure_needs_two_errors(tmp_path: Path) -> None:
    write_run(tmp_path / "none", reference=False)
    assert not write_comparison({"a": [tmp_path / "none"]}, tmp_path / "error.png")
    assert not (tmp_path / "error.png").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["zz"], "there is no run `zz`"),
        (["--figure", "error.doc"], "expected a file that ends in .png, .pdf, .svg"),
        (["--figure", "/proc/error.png"], "type another --figure"),
        (["ab/6"], f"was refused: {REASON}"),
    ],
)
def test_what_cannot_be_done_is_one_line(words: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", *words]) == 2
    errors = capsys.readouterr().err
    assert says in errors
    assert len(errors.splitlines()) == 1


def test_numbers_come_in_ranges_and_keys_as_short_as_can_be() -> None:
    assert ranges([3, 0, 1, 2, 7, 9, 10]) == "0-3 7 9-10"
    assert shortest(["a.lr", "b.lr", "seed"]) == ["a.lr", "b.lr", "seed"]


def test_a_part_that_one_run_lacks_is_named_once() -> None:
    fixed = {"weighting.fixed._target_": "a.Fixed", "points.wall": 10, "architecture._target_": "b.MLP"}
    adam = {"weighting.causal._target_": "a.Causal", "weighting.causal.epsilon": 1.0, "architecture._target_": "b.MLP"}
    assert differences([fixed, adam]) == [
        {"weighting": "fixed", "points.wall": 10}, {"weighting": "causal", "points.wall": None}]
