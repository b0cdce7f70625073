"""Compose the words of a command line into one complete configuration.

Hydra composes once. A choice, a key or a repeated part that is wrong is refused in one line with the nearest valid
name. Nothing here imports torch.
"""

import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override, OverrideType, RangeSweep
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from pinn_cli.basics.errors import UsageError, nearest
from pinn_cli.configuration import catalogue, suggestions
from pinn_cli.configuration.settings import SETTINGS, check_settings, shown
from pinn_cli.records.summary import flat

# Tables with free keys: names of constraints, regions and unknowns, measurements, and the settings of one phase of the
# optimizer.
FREE = re.compile(
    r"(points|weights|architecture\.points|problem\.(unknowns|data)|optimizer\.[^.=]+\.(points|sampler))[.=]"
)
MOST = 100_000  # values of one word of a sweep, and runs of a sweep


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
    with hydra_loader():  # once for all words
        return _read(words)


def _read(words: Sequence[str]) -> Request:
    suggestions.refuse_spaces(words)
    overrides = [_parse(word, words[k + 1 :]) for k, word in enumerate(words)]
    chosen = [override for override in overrides if override.key_or_group in catalogue.groups()]
    settings = [override for override in overrides if override not in chosen]
    for override in overrides:
        _check_first_name(override, chosen)
        _check_one_value(override)
        _check_removal(override)
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
        parts = config.get(group)
        tables = {name: part for name, part in (parts.items() if OmegaConf.is_dict(parts) else ())
                  if OmegaConf.is_dict(part) and "_target_" not in part}  # fmt: skip
        for name, table in tables.items():
            part = OmegaConf.to_container(table)
            settings = "  ".join(f"{key}={shown(value)}" for key, value in flat(part).items())
            with open_dict(config):
                del config[group][name]
            notes.append(f"{group}.{name} is not selected; left out of the recipe:  {settings}")
    return notes


def spread(word: str, after: Sequence[str] = ()) -> list[str]:
    """One word for each value: `seed=0,1` -> `seed=0`, `seed=1`; `after` are the words after it.

    Raises UsageError for an unknown name, and for no value or a range of more than MOST.
    """
    override = _parse(word, after)
    _check_first_name(override)
    words = [word]
    if override.is_sweep_override():
        try:
            words = [f"{override.get_key_element()}={value}" for value in _values(override)]
        except (HydraException, ValueError, TypeError) as error:  # range(0,3,0), sort(1,a)
            raise UsageError(f"cannot read `{word}` ({str(error).splitlines()[0]})") from None
        if not words:
            raise UsageError(f"`{word}` has no value; expected a list of values, e.g. {override.key_or_group}=1,2,3")
    for single in words if is_choice(word) else []:
        _check_choice(_parse(single))
    return words


def _values(override: Override) -> Iterable[str]:
    """The values of a sweep: those typed, or with `glob(...)` the parts of the group. Raises UsageError."""
    value, key = override.value(), override.key_or_group
    if isinstance(value, Glob) and key in catalogue.groups():
        return value.filter(catalogue.options(key))
    if not override.is_discrete_sweep() or isinstance(value, Glob):
        raise UsageError(f"`{override.input_line}`: expected a list of values, e.g. {key}=1,2,3")
    if isinstance(value, RangeSweep) and abs((value.stop or 0) - (value.start or 0)) > MOST * abs(value.step):
        raise UsageError(f"`{override.input_line}` has more than {MOST} values")
    return map(str, override.sweep_string_iterator())


def is_choice(word: str) -> bool:
    """Whether a word chooses a part, rather than setting a value."""
    return _parse(word).key_or_group in catalogue.groups()


def value_of(word: str) -> tuple[str, Any]:
    """`seed=1` -> `("seed", 1)`."""
    override = _parse(word)
    return override.key_or_group, override.value()


def _parse(word: str, after: Sequence[str] = ()) -> Override:
    """One word; `after` are the words behind it, into which a shell may have cut it. Raises UsageError."""
    if re.search("[\ud800-\udfff]", word):  # bytes that Python could not decode
        raise UsageError(f"cannot read `{word}` in the encoding of this terminal; type export PYTHONUTF8=1")
    try:
        with hydra_loader() as loader:
            return OverridesParser.create(config_loader=loader).parse_override(word)
    except HydraException as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"cannot read `{word}` ({reason}); {_readable(word, after)}") from None


def _readable(word: str, after: Sequence[str]) -> str:
    """What to type instead of a word that cannot be read; what is named can be read."""
    key, equals, value = word.partition("=")
    joined = [" ".join([word, *after[: k + 1]]) for k in range(len(after))]
    quoted = [] if not equals or re.search(r"[\[\](){}$,]|^=", value) else [f'{key}="{value}"']
    for whole in joined + quoted:
        with suppress(HydraException):
            OverridesParser.create().parse_override(whole)
            return f"quote it for the shell: {shlex.quote(whole)}"
    if not equals or not key.strip():
        return f"expected key=value, e.g. problem={word.strip('= ') or 'helmholtz'}"
    return f"expected {key}=VALUE; close each bracket and quote, and put double quotes around a text of special signs"


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
        OmegaConf.resolve(config)  # the parts are built apart from each other
        return config, problem
    except (HydraException, OmegaConfBaseException, RecursionError, ValueError) as error:
        cause = error.__cause__ or error
        whole = str(error) if re.search("problem|full_key", str(error)) else str(cause)
        line = " ".join(whole.split())
        if "You must specify 'problem'" in line:
            raise UsageError("no problem named; type e.g. problem=helmholtz (pinn list problems)") from None
        raise UsageError(_named_key(line)) from None


def _named_key(line: str) -> str:
    """A message of OmegaConf, with the key first: `seed: Interpolation key 'nope' not found`."""
    message, known, rest = line.partition(" full_key: ")
    if "Cannot merge" in message:
        message = "found a list where a table is expected, or a table where a list is"
    return f"{rest.split()[0]}: {message}" if known else line


def _check_first_name(override: Override, chosen: Sequence[Override] = ()) -> None:
    key = override.key_or_group
    if not key:
        raise UsageError(f"`{override.input_line}`: expected key=value, e.g. problem=helmholtz")
    if re.split("[./]", key)[0] not in (*suggestions.first_names(), "hydra"):
        value = (override.input_line or "").partition("=")[2]
        raise UsageError(f"unknown key `{key}`; {_suggestion(key, value, chosen)}")


def _suggestion(key: str, value: str, chosen: Sequence[Override]) -> str:
    try:
        config = _parts_in_force(chosen)
    except UsageError:  # no problem is named, for example
        config = None
    return suggestions.for_key(key, value, config)


def _check_one_value(override: Override) -> None:
    """Refuse several values, which are for a sweep, and settings of Hydra's (UsageError)."""
    line, key = override.input_line, override.key_or_group
    if re.match(r"hydra\b", key):
        raise UsageError(f"`{line}`: a run has no settings of Hydra's; a sweep has hydra/launcher=NAME")
    if override.is_sweep_override():
        raise UsageError(f"`{line}` has several values: type pinn train -m ... for a run of each, {key}=[a,b] for a "
                         f"list, or {key}='\"a,b\"' for one text")  # fmt: skip


def _check_removal(override: Override) -> None:
    """Refuse to remove a part or a setting with `~key`: a run has them all (UsageError)."""
    key = override.key_or_group
    if override.type != OverrideType.DEL:
        return
    first = next((name for name in SETTINGS if f"{name}.".startswith(f"{key}.")), None)
    if key in catalogue.groups():
        way = f"{key}={catalogue.options(key)[0]} (pinn list {catalogue.plural(key)})"
    elif first is not None:
        accepts, expected = SETTINGS[first]
        way = f"{first}=null" if accepts(None) else f"{first}=VALUE ({expected})"
    elif key in suggestions.TABLES:
        way = f"{key}.interior=1"
    else:
        return
    raise UsageError(f"`{override.input_line}`: this cannot be removed; type e.g. {way}")


def _check_choice(override: Override) -> None:
    group = override.key_or_group
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
    path = key.split(".")
    if FREE.match(f"{key}."):
        if path[0] == "optimizer":
            _check_phase(path, base)
        return
    node: Any = base
    for depth, name in enumerate(path):
        if not OmegaConf.is_dict(node):
            raise UsageError(f"`{'.'.join(path[:depth])}` is a value, not a table; found `{override.input_line}`")
        if name not in set(node):  # `name in node` is False for a key whose value is missing
            if depth and override.type in (OverrideType.ADD, OverrideType.FORCE_ADD):
                return  # a keyword that the YAML does not list; the part's constructor checks it
            _refuse_key(path, depth, node, base)
        node = node[name] if not OmegaConf.is_missing(node, name) else None


def _check_phase(path: list[str], base: DictConfig) -> None:
    """Refuse points or a sampler's setting of a phase that is not selected, or of such a sampler (UsageError)."""
    phase, *rest = path[1:]
    if phase not in (base.optimizer or {}):
        _refuse_key(path, 1, base.optimizer, base)
    own = base.optimizer[phase].get("sampler")
    if rest[0] != "sampler" or len(rest) < 3 or not OmegaConf.is_dict(own):
        return
    if not any("_target_" in (table.get(rest[1]) or {}) for table in (own, base.sampler)):
        _refuse_key(rest, 1, base.sampler, base)


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
    own = where == "problem" and not str(node.get("_target_")).startswith("pinn_cli.")
    way = f"; for a setting of your class, write a line `{name}: ...` into its YAML, or type +problem.{name}=..." * own
    raise UsageError(f"unknown key `{'.'.join(path)}`; in `{where}`: {nearest(name, keys)}{way}")
