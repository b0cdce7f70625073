"""The state of every run of a sweep, read from the runs' own folders, so for any launcher.

    queued       it has no results file yet            finished, stopped, failed   as the results file says
    running      a process holds its folder            interrupted                 "running", but no process holds it
    missing      queued, but nobody will start it      refused                     it will never run
    damaged      its results file cannot be read

A run can still start while a process holds the sweep's lock, or while its job is in the queue of the launcher. A run
that a cluster has stopped and will start again is queued.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pinn_cli.basics import pace
from pinn_cli.basics.errors import UsageError
from pinn_cli.basics.text import in_shell, printable
from pinn_cli.records import summary as runs
from pinn_cli.records.folder import LOG, RESULTS
from pinn_cli.records.lock import holder
from pinn_cli.records.results import Results
from pinn_cli.records.status import COMPLETE, RESUMABLE, UNDERWAY, Status
from pinn_cli.studies.grid import labels
from pinn_cli.studies.sweep import PlannedRun, Sweep

SETTLED = (*COMPLETE, Status.DAMAGED, Status.RUNNING)  # states on which the queue has no influence
NEVER = 1e12  # steps or seconds that no run reaches
LOG_END = 4096  # bytes of a log in which its last line is looked for


def states(sweep: Sweep, seen: dict[int, dict[str, Any]] | None = None) -> list[dict[str, Any]]:
    """One entry per run, as plain values. `seen` keeps entries by number; those of finished runs are not read again."""
    seen = {} if seen is None else seen
    settings = labels(sweep.runs)
    for run in sweep.runs:
        if seen.get(run.number, {}).get("state") not in COMPLETE:
            seen[run.number] = {"number": run.number, "settings": settings[run.number], **state(run)}
    entries = [seen[run.number] for run in sweep.runs]
    return entries if all(entry["state"] in SETTLED for entry in entries) else _expected(sweep, entries)


def facts(sweep: Sweep) -> dict[str, Any]:
    """The sweep, the counts of its states, the expected seconds, and an entry per run, as plain values."""
    entries = states(sweep)
    about = {key: getattr(sweep, key) for key in ("command", "launcher", "created", "cwd", "jobs")}
    return {"folder": str(sweep.folder), **about, "counts": counts(entries), "seconds_left": seconds_left(entries),
            "runs": entries}  # fmt: skip


def state(run: PlannedRun) -> dict[str, Any]:
    """The state of one run, its steps and errors, and a `note`: why it failed, stopped or was refused."""
    entry = {"folder": str(run.folder), "words": list(run.words)}
    if run.refused is not None:
        return entry | {"state": Status.REFUSED, "note": run.refused}
    failed = {} if (reason := run.failed) is None else {"state": Status.FAILED, "note": reason}
    if not (run.folder / RESULTS).exists():
        return entry | ({"state": Status.QUEUED, "note": ""} | failed)
    summary = runs.summary(run.folder)
    entry |= {"state": summary["status"], "note": _note(run.folder, summary)}
    entry |= failed if summary["status"] in RESUMABLE else {}  # it was resumed, and failed before its first step
    if summary["status"] == Status.DAMAGED:
        return entry
    kept = ("problem", "seed", "source", "started", "finished", "steps", "seconds", "loss")
    entry |= {name: summary[name] for name in (*kept, "errors", "metrics", "unknowns")}
    return entry | (_speed(run.folder, summary) if summary["status"] == Status.RUNNING else {})


def counts(entries: Sequence[dict[str, Any]]) -> dict[str, int]:
    """How many runs are in each state; states without a run are left out."""
    numbers = Counter(entry["state"] for entry in entries)
    return {state: numbers[state] for state in Status if numbers[state]}


def goes_on(entries: Sequence[dict[str, Any]]) -> bool:
    """Whether a run is running or queued."""
    return any(entry["state"] in UNDERWAY for entry in entries)


def refuse_busy(sweep: Sweep) -> None:
    """Raise UsageError if runs of this sweep are running or queued."""
    for entry in states(sweep):
        if entry["state"] in UNDERWAY:
            first = f"run {entry['number']} is {entry['state']}"
            way = f"wait for it, or pinn cancel {in_shell(sweep.folder)}"
            raise UsageError(f"{sweep.folder} still goes on ({first}); {way}")


def seconds_left(entries: Sequence[dict[str, Any]]) -> float | None:
    """An estimate of the rest of the sweep, if as many runs go on at a time as now; None without a finished run."""
    ended = [entry["seconds"] for entry in entries if entry["state"] == Status.FINISHED]
    running = [entry for entry in entries if entry["state"] == Status.RUNNING]
    if not running or not ended:
        return None
    usual = sum(ended) / len(ended)
    rest = [usual / 2 if entry["eta"] is None else entry["eta"] for entry in running]
    queued = sum(entry["state"] == Status.QUEUED for entry in entries)
    return max(max(rest), (sum(rest) + queued * usual) / len(running))


def last_line(file: Path) -> str:
    """The last line of a log that is not empty; "" without one, or if it is no regular file."""
    if not file.is_file():  # reading a pipe would wait for its writer
        return ""
    try:
        with open(file, "rb") as log:
            log.seek(max(0, file.stat().st_size - LOG_END))
            lines = log.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    return next((printable(line.strip()) for line in reversed(lines) if line.strip()), "")


def _expected(sweep: Sweep, entries: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The entries, with the states that follow from the sweep's lock and from the queue."""
    tasks = _queued(sweep)
    if tasks is None or holder(sweep.folder) is not None:
        return list(entries)
    return [entry | _change(entry, tasks.get(entry["number"])) for entry in entries]


def _queued(sweep: Sweep) -> dict[int, str] | None:
    """What the queue of the sweep's launcher holds of it, by run; None if that cannot be read here."""
    if not sweep.jobs:
        return {}
    from pinn_cli.studies.launchers import choose  # imports Hydra

    try:
        return choose.of(sweep).queued(sweep)
    except UsageError:  # a user's own launcher is known only in the user's folder
        return None


def _change(entry: dict[str, Any], task: str | None) -> dict[str, Any]:
    """What changes in an entry by the state of its task in the queue (None: it has no task)."""
    waits = (*RESUMABLE, *([Status.FAILED] if task == "PENDING" else []))
    if task is not None and entry["state"] in waits:  # its task may be about to resume it
        return {"state": Status.QUEUED, "note": "goes on when its job starts again"}
    if task is None and entry["state"] == Status.QUEUED and holder(entry["folder"]) is None:  # else it is being set up
        return {"state": Status.MISSING}
    return {}


def _speed(folder: Path, summary: dict[str, Any]) -> dict[str, Any]:
    """The limit on steps of a running run, its recent steps per second, and the estimated seconds to its end."""
    results, limits = Results(folder / RESULTS), _limits(folder)
    steps, times = (results.read(f"history/{name}").get("", [0]) for name in ("step", "time"))
    rows = min(len(steps), len(times))
    rate = pace.steps_per_second(times[:rows], steps[:rows])
    total, limit = (limits.get(name) for name in ("stop.steps", "stop.seconds"))
    rest = None if total is None else total - summary["steps"], None if limit is None else limit - summary["seconds"]
    return {"total": total, "rate": rate, "eta": pace.seconds_left(*rest, rate)}


def _limits(folder: Path) -> dict[str, float]:
    """The limits in the configuration of a run that are numbers; the file may come from anybody and hold anything."""
    try:
        settings = runs.settings(folder)
    except UsageError:
        return {}
    return {name: value for name, value in settings.items() if type(value) in (int, float) and 0 < value < NEVER}


def _note(folder: Path, summary: dict[str, Any]) -> str:
    """The reason for the state of a run, from its results file, else the last line of its log."""
    match summary["status"]:
        case Status.FAILED:
            return str(summary["reason"] or "") or last_line(folder / LOG)
        case Status.INTERRUPTED:
            return f"its process is gone; last: {last_line(folder / LOG)}"
        case Status.STOPPED | Status.DAMAGED:
            return str(summary["reason"] or "")
        case _:
            return ""
