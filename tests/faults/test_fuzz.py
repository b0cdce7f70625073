"""Damaged files and odd values: a command ends with one clear line, or as if nothing had changed.

60 cases, the same every time; PINN_FUZZ=10000 makes that many, different ones every time. Commands that could crash or
hang (in HDF5 or torch) run in processes of their own, with 2 GB of memory and a time limit.
"""

import contextlib
import io
import json
import os
import pickle
import shutil
import sys
from pathlib import Path

import pytest
import torch
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pinn_cli import cli
from pinn_cli.basics import safe_yaml
from pinn_cli.basics.errors import UsageError
from pinn_cli.configuration.compose import compose
from pinn_cli.configuration.settings import read_back
from pinn_cli.records import checkpoint
from pinn_cli.records.checkpoint import CheckpointError
from pinn_cli.records.results import Results
from pinn_cli.studies.launchers.basic import Basic
from pinn_cli.studies.launchers.slurm import SlurmArray
from pinn_cli.studies.sweep import Sweep
from tests.run_files import write_run

CASES = int(os.environ.get("PINN_FUZZ", 60))
SMALL = ["points.interior=16", "points.face=4", "architecture.width=4", "architecture.depth=1", "figures=off"]
RUN = ["train", "problem=helmholtz", *SMALL, "compile=off", "stop.steps=2", "folder=run"]
HANG = 300.0  # seconds; a busy machine takes many for what takes one at rest


def cases(share: float):
    """This share of all cases, at least three."""
    return settings(
        max_examples=max(3, round(CASES * share)), derandomize="PINN_FUZZ" not in os.environ, deadline=None,
        database=None, suppress_health_check=list(HealthCheck),
    )  # fmt: skip


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """A working directory with a run that was stopped, one that is only its file, and a problem of one's own."""
    folder, before = tmp_path_factory.mktemp("fuzz"), Path.cwd()
    os.chdir(folder)
    with contextlib.redirect_stdout(io.StringIO()):
        assert cli.main(RUN) == 0
        Results(Path("run/results.h5")).attributes(status="stopped")
        assert cli.main(["new", "problem", "mine"]) == 0
    write_run(Path("small"), nodes=3)
    config = compose(RUN[1:])
    small = Results(Path("small/results.h5"))
    small.replace({"config": yaml.safe_dump(yaml.safe_load(Results(Path("run/results.h5")).read_config()))})
    assert config.seed == 0
    shutil.copytree("run", "kept")
    yield folder
    os.chdir(before)


kinds = st.sampled_from(["flip", "set", "zero", "ones", "cut", "insert", "repeat"])
changes = st.lists(st.tuples(kinds, st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=6)


def changed(content: bytes, script) -> bytes:
    """The content after some changes of bytes at some places."""
    found = bytearray(content)
    for kind, place, number in script:
        at = int(place * max(len(found) - 1, 0))
        if kind == "flip" and found:
            found[at] ^= 1 << number % 8
        elif kind == "set" and found:
            found[at] = number
        elif kind in ("zero", "ones"):
            found[at : at + number % 32] = (b"\0" if kind == "zero" else b"\xff") * len(found[at : at + number % 32])
        elif kind == "cut":
            del found[at : at + 1 + number]
        elif kind == "insert":
            found[at:at] = bytes([number]) * (1 + number % 16)
        else:
            found[at:at] = found[at : at + number]
    return bytes(found)


def check_life(life, expected=(0, 2)) -> None:
    assert not life["killed"], f"a crash (signal), or a hang: {life}"
    assert "Traceback" not in life["errors"], life["errors"]
    assert life["code"] in expected, life
    if life["code"] == 2:
        assert life["errors"].startswith("pinn: ")
        assert life["errors"].count("\n") == 1, life["errors"]


def said(words: list[str]) -> int:
    """The exit code of a command in this process, which must not end in an error of its own."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = cli.main(words)
    assert "Traceback" not in err.getvalue(), err.getvalue()
    assert code in (0, 1, 2)
    if code == 2:
        assert err.getvalue().count("\n") == 1, err.getvalue()
    return code


LOOKS = [["show", "fuzzed"], ["show", "fuzzed", "--json"], ["compare", "fuzzed"]]
LOOKS += [["plot", "fuzzed", *([] if "PINN_FUZZ" in os.environ else ["--only", "losses"])]]  # all: a second each


def test_changed_bytes_of_a_results_file(here, lives):
    whole = Path("small/results.h5").read_bytes()
    Path("fuzzed").mkdir()

    @cases(0.12)
    @given(changes, st.sampled_from(LOOKS))
    def look(script, words) -> None:
        Path("fuzzed/results.h5").write_bytes(changed(whole, script))
        check_life(lives.live(words, here, after=HANG))

    look()


def test_changed_bytes_of_a_run_that_is_resumed(here, lives):
    files = {name: Path("run", name).read_bytes() for name in ("results.h5", "checkpoint.pt")}

    @cases(0.04)
    @given(changes, st.sampled_from(list(files)))
    def go_on(script, name) -> None:
        for file, content in files.items():
            Path("kept", file).write_bytes(changed(content, script) if file == name else content)
        check_life(lives.live(["resume", "kept", "stop.steps=3", "stop.seconds=20"], here, after=HANG), (0, 1, 2, 3))

    go_on()


def test_changed_bytes_of_a_checkpoint(here):
    whole, file = Path("run/checkpoint.pt").read_bytes(), Path("changed.pt")
    intact = checkpoint.load(Path("run/checkpoint.pt"))

    @cases(0.2)
    @given(changes)
    def load(script) -> None:
        file.write_bytes(changed(whole, script))
        with contextlib.suppress(CheckpointError):
            found = checkpoint.load_run(file)  # then what changed is of no consequence
            assert all(torch.equal(found["model"][name], value) for name, value in intact["model"].items())

    load()


odd = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.just(torch.zeros(3)),
              st.just(torch.zeros(2, 2, dtype=torch.int8))),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3), max_leaves=5,
)  # fmt: skip


def test_a_checkpoint_with_odd_values_is_refused_or_accepted(here, lives):
    shutil.copy("run/results.h5", "kept/results.h5")
    state = torch.load("run/checkpoint.pt", weights_only=True)
    inner = [(table, name) for table in ("progress", "model", "sampler", "optimizer") for name in state[table]]
    names = [*((name,) for name in state), *inner]

    @cases(0.02)
    @given(st.sampled_from(names), odd | st.just("missing"))
    def go_on(name, value) -> None:
        other = pickle.loads(pickle.dumps(state))
        *way, last = name
        table = other[way[0]] if way else other
        del table[last]
        if value != "missing" or not isinstance(value, str):
            table[last] = value
        torch.save(other, "kept/checkpoint.pt")
        shutil.copy("run/results.h5", "kept/results.h5")
        check_life(lives.live(["resume", "kept", "stop.steps=3", "stop.seconds=20"], here, after=HANG), (0, 1, 2, 3))

    go_on()


plain = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**20), 10**20), st.floats(), st.text(max_size=6),
    st.sampled_from(["os.system", "???", "${seed}", "1e999", "[", "all", "on", "../..", "pinn_cli.problems.wave.Wave"]),
    st.lists(st.integers(), max_size=2), st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)  # fmt: skip


def paths(node, prefix=()):
    """Where the values of nested tables and lists stand."""
    pairs = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [path for key, value in pairs for path in [(*prefix, key), *paths(value, (*prefix, key))]]


def replaced(node, path, value):
    """A copy in which one value is another one; for the value "missing" it is left out."""
    copy = json.loads(json.dumps(node))
    table = copy
    for key in path[:-1]:
        table = table[key]
    if isinstance(value, str) and value == "missing":
        del table[path[-1]]
    else:
        table[path[-1]] = value
    return copy


values = plain | st.just("missing")


def test_a_kept_configuration_of_other_values(here):
    config = yaml.safe_load(Results(Path("run/results.h5")).read_config())

    @cases(0.2)
    @given(st.sampled_from(paths(config)), values, changes, st.booleans())
    def read(path, value, script, bytewise) -> None:
        text = yaml.safe_dump(config) if bytewise else yaml.safe_dump(replaced(config, path, value))
        text = changed(text.encode(), script).decode(errors="replace") if bytewise else text
        with contextlib.suppress(UsageError):
            read_back(safe_yaml.check(text, "fuzzed"), "fuzzed")

    read()


def test_a_run_that_is_resumed_with_other_settings(here, lives):
    shutil.copy("run/checkpoint.pt", "kept/checkpoint.pt")
    config = yaml.safe_load(Results(Path("run/results.h5")).read_config())

    @cases(0.03)
    @given(st.sampled_from(paths(config)), values)
    def go_on(path, value) -> None:
        shutil.copy("run/results.h5", "kept/results.h5")
        Results(Path("kept/results.h5")).replace({"config": yaml.safe_dump(replaced(config, path, value))})
        check_life(lives.live(["resume", "kept", "stop.steps=3", "stop.seconds=20"], here, after=HANG), (0, 1, 2, 3))

    go_on()


def test_a_problem_of_other_values(here):
    file = Path("conf/problem/mine.yaml")
    text = file.read_text()

    @cases(0.02)
    @given(st.sampled_from(["_target_", "kappa", "other"]), values, changes, st.booleans())
    def check(key, value, script, bytewise) -> None:
        node = {"_target_": "problems.mine.Mine", "kappa": 0.1, "other": 1}
        other = changed(text.encode(), script) if bytewise else yaml.safe_dump(replaced(node, (key,), value)).encode()
        file.write_bytes(other)
        said(["check", "problem=mine", *SMALL])

    check()
    file.write_text(text)


def test_a_manifest_of_other_values(here, without_slurm, monkeypatch):
    """Read by whatever reads sweeps, and resumed up to where its runs would start."""
    monkeypatch.setattr(Basic, "launch", lambda self, sweep, runs: 0)
    monkeypatch.setattr(SlurmArray, "check", lambda self: None)
    monkeypatch.setattr(SlurmArray, "launch", lambda self, sweep, runs: 0)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("PYTHONPATH", os.environ.get("PYTHONPATH", ""))
    command = "pinn train -m seed=0,1 hydra/launcher=slurm_array 'hydra.launcher.setup=[\"module load x\"]'"
    about = {
        "format": 1, "command": command, "created": "2026", "launcher": "basic", "cwd": str(here),
        "jobs": [],
        "runs": [{"number": k, "words": ["problem=mine", f"seed={k}"], "refused": None} for k in range(2)],
    }  # fmt: skip
    shutil.copytree("small", "sweep/0")

    @cases(0.04)
    @given(st.sampled_from(paths(about)), values, changes, st.booleans(), st.sampled_from(["", "1", "--me"]))
    def read(path, value, script, bytewise, job) -> None:
        about["jobs"] = [job] if job else []
        node = json.dumps(about if bytewise else replaced(about, path, value)).encode()
        Path("sweep/sweep.json").write_bytes(changed(node, script) if bytewise else node)
        with contextlib.suppress(UsageError):
            Sweep.read("sweep")
        for name in ("status", "compare", "collect", "resume"):
            said([name, "sweep"])
        assert Path.cwd() == here

    read()


def test_a_published_table_of_other_values(here):
    node = {
        "source": "x", "number": "x", "seeds": 1, "every": ["problem=mine", *SMALL],
        "rows": {"a": ["seed=1"], "b": []},
        "columns": {"m1": [], "m2": ["stop.steps=3"]}, "without": ["a_m2"], "ratios": [["m1", "m2"]], "says": ["much"],
        "quantities": {"u": {"title": "u", "read": "error/u", "paper": {"a": [0.1, None]}}}, "stated": ["dtype"],
        "quick": {"cells": ["a_m1"], "overrides": ["stop.steps=1"], "seeds": 1},
        "notes": [{"text": "x", "rows": ["a"]}],
    }  # fmt: skip
    file = Path("conf/published/theirs.yaml")
    file.parent.mkdir()

    @cases(0.04)
    @given(st.sampled_from(paths(node)), values, changes, st.booleans())
    def read(path, value, script, bytewise) -> None:
        text = yaml.safe_dump(node if bytewise else replaced(node, path, value)).encode()
        file.write_bytes(b"# theirs\n" + (changed(text, script) if bytewise else text))
        said(["reproduce", "theirs", "--show"])

    read()
    shutil.rmtree(file.parent)
