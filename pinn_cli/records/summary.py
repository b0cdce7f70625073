"""Summaries of runs, read from their results files without locks.

A run is a folder that contains ``results.h5``.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from pinn_cli.basics.errors import UsageError
from pinn_cli.basics.text import duration, scientific
from pinn_cli.records.folder import RESULTS
from pinn_cli.records.lock import holder
from pinn_cli.records.results import Results
from pinn_cli.records.status import Status


class _Yaml(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Reads what OmegaConf has written, twenty times as fast; dates stay texts, as in OmegaConf."""

    yaml_implicit_resolvers = {
        key: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for key, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def summary(folder: Path) -> dict[str, Any]:
    """A run as plain values: status, steps, seconds, errors, verdict. The status of an unreadable file is damaged."""
    try:
        return _summary(folder, Results(folder / RESULTS).overview())
    except (UsageError, TypeError, ValueError) as error:
        return _summary(folder, {"about": {"status": Status.DAMAGED, "reason": str(error)}})


def _summary(folder: Path, overview: dict[str, dict[str, Any]]) -> dict[str, Any]:
    about, last = overview["about"], overview.get("last", {})
    numbers = {kind: {name: float(value) for name, value in overview.get(kind, {}).items()}
               for kind in ("error", "error_estimate/error", "metrics", "unknowns", "standard_errors")}  # fmt: skip
    return {
        "folder": str(folder),
        **{name: about.get(name) for name in ("problem", "seed", "source", "inputs", "device", "dtype", "started",
                                              "finished", "reason")},
        "environment": environment(about),
        "status": _status(folder, about.get("status")),
        "steps": max(int(last.get("step", 0)), int(about.get("steps", 0))),  # it may have stopped between two rows
        "seconds": float(overview.get("timing/duration", {}).get("", last.get("time", 0.0))),
        "loss": last.get("loss/total"),
        "errors": numbers["error"],
        "estimated": numbers["error_estimate/error"],
        "explained": overview.get("error_estimate/explained", {}).get("", None),
        "metrics": numbers["metrics"],
        "unknowns": numbers["unknowns"],
        "standard_errors": numbers["standard_errors"],
        "verdict": overview.get("guard/verdict", {}).get("", ""),
    }


def environment(about: Mapping[str, Any]) -> dict[str, str]:
    """Where and with what a run was trained, which no setting says: device, processor, threads and versions."""
    known = {
        "device": str(about.get("device", "")).partition(":")[0],  # one GPU is like the other
        "processor": str(about.get("machine", "")).partition(", ")[2],
        "threads": str(about.get("threads", "")),
        "pinn": " ".join(filter(None, (about.get("pinn_version"), about.get("commit")))),
        **json.loads(about.get("versions", "{}")),
    }
    return {name: str(value) for name, value in known.items() if value}


def settings(folder: Path, kept: str = "config") -> dict[str, Any]:
    """The resolved configuration of a run, flat: ``{"optimizer.adam.lr": 0.001, ...}``; `begun`: before a resume."""
    try:
        config = yaml.load(Results(folder / RESULTS).read_config(kept), _Yaml)
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())[:120]
        raise UsageError(f"the configuration in {folder / RESULTS} is no YAML ({reason})") from None
    return flat(config) if isinstance(config, dict) else {}


def differences(folder: Path, config: dict[str, Any], kept: str = "config") -> str:
    """How a configuration differs from that of the run in `folder`: ``seed=0 is now 1, ...``; "" if it does not.

    An empty setting counts as absent, because a later version may have new settings, and without `processes` there was
    one. The folder itself is ignored.
    """
    then, now = ({key: value for key, value in ({"processes": 1} | one).items()
                  if value not in (None, {}, []) and key != "folder"}
                 for one in (settings(folder, kept), flat(config)))  # fmt: skip
    changes = [f"{k}={then.get(k)} is now {now.get(k)}" for k in {**then, **now} if then.get(k) != now.get(k)]
    return ", ".join(changes[:3]) + (" ..." if len(changes) > 3 else "")


def finished(folder: Path) -> bool:
    """Whether there is a run in the folder, and it has finished."""
    return (folder / RESULTS).exists() and summary(folder)["status"] == Status.FINISHED


def cells(run: dict[str, Any]) -> list[str]:
    """Steps, time and errors of a summary as cells of a table."""
    if run["status"] == Status.DAMAGED:
        return ["", "", ""]
    errors = "  ".join(f"{name} {scientific(value)}" for name, value in run["errors"].items())
    return [str(run["steps"]), duration(run["seconds"]), errors]


def _status(folder: Path, written: str | None) -> Status:
    """What the file says, unless the process that wrote "running" is gone (Raises ValueError if it says nothing)."""
    status = Status(written or "")
    return Status.INTERRUPTED if status == Status.RUNNING and holder(folder) is None else status


def flat(node: Any, prefix: str = "") -> dict[str, Any]:
    """Nested tables as one: ``{"stop.steps": 300, ...}``."""
    if not isinstance(node, dict) or not node:
        return {prefix.removesuffix("."): node}
    return {key: value for name, inner in node.items() for key, value in flat(inner, f"{prefix}{name}.").items()}
