"""Runs side by side, as plain values: the settings in which they differ, and what came out over the seeds.

Runs that differ in nothing but their seed are one group. Its numbers count its finished runs: the median, the mean,
the least and the greatest, and the standard deviation where there are several.
"""

from collections.abc import Mapping, Sequence
from math import inf, isfinite
from pathlib import Path
from statistics import fmean, median, stdev
from typing import Any

from pinn_cli.records import summary as runs
from pinn_cli.records.folder import RESULTS
from pinn_cli.records.status import Status
from pinn_cli.studies.find import label
from pinn_cli.studies.sweep import Sweep, sweep_of, varied

PARTS = ("weighting", "sampler", "optimizer", "strategy", "architecture", "derivatives")  # groups of parts
UNIMPORTANT = ("folder", "figures", "record", "diagnostics")  # they do not change what is trained
SEED = "seed"
Settings = dict[str, Any]


def compare(folders: Sequence[Path]) -> dict[str, Any]:
    """`runs` with their own `settings`, `groups` of them, and `unstarted`: what of a whole sweep is in no group."""
    sweep = _common_sweep(folders)
    found = _by_settings(folders) if sweep is None else _by_numbers(sweep, folders)
    groups = _groups(found)
    unstarted = [] if sweep is None or not _is_whole(sweep, folders) else _unstarted(sweep)
    rest = [one for one in unstarted if not _joined(groups, one)]
    folder = None if sweep is None else str(sweep.folder)
    return {"sweep": folder, "runs": found, "groups": groups, "unstarted": rest}


def rank(entry: Mapping[str, Any]) -> float:
    """The error of a run or a group that it is sorted by: of several fields the largest; infinite without one."""
    errors = [error["median"] if isinstance(error, dict) else error for error in entry.get("errors", {}).values()]
    return max(errors) if errors and all(map(isfinite, errors)) else inf


def differences(settings: Sequence[Settings]) -> list[Settings]:
    """What differs, by key, for each run. A setting that only one part has is not named beside the part itself."""
    named = [_named(own) for own in settings]
    keys = dict.fromkeys(key for own in named for key in own)
    kept = [key for key in keys if key.split(".")[0] not in UNIMPORTANT and _differs(key, named)]
    return [{key: own.get(key) for key in kept} for own in named]


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, mean, least and greatest of some numbers, and the deviation of several."""
    found = {"median": median(values), "mean": fmean(values), "least": min(values), "greatest": max(values)}
    return found | ({"deviation": stdev(values)} if len(values) > 1 else {})


def _common_sweep(folders: Sequence[Path]) -> Sweep | None:
    """The sweep that all of these are runs of: what it varies is then what was typed, a recipe for example."""
    places = {sweep_of(folder) for folder in folders}
    place = places.pop() if len(places) == 1 else None
    return None if place is None else Sweep.read(place)


def _by_settings(folders: Sequence[Path]) -> list[dict[str, Any]]:
    settings = differences([runs.settings(folder) for folder in folders])
    return [runs.summary(f) | {"run": label(f), "settings": own} for f, own in zip(folders, settings, strict=True)]


def _by_numbers(sweep: Sweep, folders: Sequence[Path]) -> list[dict[str, Any]]:
    """The runs in the order of the sweep, wherever they lie; one that was added by hand is named by its number too."""
    known = sweep.numbers
    numbers = [known.get(f.resolve(), int(f.name) if f.name.isdecimal() else -1) for f in folders]
    ordered = sorted(zip(numbers, folders, strict=True))
    settings = by_words(sweep, [number for number, _ in ordered])
    return [
        runs.summary(folder) | {"run": f"{sweep.folder.name}/{number}", "settings": own}
        for (number, folder), own in zip(ordered, settings, strict=True)
    ]


def by_words(sweep: Sweep, numbers: Sequence[int]) -> list[Settings]:
    """The words of each run that not all runs of the sweep have, as settings."""
    typed = varied(sweep.runs)
    kept = [key for key in dict.fromkeys(key for own in typed.values() for key in own) if key not in UNIMPORTANT]
    own = [typed.get(number, {}) for number in numbers]  # a run may have been added by hand
    return [{key: words.get(key) for key in kept} for words in own]


def _is_whole(sweep: Sweep, folders: Sequence[Path]) -> bool:
    """Whether all runs that have begun are asked for, and not only some of them."""
    begun = {run.folder.resolve() for run in sweep.wanted if (run.folder / RESULTS).exists()}
    return begun <= {folder.resolve() for folder in folders}


def _unstarted(sweep: Sweep) -> list[dict[str, Any]]:
    """Combinations that never run, or have not begun (`reason` None), those that differ only in their seed together."""
    unstarted = [run for run in sweep.runs if run.refused or not (run.folder / RESULTS).exists()]
    settings = by_words(sweep, [run.number for run in unstarted])
    found: dict[str, dict[str, Any]] = {}
    for run, own in zip(unstarted, settings, strict=True):
        rest = {key: value for key, value in own.items() if key != SEED}
        status = Status.NOT_STARTED if run.refused is None else Status.REFUSED
        known: dict[str, Any] = {"settings": rest, "status": status, "reason": run.refused, "numbers": []}
        found.setdefault(repr((rest, run.refused)), known)["numbers"].append(run.number)
    return list(found.values())


def _joined(groups: Sequence[dict[str, Any]], one: Mapping[str, Any]) -> bool:
    """Name runs that did not start beside the rest of their seeds, if there are such."""
    for group in (group for group in groups if group["settings"] == one["settings"]):
        group["others"] |= {str(number): why(one) for number in one["numbers"]}
        return True
    return False


def _groups(found: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Runs that differ in their seed only, in the order in which they come."""
    together: dict[str, list[dict[str, Any]]] = {}
    for run in found:
        own = {key: value for key, value in run["settings"].items() if key != SEED}
        together.setdefault(repr(own), []).append(run)
    return [_group(members) for members in together.values()]


def _group(members: Sequence[dict[str, Any]]) -> dict[str, Any]:
    finished = [run for run in members if run["status"] == Status.FINISHED]
    return {
        "settings": {key: value for key, value in members[0]["settings"].items() if key != SEED},
        "runs": [run["run"] for run in members],
        "folders": [run["folder"] for run in members if run["status"] != Status.DAMAGED],
        "finished": len(finished),
        **{kind: _spreads([run[kind] for run in finished]) for kind in ("errors", "metrics")},
        **_spreads([{"seconds": run["seconds"], "steps": run["steps"]} for run in finished]),
        "others": {run["run"]: why(run) for run in members if run["status"] != Status.FINISHED},
    }


def _spreads(numbers: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    names = dict.fromkeys(name for own in numbers for name in own)
    known = {name: [own[name] for own in numbers if name in own and isfinite(own[name])] for name in names}
    return {name: spread(values) for name, values in known.items() if values}


def why(run: Mapping[str, Any]) -> str:
    """How a run that has not finished, or not begun, stands, and the reason."""
    return f"{run['status']}: {run['reason']}" if run["reason"] else str(run["status"])


def _named(settings: Settings) -> Settings:
    """The settings, with one entry for the parts of each group in the place of their classes."""
    parts: dict[str, list[str]] = {}
    for key, value in settings.items():
        group, *rest = key.split(".")
        if rest and rest[-1] == "_target_" and len(rest) <= 2:
            parts.setdefault(group, []).append(rest[0] if len(rest) == 2 else str(value).rpartition(".")[2].lower())
    plain = {key: value for key, value in settings.items() if not key.split(".")[-1].startswith("_")}
    return {group: " + ".join(names) for group, names in parts.items()} | plain


def _differs(key: str, settings: Sequence[Settings]) -> bool:
    known = {repr(own[key]) for own in settings if key in own}
    everywhere = all(key in own for own in settings)
    return len(known) > 1 or not (everywhere or key.split(".")[0] in PARTS)
