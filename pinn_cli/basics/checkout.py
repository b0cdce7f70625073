"""The checkout that pinn runs from, where it is not an installed package: its commit, and a copy to run from."""

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = {"pinn_cli": "pinn_cli", "conf": "pinn_cli/conf", "problems": "pinn_cli/problems"}  # here and in a copy
COMMIT = "COMMIT"  # a copy, which has no history, says here where it comes from


def commit() -> str:
    """The commit of the checkout, `+` if it has been changed; empty for an installed package."""
    if (ROOT / COMMIT).is_file():
        return (ROOT / COMMIT).read_text(encoding="utf-8").strip()
    if not (ROOT / ".git").exists():
        return ""
    try:
        found = [_git("rev-parse", "--short=12", "HEAD"), _git("status", "--porcelain", "-uno")]
    except (OSError, subprocess.SubprocessError):
        return ""
    return found[0] + ("+" if found[1] else "")


def is_one() -> bool:
    """Whether pinn runs from a checkout."""
    return (ROOT / "conf" / "config.yaml").is_file()


def copy(place: Path) -> None:
    """Copy the checkout into `place`, to be put before Python's other folders; nothing for an installed package.

    As in an installed package everything lies inside it: a `problems` of the user's own must be found elsewhere.
    """
    if is_one():
        for source, target in FOLDERS.items():
            shutil.copytree(ROOT / source, place / target, ignore=shutil.ignore_patterns("__pycache__"))
        (place / COMMIT).write_text(f"{commit()}\n", encoding="utf-8")


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True, timeout=5)
    return done.stdout.strip()
