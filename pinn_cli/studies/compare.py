"""Runs side by side, as plain values: the settings in which the runs of a problem differ, and their results.

Runs are one group if everything but their seed is the same: the recorded configuration, the text and data that were
trained (the attribute `source`), and the coefficients and measurements that these gave (`inputs`). A group has the
median over its seeds that have finished, and of several seeds the mean, least, greatest and standard deviation. A seed
that was trained twice counts once, by the run that was started last. The device, the number of threads and the versions
make no groups; `notes` say where they differ.
"""

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from math import isfinite, nan
from pathlib import Path
from statistics import fmean, median, stdev
from typing import Any

from pinn_cli.basics.errors import UsageError
from pinn_cli.basics.text import ranges
from pinn_cli.records import summary as runs
from pinn_cli.records.folder import RESULTS
from pinn_cli.records.results import Results
from pinn_cli.records.status import Status
from pinn_cli.studies.find import label, largest_error
from pinn_cli.studies.grid import varied
from pinn_cli.studies.sweep import PlannedRun, Sweep, sweep_of

PARTS = ("weighting", "sampler", "optimizer", "strategy", "architecture", "derivatives")  # groups of parts
UNIMPORTANT = ("folder", "figures", "record", "diagnostics")  # they do not change what is trained
SEED_AND_FOLDER = re.compile(r"^(?:seed|folder):.*\n(?: .*\n)*", re.MULTILINE)  # in a configuration as YAML
TIMED = ("device", "processor", "threads")  # times of runs that differ in these do not compare
FEW = 3  # different values, and names of lone runs, that a note shows
KINDS = ("errors", "estimated", "metrics", "unknowns", "standard_errors")  # tables of numbers that a run has
Settings = dict[str, Any]


def compare(folders: Sequence[Path]) -> dict[str, Any]:
    """`runs`, `groups` of them, for a whole sweep `unstarted`: its runs that are in no group; and `notes`.

    Each entry has its `problem`, and as `settings` those that differ between the runs of this problem, and the `source`
    where it differs. Raises UsageError if no run can be read.
    """
    sweep = _common_sweep(folders)
    entries = [runs.summary(f) | {"run": label(f)} for f in folders] if sweep is None else _runs_of(sweep, folders)
    if sweep is None and all(one["status"] == Status.DAMAGED for one in entries):
        raise UsageError(entries[0]["reason"])
    comparison: dict[str, Any] = {"sweep": None if sweep is None else str(sweep.folder)}
    comparison |= {kind: list[Any]() for kind in ("runs", "groups", "unstarted", "notes")}
    problems = dict.fromkeys(one["problem"] for one in entries)
    for problem in problems:
        own = [one for one in entries if one["problem"] == problem]
        started = [one for one in own if "folder" in one]
        readable = [one for one in started if one["status"] != Status.DAMAGED]
        for one, typed in zip(own, _typed(sweep, own) if sweep else [{}] * len(own), strict=True):
            one["typed"] = one["settings"] = typed
        for unexplained in (partial(_unexplained, with_seed=sweep is None), _sources, _inputs):
            for one, more in zip(readable, unexplained(readable), strict=True):
                one["settings"] = one["settings"] | more
        _same_columns(own)
        groups = _groups(readable, [one for one in started if one not in readable])
        rest = _combinations([one for one in own if "folder" not in one])
        comparison["unstarted"] += [one for one in rest if not _joined(groups, one)]
        comparison["groups"] += groups
        hidden = ("number", "typed")
        comparison["runs"] += [{key: value for key, value in one.items() if key not in hidden} for one in started]
        named = f"{problem}: " if len(problems) > 1 else ""
        comparison["notes"] += [f"{named}{note}" for note in _notes(readable, sweep is not None)]
    for one in (*comparison["groups"], *comparison["unstarted"]):
        del one["typed"]
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


def _unexplained(entries: Sequence[Mapping[str, Any]], with_seed: bool) -> list[Settings]:
    """The settings of each run, besides those typed, in which runs with the same typed settings differ.

    The configurations are compared as they were recorded: a YAML may have been edited while a sweep ran.
    """
    texts = [_configuration(Path(one["folder"])) for one in entries]
    together: dict[str, dict[str, int]] = {}  # by typed settings: a run for each different text
    for k, one in enumerate(entries):
        together.setdefault(repr(_without_seed(one["settings"])), {}).setdefault(texts[k], k)
    keys: dict[str, None] = {}
    for different in together.values():
        if len(different) > 1:
            keys |= differences([_settings(Path(entries[k]["folder"])) for k in different.values()])[0]
    keys.pop("seed", None)
    parsed = {text: _named(_settings(Path(entries[k]["folder"]))) for k, text in enumerate(texts)} if keys else {}
    seeded = with_seed and len({one["seed"] for one in entries}) > 1
    return [{key: parsed[text].get(key) for key in keys} | ({"seed": one["seed"]} if seeded else {})
            for one, text in zip(entries, texts, strict=True)]  # fmt: skip


def _configuration(folder: Path) -> str:
    """The configuration of a run as text, without its seed and folder, and what it was before a resume changed it."""
    results = Results(folder / RESULTS)
    texts = [str(results.read(name).get("", "")) for name in ("config", "begun")]
    return "\n".join(SEED_AND_FOLDER.sub("", f"{text}\n") for text in texts)


def _settings(folder: Path) -> Settings:
    """The settings of a run; of one that a resume changed both values. A limit that was moved is the new limit."""
    now, then = runs.settings(folder), runs.settings(folder, "begun")
    changed = [key for key in now if then and then.get(key) != now[key] and not key.startswith(("stop.", "folder"))]
    return now | {key: f"{then.get(key)} -> {now[key]}" for key in changed}


def _sources(entries: Sequence[Mapping[str, Any]]) -> list[Settings]:
    """The short hash of what each run trained, where that differs between the runs."""
    sources = [one["source"] or _source(Path(one["folder"])) for one in entries]
    return [{"source": source} if len(set(sources)) > 1 else {} for source in sources]


def _inputs(entries: Sequence[Mapping[str, Any]]) -> list[Settings]:
    """The short hash of the coefficients and measurements of each run, where runs of equal settings differ in it."""
    together: dict[str, set[str]] = {}
    for one in entries:
        together.setdefault(repr(_without_seed(one["settings"])), set()).add(one["inputs"])
    shown = any(len(inputs - {None}) > 1 for inputs in together.values())
    return [{"inputs": one["inputs"]} if shown else {} for one in entries]


def _source(folder: Path) -> str:
    """The short hash of the text in a file that has no attribute `source`."""
    from pinn_cli.records.provenance import short_hash  # imports torch

    return short_hash(Results(folder / RESULTS).read("source"))


def _same_columns(entries: Sequence[dict[str, Any]]) -> None:
    """Give every entry all settings that any of them has; None: not known."""
    keys = dict.fromkeys(key for one in entries for key in one["settings"])
    for one in entries:
        one["settings"] = {key: one["settings"].get(key) for key in keys}


def _notes(entries: Sequence[Mapping[str, Any]], in_sweep: bool) -> list[str]:
    """What differs between the runs of a problem and is no setting, one line each."""
    notes = []
    first: dict[str, str] = {}
    for one in entries:
        first.setdefault(str(one["settings"].get("source")), str(one["folder"]))
    if len(first) > 1:
        pair = shlex.join([*first.values()][:2])
        notes.append(f"source: the text or the data that was trained differs; pinn diff {pair}")
    if any("inputs" in one["settings"] for one in entries):
        notes.append("inputs: coefficients or measurements differ, though settings, text and data files are the same")
    where: dict[str, dict[str, list[str]]] = {}
    for one in entries:
        for key, value in one["environment"].items():
            where.setdefault(key, {}).setdefault(value, []).append(one["run"])
    different = {key: values for key, values in where.items() if len(values) > 1}
    if different:
        told = "  ".join(f"{key} {_by_run(values, in_sweep)}" for key, values in different.items())
        times = "; times do not compare" if set(different) & set(TIMED) else ""
        notes.append(f"no settings, but different:  {told}{times}")
    return notes


def _by_run(values: Mapping[str, Sequence[str]], in_sweep: bool) -> str:
    """`1 (0-2), 4 (3-5)`: each value, and the runs that have it."""
    if len(values) > FEW:
        return f"{len(values)} values"
    return ", ".join(f"{value} ({_few(members, in_sweep)})" for value, members in values.items())


def _few(names: Sequence[str], in_sweep: bool) -> str:
    if in_sweep:
        return ranges([int(name.rpartition("/")[2]) for name in names])
    return " ".join(names[:FEW]) + (f" and {len(names) - FEW} more" if len(names) > FEW else "")


def _combinations(unstarted: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Runs that have not started; those that differ in their seed only, and have one reason, are one entry."""
    combinations: dict[str, dict[str, Any]] = {}
    for one in unstarted:
        settings = _without_seed(one["settings"])
        entry = {"problem": one["problem"], "settings": settings, "status": one["status"], "reason": one["reason"]}
        new = entry | {"typed": _without_seed(one["typed"]), "numbers": [], "seeds": []}
        known = combinations.setdefault(repr((settings, one["reason"])), new)
        known["numbers"].append(one["number"])
        known["seeds"].append(_seed(one))
    return list(combinations.values())


def _joined(groups: Sequence[dict[str, Any]], one: Mapping[str, Any]) -> bool:
    """Add runs that have not started to the one group of the same typed settings; False if there is no such group."""
    if len(matching := [group for group in groups if group["typed"] == one["typed"]]) != 1:
        return False
    matching[0]["others"] |= {str(number): why(one) for number in one["numbers"]}
    matching[0]["seeds"] = list(dict.fromkeys([*matching[0]["seeds"], *one["seeds"]]))
    return True


def _groups(entries: Sequence[dict[str, Any]], damaged: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Runs that differ in their seed only, in the order in which they come.

    A damaged run joins the runs with the same typed settings, if these are one group.
    """
    together: dict[str, list[dict[str, Any]]] = {}
    for run in entries:
        together.setdefault(repr(_without_seed(run["settings"])), []).append(run)
    for run in damaged:
        typed = _without_seed(run["typed"])
        matching = [key for key, members in together.items() if _without_seed(members[0]["typed"]) == typed]
        key = matching[0] if typed and len(matching) == 1 else repr(run["run"])
        together.setdefault(key, []).append(run)
    return [_group(members) for members in together.values()]


def _group(members: Sequence[dict[str, Any]]) -> dict[str, Any]:
    finished = [run for run in members if run["status"] == Status.FINISHED]
    by_seed = {_seed(run): run for run in sorted(finished, key=lambda run: str(run["started"]))}  # the last one counts
    counted = [run for run in finished if by_seed[_seed(run)] is run]
    shown = counted or [run for run in members if run["status"] != Status.DAMAGED]
    return {
        "problem": members[0]["problem"],
        "settings": _without_seed(members[0]["settings"]),
        "typed": _without_seed(members[0]["typed"]),
        "runs": [run["run"] for run in members],
        "folders": [run["folder"] for run in shown],
        "seeds": list(dict.fromkeys(map(_seed, members))),
        "finished": len(counted),
        **{kind: _spreads([run[kind] for run in counted]) for kind in KINDS},
        **_spreads([{"seconds": run["seconds"], "steps": run["steps"]} for run in counted]),
        "doubtful": {run["run"]: doubt for run in counted if (doubt := doubtful(run))},
        "others": {run["run"]: text for run in members if (text := _left_out(run, counted, finished))},
    }


def _left_out(run: Mapping[str, Any], counted: Sequence[Any], finished: Sequence[Any]) -> str:
    """Why a run, or one of its errors, does not count; "" if all of it does."""
    if run not in counted:
        return f"repeats seed {_seed(run)}" if run in finished else why(run)
    known = dict.fromkeys(name for other in counted for name in other["errors"])
    missing = [name for name in known if not isfinite(run["errors"].get(name, nan))]
    return f"has no error {' '.join(missing)}" if missing else ""


def _seed(run: Mapping[str, Any]) -> str:
    """The seed of a run as text, or where it is not known something that no other run has."""
    seeds = (run.get("seed"), run["settings"].get("seed"), run.get("run"), run.get("number"))
    return str(next(seed for seed in seeds if seed is not None))


def _without_seed(settings: Settings) -> Settings:
    return {key: value for key, value in settings.items() if key != "seed"}


def _spreads(numbers: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """The median of the finite numbers of each name; of several also mean, least, greatest, standard deviation."""
    spreads: dict[str, dict[str, float]] = {}
    for name in dict.fromkeys(name for own in numbers for name in own):
        if values := [own[name] for own in numbers if name in own and isfinite(own[name])]:
            spreads[name] = {"median": median(values)}
            if len(values) > 1:
                ends = {"least": min(values), "greatest": max(values)}
                spreads[name] |= {"mean": fmean(values), **ends, "deviation": stdev(values)}
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
