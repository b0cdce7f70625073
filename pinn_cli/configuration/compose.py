"""Compose the words of a command line into one complete configuration.

Hydra composes once. A choice, a key or a repeated part that is wrong is refused in one line with the nearest valid
name. Nothing here imports torch.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from pinn_cli.basics.errors import UsageError, nearest
from pinn_cli.configuration import catalogue, suggestions
from pinn_cli.configuration.settings import check_settings, shown
from pinn_cli.records.summary import flat

# Tables with free keys: names of constraints, regions and unknowns, and the settings of one phase of the optimizer.
FREE = re.compile(r"(points|weights|problem\.unknowns|optimizer\.[^.=]+\.(points|sampler))\.")


@dataclass(frozen=True)
class Request:
    """A run as it was typed."""

    config: DictConfig
    problem: str  # the name of the problem's YAML
    typed: tuple[str, ...]  # the keys that were typed; one that no part has is an error
    notes: tuple[str, ...]  # what is left out of a recipe, one line each
    words: tuple[str, ...]  # behind `pinn train`


def compose(words: Sequence[str]) -> DictConfig:
    """The configuration of one run (Raises UsageError)."""
    return read(words).config


def read(words: Sequence[str]) -> Request:
    """The run that these words of `pinn train` describe (Raises UsageError)."""
    suggestions.refuse_spaces(words)
    overrides = [_parse(word) for word in words]
    chosen = [override for override in overrides if override.key_or_group in catalogue.groups()]
    settings = [override for override in overrides if override not in chosen]
    for override in overrides:
        _check_first_name(override, chosen)
    for override in chosen:
        _check_choice(override)
    try:
        config, problem = _compose(words)
    except UsageError:  # Hydra says which key it does not know; the parts say which keys there are
        _check_keys(settings, _parts_in_force(chosen))
        raise
    notes = [*_prefer_own_files(config, chosen, settings), *_drop_leftovers(config)]
    _check_keys([override for override in settings if override.type != OverrideType.DEL], config)
    check_settings(config)
    typed = tuple(override.key_or_group for override in overrides)
    return Request(config, problem, typed, tuple(notes), tuple(words))


def as_setting(flag: str, value: str, words: Sequence[str]) -> str:
    """What to type for ``--steps 100``, a flag that `pinn train` does not have; `words` are the others typed."""
    chosen = [_parse(word) for word in words if word.partition("=")[0] in catalogue.groups()]
    return _suggestion(flag.lstrip("-").replace("-", "_"), value, chosen)


def _parts_in_force(chosen: Sequence[Override]) -> DictConfig:
    """The configuration of the parts chosen, without the settings typed. Raises UsageError."""
    for override in chosen:
        _check_choice(override)
    config, _ = _compose([override.input_line or "" for override in chosen])
    _drop_leftovers(config)
    return config


def _prefer_own_files(config: DictConfig, chosen: Sequence[Override], settings: Sequence[Override]) -> list[str]:
    """Let the user's own YAML files of the parts chosen count more than a recipe of pinn's; one line for each value.

    What was typed, or stands in a recipe of the user's own, counts more still.
    """
    own = {group: _own_values(override) for override in chosen for group in [override.get_key_element()]}
    later = [*(override.key_or_group for override in settings), *own.pop("recipe", {})]
    notes = []
    for key, value in (pair for values in own.values() for pair in values.items()):
        before = OmegaConf.select(config, key)
        if value != before and not any(f"{key}.".startswith(f"{other}.") for other in later):
            OmegaConf.update(config, key, value, force_add=True)
            notes.append(f"{key}={value}, as in ./conf; the recipe's {before} is left out")
    return notes


def _own_values(override: Override) -> dict[str, Any]:
    """The values, by their full keys, in the user's own YAML files that an override chooses."""
    group, chosen = override.key_or_group, override.value()
    values: dict[str, Any] = {}
    for name in chosen if isinstance(chosen, list) else [chosen]:
        file = catalogue.file(group, str(name)) if name else None
        if file is None or catalogue.CONF in file.parents:
            continue
        text = catalogue.read(file)
        header = re.search(r"^#\s*@package\s+(\S+)", text, re.MULTILINE)
        package = override.package or (header[1] if header else group)
        start = "" if package == "_global_" else f"{package.replace('_group_', group)}."
        table = OmegaConf.to_container(OmegaConf.create(text))
        pairs = flat(table).items() if isinstance(table, dict) else ()
        values |= {f"{start}{k}": v for k, v in pairs if k not in ("", "defaults") and not re.search(r"(^|\.)_", k)}
    return values


def _drop_leftovers(config: DictConfig) -> list[str]:
    """Drop what a recipe sets for parts that are not selected; one line for each part, with these settings."""
    notes = []
    for group in catalogue.LISTS:
        for name in [name for name, part in (config.get(group) or {}).items() if "_target_" not in (part or {})]:
            part = OmegaConf.to_container(config[group][name] or {}, resolve=True)
            settings = "  ".join(f"{key}={shown(value)}" for key, value in flat(part).items())
            with open_dict(config):
                del config[group][name]
            notes.append(f"{group}.{name} is not selected; left out of the recipe:  {settings}")
    return notes


def spread(word: str) -> list[str]:
    """One word for each value: `seed=0,1` -> `seed=0`, `seed=1`. Raises UsageError for an unknown name."""
    override = _parse(word)
    _check_first_name(override)
    words = [word]
    if override.is_sweep_override():
        if not override.is_discrete_sweep():
            raise UsageError(f"`{word}`: expected a list of values, e.g. {override.key_or_group}=1,2,3")
        words = [f"{override.get_key_element()}={value!s}" for value in override.sweep_string_iterator()]
    for single in words if is_choice(word) else []:
        _check_choice(_parse(single))
    return words


def is_choice(word: str) -> bool:
    """Whether a word chooses a part, rather than setting a value."""
    return _parse(word).key_or_group in catalogue.groups()


def value_of(word: str) -> tuple[str, Any]:
    """`seed=1` -> `("seed", 1)`."""
    override = _parse(word)
    return override.key_or_group, override.value()


def _parse(word: str) -> Override:
    try:
        with hydra_loader() as loader:
            return OverridesParser.create(config_loader=loader).parse_override(word)
    except HydraException as error:
        reason = str(error).splitlines()[0]
        key = word.partition("=")[0]
        hint = f"expected key=value, e.g. problem={word}" if key == word else f"quote it for the shell: '{word}'"
        raise UsageError(f"cannot read `{word}` ({reason}); {hint}") from None


@contextmanager
def hydra_loader() -> Iterator[Any]:
    """Hydra's config loader, also where it is already initialised."""
    if GlobalHydra.instance().is_initialized():
        yield GlobalHydra.instance().config_loader()
    else:
        with initialize_config_module("pinn_cli.conf", version_base=None):
            yield GlobalHydra.instance().config_loader()


def _compose(words: Sequence[str]) -> tuple[DictConfig, str]:
    """What Hydra makes of the words, and the name of the problem chosen. Raises UsageError."""
    added = [f"++{word}" if FREE.match(word) else word for word in words]  # any key may be added to these tables
    own = [f"hydra.searchpath=[file://{folder}]" for folder in catalogue.folders()[1:]]
    try:
        with hydra_loader():
            config = hydra_compose("config", [*added, *own], return_hydra_config=True)
        problem = str(config.hydra.runtime.choices["problem"])
        with open_dict(config):
            del config["hydra"]
        OmegaConf.to_container(config, resolve=True)  # raises for a reference ${...} to nothing or to itself
        return config, problem
    except (HydraException, OmegaConfBaseException, RecursionError) as error:
        cause = error.__cause__ or error
        line = " ".join(str(error).split()) if "problem" in str(error) else " ".join(str(cause).split())
        if "You must specify 'problem'" in line:
            raise UsageError("no problem named; type e.g. problem=helmholtz (pinn list problems)") from None
        raise UsageError(line) from None


def _check_first_name(override: Override, chosen: Sequence[Override] = ()) -> None:
    key = override.key_or_group
    if key.split(".")[0].split("/")[0] not in (*suggestions.first_names(), "hydra"):
        value = (override.input_line or "").partition("=")[2]
        raise UsageError(f"unknown key `{key}`; {_suggestion(key, value, chosen)}")


def _suggestion(key: str, value: str, chosen: Sequence[Override]) -> str:
    try:
        config = _parts_in_force(chosen)
    except UsageError:  # no problem is named, for example
        config = None
    return suggestions.for_key(key, value, config)


def _check_choice(override: Override) -> None:
    group = override.key_or_group
    if override.type == OverrideType.DEL:
        return
    value = override.value()
    if isinstance(value, dict) or value is None or value == "":
        raise UsageError(f"`{override.input_line}`: expected a name, e.g. {group}={catalogue.options(group)[0]}")
    names = [str(name) for name in (value if isinstance(value, list) else [value]) if name is not None]
    if isinstance(value, list) and group not in (*catalogue.LISTS, "recipe"):
        raise UsageError(f"{group} takes one name, found {names}; type {group}={names[0] if names else '...'}")
    for name in names:
        catalogue.check(group, name)
    for name in names:
        if names.count(name) > 1:
            raise UsageError(
                f"`{name}` is twice in {group}={names}; to repeat it give the second a name of its own: "
                f"'+{group}@{group}.{name}_2={name}' (it comes last)"
            )


def _check_keys(overrides: Sequence[Override], base: DictConfig) -> None:
    for override in overrides:
        _check_key(override, base)


def _check_key(override: Override, base: DictConfig) -> None:
    """Refuse a key that the chosen parts do not have (UsageError)."""
    key = override.key_or_group
    if key.startswith(("hydra.", "hydra/")) or FREE.match(f"{key}."):
        return
    path = key.split(".")
    node: Any = base
    for depth, name in enumerate(path):
        if not OmegaConf.is_dict(node):
            raise UsageError(f"`{'.'.join(path[:depth])}` is a value, not a table; found `{override.input_line}`")
        if name not in set(node):  # `name in node` is False for a key whose value is missing
            if depth and override.type in (OverrideType.ADD, OverrideType.FORCE_ADD):
                return  # a keyword that the YAML does not list; the part's constructor checks it
            _refuse_key(path, depth, node, base)
        node = node[name] if not OmegaConf.is_missing(node, name) else None


def _refuse_key(path: list[str], depth: int, node: DictConfig, base: DictConfig) -> None:
    name, group = path[depth], path[0]
    if depth == 1 and group in catalogue.LISTS:
        if name in catalogue.options(group):
            selected = ",".join(str(k) for k in base[group] or {})
            raise UsageError(f"`{'.'.join(path)}`: {group}=[{selected}] is selected; add {group}={name}")
        owners = [str(part) for part in node if name in (node[part] or {})]
        if owners:
            raise UsageError(f"`{'.'.join(path)}`: name the part too: {group}.{owners[0]}.{'.'.join(path[1:])}")
    where = ".".join(path[:depth])
    keys = [str(k) for k in node if not str(k).startswith("_")]
    raise UsageError(f"unknown key `{'.'.join(path)}`; in `{where}`: {nearest(name, keys)}")
