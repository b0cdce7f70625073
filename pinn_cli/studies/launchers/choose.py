"""From the words `hydra/launcher=NAME hydra.launcher.KEY=VALUE` to a launcher."""

import re
import shlex
from collections.abc import Sequence

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from pinn_cli.basics.errors import UsageError, nearest
from pinn_cli.configuration import catalogue
from pinn_cli.configuration.build import Builder
from pinn_cli.configuration.compose import spread, value_of
from pinn_cli.studies.launchers.base import Launcher
from pinn_cli.studies.sweep import Sweep

GROUP, TABLE = "hydra/launcher", "hydra.launcher"  # what one types to choose a launcher, and to set its keys
DEFAULT = "basic"


def is_setting(word: str) -> bool:
    """Whether a word is a setting of the launcher, or another one of Hydra's, not of the runs."""
    return re.match(r"[+~]*hydra\b", word) is not None


def is_of_launcher(word: str) -> bool:
    """Whether a word is a setting of the launcher."""
    return word.lstrip("+~").startswith((f"{GROUP}=", f"{TABLE}."))


def named(settings: Sequence[str]) -> tuple[str, Launcher]:
    """The name of the launcher that these words choose, and the launcher. Raises UsageError."""
    for word in settings:
        if not is_of_launcher(word) or len(spread(word)) > 1:
            raise UsageError(f"`{word}`: of Hydra's settings a sweep expects {GROUP}=NAME and {TABLE}.KEY=VALUE, "
                             "one value each")  # fmt: skip
    pairs = [(word, *value_of(word)) for word in settings]
    name = str(next((value for _, key, value in reversed(pairs) if key == GROUP), DEFAULT))
    node = _read(name)
    for word, key, value in pairs:
        if key.startswith(f"{TABLE}."):
            path = key.removeprefix(f"{TABLE}.")
            _refuse_unknown(path.partition(".")[0], node)
            if word.startswith("~"):
                raise UsageError(f"`{word}`: expected a value, e.g. {key}=null")
            OmegaConf.update(node, path, value, force_add=True)
    if "_target_" not in node:
        raise UsageError(f"{GROUP}={name} names no class; expected `defaults: [local]` in its YAML, or `_target_`")
    return name, Builder([f"{TABLE}.{key!s}" for key in node]).part(node, TABLE)()


def of(sweep: Sweep) -> Launcher:
    """The launcher of a sweep, with the settings of its command. Raises UsageError."""
    typed = [word for word in shlex.split(sweep.command)[2:] if is_setting(word)]
    return named([f"{GROUP}={sweep.launcher}", *(word for word in typed if not word.startswith(f"{GROUP}="))])[1]


def check_name(name: str) -> None:
    """Refuse an unknown launcher (UsageError)."""
    known = catalogue.options(GROUP)
    if name not in known:
        raise UsageError(f"there is no launcher `{name}` here; {nearest(name, known)}")


def _read(name: str) -> DictConfig:
    """The YAML of a launcher, laid over those that its `defaults` name. Raises UsageError."""
    check_name(name)
    file, whole = catalogue.file(GROUP, name), DictConfig({})
    try:
        node = OmegaConf.create(catalogue.read(file))
        if not isinstance(node, DictConfig):
            raise UsageError(f"{file}: expected a table of keys, e.g. `defaults: [local]`")
        for base in node.pop("defaults", None) or []:
            if base not in ("_self_", name):
                whole.merge_with(_read(str(base)))
        whole.merge_with(node)
    except (YAMLError, OmegaConfBaseException, TypeError, ValueError) as error:
        raise UsageError(f"{file}: {' '.join(str(error).split())}") from error
    return whole


def _refuse_unknown(key: str, node: DictConfig) -> None:
    """Refuse a key that the launcher does not have (UsageError)."""
    known = [str(key) for key in node if not str(key).startswith("_")]
    if key not in known:
        raise UsageError(f"unknown key `{TABLE}.{key}`; {nearest(key, known)}")
