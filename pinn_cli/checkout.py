"""The checkout that pinn runs from, where it is not an installed package: its commit, and a copy to run from."""

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("pinn_cli", "conf", "problems")
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
    """Copy the checkout into `place`, to be put before Python's other folders; nothing for an installed package."""
    if is_one():
        for folder in FOLDERS:
            shutil.copytree(ROOT / folder, place / folder, ignore=shutil.ignore_patterns("__pycache__"))
        (place / COMMIT).write_text(f"{commit()}\n", encoding="utf-8")


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True, timeout=5)
    return done.stdout.strip()
