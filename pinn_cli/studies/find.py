"""What a person calls a run, and the folder that is meant.

A run is named by its path, by a unique beginning of its folder's name or of its short id, by ``SWEEP/17``, or by
``latest`` or ``best``, alone or behind a folder: ``helmholtz/best``. A problem's name, a sweep or another folder of
runs stands for the latest in it, or for all of them where several are asked for.
"""

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from math import inf, isfinite
from pathlib import Path
from typing import Any

from pinn_cli.basics.errors import UsageError
from pinn_cli.records.folder import OUTPUTS, RESULTS
from pinn_cli.records.results import Results
from pinn_cli.records.summary import summary
from pinn_cli.studies import sweep

LATEST, BEST = "latest", "best"


def find(text: str = LATEST, root: Path = OUTPUTS) -> Path:
    """The folder of the run that `text` names. Raises UsageError if there is none, or if several begin like that."""
    return best(_around(text, root), text) if _is_best(text) else _named(text, root)[-1]


def find_all(texts: Sequence[str], root: Path = OUTPUTS) -> list[Path]:
    """The runs that several names stand for; here a folder of runs means every run in it. Each run comes once."""
    found = [run for text in texts for run in ([find(text, root)] if _is_best(text) else _named(text, root))]
    return list({run.resolve(): run for run in found}.values())


def find_sweep(text: str, root: Path = OUTPUTS) -> sweep.Sweep | None:
    """The sweep that `text` names; None for a run's name. ``latest`` is the newest sweep, unless a lone run is newer.

    Raises UsageError if there is neither, or if several begin like that.
    """
    if text == LATEST and sweep.every(root):
        newest = sweep.find(LATEST, root)
        lone = [run for run in every(root) if sweep.sweep_of(run) is None]
        return None if lone and _started(lone[-1]) > _created(newest) else newest
    if _of_a_sweep(text, root):
        return None
    if there := _runs_in(text, root):
        places = {place if (place := sweep.sweep_of(run)) == run.parent else None for run in there}
        place = places.pop() if len(places) == 1 and not (Path(text) / RESULTS).exists() else None
        return None if place is None else sweep.Sweep.read(place)
    try:
        return sweep.find(text, root)
    except UsageError:
        with suppress(UsageError):
            _named(text, root)
            return None
        raise


def every(root: Path = OUTPUTS) -> list[Path]:
    """The folders of all runs at or below `root`, the one that was started last at the end."""
    return _by_start({path.parent for path in root.rglob(RESULTS)} if root.is_dir() else ())


def best(folders: Sequence[Path], asked: str = BEST) -> Path:
    """The run with the smallest error, of several fields the largest. Raises UsageError if errors say nothing."""
    found = [summary(folder) for folder in folders]
    rated = [one for one in found if isfinite(largest_error(one)) and one["status"] != "failed"]
    if len(problems := {str(one["problem"]) for one in rated}) > 1:
        example = sorted(problems)[0]
        raise UsageError(f"`{asked}` is among runs of {', '.join(sorted(problems))}; type e.g. {example}/{BEST}")
    if not rated:
        raise UsageError(f"`{asked}` goes by the error, and no run there has one; `pinn list runs` shows what there is")
    return Path(min(rated, key=largest_error)["folder"])


def largest_error(summary: dict[str, Any]) -> float:
    """The largest relative L2 error over the fields of a run; infinite where it has none, or one that is no number."""
    errors = list(summary.get("errors", {}).values())
    return max(errors) if errors and all(map(isfinite, errors)) else inf


def _around(text: str, root: Path) -> list[Path]:
    """The runs that ``best`` is sought among."""
    place = text.rpartition("/")[0]
    return _named(place, root) if place else every(root)


def _is_best(text: str) -> bool:
    return text.rpartition("/")[2] == BEST and not Path(text).exists()


def _named(text: str, root: Path) -> list[Path]:
    """All runs that a name stands for, the latest at the end; at least one. Raises UsageError."""
    newest = find_sweep(LATEST, root) if text == LATEST and sweep.every(root) else None
    if newest is not None and (begun := _begun(newest)):  # wherever their folders lie
        return begun
    found = _runs_in(text, root) or _of_a_sweep(text, root)
    if found:
        return found
    matches: dict[Path, list[Path]] = {}
    for run in every(root):
        if _begins(run, text, root):
            matches.setdefault(_place(run), []).append(run)
    if len(matches) == 1:
        return next(iter(matches.values()))
    if matches:
        names = ", ".join(place.name for place in list(matches)[:4]) + (" ..." if len(matches) > 4 else "")
        raise UsageError(f"`{text}` is the beginning of {len(matches)} runs ({names}); type more of one of them")
    with suppress(UsageError):
        if begun := _begun(sweep.find(text, root)):  # its words gave them folders elsewhere
            return begun
    raise UsageError(f"there is no run `{text}` in {root}/; `pinn list runs` shows what there is")


def _runs_in(text: str, root: Path) -> list[Path]:
    """The runs at or below the folder that `text` names: as a path, as a path below `root`, or as one's ``latest``."""
    path = Path(text).parent if Path(text).name == RESULTS else Path(text)
    for place in (path, root / path):
        named = place.is_symlink() and not place.name.isdecimal()  # a number is a sweep's run, and never a link
        runs = every(place.parent / place.readlink() if named else place)
        if runs:
            return runs
    if path.name == LATEST:  # no link of that name, or one to a run that has been removed
        parents = [root / path.parent, *([path.parent] if path.parent != Path() else [])]
        runs = next((runs for runs in map(every, parents) if runs), [])
        return [run for run in runs if _place(run) == _place(runs[-1])]
    return []


def _of_a_sweep(text: str, root: Path) -> list[Path]:
    """The run that ``SWEEP/17`` means; [] for another kind of name. Raises UsageError if that run has not started."""
    name, _, number = text.rpartition("/")
    if not (name and number.isdecimal()):
        return []
    found = sweep.find(name, root)
    planned = {run.number: run for run in found.runs}.get(int(number))
    if planned is None:
        raise UsageError(f"{found.folder} has runs 0 to {len(found.runs) - 1}; found {number}")
    if not (planned.folder / RESULTS).exists():
        raise UsageError(f"run {number} of {found.folder} {_why_not(planned, name)}")
    return [planned.folder]


def _why_not(run: sweep.Planned, name: str) -> str:
    """Why a run of the sweep called `name` has no results."""
    if run.refused is not None:
        return f"was refused: {run.refused}"
    if run.failed is not None:
        return f"failed before its first step: {run.failed}"
    return f"has not started; pinn status {name}"


def _place(run: Path) -> Path:
    """The folder of its sweep, or its own."""
    return sweep.sweep_of(run) or run


def _begins(folder: Path, text: str, root: Path) -> bool:
    """Whether the name, the short id or the path of a run, or of its sweep, begins like that."""
    place = _place(folder)
    names = (place.name, place.name.rpartition("-")[2], os.path.relpath(place, root))
    return bool(text) and any(name.startswith(text) for name in names)


def _begun(found: sweep.Sweep) -> list[Path]:
    return _by_start(run.folder for run in found.runs if (run.folder / RESULTS).exists())


def _by_start(folders: Iterable[Path]) -> list[Path]:
    """The run that was started last at the end."""
    return sorted(folders, key=lambda folder: (_started(folder), _number(folder), folder.name))


def _number(folder: Path) -> int:
    return int(folder.name) if folder.name.isdecimal() else -1


def _started(folder: Path) -> float:
    """When a run began, in seconds; when its file was last written if it does not say."""
    try:
        return _seconds(Results(folder / RESULTS).read_attributes()["started"])
    except (UsageError, KeyError, ValueError):
        return (folder / RESULTS).stat().st_mtime


def _created(found: sweep.Sweep) -> float:
    try:
        return _seconds(found.created)
    except ValueError:
        return (found.folder / sweep.MANIFEST).stat().st_mtime


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()
