"""Names of runs and sweeps: paths, beginnings, numbers, problems, `latest` and `best`."""

import os
import shutil
from pathlib import Path

import pytest

from pinn_cli.basics.errors import UsageError
from pinn_cli.cli import main
from pinn_cli.records.results import Results
from pinn_cli.studies.find import find, find_all, find_sweep, find_sweep_or_run
from pinn_cli.studies.sweep import Sweep
from tests.run_files import write_run

SWEEP = Path("outputs/sweeps/2026-02-01_10-00-00-ab12")
FIRST, SECOND = Path("outputs/helmholtz/2026-01-01_10-00-00-cd34"), Path("outputs/helmholtz/2026-01-02_10-00-00-ef56")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs of one problem, and a sweep of four: two finished, one refused, one that has not started."""
    with pytest.MonkeyPatch.context() as patch:
        place = tmp_path_factory.mktemp("outputs")
        patch.chdir(place)
        for day, folder in enumerate((FIRST, SECOND), 1):
            write_run(folder, started=f"2026-01-0{day}T10:00:00")
        words = [(["problem=helmholtz", f"seed={seed}"], "no points" if seed == 2 else None) for seed in range(4)]
        Sweep.create("pinn train -m problem=helmholtz seed=0,1,2,3", "basic", words, SWEEP)
        for number, error in enumerate((1e-3, 1e-5)):
            results = write_run(SWEEP / str(number), seed=number, started=f"2026-02-01T10:00:0{number}")
            results.replace({"error": {"u": error}})
    return place


@pytest.fixture(autouse=True)
def outputs(written: Path, here: Path) -> None:
    shutil.copytree(written / "outputs", "outputs", symlinks=True)


@pytest.mark.parametrize(
    ("text", "folder"),
    [
        (str(FIRST), FIRST),
        (f"{FIRST}/results.h5", FIRST),
        ("helmholtz/2026-01-01_10-00-00-cd34", FIRST),
        ("2026-01-01", FIRST),
        ("cd", FIRST),
        ("helmholtz", SECOND),
        ("helmholtz/latest", SECOND),
        ("outputs/helmholtz/latest", SECOND),
        ("outputs/latest", SWEEP / "1"),
        ("outputs", SWEEP / "1"),
        ("latest", SWEEP / "1"),
        ("latest/0", SWEEP / "0"),
        ("ab/0", SWEEP / "0"),
        ("2026-02/0", SWEEP / "0"),
        (f"{SWEEP}/0", SWEEP / "0"),
        ("ab", SWEEP / "1"),
        ("ab/helmholtz", SWEEP / "1"),
        ("sweeps/2026-02", SWEEP / "1"),
        ("ab/best", SWEEP / "1"),
        ("helmholtz/best", FIRST),
        ("best", SWEEP / "1"),
    ],
)
def test_a_name_stands_for_a_run(text: str, folder: Path) -> None:
    assert find(text) == folder


@pytest.mark.parametrize(
    ("texts", "runs"),
    [
        (["ab"], [SWEEP / "0", SWEEP / "1"]),
        (["latest"], [SWEEP / "0", SWEEP / "1"]),
        (["helmholtz", "cd", "ef"], [FIRST, SECOND]),
        (["helmholtz/latest", "ab/best"], [SECOND, SWEEP / "1"]),
    ],
)
def test_a_folder_stands_for_all_its_runs_where_several_are_asked_for(texts: list[str], runs: list[Path]) -> None:
    assert find_all(texts) == runs


@pytest.mark.parametrize("text", ["latest", "ab", "ab12", "2026", str(SWEEP), f"{SWEEP}/", SWEEP.name, "sweeps/latest"])
def test_a_name_stands_for_a_sweep(text: str) -> None:
    assert find_sweep(text).folder == SWEEP
    if text != "2026":  # a run begins like that too
        assert find_sweep_or_run(text) == find_sweep(text)


@pytest.mark.parametrize("text", ["ab/0", f"{SWEEP}/0", "helmholtz"])
def test_a_run_is_no_sweep(text: str) -> None:
    assert find_sweep_or_run(text) == find(text)
    with pytest.raises(UsageError, match="there is no sweep"):
        find_sweep(text)


def test_latest_needs_no_link_and_follows_none_that_leads_nowhere() -> None:
    os.symlink("removed", "outputs/helmholtz/latest")
    assert find("outputs/helmholtz/latest") == SECOND


def test_the_latest_sweep_was_made_last_even_if_none_of_its_runs_has_started() -> None:
    newest, twin = (Sweep.create("pinn train -m seed=0", "basic", [(["seed=0"], None)]) for _ in range(2))
    write_run(SWEEP / "3", seed=3, started="2099-01-01T10:00:00")  # a run of an older sweep that went on
    assert find_sweep("latest") == find_sweep() == find_sweep_or_run() == find_sweep("outputs/sweeps/latest") == twin
    with pytest.raises(UsageError, match=r"no run of .* has started; pinn status"):
        find("latest")
    assert find_sweep(newest.folder.name).folder.name == newest.folder.name
    lone = Path("outputs/helmholtz/2099-01-02_10-00-00-gh78")
    write_run(lone, started="2099-01-02T10:00:00")
    assert find_sweep_or_run("latest") == find("latest") == lone
    assert find_sweep("latest") == twin


def test_a_sweep_is_found_in_another_folder_and_within_a_sweep() -> None:
    table = Sweep.create("pinn reproduce mine", "basic", [(["seed=0"], None)], Path("outputs/reproduce/mine"))
    assert find_sweep("latest") == find_sweep("mine") == table
    shutil.copytree(SWEEP, table.folder / "quick")
    shutil.copytree(SWEEP / "0", table.folder / "0")
    assert find_all(["mine"]) == [table.folder / "0"]
    assert find_all(["reproduce/mine/quick"]) == [table.folder / "quick" / number for number in "01"]


def test_a_whole_name_is_not_the_beginning_of_a_longer_one() -> None:
    shutil.copytree(FIRST, f"{FIRST}-again")
    assert find(FIRST.name) == FIRST


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("show ab/3", "has not started; pinn status ab"),
        ("show ab/2", "was refused: no points"),
        ("show ab/9", "has runs 0 to 3; found 9"),
        ("show ab/wave", "ab has no run of `wave`; it has runs of helmholtz"),
        ("show zz/1", "there is no sweep `zz`"),
        ("show zz/best", "there is no run `zz`"),
        ("show 1", "there is no run `1`"),
        ("show xyz", "`pinn list runs` shows what there is"),
        ("show 2026", "is the beginning of 3 runs (2026-01-01_10-00-00-cd34, 2026-01-02_10-00-00-ef56, "),
        ("status zz", "there is no sweep `zz` in outputs/; the latest is outputs/sweeps/2026-02"),
    ],
)
def test_a_name_without_a_run_gets_one_line(words: str, says: str, one_line) -> None:
    assert main(words.split()) == 2
    assert says in one_line()


def test_without_any_run_or_sweep_the_line_says_what_to_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    with pytest.raises(UsageError, match="start one: pinn train -m"):
        find_sweep("latest")
    with pytest.raises(UsageError, match="and none at all in"):
        find("latest")


def test_best_is_the_run_with_the_smallest_of_its_largest_errors_and_never_a_failed_one() -> None:
    Results(SWEEP / "0/results.h5").replace({"error": {"u": 1e-9, "v": 1e-2}})
    assert find("ab/best") == SWEEP / "1"
    Results(SWEEP / "1/results.h5").attributes(status="failed")
    assert find("ab/best") == SWEEP / "0"
    Results(SWEEP / "0/results.h5").replace({"error": {"u": float("nan")}})
    with pytest.raises(UsageError, match="goes by the error"):
        find("ab/best")


def test_the_best_of_one_problem_in_a_sweep() -> None:
    Results(SWEEP / "0/results.h5").attributes(problem="fhn")
    for asked, example in (("best", "fhn/best"), ("ab/best", "ab/fhn/best"), (f"{SWEEP}/best", f"{SWEEP}/fhn/best")):
        with pytest.raises(UsageError, match=f"among runs of fhn, helmholtz; type e.g. {example}"):
            find(asked)
        assert find(example) == SWEEP / "0"
    assert find("ab/helmholtz/best") == SWEEP / "1"
    assert find_all(["ab/fhn"]) == [SWEEP / "0"]


def test_the_list_names_runs_of_a_sweep_by_their_folder(capsys) -> None:
    assert main(["list", "runs"]) == 0
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]]
    assert names == [str(run.relative_to("outputs")) for run in (FIRST, SECOND, SWEEP / "0", SWEEP / "1")]
