"""Which run or sweep a name stands for.

    outputs/helmholtz/2026-01-01_10-00-00-cd34   a path, from here or below ./outputs
    2026-01-01, cd                               a unique beginning of a folder's name, of its path or of its short id
    latest, helmholtz/latest                     the newest run or sweep, of all or in a folder
    ab/17                                        run 17 of the sweep ab
    ab/fhn                                       the runs of the problem fhn in the sweep ab
    best, ab/best, ab/fhn/best                   the run with the smallest error

A sweep or another folder of runs stands for the run in it that was started last, or for all of its runs where a
command takes several.
"""

import json
import os
import shlex
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from math import inf, isfinite
from pathlib import Path
from typing import Any

from pinn_cli.basics.errors import UsageError
from pinn_cli.basics.text import in_shell
from pinn_cli.records.folder import MANIFEST, OUTPUTS, RESULTS
from pinn_cli.records.results import Results
from pinn_cli.records.status import Status
from pinn_cli.records.summary import summary
from pinn_cli.studies.sweep import PlannedRun, Sweep, sweep_of

LATEST, BEST = "latest", "best"


def find(text: str = LATEST) -> Path:
    """The folder of the run that `text` names. Raises UsageError if there is none, or if several begin like that."""
    if _asks_for_best(text):
        return best(_candidates(text), text)
    return _runs(text)[-1]


def find_all(texts: Sequence[str]) -> list[Path]:
    """The runs that several names stand for, each run once; a folder of runs stands for every run in it."""
    runs = [run for text in texts for run in ([find(text)] if _asks_for_best(text) else _runs(text))]
    return list({run.resolve(): run for run in runs}.values())


def find_sweep(text: str = LATEST) -> Sweep:
    """The sweep that `text` names; `latest` is the newest sweep. Raises UsageError if there is none, or several."""
    sweeps = [place for place in _places(OUTPUTS) if _is_sweep(place)]
    newest = sweeps[-1] if sweeps else None
    place = newest if text == LATEST else _at_path(text) or _beginning(text, sweeps)
    if place is not None and _is_sweep(place):
        return Sweep.read(place)
    known = f"the latest is {newest}" if newest else "there is none yet; start one: pinn train -m ... seed=0,1,2"
    raise UsageError(f"there is no sweep `{text}` in {OUTPUTS}/; {known}")


def find_sweep_or_run(text: str = LATEST) -> Sweep | Path:
    """The sweep that `text` names, or the folder of the run. Raises UsageError if there is neither."""
    place = _place(text)
    return Sweep.read(place) if place is not None and _is_sweep(place) else find(text)


def every(root: Path = OUTPUTS) -> list[Path]:
    """The folders of all runs at or below `root`; the run that was started last comes last."""
    folders = {path.parent for path in root.rglob(RESULTS)} if root.is_dir() else set()
    return sorted(folders, key=lambda f: (_began(f), int(f.name) if f.name.isdecimal() else -1, f.name))


def best(folders: Sequence[Path], asked: str = BEST) -> Path:
    """The run with the smallest error, of several fields the largest. Raises UsageError where no errors compare.

    Errors of several problems do not compare, nor do those of one problem whose text or data has changed.
    """
    summaries = [summary(folder) for folder in folders]
    rated = [one for one in summaries if isfinite(largest_error(one)) and one["status"] != Status.FAILED]
    if len(problems := {str(one["problem"]) for one in rated}) > 1:
        example = f"{asked.removesuffix(BEST)}{min(problems)}/{BEST}"
        raise UsageError(f"`{asked}` is among runs of {', '.join(sorted(problems))}; type e.g. {example}")
    if len(sources := {str(one["source"]): one for one in rated}) > 1:
        pair = shlex.join([one["folder"] for one in sources.values()][:2])
        raise UsageError(f"`{asked}` is among runs of {len(sources)} sources, whose errors do not compare; name the "
                         f"run (pinn diff {pair} shows what changed)")  # fmt: skip
    if not rated:
        raise UsageError(f"`{asked}` goes by the error, and no run there has one; `pinn list runs` shows what there is")
    return Path(min(rated, key=largest_error)["folder"])


def largest_error(summary: dict[str, Any]) -> float:
    """The largest relative L2 error over the fields of a run; infinite if it has none, or one that is not finite."""
    errors = list(summary.get("errors", {}).values())
    return max(errors) if errors and all(map(isfinite, errors)) else inf


def label(folder: Path) -> str:
    """The name of a run in a table: `SWEEP/17` in a sweep, else the name of its folder."""
    return folder.name if sweep_of(folder) is None else f"{folder.parent.name}/{folder.name}"


def _asks_for_best(text: str) -> bool:
    return text.rpartition("/")[2] == BEST and not Path(text).exists()


def _candidates(text: str) -> list[Path]:
    """The runs of which `best` or `NAME/best` asks for the best."""
    name = text.rpartition("/")[0]
    try:
        return _runs(name) if name else every()
    except UsageError:
        if "/" not in name and (runs := _of_problem(name, every())):  # a problem that has run in sweeps only
            return runs
        raise


def _runs(text: str) -> list[Path]:
    """All runs that a name stands for, at least one; the last one started comes last. Raises UsageError."""
    place = _place(text)
    if place is None:
        return _in_sweep(text)
    runs = [run for run in every(place) if not _is_sweep(place) or run.parent == place]
    if runs:
        return runs
    raise UsageError(f"no run of {place} has started; pinn status {in_shell(place)}")


def _place(text: str) -> Path | None:
    """The run, the sweep or the folder of runs that a name stands for. Raises UsageError if it may be several."""
    if text == LATEST:
        return next(reversed(_places(OUTPUTS)), None)
    return _at_path(text) or _beginning(text, _places(OUTPUTS))


def _at_path(text: str) -> Path | None:
    """The folder at a path, from here or below ./outputs; `FOLDER/latest` is the newest run or sweep in that folder."""
    path = Path(text).parent if Path(text).name == RESULTS else Path(text)
    for place in (path, OUTPUTS / path):
        if place.name == LATEST and (place.is_symlink() or not place.is_dir()):
            if newest := _places(place.parent)[-1:]:
                return newest[0]
        elif text and place.is_dir() and (_is_sweep(place) or every(place)):
            return place
    return None


def _beginning(text: str, places: Sequence[Path]) -> Path | None:
    """The one folder whose name, short id or path begins like that, or is that. Raises UsageError for several."""
    names = {place: (place.name, place.name.rpartition("-")[2], os.path.relpath(place, OUTPUTS)) for place in places}
    exact = [place for place, own in names.items() if text in own]
    matches = exact or [place for place, own in names.items() if text and any(name.startswith(text) for name in own)]
    if len(matches) > 1:
        some = ", ".join(place.name for place in matches[:4]) + (" ..." if len(matches) > 4 else "")
        what = "sweeps" if all(map(_is_sweep, matches)) else "runs"
        raise UsageError(f"`{text}` is the beginning of {len(matches)} {what} ({some}); type more of one of them")
    return matches[0] if matches else None


def _in_sweep(text: str) -> list[Path]:
    """The runs that `SWEEP/17` or `SWEEP/PROBLEM` means. Raises UsageError if there are none."""
    name, _, part = text.rpartition("/")
    if not name or not (part.isdecimal() or _place(name)):
        if not every():
            raise UsageError(f"there is no run `{text}`, and none at all in {Path.cwd() / OUTPUTS}; cd to the folder "
                             "where you typed pinn train, or start one, e.g. pinn train problem=helmholtz")  # fmt: skip
        raise UsageError(f"there is no run `{text}` in {OUTPUTS}/; `pinn list runs` shows what there is")
    if part.isdecimal():
        return [_numbered(find_sweep(name), int(part), name)]
    runs = _runs(name)
    if own := _of_problem(part, runs):
        return own
    problems = dict.fromkeys(str(summary(run)["problem"]) for run in runs)
    raise UsageError(f"{name} has no run of `{part}`; it has runs of {', '.join(problems)}")


def _numbered(sweep: Sweep, number: int, name: str) -> Path:
    """The folder of a run of a sweep by its number. Raises UsageError if that run has not started."""
    run = {run.number: run for run in sweep.runs}.get(number)
    if run is None:
        raise UsageError(f"{sweep.folder} has runs 0 to {len(sweep.runs) - 1}; found {number}")
    if not (run.folder / RESULTS).exists():
        raise UsageError(f"run {number} of {sweep.folder} {_why_not(run, name)}")
    return run.folder


def _why_not(run: PlannedRun, name: str) -> str:
    """Why a run of the sweep `name` has no results."""
    if run.refused is not None:
        return f"was refused: {run.refused}"
    if run.failed is not None:
        return f"failed before its first step: {run.failed}"
    return f"has not started; pinn status {in_shell(name)}"


def _of_problem(problem: str, runs: Iterable[Path]) -> list[Path]:
    return [run for run in runs if summary(run)["problem"] == problem]


def _is_sweep(folder: Path) -> bool:
    return (folder / MANIFEST).is_file()


def _places(root: Path) -> list[Path]:
    """The folders of all sweeps and of all runs that belong to none, at or below `root`; the newest comes last."""
    sweeps = {manifest.parent for manifest in root.rglob(MANIFEST)} if root.is_dir() else set()
    lone = {run for run in every(root) if sweep_of(run) is None}
    return sorted(sweeps | lone, key=lambda place: (_began(place), _is_linked(place), place.name))


def _is_linked(place: Path) -> bool:
    """Whether the link `latest` leads there, which is the newer of two folders made in one second."""
    with suppress(OSError):
        return (place.parent / LATEST).readlink().name == place.name
    return False


def _began(place: Path) -> float:
    """When a run was started or a sweep was made, in seconds; if its file does not say, when the file was written."""
    file = place / (MANIFEST if _is_sweep(place) else RESULTS)
    try:
        if file.name == MANIFEST:
            moment = json.loads(file.read_text(encoding="utf-8"))["created"]
        else:
            moment = Results(file).read_attributes()["started"]
        return datetime.fromisoformat(moment).timestamp()
    except (UsageError, OSError, LookupError, ValueError, TypeError, RecursionError):
        return file.stat().st_mtime
