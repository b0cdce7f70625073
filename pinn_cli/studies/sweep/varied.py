"""What tells the runs of a sweep apart: the words that not all of them have."""

from collections.abc import Sequence

from pinn_cli.basics.text import shortest
from pinn_cli.studies.sweep.planned import Planned


def varied(runs: Sequence[Planned]) -> dict[int, dict[str, str]]:
    """By the number of a run its settings, in the order typed, whose values are not the same in all runs."""
    typed = {run.number: _settings(run) for run in runs}
    keys = {key for own in typed.values() for key in own}
    kept = {key for key in keys if len({own.get(key) for own in typed.values()}) > 1}
    return {number: {key: own[key] for key in own if key in kept} for number, own in typed.items()}


def labels(runs: Sequence[Planned]) -> dict[int, str]:
    """The same as a person reads it, the keys as short as can be: ``nu=0.01 seed=3``."""
    found = varied(runs)
    keys = list(dict.fromkeys(key for own in found.values() for key in own))
    short = dict(zip(keys, shortest(keys), strict=True))
    return {number: " ".join(f"{short[key]}={value}" for key, value in own.items()) for number, own in found.items()}


def _settings(run: Planned) -> dict[str, str]:
    pairs = (word.partition("=") for word in run.words)
    return {key.lstrip("+~"): value for key, _, value in pairs if key != "folder"}
