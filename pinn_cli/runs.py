"""Finding runs and reading what they say of themselves: from files alone, without locks, without building anything.

A run is a folder that holds ``results.h5``. It is named by its path, by a unique beginning of its folder's name or of
its short id, by ``latest`` or ``<problem>/latest``; a problem's name, or a folder of runs, stands for the latest in it.
"""

import json
import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from pinn_cli.errors import UsageError
from pinn_cli.formatting import duration, scientific, table
from pinn_cli.lock import holder
from pinn_cli.results import Results
from pinn_cli.run_folder import OUTPUTS

FILE = "results.h5"
LATEST = "latest"


def find(text: str = LATEST, root: Path = OUTPUTS) -> Path:
    """The folder of the run that `text` names. Raises UsageError if there is none, or if several begin like that."""
    runs = _runs_in(text, root)
    if runs:
        return runs[-1]
    matches = [run for run in every(root) if _begins(run, text, root)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        names = ", ".join(run.name for run in matches[:4]) + (" ..." if len(matches) > 4 else "")
        raise UsageError(f"`{text}` is the beginning of {len(matches)} runs ({names}); type more of one of them")
    raise UsageError(f"there is no run `{text}` in {root}/; `pinn list runs` shows what there is")


def find_all(texts: Sequence[str], root: Path = OUTPUTS) -> list[Path]:
    """The runs that several names stand for; here a folder of runs means every run in it. Each run comes once."""
    found = [run for text in texts for run in _runs_in(text, root) or [find(text, root)]]
    return list({run.resolve(): run for run in found}.values())


def every(root: Path = OUTPUTS) -> list[Path]:
    """The folders of all runs at or below `root`, the one that was started last at the end."""
    folders = {path.parent for path in root.rglob(FILE)} if root.is_dir() else set()
    return sorted(folders, key=lambda folder: (_started(folder), folder.name))


def summary(folder: Path) -> dict[str, Any]:
    """A run on a few lines, as plain values: status, steps, seconds, errors, verdict. A damaged file says so."""
    results = Results(folder / FILE)
    try:
        about, history = results.read_attributes(), results.read_history()
    except UsageError as error:
        return {"run": folder.name, "folder": str(folder), "status": "damaged", "note": str(error)}
    errors = results.read("error") or _latest(history, "error/")
    metrics = results.read("metrics") or _latest(history, "metric/")
    return {
        "run": folder.name,
        "folder": str(folder),
        **{name: about.get(name) for name in ("problem", "seed", "device", "dtype", "started", "finished", "reason")},
        "status": _status(folder, str(about.get("status", "unknown"))),
        "steps": int(history["step"][-1]) if len(history.get("step", ())) else 0,
        "seconds": _seconds(results, history),
        "loss": float(history["loss/total"][-1]) if len(history.get("loss/total", ())) else None,
        "errors": {name: float(value) for name, value in errors.items()},
        "metrics": {name: float(value) for name, value in metrics.items()},
        "verdict": results.read("guard/verdict").get("", ""),
    }


def settings(folder: Path) -> dict[str, Any]:
    """The resolved configuration of a run, flat: ``{"optimizer.adam.lr": 0.001, ...}``."""
    return dict(_flat(OmegaConf.to_container(OmegaConf.create(Results(folder / FILE).read_config()))))


def differences(folder: Path, config: Any) -> str:
    """What a configuration says otherwise than the run in `folder`: ``seed=0 is now 1, ...``; "" if it is this run.

    What is empty counts as not said: a later version may know settings that this run's did not.
    """
    flat = settings(folder), dict(_flat(OmegaConf.to_container(config, resolve=True)))
    then, now = ({key: value for key, value in one.items() if value not in (None, {}, [])} for one in flat)
    found = [f"{k}={then.get(k)} is now {now.get(k)}" for k in {**then, **now} if then.get(k) != now.get(k)]
    return ", ".join(found[:3]) + (" ..." if len(found) > 3 else "")


def list_runs(root: Path = OUTPUTS, as_json: bool = False) -> None:
    """Print every run with its status, steps, time and errors."""
    summaries = [summary(folder) for folder in every(root)]
    if as_json:
        print(json.dumps(summaries, indent=2))
    elif not summaries:
        print(f"no runs in {root}/ yet; start one: pinn train problem=helmholtz")
    else:
        rows = [[os.path.relpath(s["folder"]), s["status"], *cells(s)] for s in summaries]
        print(table([["run", "status", "steps", "time", "relative L2 error"], *rows], numeric=(2, 3)))


def cells(run: dict[str, Any]) -> list[str]:
    """Steps, time and errors of a summary, as they stand in a table."""
    if run["status"] == "damaged":
        return ["", "", ""]
    errors = "  ".join(f"{name} {scientific(value)}" for name, value in run["errors"].items())
    return [str(run["steps"]), duration(run["seconds"]), errors]


def _runs_in(text: str, root: Path) -> list[Path]:
    """The runs at or below the folder that `text` names: as a path, as a path below `root`, or as one's ``latest``."""
    path = Path(text).parent if Path(text).name == FILE else Path(text)
    for place in (path, root / path):
        runs = every(place.parent / place.readlink() if place.is_symlink() else place)
        if runs:
            return runs
    if path.name == LATEST:  # no link of that name, or one to a run that has been removed
        parents = [root / path.parent, *([path.parent] if path.parent != Path() else [])]
        return next((runs[-1:] for runs in map(every, parents) if runs), [])
    return []


def _begins(folder: Path, text: str, root: Path) -> bool:
    short_id = folder.name.rpartition("-")[2]
    return bool(text) and any(name.startswith(text) for name in (folder.name, short_id, str(folder.relative_to(root))))


def _started(folder: Path) -> float:
    """When a run began, in seconds; when its file was last written if it does not say."""
    try:
        return datetime.fromisoformat(Results(folder / FILE).read_attributes()["started"]).timestamp()
    except (UsageError, KeyError, ValueError):
        return (folder / FILE).stat().st_mtime


def _status(folder: Path, status: str) -> str:
    return "interrupted" if status == "running" and holder(folder) is None else status


def _seconds(results: Results, history: dict[str, Any]) -> float:
    wall = results.read("timing/wall").get("")
    return float(wall if wall is not None else history["time"][-1] if len(history.get("time", ())) else 0.0)


def _latest(history: dict[str, Any], kind: str) -> dict[str, float]:
    """The last number of each column whose name begins like that."""
    return {
        name.removeprefix(kind): values[-1] for name, column in history.items()
        if name.startswith(kind) and len(values := column[column == column])
    }


def _flat(node: Any, prefix: str = "") -> list[tuple[str, Any]]:
    if isinstance(node, dict) and node:
        return [pair for key, value in node.items() for pair in _flat(value, f"{prefix}{key}.")]
    return [(prefix.removesuffix("."), node)]
