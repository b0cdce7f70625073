"""The folder of a sweep: its manifest, its runs and their notes."""

import json
from pathlib import Path

import pytest

from pinn_cli.basics.errors import UsageError
from pinn_cli.studies import sweep
from pinn_cli.studies.sweep import Sweep

WORDS = [(["problem=helmholtz", f"seed={seed}"], None) for seed in range(3)]
pytestmark = pytest.mark.usefixtures("here")


def created(runs=WORDS, folder=None) -> Sweep:
    return Sweep.create("pinn train -m problem=helmholtz seed=0,1,2", "basic", runs, folder)


def test_a_manifest_has_the_words_of_every_run(here):
    made = created([*WORDS, (["problem=helmholtz", "seed=x"], "seed=x: expected a whole number")])
    about = json.loads((made.folder / "sweep.json").read_text())
    assert about["format"] == 1
    assert about["cwd"] == str(here)
    assert about["runs"][3] == {"number": 3, "words": ["problem=helmholtz", "seed=x"],
                                "refused": "seed=x: expected a whole number", "label": ""}  # fmt: skip
    assert Sweep.read(made.folder) == made
    assert made.folder.parent == Path("outputs/sweeps")
    assert made.runs[2].folder == made.folder / "2"
    assert made.runs[2].command == f"pinn train problem=helmholtz seed=2 folder={made.folder}/2"
    assert sorted(path.name for path in made.folder.iterdir()) == ["sweep.json"]


@pytest.mark.parametrize("text", ["k='a\nb'", "seed='\x1b[2J'", "seed=1\u00a0"])
def test_a_word_with_invisible_characters_is_refused(text, here):
    with pytest.raises(UsageError, match="type it without line breaks"):
        created([([text], None)])
    with pytest.raises(UsageError, match="type it without line breaks"):
        Sweep.planned(Path("s"), f"pinn train -m {text}", "basic", WORDS)


def test_numbers_of_jobs_are_added():
    made = created().with_jobs(["17"]).with_jobs(["18"])
    assert Sweep.read(made.folder).jobs == ("17", "18")
    assert Sweep.read(made.folder).runs == made.runs


def test_a_run_that_was_refused_at_its_start_is_refused_until_it_has_results():
    made = created()
    made.runs[1].folder.mkdir()
    sweep.note(made.runs[1].folder, sweep.REFUSED, "no GPU here")
    assert [run.refused for run in Sweep.read(made.folder).runs] == [None, "no GPU here", None]
    (made.runs[1].folder / "results.h5").touch()
    assert [run.refused for run in Sweep.read(made.folder).runs] == [None, None, None]


def test_a_note_is_not_written_into_the_manifest():
    made = created()
    sweep.note(made.runs[1].folder, sweep.REFUSED, "no GPU here")
    Sweep.read(made.folder).with_jobs(["17"])
    (made.folder / "1.refused").unlink()
    assert [run.refused for run in Sweep.read(made.folder).runs] == [None, None, None]


def test_a_lone_run_gets_no_note(here):
    sweep.note(here / "mine" / "3", sweep.FAILED, "no GPU here")
    assert list(here.iterdir()) == []


def test_a_chosen_folder_is_empty_or_holds_the_same_sweep(here):
    made = created(folder="mine")
    assert created(folder="mine") == made
    with pytest.raises(UsageError, match="mine holds another sweep"):
        created(WORDS[:2], folder="mine")
    (here / "other").mkdir()
    (here / "other" / "notes.txt").touch()
    with pytest.raises(UsageError, match=r"other holds notes\.txt"):
        created(folder="other")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"format": 2}', '{"format": 1, "runs": 3}', '{"format": 1, "runs": [{}]}']
)
def test_a_damaged_manifest_gets_one_line(text, here):
    (here / "sweep.json").write_text(text)
    with pytest.raises(UsageError, match=r"sweep\.json is damaged"):
        Sweep.read(here)
