"""Build the parts of a configuration: `_target_` names become classes, and classes become objects, only here.

A configuration may come from somebody else, in a results file or a YAML. So only classes are built, never functions,
and only those in this package's folders of parts, torch's networks and optimizers, and those of the user's project.
"""

import inspect
import re
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import is_dataclass
from importlib import import_module
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from hydra.errors import HydraException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from pinn_cli.basics.errors import MachineError, UsageError, nearest, user_method
from pinn_cli.configuration import project
from pinn_cli.configuration.catalogue import CONF
from pinn_cli.configuration.settings import shown
from pinn_cli.configuration.sources import current, is_recorded

KINDS = ("architectures", "weightings", "samplers", "optimizers", "strategies", "diagnostics")
PARTS = ("problems", "derivatives.engines", *(f"methods.{kind}" for kind in KINDS))
# The modules that pinn's own YAMLs name as launchers. `pool.py` beside them is not one: its classes start processes.
_YAMLS = sorted((CONF / "hydra" / "launcher").glob("*.yaml"))
LAUNCHERS = re.findall(r"^_target_: (\S+)\.\w+$", "\n".join(file.read_text("utf-8") for file in _YAMLS), re.MULTILINE)
# The modules whose classes may be built: parts and launchers.
ROOMS = (*(f"pinn_cli.{room}" for room in PARTS), *LAUNCHERS, "torch.nn", "torch.optim")
SPECIAL = ("_target_", "_partial_", "_convert_", "_recursive_", "_args_")


class Builder:
    """Builds the parts of one configuration.

    `typed` are the keys the user has typed: an unknown keyword among them is refused. An unknown keyword of a recipe
    was meant for another part; it is left out, and `notes` says so.
    """

    def __init__(self, typed: Collection[str] = ()) -> None:
        self.typed = set(typed)
        self.notes: list[str] = []

    def part(self, node: DictConfig, where: str, kind: type = object) -> Callable[..., Any]:
        """A function that makes the part from what only the run can give. Both raise UsageError.

        `kind` is the class of `methods/contracts.py` that the part must inherit.
        """
        target = str(node.get("_target_"))
        with current():
            cls = permitted_class(target, where)
            if not issubclass(cls, kind):
                expected = f"a subclass of {kind.__module__}.{kind.__name__}"
                raise UsageError(f"{where}._target_={target}: expected {expected}")
            node = self._fitting(node, cls, where)
            maker = instantiate(node, _partial_=True, _convert_="all")

        def make(*args: Any, **keywords: Any) -> Any:
            try:
                return maker(*args, **keywords)
            except UsageError:
                raise
            except (OSError, TypeError, ValueError, HydraException) as error:
                cause = error.__cause__ if isinstance(error, HydraException) and error.__cause__ else error
                kind = MachineError if isinstance(cause, OSError) else UsageError  # a file may be there later
                raise kind(f"{where}: {' '.join(str(cause).split())}") from error
            except Exception:
                if where != "problem":  # other parts may lack memory
                    raise
                with user_method(where):
                    raise

        return make

    def _fitting(self, node: DictConfig, cls: type, where: str) -> DictConfig:
        """The node with its nested parts, each checked against its constructor, without keywords of other parts."""
        keywords, takes_any = keywords_of(cls)
        kept: dict[str, Any] = {}
        for key, value in ((str(key), value) for key, value in node.items()):
            if key not in (*SPECIAL, *keywords) and not takes_any:
                self._unknown(f"{where}.{key}", key, keywords)
                continue
            _check_type(f"{where}.{key}", value, keywords.get(key, Any))
            kept[key] = self._nested(value, f"{where}.{key}")
        return OmegaConf.create(kept)

    def _nested(self, value: Any, where: str) -> Any:
        if OmegaConf.is_dict(value) and "_target_" in value:
            return self._fitting(value, permitted_class(str(value["_target_"]), where), where)
        if OmegaConf.is_dict(value):
            return {key: self._nested(inner, f"{where}.{key}") for key, inner in value.items()}
        if OmegaConf.is_list(value):
            return [self._nested(inner, f"{where}[{i}]") for i, inner in enumerate(value)]
        return value

    def _unknown(self, where: str, key: str, keywords: Mapping[str, Any]) -> None:
        typed = where in self.typed or any(key.startswith(f"{where}.") for key in self.typed)
        if typed or where.startswith("problem."):  # no recipe sets coefficients of a problem
            raise UsageError(f"unknown key `{where}`; {nearest(key, keywords)}")
        self.notes.append(f"{where} is left out: the part that is selected has no such setting")


def permitted_class(target: str, where: str) -> type:
    """The class that a `_target_` names. Raises UsageError unless it is pinn's, torch's, or of the user's project."""
    with current():
        return _permitted_class(target, where)


def _permitted_class(target: str, where: str) -> type:
    module, _, name = target.rpartition(".")
    refuse_foreign(module, f"{where}._target_={target}")
    try:
        cls = getattr(import_module(module), name, None)
    except Exception as error:  # the user's own module may raise anything
        line = f", line {error.lineno} of {error.filename}" if isinstance(error, SyntaxError) else ""
        reason = " ".join(str(error).split())
        kind = MachineError if isinstance(error, OSError) else UsageError  # a file may be there later
        raise kind(f"{where}._target_={target}: {type(error).__name__}: {reason}{line}") from error
    if not isinstance(cls, type):
        what = f"`{name}` is no class" if cls is not None else f"no `{name}` there"
        raise UsageError(f"{where}._target_={target}: {what}; expected a class of the module {module}")
    refuse_foreign(cls.__module__, f"{where}._target_={target}")  # the module may have imported it from elsewhere
    if not module.startswith(("pinn_cli.", "torch.")):
        project.refuse_from_elsewhere(sys.modules[module], f"{where}._target_={target}")
    return cls


def refuse_foreign(module: str, where: str) -> None:
    """Refuse a module that must not be imported, since importing runs it (UsageError)."""
    root = module.partition(".")[0]
    if any(f"{module}.".startswith(f"{room}.") for room in ROOMS) or is_recorded(root):
        return
    if root not in ("pinn_cli", "torch"):
        if project.lies_here(root):
            return
        project.refuse_hidden(root, where)
    rooms = f"pinn_cli.{{{','.join(PARTS)}}}, of torch.nn, of torch.optim"
    raise UsageError(f"{where}: expected a class of {rooms}, or of a module in {Path.cwd()}")


def keywords_of(cls: type) -> tuple[dict[str, Any], bool]:
    """The constructor's keywords with their annotations, and whether it takes other keywords too."""
    parameters = inspect.signature(cls).parameters.values()
    try:
        hints = get_type_hints(cls if is_dataclass(cls) else getattr(cls, "__init__"))  # noqa: B009  mypy
    except (NameError, TypeError):
        hints = {}
    named = {p.name: hints.get(p.name, Any) for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
    return named, any(p.kind == p.VAR_KEYWORD for p in parameters)


def _check_type(where: str, value: Any, annotation: Any) -> None:
    if not _fits(value, annotation):
        raise UsageError(f"{where}={shown(value)}: expected {_in_words(annotation)}")


def _in_words(annotation: Any) -> str:
    """A type as a user reads it: ``float | None`` is `float or null`."""
    origin = get_origin(annotation)
    if origin in (Union, UnionType):
        return " or ".join(map(_in_words, get_args(annotation)))
    if origin is Literal:
        return f"one of {', '.join(map(str, get_args(annotation)))}"
    if annotation in (NoneType, None):
        return "null"
    if _is_table(annotation):
        return "names and values, e.g. {name: value}"
    if origin is Sequence:
        return f"list of {_in_words(get_args(annotation)[0])}"
    return str(getattr(origin or annotation, "__name__", annotation)).replace("tuple", "list")


def _is_table(annotation: Any) -> bool:
    return (get_origin(annotation) or annotation) in (dict, Mapping)


def _fits(value: Any, annotation: Any) -> bool:
    """Whether a value of a YAML file fits an annotation. An annotation of a type that YAML lacks fits any value."""
    origin = get_origin(annotation)
    if origin in (Union, UnionType):
        return any(_fits(value, option) for option in get_args(annotation))
    if origin is Literal:
        return value in get_args(annotation)
    if annotation in (NoneType, None):
        return value is None
    if annotation is bool:
        return isinstance(value, bool)
    if annotation is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if annotation is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if annotation is str:
        return isinstance(value, str)
    if origin in (list, tuple) or annotation in (list, tuple):
        return OmegaConf.is_list(value)
    if origin is Sequence:
        return OmegaConf.is_list(value) and all(_fits(one, get_args(annotation)[0]) for one in value)
    if _is_table(annotation):
        return OmegaConf.is_dict(value)
    return True
