"""What differs between two runs: settings, source text, data files, and where and with what they were trained."""

from collections.abc import Mapping
from difflib import unified_diff
from pathlib import Path
from typing import Any

from pinn_cli.basics.text import printable
from pinn_cli.configuration.settings import shown
from pinn_cli.configuration.sources import data_in
from pinn_cli.records import summary as runs
from pinn_cli.records.folder import RESULTS
from pinn_cli.records.results import Results
from pinn_cli.reports import tables
from pinn_cli.studies.sweep import counted

KINDS = {"settings": "setting", "data": "data file", "environment": "trained with"}  # headings of the tables
SHORT = 8  # characters of a hash that are shown


def diff(one: Path, other: Path) -> dict[str, Any]:
    """The differences as plain values: pairs of values by name, and for `source` a unified diff by module.

    Also `compared`, how many settings, modules and data files there are. None stands for a value that a run does not
    have. Raises UsageError for a run that cannot be read.
    """
    pair = [_recorded(folder) for folder in (one, other)]
    compared = {kind: len({**pair[0][kind], **pair[1][kind]}) for kind in (*KINDS, "source")}
    different: dict[str, Any] = {kind: _different(pair[0][kind], pair[1][kind]) for kind in KINDS}
    texts = _different(pair[0]["source"], pair[1]["source"])
    different["source"] = {module: _unified(module, *own) for module, own in texts.items()}
    return {"runs": [str(one), str(other)], "equal": not any(different.values()), "compared": compared} | different


def text(found: Mapping[str, Any], width: int | None = None) -> str:
    """The differences for a person: tables of the values of run a and run b, then the lines that changed."""
    same = [told for kind, told in _told(found["compared"]).items() if not found[kind] and found["compared"][kind]]
    first, second = map(printable, found["runs"])
    if found["equal"]:
        return f"nothing differs between {first} and {second}: {', '.join(same)}"
    parts = [f"a  {first}\nb  {second}"]
    for kind, heading in KINDS.items():
        written = shown if kind == "settings" else str
        rows = [[heading, "a", "b"]]
        rows += [[name, *(tables.NONE if value is None else written(value) for value in values)]
                 for name, values in found[kind].items()]  # fmt: skip
        printed = [[printable(cell) for cell in row] for row in rows]
        parts += [tables.text(printed, (), width=width)] if found[kind] else []
    parts += [printable("\n".join(map(str.rstrip, lines))) for lines in found["source"].values()]
    return "\n\n".join([*parts, *([f"the same: {', '.join(same)}"] if same else [])])


def _recorded(folder: Path) -> dict[str, dict[str, Any]]:
    results = Results(folder / RESULTS)
    settings = {key: value for key, value in runs.settings(folder).items() if key != "folder"}
    begun, about = runs.settings(folder, "begun"), results.read_attributes()
    inputs = {"coefficients and measurements": about["inputs"]} if "inputs" in about else {}
    resumed = {f"{key} before the resume": begun.get(key) for key, value in settings.items()
               if begun and begun.get(key) != value}  # fmt: skip
    return {
        "settings": settings | resumed,
        "source": results.read("source"),
        "data": {file: digest[:SHORT] for file, digest in data_in(results).items()},
        "environment": dict(runs.environment(about)) | inputs,
    }


def _different(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, list[Any]]:
    names = dict.fromkeys([*one, *other])
    return {name: [one.get(name), other.get(name)] for name in names if one.get(name) != other.get(name)}


def _unified(module: str, one: str | None, other: str | None) -> list[str]:
    """The lines of a unified diff; a module that one run does not have is empty there."""
    before, after = ((text or "").splitlines() for text in (one, other))
    return list(unified_diff(before, after, f"a/{module}", f"b/{module}", lineterm=""))


def _told(compared: Mapping[str, int]) -> dict[str, str]:
    """What was compared, in words."""
    return {
        "settings": counted(compared["settings"], "setting"),
        "source": f"the text of {counted(compared['source'], 'module')}",
        "data": counted(compared["data"], "data file"),
        "environment": "device, processor, threads, versions, coefficients and measurements",
    }

