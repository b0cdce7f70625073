"""Runs side by side: the settings in which they differ, their errors, wall time and steps."""

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import Any

PARTS = ("weighting", "sampler", "optimizer", "strategy", "architecture", "derivatives")  # groups of parts
UNIMPORTANT = ("folder", "figures", "record", "diagnostics")  # they do not change what is trained
NONE = "-"


def add(parser: ArgumentParser) -> None:
    """The arguments of `pinn compare`."""
    parser.add_argument("run", nargs="+", help="run folders, beginnings of names, or folders of runs (all in them)")
    parser.add_argument("--sort", action="store_true", help="the most accurate first")
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--md", action="store_true", help="print a Markdown table")
    shape.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: Namespace) -> int:
    """Print one row per run (Raises UsageError)."""
    from pinn_cli import names, runs
    from pinn_cli.formatting import table

    folders = names.find_all(arguments.run)
    settings = differences([runs.settings(folder) for folder in folders])
    found = [runs.summary(folder) | {"settings": own} for folder, own in zip(folders, settings, strict=True)]
    if arguments.sort:
        found.sort(key=lambda one: min(one["errors"].values(), default=float("inf")))
    if arguments.json:
        print(json.dumps(found, indent=2))
        return 0
    rows = compared(found)
    print(markdown(rows) if arguments.md else table(rows, numeric=range(1, len(rows[0]))))
    return 0


def differences(settings: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What differs, by key, for each run. A setting that only one part has is not named beside the part itself."""
    named = [_named(own) for own in settings]
    keys = dict.fromkeys(key for own in named for key in own)
    kept = [key for key in keys if key.split(".")[0] not in UNIMPORTANT and _differs(key, named)]
    return [{key: own.get(key) for key in kept} for own in named]


def compared(found: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Headings and a row per run: its folder's name, what differs, errors, metrics, time, steps, status."""
    from pinn_cli.formatting import duration

    keys = list(found[0]["settings"])
    fields, metrics = (dict.fromkeys(name for one in found for name in one[kind]) for kind in ("errors", "metrics"))
    rows = [["run", *_short(keys), *(f"error {name}" for name in fields), *metrics, "time", "steps", "status"]]
    for one in found:
        numbers = [_shown(one["errors"], name) for name in fields] + [_shown(one["metrics"], name) for name in metrics]
        values = [NONE if one["settings"][key] is None else str(one["settings"][key]) for key in keys]
        rows.append([one["run"], *values, *numbers, duration(one["seconds"]), str(one["steps"]), one["status"]])
    return rows


def _shown(numbers: dict[str, float], name: str) -> str:
    from pinn_cli.formatting import scientific

    return scientific(numbers[name]) if name in numbers else NONE


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """The rows as a Markdown table, numbers to the right."""
    rule = ["---", *["---:"] * (len(rows[0]) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in [rows[0], rule, *rows[1:]])


def _named(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings, with one entry for the parts of each group in the place of their classes."""
    parts: dict[str, list[str]] = {}
    for key, value in settings.items():
        group, *rest = key.split(".")
        if rest and rest[-1] == "_target_" and len(rest) <= 2:
            parts.setdefault(group, []).append(rest[0] if len(rest) == 2 else str(value).rpartition(".")[2].lower())
    plain = {key: value for key, value in settings.items() if not key.split(".")[-1].startswith("_")}
    return {group: " + ".join(names) for group, names in parts.items()} | plain


def _differs(key: str, settings: Sequence[dict[str, Any]]) -> bool:
    known = {repr(own[key]) for own in settings if key in own}
    everywhere = all(key in own for own in settings)
    return len(known) > 1 or not (everywhere or key.split(".")[0] in PARTS)


def _short(keys: Sequence[str]) -> list[str]:
    """The shortest endings that tell the keys apart."""
    def shortest(key: str) -> str:
        words = key.split(".")
        endings = [".".join(words[-n:]) for n in range(1, len(words) + 1)]
        return next((e for e in endings if sum(k == e or k.endswith(f".{e}") for k in keys) == 1), key)

    return [shortest(key) for key in keys]
