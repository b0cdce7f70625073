"""The text of what a run is made of and the package does not contain: its problem, and the user's own parts."""

from collections.abc import Iterator, Mapping
from difflib import unified_diff
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from pinn_cli.basics.errors import UsageError
from pinn_cli.configuration.build import refuse_foreign


def sources(config: DictConfig) -> dict[str, str]:
    """Text by module: the problem's always, other parts' unless they belong to pinn or torch."""
    modules = {target.rpartition(".")[0] for target in _targets(OmegaConf.to_container(config))}
    own = {module for module in modules if module.partition(".")[0] not in ("pinn_cli", "torch")}
    return {module: _text(module) for module in sorted(own | {config.problem._target_.rpartition(".")[0]})}


def refuse_changed(saved: Mapping[str, str], config: DictConfig) -> None:
    """Refuse to go on with other formulas than a run began with, showing the difference (UsageError)."""
    for module, now in sources(config).items():
        if module in saved and saved[module] != now:
            lines = unified_diff(saved[module].splitlines(), now.splitlines(), "then", "now", lineterm="", n=0)
            changes = [line for line in lines if line[:1] in "+-" and line[:3] not in ("+++", "---")]
            shown = "; ".join(changes[:4]) + (" ..." if len(changes) > 4 else "")
            way = "undo it, or go on with --changed (in Python trust_source=True)"
            raise UsageError(f"{module} has changed since the run began ({shown}); {way}")


def _targets(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("_target_"), str):
            yield node["_target_"]
        node = list(node.values())
    for value in node if isinstance(node, list) else []:
        yield from _targets(value)


def _text(module: str) -> str:
    """The text of a module's file, found without running it: a run that was changed must be refused before."""
    refuse_foreign(module, f"_target_={module}")
    try:
        found = find_spec(module)
    except Exception as error:  # a package around it is run to find it, and may raise anything
        if not isinstance(error, ImportError | ValueError):
            raise UsageError(f"{module}: {type(error).__name__}: {' '.join(str(error).split())}") from error
        found = None
    if found is None:
        path = module.replace(".", "/")
        raise UsageError(f"there is no {path}.py here; go to the folder where the run was started")
    return Path(found.origin).read_text(encoding="utf-8") if found.origin and found.has_location else ""
