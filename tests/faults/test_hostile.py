"""Files from somebody else run no code, write nothing outside their run folder, and end in one line."""

import json
import os
import shlex
import shutil
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from omegaconf import OmegaConf

from pinn_cli import cli
from pinn_cli.basics import files as atomic
from pinn_cli.configuration.compose import compose
from pinn_cli.records.lock import Lock
from pinn_cli.records.results import Noted, Results
from pinn_cli.studies.launchers.slurm import commands as slurm
from tests.conftest import each
from tests.run_files import write_run

SMALL = ["points.interior=32", "points.face=8", "architecture.width=4", "figures=off", "compile=off", "stop.steps=2"]
RUN = ["train", "problem=helmholtz", *SMALL]
FOREIGN = [
    "os.system",
    "builtins.eval",
    "canary.Bird",  # installed beside pinn: importing it would already run it
    "pinn_cli.records.provenance.subprocess.Popen",  # reached through a module of ours that has imported it
    "pinn_cli.studies.launchers.pool.Process",
    "pinn_cli.studies.launchers.slurm.task.Task",
    "pinn_cli.records.results.Results",
    "pinn_cli.methods.optimizers.first_order.inspect.Signature",
    "torch.utils.cpp_extension.subprocess.Popen",
    "torch.package.PackageImporter",
    "torch.fx.GraphModule",
    "torch.nn.Module.__call__",
    "..os.system",
    "",
]
PLACES = [("weighting.fixed", target) for target in FOREIGN] + [
    (where, "canary.Bird") for where in ("problem", "architecture", "derivatives", "sampler.sobol")
]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """An empty working directory, and elsewhere on the path a module that leaves a trace when it is imported."""
    installed, work = tmp_path / "installed", tmp_path / "work"
    installed.mkdir()
    work.mkdir()
    (installed / "canary.py").write_text(f"open({str(tmp_path / 'harmed')!r}, 'w')\n\nclass Bird:\n    pass\n")
    monkeypatch.chdir(work)
    monkeypatch.setenv("PYTHONPATH", "")
    monkeypatch.setattr(sys, "path", [p for p in sys.path if not Path(p, "problems").is_dir()] + [str(installed)])
    yield work
    assert not (tmp_path / "harmed").exists()
    for name in [name for name in sys.modules if name.partition(".")[0] == "problems"]:
        del sys.modules[name]


def hostile_run(config) -> Path:
    """A run folder whose file holds this configuration."""
    write_run(Path("run"), status="stopped")
    results = Results(Path("run/results.h5"))
    results.replace({"config": OmegaConf.to_yaml(config)})
    results.attributes(threads=1)
    return Path("run")


@pytest.mark.parametrize(("where", "target"), PLACES)
def test_a_configuration_builds_only_parts(where, target, one_line, here):
    assert cli.main([*RUN, f"{where}._target_='{target}'"]) == cli.USAGE
    one_line()
    assert list(here.iterdir()) == []


@pytest.mark.parametrize(("where", "target"), PLACES[:2] + PLACES[-4:])  # the same builder as above
def test_the_configuration_in_a_results_file_builds_only_parts(where, target, one_line):
    config = compose(RUN[1:])
    OmegaConf.update(config, f"{where}._target_", target)
    folder = hostile_run(config)
    for words in (["resume", "run", "--changed"], ["predict", "run", "--grid", "3x3", "--out", "a.npz"]):
        assert cli.main(words) == cli.USAGE
        one_line()
    assert not (folder / "checkpoint.pt").exists()
    assert not Path("a.npz").exists()


def test_a_nested_part_is_checked_too(one_line):
    config = compose(["problem=helmholtz", "recipe=adam", *SMALL])
    popen = {"_target_": "subprocess.Popen", "args": ["touch", "harmed"]}
    OmegaConf.update(config, "optimizer.adam.schedule", popen, merge=False, force_add=True)
    hostile_run(config)
    assert cli.main(["resume", "run"]) == cli.USAGE
    assert "_target_=subprocess.Popen: expected a class of pinn_cli" in one_line()
    assert not Path("harmed").exists()


def test_formulas_that_have_changed_are_not_run_before_they_are_refused(capsys, one_line):
    assert cli.main(["new", "problem", "mine"]) == 0
    assert cli.main(["train", "problem=mine", *SMALL, "folder=run"]) == 0
    Path("problems/mine.py").write_text("open('../harmed', 'w')\n")
    capsys.readouterr()
    assert cli.main(["resume", "run", "stop.steps=4"]) == cli.USAGE
    assert "has changed" in one_line()
    assert cli.main(["predict", "run", "--grid", "3x3", "--out", "a.npz"]) == 0  # by the recorded text
    assert not Path("../harmed").exists()


LINES = b"nobody's business\n" * 1000


def other_file(kind: str) -> None:
    """Let a column of the history lie in another file, in one of the ways HDF5 knows."""
    Path("precious.bin").write_bytes(LINES)
    with h5py.File("run/results.h5", "r+") as file, h5py.File("other.h5", "w") as other:
        other["column"] = np.arange(60)
        history = file["history"]
        del history["step"]
        if kind == "external":
            place = [("precious.bin", 0, h5py.h5f.UNLIMITED)]
            history.create_dataset("step", (60,), "i8", maxshape=(None,), external=place)
        elif kind == "virtual":
            layout = h5py.VirtualLayout((60,), "i8")
            layout[:] = h5py.VirtualSource("other.h5", "column", (60,))
            history.create_virtual_dataset("step", layout)
        elif kind == "link":
            history["step"] = h5py.ExternalLink("../other.h5", "/column")
        else:
            history["step"] = h5py.SoftLink("/history/time")


@pytest.mark.parametrize("kind", each(["external", "virtual", "link", "soft"], ["external", "virtual"]))
def test_a_dataset_stored_in_another_file_is_refused(kind, one_line):
    config = compose(RUN[1:])
    hostile_run(config)
    other_file(kind)
    before = Path("other.h5").read_bytes()
    for words in (["resume", "run"], ["show", "run"], ["plot", "run"]) if kind == "external" else (["show", "run"],):
        assert cli.main(words) == cli.USAGE
        assert "history/step" in one_line()
    assert Path("precious.bin").read_bytes() == LINES
    assert Path("other.h5").read_bytes() == before


def elsewhere(path: str, target: Path) -> None:
    """Let a file or folder of a run that was sent be a link to one outside."""
    kept = Path(path)
    if kept.is_dir():
        shutil.rmtree(kept)
    kept.unlink(missing_ok=True)
    kept.symlink_to(target)


def test_a_link_in_a_run_folder_is_not_followed(tmp_path, capsys, one_line):
    assert cli.main([*RUN, "folder=run"]) == 0
    (tmp_path / "file").write_bytes(LINES)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/losses.png").write_bytes(LINES)
    before = Path("run/results.h5").read_bytes()
    capsys.readouterr()
    for name, target in ((".lock", "file"), ("run.log", "file"), ("figures", "folder")):
        elsewhere(f"run/{name}", tmp_path / target)
        for words in (["resume", "run", "stop.steps=4"], ["diagnose", "run", "gradient_histograms"], ["plot", "run"]):
            assert cli.main(words) == cli.USAGE
            assert f"run/{name} leads elsewhere" in one_line()
        Path("run", name).unlink()
    assert (tmp_path / "file").read_bytes() == (tmp_path / "folder/losses.png").read_bytes() == LINES
    assert Path("run/results.h5").read_bytes() == before


def test_a_run_of_a_sweep_that_is_a_link_is_not_followed(tmp_path, capsys, one_line):
    """Not even to another run: its process is not the sweep's either."""
    assert cli.main([*RUN, "folder=mine"]) == 0
    Results(Path("mine/results.h5")).attributes(status="stopped")
    manifest([RUN[1:]])
    elsewhere("sweep/0", tmp_path / "work" / "mine")
    before = Path("mine/results.h5").read_bytes()
    capsys.readouterr()
    for words, code in (
        (["resume", "sweep/0"], cli.USAGE),
        (["train", *RUN[1:], "folder=sweep/0"], cli.FAILED),  # of a sweep, and not refused for good
        (["plot", "sweep/0"], cli.USAGE),
    ):
        assert cli.main(words) == code
        assert "sweep/0 leads elsewhere" in one_line()
    with Lock("mine"):
        assert cli.main(["cancel", "sweep"]) == 0
    assert "nothing of sweep is running" in capsys.readouterr().out
    assert Path("mine/results.h5").read_bytes() == before


def test_a_link_in_the_place_of_a_temporary_file_is_not_followed(tmp_path):
    (tmp_path / "theirs").write_bytes(LINES)
    elsewhere(f".collected.h5.{os.getpid()}.part", tmp_path / "theirs")
    atomic.write("collected.h5", b"whole")
    assert Path("collected.h5").read_bytes() == b"whole"
    assert (tmp_path / "theirs").read_bytes() == LINES


def damage(kind: str) -> None:
    with h5py.File("run/results.h5", "r+") as file:
        if kind == "much":  # a shape whose bits have flipped: 8 TB, and nothing is stored
            del file["fields/prediction/u"]
            file["fields/prediction"].create_dataset("u", (10**12,), "f8", chunks=(1 << 20,))
        elif kind == "text":
            del file["error/u"]
            file["error/u"] = "small"
        elif kind == "status":
            file.attrs["status"] = "done\x1b[2J"
        elif kind == "name":
            file.attrs["problem"] = "helmholtz\na line of its own"


@pytest.mark.parametrize("kind", each(["much", "text", "status", "name"], ("much", "name")))
def test_a_results_file_of_another_layout_gets_one_line(kind, one_line):
    hostile_run(compose(RUN[1:]))
    damage(kind)
    for words in (["resume", "run"], *([["show", "run"]] if kind in ("text", "status", "name") else [["plot", "run"]])):
        assert cli.main(words) == cli.USAGE
        assert "damaged" in one_line()


def test_a_text_in_a_results_file_sends_no_escape_codes_to_the_terminal(capsys):
    hostile_run(compose(RUN[1:]))
    Results(Path("run/results.h5")).attributes(command="pinn train \x1b]0;owned\x07")
    Path("run/figures").mkdir()
    Path("run/figures/\x1b]0;owned\x07.png").write_bytes(b"")
    Path("run/run.log").write_text("step 1 \x1b]0;owned\x07\n")
    for words in (["show", "run"], ["logs", "run"]):
        assert cli.main(words) == 0
        out = capsys.readouterr().out
        assert "owned" in out
        assert "\x1b" not in out


SPEAKS = "\x1b]0;owned\x07"


@pytest.mark.parametrize(
    "place",
    [
        pytest.param({"error": {f"u{SPEAKS}": 1e-3}}, marks=pytest.mark.slow),
        pytest.param({"metrics": {f"m{SPEAKS}": 1e-3}}, marks=pytest.mark.slow),
        {"error": {"u": Noted(1e-3, {f"max{SPEAKS}": 1.0})}},
        {"config": 'seed: "\\e]0;owned\\a"'},
        pytest.param({"config": '"\\e]0;owned\\a": 1'}, marks=pytest.mark.slow),
    ],
)
def test_names_and_values_send_no_escape_codes_to_the_terminal(place, capsys, one_line):
    hostile_run(compose(RUN[1:]))
    write_run(Path("other"))
    Results(Path("run/results.h5")).replace(place)
    for words in (["show", "run"], ["compare", "run", "other"], ["compare", "run", "other", "--csv"], ["list", "runs"],
                  ["resume", "run"], ["status", "run"]):  # fmt: skip
        cli.main(words)
        said = capsys.readouterr()
        assert "\x1b" not in said.out + said.err
    assert cli.main(["resume", "run"]) == cli.USAGE
    assert "damaged" in (said := one_line()) or "cannot be printed" in said


def test_a_typed_word_sends_no_escape_codes_to_the_terminal(one_line):
    assert cli.main(["show", f"run{SPEAKS}"]) == cli.USAGE
    assert "\x1b" not in one_line()


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{k + 1}: &a{k + 1} [{', '.join([f'*a{k}'] * 10)}]\n" for k in range(9)
)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: [1, 2", "no YAML"),
        (BOMB, "more than 100000 values"),
        ("[" * 2000 + "]" * 2000, "inside each other"),
        ("a: !!python/object/apply:os.system [touch harmed]", "plain values"),
        ("- 1", "complete configuration"),
        ("seed: ${oc.env:HOME}", "complete configuration"),
        ("seed: 0", "problem=null"),
        ("problem:\n  _target_: ???", "`problem._target_` has no value yet"),
        ("problem: {}", "problem={}: expected a table with the name of a class"),
    ],
)
def test_a_wrong_configuration_in_a_results_file_gets_one_line(text, says, one_line):
    hostile_run({})
    Results(Path("run/results.h5")).replace({"config": text})
    for words in (["resume", "run"], ["predict", "run", "--grid", "3x3", "--out", "a.npz"]):
        assert cli.main(words) == cli.USAGE
        assert says in one_line()
    assert not Path("harmed").exists()


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("points.interior=1000000000000", "points.interior=1000000000000: a step of levenberg_marquardt needs"),
        ("points.face=100000000000", "points.face=100000000000: a step of levenberg_marquardt needs"),
        ("points.interior=1e12", "expected a whole number of points"),
        ("architecture.width=1000000000", "expected at most 10000"),
        ("architecture.depth=1000000000", "expected at most 10000"),
        ("architecture.width=10000 architecture.depth=10000", "weights take 7999 GB"),
        ("recipe=adam points.interior=1000000000000", "points.interior=1000000000000: a step of adam needs"),
    ],
)
def test_a_size_that_cannot_fit_the_memory_is_refused_at_once(word, says, here, one_line):
    for command in (["train", "figures=off"], ["check"]):
        assert cli.main([*command, "problem=helmholtz", "points.face=8", *word.split()]) == cli.USAGE
        assert says in one_line()
    assert list(here.iterdir()) == []


def test_a_grid_that_cannot_fit_the_memory_is_refused(capsys, one_line):
    assert cli.main([*RUN, "folder=run"]) == 0
    capsys.readouterr()
    for grid in ("100000x100000", "1000000000000x2", "9" * 40 + "x2"):
        assert cli.main(["predict", "run", "--grid", grid, "--out", "a.npz"]) == cli.USAGE
        assert f"type a smaller grid than {grid}" in one_line()
    assert not Path("a.npz").exists()


@pytest.fixture
def own(here):
    """The user's own folders, with a problem in them; YAMLs are taken from strangers, Python is not."""
    assert cli.main(["new", "problem", "mine"]) == 0
    return here / "conf"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("_target_: [1, 2", "no YAML"),
        ("_target_: problems.mine.Mine\nkappa: {a: b: c}", "mine.yaml, line 2: no YAML"),
        ("_target_: problems.mine.Mine\nkappa: 1\nkappa: 2", "`kappa` stands twice in a table, last in line 3"),
        (BOMB, "more than 100000 values"),
        ("- 1\n- 2", "problem"),
        ("just a text", "problem"),
        ("_target_: 7", "problem"),
        ("_target_: problems.mine.Mine\nkappa: !!python/object/apply:os.system [touch harmed]", "plain values"),
        ("# @package _global_\nhydra: {callbacks: {a: {_target_: os.system}}}", "line 2 sets hydra"),
        ('# @package _global_\n"\\x68ydra": {job_logging: {(): os.system}}', "line 2 sets hydra"),
        ("# @package hydra.callbacks\na: {_target_: canary.Bird}", "@package hydra"),
        ("_target_: problems.mine.Mine\nkappa: ${oc.env:HOME}", "kappa"),
        ("_target_: problems.mine.Mine\nkappa: ${problem.kappa}", "ecursi"),
        ("_target_: problems.mine.Mine\nkappa: " + "${seed}" * 30, "20 references"),
        (b"_target_: \xff\xfe", "cannot be read"),
    ],
)
def test_a_yaml_of_anything_but_plain_values_gets_one_line(text, says, own, capsys, one_line):
    file = own / "problem" / "mine.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    capsys.readouterr()
    for words in (["train", "problem=mine", *SMALL], ["check", "problem=mine"]):
        assert cli.main(words) == cli.USAGE
        assert says in one_line()
    assert not Path("outputs").exists()
    assert cli.main(["list", "problems"]) == (cli.USAGE if isinstance(text, bytes) else 0)


@pytest.mark.parametrize("name", ["hidden", r'"\x68idden"', '"${problem}den"', r'"\u0068id\
    den"'])
def test_a_yaml_that_a_recipe_names_is_checked_too(name, own, one_line):
    (own / "recipe").mkdir()
    (own / "recipe" / "theirs.yaml").write_text(f"# @package _global_\ndefaults:\n  - /weighting: [{name}]\n")
    (own / "weighting").mkdir()
    hidden = "# @package _global_\nhydra: {callbacks: {a: {_target_: os.system}}}"
    (own / "weighting" / "hidden.yaml").write_text(hidden)
    assert cli.main(["train", "problem=mine", "recipe=theirs", *SMALL]) == cli.USAGE
    assert "hidden.yaml: no YAML: line 2 sets hydra" in one_line()


def test_a_broken_yaml_that_is_not_used_does_not_matter(own):
    (own / "problem" / "draft.yaml").write_text("_target_: [")
    assert cli.main(["train", "problem=mine", *SMALL]) == 0


def manifest(runs: list, **more) -> Path:
    """A sweep that was sent, as its manifest tells it."""
    runs = [{"number": number, "words": words, "refused": None} for number, words in enumerate(runs)]
    about = {"format": 1, "command": "", "created": "", "launcher": "basic", "cwd": ".", "jobs": [], "runs": runs}
    Path("sweep").mkdir(exist_ok=True)
    Path("sweep/sweep.json").write_text(json.dumps(about | more))
    return Path("sweep")


WORDS = [
    "hydra.callbacks.a._target_=canary.Bird",
    "+hydra/callbacks=evil",
    "--config-dir=x",
    7,
    "seed=1\nrm -r ~",
    "seed=1\x1b[2J",
    "",
    "=1",
    "problem.=1",
    "./seed=1",
]


@pytest.mark.parametrize("word", WORDS)
def test_the_words_of_a_manifest_set_only_settings_of_a_run(word, one_line):
    manifest([["problem=helmholtz", word]])
    for words in (["resume", "sweep"], ["status", "sweep"]):
        assert cli.main(words) == cli.USAGE
        assert "which no run has" in one_line()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("jobs", ["--me"]), ("jobs", ["7", "-u root"]), ("jobs", ["7\n"]), ("jobs", ["7_*"]), ("jobs", ["\u0667"]),
        ("command", "pinn train -m \x1b]0;owned\x07"), ("command", "pinn train -m 'seed=1"), ("command", ["pinn"]),
        ("launcher", "basic\n"), ("cwd", "/tmp\x1b[2J"), ("cwd", "\0"), ("created", "\ud800"),
    ],
)  # fmt: skip
def test_a_manifest_with_other_values_than_lines_and_job_numbers_is_refused(key, value, monkeypatch, one_line):
    cancelled = []
    monkeypatch.setattr(slurm, "cancel", cancelled.append)
    manifest([["problem=helmholtz", "seed=1"]], **{key: value})
    for command in ("status", "cancel", "resume", "collect"):
        assert cli.main([command, "sweep"]) == cli.USAGE
        assert "damaged or no manifest" in one_line()
    assert cancelled == []


def test_the_reason_of_a_refusal_gets_one_line_without_escape_codes(capsys):
    manifest([["seed=1"], ["seed=2"]])
    Path("sweep/1.refused").write_text("no GPU\x1b[2J\nhere\n")
    assert cli.main(["status", "sweep"]) == 0
    assert "no GPU\N{REPLACEMENT CHARACTER}[2J here" in capsys.readouterr().out


def test_a_published_table_with_an_empty_quick_part_gets_one_line(own, capsys, one_line):
    (own / "published").mkdir()
    (own / "published" / "theirs.yaml").write_text(
        "# theirs\n{source: x, number: x, seeds: 1, every: [], rows: {}, columns: {}, quantities: {}, quick: {}}\n"
    )
    capsys.readouterr()
    assert cli.main(["reproduce", "theirs", "--show"]) == cli.USAGE
    assert "`cells` is missing" in one_line()


@pytest.mark.parametrize(
    ("launcher", "setting"),
    [
        pytest.param("slurm_array", "setup=['touch HARMED']", marks=pytest.mark.slow),
        ("dask", "options={_target_: pinn_cli.studies.launchers.pool.Process, environment: {}, command: "
                 "{_target_: pinn_cli.studies.launchers.pool.Command, folder: x, words: [touch, HARMED]}}"),
    ],
)  # fmt: skip
def test_commands_that_read_a_sweep_run_none_of_its_code(here, without_slurm, tmp_path, capsys, launcher, setting):
    """Its code, its working directory and its launcher's settings are for `resume`, which runs them."""
    evil = f"open({str(tmp_path / 'harmed')!r}, 'w')\n"
    for place in (Path("sweep/code"), tmp_path / "theirs"):
        (place / "problems").mkdir(parents=True)
        for name in ("problems/__init__.py", "problems/helmholtz.py", "sitecustomize.py", "h5py.py", "yaml.py"):
            (place / name).write_text(evil)
    typed = f"hydra.launcher.{setting}".replace("HARMED", str(tmp_path / "harmed"))
    manifest([["problem=helmholtz"], ["seed=1"]], cwd=str(tmp_path / "theirs"), jobs=["7"], launcher=launcher,
             command=shlex.join(["pinn", "train", "-m", f"hydra/launcher={launcher}", typed]))  # fmt: skip
    write_run(Path("sweep/0"))
    Path("sweep/0/run.log").write_text("step 1\n")
    before = list(sys.path), os.environ.get("PYTHONPATH"), Path.cwd()
    for words in (["status", "sweep"], ["status", "sweep", "--json"], ["compare", "sweep"], ["collect", "sweep"],
                  ["logs", "sweep/0"], ["show", "sweep/0"], ["plot", "sweep/0", "--only", "losses"],
                  ["list", "runs"]):  # fmt: skip
        assert cli.main(words) == 0, capsys.readouterr().err
        assert (list(sys.path), os.environ.get("PYTHONPATH"), Path.cwd()) == before


@pytest.mark.parametrize("name", ["../../../evil", "/evil", "..", ".hidden"])
def test_a_published_table_has_no_row_outside_its_folder(name, own, capsys, one_line):
    (own / "published").mkdir()
    node = {
        "source": "x", "number": "x", "seeds": 1, "every": ["problem=mine", *SMALL], "rows": {name: []},
        "columns": {"m1": []}, "quantities": {"u": {"title": "u", "read": "error/u"}},
        "quick": {"cells": [], "overrides": [], "seeds": 1},
    }  # fmt: skip
    (own / "published" / "theirs.yaml").write_text("# theirs\n" + OmegaConf.to_yaml(OmegaConf.create(node)))
    capsys.readouterr()
    for words in (["reproduce", "theirs"], ["reproduce", "theirs", "--show"], ["reproduce", "theirs", "--dry-run"]):
        assert cli.main(words) == cli.USAGE
        assert "row or column" in one_line()
    assert not Path("outputs").exists()
