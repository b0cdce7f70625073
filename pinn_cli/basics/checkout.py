"""The git checkout that pinn runs from, if it is not an installed package: its commit, and a copy of its code."""

import shutil
import subprocess
from hashlib import sha256
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = {"pinn_cli": "pinn_cli", "conf": "pinn_cli/conf", "problems": "pinn_cli/problems"}  # checkout -> copy
COMMIT = "COMMIT"  # a file in the copy that holds the commit, because a copy has no git history


def commit() -> str:
    """The commit of the checkout; if its code differs, `+` and a hash of how; empty for an installed package."""
    if (ROOT / COMMIT).is_file():
        return (ROOT / COMMIT).read_text(encoding="utf-8").strip()
    if not (ROOT / ".git").exists():
        return ""
    try:
        head, changes = _git("rev-parse", "--short=12", "HEAD"), _git("diff", "HEAD", "--", *FOLDERS)
        new = _git("ls-files", "--others", "--exclude-standard", "--", *FOLDERS).splitlines()
        changes += "".join(f"\n{name}\n{(ROOT / name).read_bytes()!r}" for name in new)
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return ""
    return head + (f"+{sha256(changes.encode()).hexdigest()[:8]}" if changes else "")


def is_one() -> bool:
    """Whether pinn runs from a checkout."""
    return (ROOT / "conf" / "config.yaml").is_file()


def copy(place: Path) -> None:
    """Copy the checkout into `place`, a folder for the front of `sys.path`. An installed package is not copied.

    As in an installed package, `conf` and `problems` lie inside `pinn_cli`, so that they do not hide the user's own.
    """
    if is_one():
        for source, target in FOLDERS.items():
            shutil.copytree(ROOT / source, place / target, ignore=shutil.ignore_patterns("__pycache__"))
        (place / COMMIT).write_text(f"{commit()}\n", encoding="utf-8")


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True, timeout=5)
    return done.stdout.strip()
