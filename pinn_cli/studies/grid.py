"""The runs of a sweep: every combination of the values typed, and why some of them cannot be."""

from collections.abc import Sequence
from copy import deepcopy
from itertools import product

from omegaconf import DictConfig, OmegaConf

from pinn_cli.basics.errors import UsageError
from pinn_cli.configuration.compose import compose, hydra_loader, is_choice, spread, value_of
from pinn_cli.configuration.settings import check_settings

Combination = tuple[list[str], str | None]


def combinations(words: Sequence[str]) -> list[Combination]:
    """The words of each run, and the reason if its configuration is refused. Raises UsageError if all of them are.

    Which parts are chosen decides which keys there are, while a value is right or wrong by itself: so every choice of
    parts is composed, every value is looked at once, and a thousand seeds cost little more than a few.
    """
    with hydra_loader():
        columns = [spread(word) for word in words]
        fixed = [column for column in columns if len(column) == 1 or is_choice(column[0])]
        values = [word for column in columns if column not in fixed for word in column]
        base = _first_composed(fixed) if values else None
        wrong = _wrong(values, base) if base is not None else {}
        kept = [column if column in fixed else _right(column, wrong) for column in columns]
        reasons = {parts: _composed(parts)[1] for parts in product(*kept)}
    found: list[Combination] = []
    for combination in product(*columns):
        parts = tuple(word if word in few else few[0] for word, few in zip(combination, kept, strict=True))
        reason = next((wrong[word] for word in combination if word in wrong), reasons[parts])
        found.append((list(combination), reason))
    if all(reason for _, reason in found):
        raise UsageError(str(found[0][1]))
    return found


def _composed(words: Sequence[str]) -> tuple[DictConfig | None, str | None]:
    """The configuration of one run, or why these words have none."""
    try:
        return compose(list(words)), None
    except UsageError as error:
        return None, str(error)


def _first_composed(columns: Sequence[list[str]]) -> DictConfig | None:
    found = (_composed(words)[0] for words in product(*columns))
    return next((config for config in found if config is not None), None)


def _wrong(words: Sequence[str], config: DictConfig) -> dict[str, str]:
    """The settings that cannot have the value typed, whatever else is chosen, and why."""
    found = {}
    for word in words:
        changed = deepcopy(config)
        OmegaConf.update(changed, *value_of(word), force_add=True)
        try:
            check_settings(changed)
        except UsageError as error:
            found[word] = str(error)
    return found


def _right(column: list[str], wrong: dict[str, str]) -> list[str]:
    """The one value that stands for all of a setting."""
    return [word for word in column if word not in wrong][:1] or column[:1]
