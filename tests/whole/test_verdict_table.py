"""The kept table of right and wrong runs: what the verdict may not do, and that it is long enough to say so."""

import importlib
import json

from tests.conftest import ROOT


def test_no_wrong_run_is_called_ok_and_at_most_one_right_run_in_twenty_is_not(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    table = importlib.import_module("verdicts")
    kept = {name: run for name, run in json.loads(table.KEPT.read_text()).items() if name in table.CASES}
    ok = {name: run["verdict"].startswith("ok") for name, run in kept.items()}
    right = [name for name, run in kept.items() if run["error"] <= table.RIGHT]
    wrong = [name for name, run in kept.items() if run["error"] > table.WRONG]
    assert len(kept) >= 30
    assert len(right) >= 20
    assert len(wrong) >= 10
    assert not [name for name in wrong if ok[name]]
    assert len([name for name in right if not ok[name]]) <= len(right) / 20
