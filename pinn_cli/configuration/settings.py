"""The settings at the top of the configuration: which values each takes, and which names points and weights take."""

import re
from collections.abc import Callable, Iterable
from math import isfinite
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from pinn_cli.basics.errors import UsageError, nearest
from pinn_cli.configuration.catalogue import LISTS, plural
from pinn_cli.records.summary import flat

ONE_PART = ("problem", "architecture", "derivatives")  # groups that take one part
NOT_TEXT = re.compile(r"[-+.\d][-+.\deE]*|true|false|null|nan|inf", re.IGNORECASE)
THREADS = 4096  # torch crashes where it is told of many more
PROCESSES = 4096
SWITCHES = {True: "on", False: "off", "true": "on", "false": "off"}  # YAML reads `on` as true, a shell as a word


def _integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _or_null(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or check(value)


def _one_of(*words: str) -> tuple[Callable[[Any], bool], str]:
    return lambda value: isinstance(value, str | bool) and SWITCHES.get(value, value) in words, " | ".join(words)


def _count(value: Any) -> bool:
    return _integer(value) and value > 0


def _positive(value: Any) -> bool:
    return _number(value) and value > 0


def _is_device(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"auto|cpu|cuda(:\d+)?|mps|xpu(:\d+)?", value) is not None


def _is_names(value: Any) -> bool:
    return not isinstance(value, str) and isinstance(value, Iterable) and all(isinstance(v, str) for v in value)


SETTINGS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "seed": (lambda value: _integer(value) and 0 <= value < 2**63, "a whole number from 0 to 2^63 - 1"),
    "device": (_is_device, "auto | cpu | cuda | cuda:1"),
    "dtype": _one_of("float64", "float32"),
    "compile": _one_of("auto", "on", "off"),
    "threads": (_or_null(lambda value: _count(value) and value <= THREADS), f"a whole number from 1 to {THREADS}, or "
                "null"),
    "processes": (lambda value: _count(value) and value <= PROCESSES, f"a whole number from 1 to {PROCESSES}"),
    "constraints": _one_of("soft", "exact"),
    "units": _one_of("natural", "raw"),
    "scaling": _one_of("none", "unit", "standard"),
    "periodic": (_is_names, "a list of coordinates, e.g. periodic=[x]"),
    "stop.steps": (_or_null(_count), "a whole number above 0, or null"),
    "stop.seconds": (_or_null(_positive), "a number above 0, or null"),
    "stop.total_seconds": (_or_null(_positive), "a number above 0, or null"),
    "stop.loss": (_or_null(_positive), "a number above 0, or null"),
    "stop.error": (_or_null(_positive), "a number above 0, or null"),
    "stop.estimated_error": (_or_null(_positive), "a number above 0, or null"),
    "stop.plateau": (_or_null(_count), "a whole number of steps, or null"),
    "record.every": (_or_null(_count), "a whole number of steps, or null"),
    "record.estimated_error": (_or_null(_count), "a whole number of steps, or null"),
    "folder": (_or_null(lambda value: isinstance(value, str) and bool(value)), "the name of a folder, or null"),
    "figures": _one_of("on", "off"),
}


def read_back(text: str, where: object) -> DictConfig:
    """The configuration in a results file (Raises UsageError if it is not one that this version could have written)."""
    try:
        config = OmegaConf.create(text)
        if not isinstance(config, DictConfig) or "${" in text:
            raise UsageError("expected the complete configuration of a run")
        config.setdefault("units", "raw")  # a file from before there were natural units
        config.setdefault("processes", 1)
        check_settings(config)
    except (UsageError, OmegaConfBaseException, YAMLError, TypeError, ValueError) as error:
        raise UsageError(f"the configuration in {where}: {' '.join(str(error).split())}") from None
    return config


def check_settings(config: DictConfig) -> None:
    """Refuse a setting, a number of points or a weight of the wrong type or value (UsageError)."""
    if missing := sorted(OmegaConf.missing_keys(config)):
        raise UsageError(f"`{missing[0]}` has no value yet; type {missing[0]}=...")
    for group in ONE_PART:
        _check_part(group, config.get(group), None)
    for group in LISTS:
        _check_parts(group, group, config.get(group))
    for name, phase in (config.get("optimizer") or {}).items():
        _check_parts(f"optimizer.{name}.sampler", "sampler", phase.get("sampler"))
        if not _or_null(_count)(phase.get("steps")):
            raise UsageError(f"optimizer.{name}.steps={shown(phase.steps)}: expected a whole number above 0, or null")
    for key, first in (("stop", "steps"), ("record", "every")):
        if not OmegaConf.is_dict(config[key]):
            raise UsageError(f"{key}={shown(config[key])}: expected {key}.<setting>=..., e.g. {key}.{first}=100")
        known = [name.removeprefix(f"{key}.") for name in SETTINGS if name.startswith(f"{key}.")]
        for name in set(config[key]) - set(known):
            raise UsageError(f"unknown key `{key}.{name}`; in `{key}`: {nearest(str(name), known)}")
    for key, (accepts, expected) in SETTINGS.items():
        value = OmegaConf.select(config, key)
        if not accepts(value):
            raise UsageError(f"{key}={shown(value)}: expected {expected}")
    for where, table in _tables(config, "points"):
        for name, number in table.items():
            if not (_count(number) or (number == "all" and name == "data")):
                raise UsageError(f"{where}.{name}={shown(number)}: expected a whole number of points above 0")
    for where, table in _tables(config, "weights"):
        for name, weight in table.items():
            if not _number(weight) or weight < 0:
                raise UsageError(f"{where}.{name}={shown(weight)}: expected a number from 0 on")
    for key, value in flat(OmegaConf.to_container(config)).items():
        if isinstance(value, float) and not isfinite(value):
            raise UsageError(f"{key}={shown(value)}: expected a finite number")


def _check_parts(where: str, group: str, parts: Any) -> None:
    if parts is not None and not OmegaConf.is_dict(parts):
        raise UsageError(f"{where}={shown(parts)}: expected parts by name (pinn list {plural(group)})")
    for name, part in (parts or {}).items():
        if part is not None or where == group:  # in a phase, null leaves a part out
            _check_part(f"{where}.{name}", part)


def _check_part(where: str, part: Any, otherwise: str | None = "") -> None:
    """Require a table with a string `_target_`; `otherwise` stands for one that is missing."""
    if not OmegaConf.is_dict(part) or not isinstance(part.get("_target_", otherwise), str):
        raise UsageError(f"{where}={shown(part)}: expected a table with the name of a class, `_target_: ...`")


def switch(value: bool | str) -> str:
    """`on`, `off` or `auto`, as a word."""
    return SWITCHES.get(value, str(value))


def check_names(config: DictConfig, names: Iterable[str]) -> None:
    """Refuse points or weights for a name that is no constraint or region of the problem (UsageError)."""
    known = [*dict.fromkeys(["interior", "face", "data", *names])]
    for kind in ("points", "weights"):
        for where, table in _tables(config, kind):
            for name in table:
                if name not in known:
                    raise UsageError(
                        f"{where}.{name}: the problem has no such constraint or region; {nearest(name, known)}"
                    )


def shown(value: Any) -> str:
    """A value as it is typed; a text that reads like a number or a word of YAML has quotes."""
    if isinstance(value, str) and NOT_TEXT.fullmatch(value):
        return f'"{value}"'
    return "null" if value is None else str(value)


def _tables(config: DictConfig, kind: str) -> list[tuple[str, Any]]:
    """The table of points or weights of the run and of each phase, each with its key."""
    phases = (config.get("optimizer") or {}).items() if kind == "points" else []
    tables = [(kind, config.get(kind)), *((f"optimizer.{name}.points", phase.get("points")) for name, phase in phases)]
    for where, table in tables:
        if not OmegaConf.is_dict(table) and (table is not None or where == kind):
            example = f"{where}.interior={'1000' if kind == 'points' else '1'}"
            raise UsageError(f"{where}={shown(table)}: expected numbers by name, e.g. {example}")
    return [(where, table or {}) for where, table in tables]
