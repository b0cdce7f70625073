"""Runs side by side, as plain values: the settings in which the runs of a problem differ, and their results.

Runs that differ in their seed only are one group. The numbers of a group are taken over its finished runs: median,
mean, least, greatest, and the standard deviation where there are several.
"""

from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from pathlib import Path
from statistics import fmean, median, stdev
from typing import Any

from pinn_cli.records import summary as runs
from pinn_cli.records.folder import RESULTS
from pinn_cli.records.status import Status
from pinn_cli.studies.find import label, largest_error
from pinn_cli.studies.grid import varied
from pinn_cli.studies.sweep import PlannedRun, Sweep, sweep_of

PARTS = ("weighting", "sampler", "optimizer", "strategy", "architecture", "derivatives")  # groups of parts
UNIMPORTANT = ("folder", "figures", "record", "diagnostics")  # they do not change what is trained
KINDS = ("errors", "metrics", "unknowns")  # tables of numbers that a run has
Settings = dict[str, Any]


def compare(folders: Sequence[Path]) -> dict[str, Any]:
    """`runs`, `groups` of them, and for a whole sweep `unstarted`: its runs that are in no group.

    Each entry has its `problem`, and as `settings` those that differ between the runs of this problem.
    """
    sweep = _common_sweep(folders)
    entries = [runs.summary(f) | {"run": label(f)} for f in folders] if sweep is None else _runs_of(sweep, folders)
    comparison: dict[str, Any] = {"sweep": None if sweep is None else str(sweep.folder)}
    comparison |= {kind: list[dict[str, Any]]() for kind in ("runs", "groups", "unstarted")}
    for problem in dict.fromkeys(one["problem"] for one in entries):
        own = [one for one in entries if one["problem"] == problem]
        shown = _typed(sweep, own) if sweep else differences([runs.settings(Path(one["folder"])) for one in own])
        for one, settings in zip(own, shown, strict=True):
            one["settings"] = settings
        started = [one for one in own if "folder" in one]
        groups = _groups(started)
        comparison["runs"] += [{key: value for key, value in one.items() if key != "number"} for one in started]
        comparison["groups"] += groups
        rest = _combinations([one for one in own if "folder" not in one])
        comparison["unstarted"] += [one for one in rest if not _joined(groups, one)]
    return comparison


def rank(entry: Mapping[str, Any]) -> float:
    """The error by which a run or a group is sorted: the largest over its fields; infinite without one."""
    errors = entry["errors"].items()
    return largest_error({"errors": {name: e["median"] if isinstance(e, dict) else e for name, e in errors}})


def differences(settings: Sequence[Settings]) -> list[Settings]:
    """The settings of each run that differ. A part that not all runs have is one setting, without those of its own."""
    named = [_named(own) for own in settings]
    keys = dict.fromkeys(key for own in named for key in own)
    kept = [key for key in keys if key.split(".")[0] not in UNIMPORTANT and _differs(key, named)]
    return [{key: own.get(key) for key in kept} for own in named]


def typed_settings(planned: Sequence[PlannedRun]) -> dict[int, Settings]:
    """The settings of each run, by its number, that differ in the typed words; every run has the same keys."""
    typed = varied(planned)
    kept = [key for key in dict.fromkeys(key for own in typed.values() for key in own) if key not in UNIMPORTANT]
    return {number: {key: own.get(key) for key in kept} for number, own in typed.items()}


def why(run: Mapping[str, Any]) -> str:
    """The status of a run that has not finished or not started, and the reason."""
    return f"{run['status']}: {run['reason']}" if run["reason"] else str(run["status"])


def doubtful(run: Mapping[str, Any]) -> str | None:
    """The verdict on a run, unless it is ok or there is none."""
    verdict = str(run["verdict"] or "")
    return verdict if verdict and not verdict.startswith("ok") else None


def _common_sweep(folders: Sequence[Path]) -> Sweep | None:
    """The sweep to which all of these runs belong, if there is one; then the settings are the words typed for it."""
    places = {sweep_of(folder) for folder in folders}
    place = places.pop() if len(places) == 1 else None
    return None if place is None else Sweep.read(place)


def _runs_of(sweep: Sweep, folders: Sequence[Path]) -> list[dict[str, Any]]:
    """The runs in the order of the sweep, and after all started runs those that have not started."""
    ordered = sorted(folders, key=lambda folder: int(folder.name))
    entries = [runs.summary(f) | {"run": label(f), "number": int(f.name)} for f in ordered]
    problems = _problems(sweep)
    usual = next((one["problem"] for one in entries if one["problem"]), None)  # no word names the default problem
    started = {run.number for run in sweep.wanted if (run.folder / RESULTS).exists()}
    if started <= {int(f.name) for f in folders}:
        entries += _unstarted(sweep)
    return [one | {"problem": problems.get(one["number"]) or one.get("problem") or usual} for one in entries]


def _problems(sweep: Sweep) -> dict[int, str]:
    """The problem that is named in the words of a run, by the number of the run."""
    words = [(run.number, word) for run in sweep.runs for word in run.words]
    return {number: word.partition("=")[2] for number, word in words if word.startswith("problem=")}


def _unstarted(sweep: Sweep) -> list[dict[str, Any]]:
    """The runs that were refused, or have not started (`reason` None)."""
    return [
        {"number": run.number, "status": Status.REFUSED if run.refused else Status.NOT_STARTED, "reason": run.refused}
        for run in sweep.runs if run.refused or not (run.folder / RESULTS).exists()
    ]  # fmt: skip


def _typed(sweep: Sweep, entries: Sequence[Mapping[str, Any]]) -> list[Settings]:
    """What differs between the words of the runs of one problem; a run that was added by hand has no words."""
    problems, problem = _problems(sweep), entries[0]["problem"]
    typed = typed_settings([run for run in sweep.runs if problems.get(run.number, problem) == problem])
    none = dict.fromkeys(next(iter(typed.values()), {}))
    return [typed.get(one["number"], none) for one in entries]


def _combinations(unstarted: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Runs that have not started; those that differ in their seed only, and have one reason, are one entry."""
    combinations: dict[str, dict[str, Any]] = {}
    for one in unstarted:
        settings = _without_seed(one)
        entry = {"problem": one["problem"], "settings": settings, "status": one["status"], "reason": one["reason"]}
        known = combinations.setdefault(repr((settings, one["reason"])), entry | {"numbers": []})
        known["numbers"].append(one["number"])
    return list(combinations.values())


def _joined(groups: Sequence[dict[str, Any]], one: Mapping[str, Any]) -> bool:
    """Add runs that have not started to the group of the same settings; False if there is no such group."""
    for group in groups:
        if group["settings"] == one["settings"]:
            group["others"] |= {str(number): why(one) for number in one["numbers"]}
            return True
    return False


def _groups(entries: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Runs that differ in their seed only, in the order in which they come."""
    together: dict[str, list[dict[str, Any]]] = {}
    for run in entries:
        together.setdefault(repr(_without_seed(run)), []).append(run)
    return [_group(members) for members in together.values()]


def _group(members: Sequence[dict[str, Any]]) -> dict[str, Any]:
    finished = [run for run in members if run["status"] == Status.FINISHED]
    return {
        "problem": members[0]["problem"],
        "settings": _without_seed(members[0]),
        "runs": [run["run"] for run in members],
        "folders": [run["folder"] for run in members if run["status"] != Status.DAMAGED],
        "finished": len(finished),
        **{kind: _spreads([run[kind] for run in finished]) for kind in KINDS},
        **_spreads([{"seconds": run["seconds"], "steps": run["steps"]} for run in finished]),
        "doubtful": {run["run"]: doubt for run in finished if (doubt := doubtful(run))},
        "others": {run["run"]: why(run) for run in members if run["status"] != Status.FINISHED},
    }


def _without_seed(run: Mapping[str, Any]) -> Settings:
    return {key: value for key, value in run["settings"].items() if key != "seed"}


def _spreads(numbers: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Median, mean, least and greatest of the finite numbers of each name, and the standard deviation of several."""
    spreads: dict[str, dict[str, float]] = {}
    for name in dict.fromkeys(name for own in numbers for name in own):
        if values := [own[name] for own in numbers if name in own and isfinite(own[name])]:
            ends = {"least": min(values), "greatest": max(values)}
            spreads[name] = {"median": median(values), "mean": fmean(values), **ends}
            spreads[name] |= {"deviation": stdev(values)} if len(values) > 1 else {}
    return spreads


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
