"""What many tests share."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# A run that takes less than a second.
SMALL = ["problem=wave", "points.interior=64", "points.face=8", "architecture.width=8", "figures=off"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory; commands started in it as processes import this checkout."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return tmp_path


@pytest.fixture
def own_folder(here: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The same without this checkout's own problems/ beside it: ./problems is the user's."""
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if Path(entry).resolve() != ROOT])
    monkeypatch.setenv("PYTHONPATH", "")
    yield here
    for name in [name for name in sys.modules if name.partition(".")[0] == "problems"]:
        del sys.modules[name]
