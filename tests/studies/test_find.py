"""What a person calls a run: paths, beginnings and `latest` are in test_runs; here sweeps, numbers and `best`."""

from pathlib import Path

import pytest

from pinn_cli.basics.errors import UsageError
from pinn_cli.cli import main
from pinn_cli.records.results import Results
from pinn_cli.studies import find as names
from pinn_cli.studies.sweep import Sweep
from tests.run_files import write_run

SWEEP = Path("outputs/sweeps/2026-02-01_10-00-00-ab12")


@pytest.fixture(autouse=True)
def outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lone run, and a sweep of four: two finished, one refused, one that has not started."""
    monkeypatch.chdir(tmp_path)
    write_run(Path("outputs/helmholtz/2026-01-01_10-00-00-cd34"), started="2026-01-01T10:00:00")
    words = [(["problem=helmholtz", f"seed={seed}"], "no points" if seed == 2 else None) for seed in range(4)]
    Sweep.create("pinn train -m problem=helmholtz seed=0,1,2,3", "basic", words, SWEEP)
    for number, error in enumerate((1e-3, 1e-5)):
        results = write_run(SWEEP / str(number), seed=number, started=f"2026-02-01T10:00:0{number}")
        results.replace({"error": {"u": error}})


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("latest", SWEEP / "1"),
        ("latest/0", SWEEP / "0"),
        ("ab/0", SWEEP / "0"),
        ("2026-02/0", SWEEP / "0"),
        (f"{SWEEP}/0", SWEEP / "0"),
        ("ab", SWEEP / "1"),
        ("sweeps/2026-02", SWEEP / "1"),
        ("cd", Path("outputs/helmholtz/2026-01-01_10-00-00-cd34")),
        ("ab/best", SWEEP / "1"),
        ("helmholtz/best", Path("outputs/helmholtz/2026-01-01_10-00-00-cd34")),
        ("best", SWEEP / "1"),
    ],
)
def test_a_run_is_found(text: str, found: Path) -> None:
    assert names.find(text) == found


def test_the_latest_sweep_is_the_one_that_was_made_last_even_if_none_of_its_runs_has_begun() -> None:
    newest = Sweep.create("pinn train -m seed=0", "basic", [(["seed=0"], None)])
    write_run(SWEEP / "3", seed=3, started="2099-01-01T10:00:00")  # of the older sweep, taken up again
    found = names.find_sweep("latest")
    assert found is not None
    assert found.folder.name == newest.folder.name
    write_run(Path("outputs/helmholtz/2099-01-02_10-00-00-ef56"), started="2099-01-02T10:00:00")
    assert names.find_sweep("latest") is None


def test_the_latest_sweep_is_the_same_for_all_wherever_its_runs_lie(tmp_path: Path) -> None:
    Sweep.create("pinn train -m seed=7", "basic", [(["seed=7", f"folder={tmp_path / 'mine'}"], None)])
    write_run(tmp_path / "mine", seed=7, started="2026-03-01T10:00:00")
    assert names.find_all(["latest"]) == [names.find("latest")] == [tmp_path / "mine"]


def test_a_sweep_stands_for_all_its_runs_when_several_are_asked_for() -> None:
    assert names.find_all(["ab"]) == names.find_all(["latest"]) == [SWEEP / "0", SWEEP / "1"]
    assert names.find_all(["cd", "ab/best"]) == [Path("outputs/helmholtz/2026-01-01_10-00-00-cd34"), SWEEP / "1"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("ab/3", "has not started; pinn status ab"),
        ("ab/2", "was refused: no points"),
        ("ab/9", "has runs 0 to 3; found 9"),
        ("zz/1", "there is no sweep `zz`"),
        ("zz/best", "there is no run `zz`"),
        ("1", "there is no run `1`"),
        ("2026", "is the beginning of 2 runs (2026-01-01_10-00-00-cd34, 2026-02-01_10-00-00-ab12)"),
    ],
)
def test_what_is_not_there_is_refused_in_a_line(text: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", text]) == 2
    errors = capsys.readouterr().err
    assert says in errors
    assert len(errors.splitlines()) == 1


def test_best_goes_by_the_largest_error_and_leaves_out_what_failed() -> None:
    Results(SWEEP / "0/results.h5").replace({"error": {"u": 1e-9, "v": 1e-2}})
    assert names.find("ab/best") == SWEEP / "1"
    Results(SWEEP / "1/results.h5").attributes(status="failed")
    assert names.find("ab/best") == SWEEP / "0"
    Results(SWEEP / "0/results.h5").replace({"error": {"u": float("nan")}})
    with pytest.raises(UsageError, match="goes by the error"):
        names.find("ab/best")


def test_the_best_of_different_problems_is_refused() -> None:
    Results(SWEEP / "0/results.h5").attributes(problem="wave")
    with pytest.raises(UsageError, match="among runs of helmholtz, wave"):
        names.find("best")


def test_the_list_calls_runs_of_a_sweep_by_their_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "runs"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[2:]] == [f"{SWEEP}/0", f"{SWEEP}/1"]
