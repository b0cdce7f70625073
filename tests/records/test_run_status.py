"""The status of a run: one enum for the whole package."""

import json
import re

import pytest

from pinn_cli.basics import errors
from pinn_cli.records.status import UNDERWAY, WRITTEN, Status
from tests.conftest import ROOT


def test_a_status_is_its_word():
    assert Status("finished") is Status.FINISHED
    assert Status.FINISHED == "finished"
    assert f"{Status.STOPPED:<8}|" == "stopped |"
    assert json.dumps({"status": Status.FAILED}) == '{"status": "failed"}'
    with pytest.raises(ValueError, match="not a valid Status"):
        Status("done")


def test_each_exit_code_belongs_to_one_status():
    codes = [errors.FINISHED, errors.FAILED, errors.USAGE, errors.STOPPED]
    assert [Status.of_exit_code(code) for code in codes] == ["finished", "failed", "refused", "stopped"]
    assert all(status.exit_code is None for status in UNDERWAY)
    assert len(WRITTEN) == 4


def test_no_module_writes_a_status_as_a_bare_string():
    word = re.compile(rf"""(?:==|!=|\bin\b|\bcase\b|status["']?\]?\s*[:=])\s*\(?["'](?:{"|".join(Status)})["']""")
    modules = set((ROOT / "pinn_cli").rglob("*.py")) - {ROOT / "pinn_cli" / "records" / "status.py"}
    assert modules
    lines = [line for path in modules for line in path.read_text().splitlines() if "future." not in line]  # dask
    assert not [line for line in lines if word.search(line)]
