"""What to type instead of words that are almost right."""

import os
from collections.abc import Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf

from pinn_cli.basics.errors import UsageError, nearest
from pinn_cli.basics.text import in_shell
from pinn_cli.configuration import catalogue
from pinn_cli.configuration.settings import SETTINGS
from pinn_cli.records.folder import RESULTS
from pinn_cli.records.summary import flat

TABLES = ("points", "weights")
NAMES_OF_RUNS = ("latest", "best")


def first_names() -> list[str]:
    """What the key of a setting or a choice may begin with."""
    return [*catalogue.groups(), *dict.fromkeys(key.split(".")[0] for key in SETTINGS), *TABLES]


def for_key(key: str, value: str, config: DictConfig | None) -> str:
    """What to type for `key=value`, whose key is not known: ``lr=1e-3`` -> ``type optimizer.adam.lr=1e-3``.

    Looks among the settings, then the keys of the parts in force (`config`, if it is known), then those of all parts.
    """
    in_force = OmegaConf.to_container(config) if config is not None else {}
    for name in [key if key in first_names() else "", *SETTINGS, *flat(in_force)]:
        if _ends_with(name, key):
            return f"type {name}={value}"
    for group in catalogue.groups():
        for option in catalogue.options(group) if group not in ("problem", "recipe") else ():
            where = f"{group}.{option}" if group in catalogue.LISTS else group
            for name in flat(_values(group, option)):
                if _ends_with(name, key):
                    return f"type {group}={option} {where}.{name}={value}"
    if value in NAMES_OF_RUNS or os.path.isfile(os.path.join(value, RESULTS)):
        return (f"every run starts from random values; to train {value} further type pinn resume {in_shell(value)} "
                "(with stop.steps=10000 if it has finished)")  # fmt: skip
    return nearest(key, first_names())


def refuse_spaces(words: Sequence[str]) -> None:
    """Refuse words like `seed = 1`, with spaces around the equals sign (UsageError)."""
    for k, word in enumerate(words):
        parts = [*(words[k - 1 : k] if word.startswith("=") else []), word]
        parts += [after for after in words[k + 1 : k + 2] if word.endswith("=") and "=" not in after]
        if len(parts) > 1 and "".join(parts).count("=") == 1:
            raise UsageError(f"`{' '.join(parts)}`: expected no spaces around the `=`; type {''.join(parts)}")


def _ends_with(name: str, key: str) -> bool:
    return not name.rpartition(".")[2].startswith("_") and f".{name}".endswith(f".{key}")


def _values(group: str, option: str) -> Any:
    return OmegaConf.to_container(OmegaConf.create(catalogue.read(catalogue.file(group, option))))
