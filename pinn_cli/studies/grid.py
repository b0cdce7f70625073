"""The runs of a sweep: every combination of the typed values, why some are refused, and what tells them apart."""

from collections.abc import Sequence
from copy import deepcopy
from itertools import product
from math import prod

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from pinn_cli.basics.errors import UsageError
from pinn_cli.basics.text import shortest
from pinn_cli.configuration.compose import MOST, compose, hydra_loader, is_choice, spread, value_of
from pinn_cli.configuration.settings import check_settings
from pinn_cli.studies.sweep import PlannedRun

Combination = tuple[list[str], str | None]


def combinations(words: Sequence[str]) -> list[Combination]:
    """The words of each run, and the reason if its configuration is refused. Raises UsageError if all are refused.

    The chosen parts decide which keys there are, while a value is right or wrong by itself. So every choice of parts is
    composed once and every value is checked once: a thousand seeds cost little more than a few.
    """
    with hydra_loader():
        columns = [spread(word, words[k + 1 :]) for k, word in enumerate(words)]
        if (count := prod(map(len, columns))) > MOST:
            raise UsageError(f"these are {count} runs; expected at most {MOST}")
        fixed = [column for column in columns if len(column) == 1 or is_choice(column[0])]
        values = [word for column in columns if column not in fixed for word in column]
        configs = (_composed(parts)[0] for parts in product(*fixed))
        base = next((config for config in configs if config is not None), None) if values else None
        wrong = _wrong(values, base) if base is not None else {}
        right = [[word for word in column if word not in wrong] or column for column in columns]
        # One value of a setting stands for all of them.
        kept = [column if column in fixed else few[:1] for column, few in zip(columns, right, strict=True)]
        reasons = {parts: _composed(parts)[1] for parts in product(*kept)}
    runs: list[Combination] = []
    for combination in product(*columns):
        parts = tuple(word if word in few else few[0] for word, few in zip(combination, kept, strict=True))
        reason = next((wrong[word] for word in combination if word in wrong), reasons[parts])
        runs.append((list(combination), reason))
    if all(reason for _, reason in runs):
        raise UsageError(str(runs[0][1]))
    return runs


def _composed(words: Sequence[str]) -> tuple[DictConfig | None, str | None]:
    """The configuration of one run, or why these words have none."""
    try:
        return compose(list(words)), None
    except UsageError as error:
        return None, str(error)


def _wrong(words: Sequence[str], config: DictConfig) -> dict[str, str]:
    """The words whose value is wrong whatever else is chosen, and why."""
    reasons = {}
    for word in words:
        changed = deepcopy(config)
        OmegaConf.update(changed, *value_of(word), force_add=True)
        try:
            OmegaConf.resolve(changed)
            check_settings(changed)
        except (UsageError, OmegaConfBaseException) as error:
            reasons[word] = str(error).splitlines()[0]
    return reasons


def varied(runs: Sequence[PlannedRun]) -> dict[int, dict[str, str]]:
    """The settings of each run, by its number, whose values differ between the runs, in the order typed.

    Runs with labels, as those of a published table, have their label and their seed.
    """
    typed = {run.number: _settings(run) for run in runs}
    keys = {key for own in typed.values() for key in own}
    kept = {key for key in keys if len({own.get(key) for own in typed.values()}) > 1}
    return {number: {key: own[key] for key in own if key in kept} for number, own in typed.items()}


def labels(runs: Sequence[PlannedRun]) -> dict[int, str]:
    """The settings of `varied` as text with the shortest keys, by the number of a run: ``nu=0.01 seed=3``."""
    settings = varied(runs)
    keys = list(dict.fromkeys(key for own in settings.values() for key in own))
    short = dict(zip(keys, shortest(keys), strict=True))
    return {number: " ".join(f"{short[key]}={value}" for key, value in own.items()) for number, own in settings.items()}


def _settings(run: PlannedRun) -> dict[str, str]:
    pairs = (word.partition("=") for word in run.words)
    settings = {key.lstrip("+~"): value for key, _, value in pairs}
    return {"label": run.label, "seed": settings.get("seed", "")} if run.label else settings
