"""The source text of a run's problem and of the user's own parts, kept in its results file."""

from collections.abc import Mapping
from difflib import unified_diff
from importlib.util import find_spec
from pathlib import Path

from omegaconf import DictConfig

from pinn_cli.basics.errors import UsageError
from pinn_cli.configuration.build import refuse_foreign
from pinn_cli.configuration.project import own_modules


def sources(config: DictConfig) -> dict[str, str]:
    """The text of each module: the problem's, and those of parts that are neither pinn's nor torch's."""
    modules = own_modules(config) | {config.problem._target_.rpartition(".")[0]}
    return {module: _text(module) for module in sorted(modules)}


def refuse_changed(saved: Mapping[str, str], config: DictConfig) -> None:
    """Refuse modules that have changed since the run began, showing the difference (UsageError)."""
    for module, now in sources(config).items():
        if module in saved and saved[module] != now:
            lines = unified_diff(saved[module].splitlines(), now.splitlines(), "then", "now", lineterm="", n=0)
            changes = [line for line in lines if line[:1] in "+-" and line[:3] not in ("+++", "---")]
            shown = "; ".join(changes[:4]) + (" ..." if len(changes) > 4 else "")
            way = "undo it, or go on with --changed (in Python trust_source=True)"
            raise UsageError(f"{module} has changed since the run began ({shown}); {way}")


def _text(module: str) -> str:
    """The text of a module's file, without importing it: a changed module must be refused before it runs."""
    refuse_foreign(module, f"_target_={module}")
    try:
        spec = find_spec(module)
    except (ImportError, ValueError):
        spec = None
    except Exception as error:  # Python imports the package around the module, which may raise anything
        raise UsageError(f"{module}: {type(error).__name__}: {' '.join(str(error).split())}") from error
    if spec is None:
        path = module.replace(".", "/")
        raise UsageError(f"there is no {path}.py in {Path.cwd()}; cd to the folder where the run was started")
    return Path(spec.origin).read_text(encoding="utf-8") if spec.origin and spec.has_location else ""
