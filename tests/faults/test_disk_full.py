"""A disk that fills up at any moment of a run: one line, the last checkpoint stays whole, the run resumes."""

import shutil
from pathlib import Path

import pytest
from test_faults import CASES, SMALL, check_end, check_files, rows

from tests.conftest import small_disk
from tests.lives import Lives, fill_disk

RUN = ["train", *SMALL, *CASES["levenberg_marquardt"], "stop.steps=12", "figures=off"]
DRAWN = [*RUN, "figures=on"]  # takes three times as long


@pytest.fixture(scope="module")
def disk(tmp_path_factory):
    """A file system of 8 MB."""
    with small_disk(tmp_path_factory.mktemp("disk"), "8m") as folder:
        yield folder


def undisturbed(lives: Lives, disk: Path, run: list[str]) -> int:
    """Train a run that nothing disturbs, in a folder `whole`; how many operations on files it makes."""
    shutil.rmtree(disk / "whole", ignore_errors=True)
    life = lives.live([*run, f"folder={disk}/whole"], disk)
    assert life["code"] == 0, life["errors"]
    return int(life["operations"])


@pytest.fixture(scope="module")
def operations(lives, disk):
    return undisturbed(lives, disk, RUN)


def filled(lives: Lives, disk: Path, run: list[str], at: int) -> str:
    """Fill the disk at one operation of a run, look at what is left, make room, go on to the end; what it said."""
    folder = disk / "run"
    shutil.rmtree(folder, ignore_errors=True)
    words = [*run, f"folder={folder}"]
    life = lives.live(words, disk, at=at, fill=True)
    assert life["code"] in (0, 1), life
    assert life["errors"].count("\n") == life["code"], life["errors"]  # one line if it failed, none if it did not
    if life["code"] == 1:
        assert "make room" in life["errors"]
    if folder.exists():
        check_files(folder, rows(disk / "whole"))
    (disk / "ballast").unlink(missing_ok=True)  # a life that had fewer operations ends before
    again = ["resume", str(folder)] if life["code"] == 1 and (folder / "results.h5").exists() else words
    after = lives.live(again, disk)
    assert after["code"] == 0, after["errors"]
    if life["code"] == 1:
        check_end(folder, disk / "whole")
    shutil.rmtree(folder)
    return str(life["errors"])


def test_a_run_survives_a_disk_that_fills_up(lives, disk, operations):
    """In the middle of the training."""
    said = filled(lives, disk, RUN, operations // 2)
    assert "checkpoint" in said or "the disk of" in said


@pytest.mark.slow
def test_a_run_survives_a_disk_that_fills_up_while_it_is_set_up(lives, disk, operations):
    """While the lock, the results file and the configuration are written."""
    said = [filled(lives, disk, RUN, at) for at in (2, 8, 10)]
    assert any(".lock" in line for line in said)
    assert any("results.h5" in line for line in said)


@pytest.mark.slow
def test_a_disk_that_fills_up_at_any_operation(lives, disk):
    """Also while figures are drawn."""
    said = [filled(lives, disk, DRAWN, at) for at in range(1, undisturbed(lives, disk, DRAWN) + 1, 3)]
    print(f"{len(said)} full disks: {sum(map(bool, said))} ended the run")
    for line in sorted({line.partition("(")[0].strip() for line in said}):
        print(line)


@pytest.mark.slow  # one that fills up does too
def test_a_run_on_a_full_disk_ends_with_one_line(lives, disk, operations):
    fill_disk(disk / "ballast")
    life = lives.live([*RUN, f"folder={disk}/none"], disk)
    assert life["code"] == 1
    assert "make room, then type it again" in life["errors"]
    assert life["errors"].count("\n") == 1
    (disk / "ballast").unlink()
    after = lives.live([*RUN, f"folder={disk}/none"], disk)
    assert after["code"] == 0, after["errors"]
    check_end(disk / "none", disk / "whole")
    shutil.rmtree(disk / "none")
