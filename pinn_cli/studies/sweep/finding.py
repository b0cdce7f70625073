"""What a person calls a sweep, and the folder that is meant."""

from pathlib import Path

from pinn_cli.basics.errors import UsageError
from pinn_cli.records.folder import MANIFEST, OUTPUTS
from pinn_cli.studies.sweep.folder import Sweep

LATEST = "latest"


def find(name: str = LATEST, root: Path = OUTPUTS) -> Sweep:
    """The sweep that a path, a unique beginning of its folder's name or of its short id, or `latest` names.

    Raises UsageError if there is none, or if several begin like that.
    """
    there = every(root)
    latest = there[-1:] if name == LATEST else []  # where there are no links
    for folder in (root / "sweeps" / name, Path(name), *latest):
        if (folder / MANIFEST).is_file():
            return Sweep.read(folder.parent / folder.readlink() if folder.is_symlink() else folder)
    matches = [folder for folder in there if name and _begins(folder, name)]
    if len(matches) == 1:
        return Sweep.read(matches[0])
    if matches:
        names = ", ".join(folder.name for folder in matches[:4]) + (" ..." if len(matches) > 4 else "")
        raise UsageError(f"`{name}` is the beginning of {len(matches)} sweeps ({names}); type more of one of them")
    known = f"the latest is {there[-1]}" if there else "there is none yet; start one: pinn train -m ... seed=0,1,2"
    raise UsageError(f"there is no sweep `{name}` in {root}/sweeps; {known}")


def every(root: Path = OUTPUTS) -> list[Path]:
    """The folders of all sweeps below `root`/sweeps, the one that was started last at the end."""
    return sorted(file.parent for file in (root / "sweeps").glob(f"*/{MANIFEST}") if not file.parent.is_symlink())


def _begins(folder: Path, text: str) -> bool:
    return folder.name.startswith(text) or folder.name.rpartition("-")[2].startswith(text)
