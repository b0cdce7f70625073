"""The user's project: the folder in which ``./conf`` and ``./problems`` lie, and from which their modules are imported.

A run of the user's own problem records its project folder, so that it loads, predicts and resumes from anywhere.
"""

import importlib
import os
import sys
import sysconfig
import time
from collections.abc import Iterator, Mapping
from contextlib import chdir, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from omegaconf import DictConfig, OmegaConf

from pinn_cli.basics.errors import UsageError

_INSTALLED = tuple(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))
_entered: dict[Path, int] = {}  # the projects of this process, and when it last looked for changed files there (ns)


def enter() -> None:
    """Let ``problems.mine`` and the user's other modules be imported from the working directory.

    Processes started from here find them too. A console script has no working directory on its path; it comes last
    there, so that nothing installed is shadowed, but before other projects. A ``problems.mine`` that was imported from
    another project is forgotten, and so are all modules of this one if a file of theirs was edited since.
    """
    place = Path.cwd().resolve()
    _forget(place)
    sys.path[:] = _placed([entry for entry in sys.path if entry != str(place)], place)
    carried = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry not in ("", str(place))]
    os.environ["PYTHONPATH"] = os.pathsep.join(_placed(carried, place))
    _entered[place] = time.time_ns()
    importlib.invalidate_caches()


@contextmanager
def working_in(folder: Path) -> Iterator[None]:
    """Enter a project and work in its folder: the names of its data files are relative to it."""
    _entered.setdefault(Path.cwd().resolve(), time.time_ns())
    with chdir(folder):
        enter()
        yield


def own_modules(config: DictConfig) -> set[str]:
    """The modules that a configuration names and that are neither pinn's nor torch's."""
    modules = {target.rpartition(".")[0] for target in targets(OmegaConf.to_container(config))}
    return {module for module in modules if module.partition(".")[0] not in ("pinn_cli", "torch")}


def targets(node: Any) -> Iterator[str]:
    """Every `_target_` at or below a node."""
    if isinstance(node, dict):
        if isinstance(node.get("_target_"), str):
            yield node["_target_"]
        node = list(node.values())
    for value in node if isinstance(node, list) else []:
        yield from targets(value)


def attributes(config: DictConfig) -> dict[str, str]:
    """What the results file of a run started here says of its project: nothing unless the run has modules there."""
    return {"project": str(Path.cwd().resolve())} if own_modules(config) else {}


def of_run(about: Mapping[str, Any], config: DictConfig, run: Path) -> Path:
    """The project folder of the run in the folder `run`: the recorded one, or the working directory.

    The results file may come from somebody else, and importing a module runs it. So the recorded folder counts only if
    it belongs to this user. Raises UsageError if the modules are not available.
    """
    here, modules, recorded = Path.cwd(), own_modules(config), about.get("project")
    if not modules or not isinstance(recorded, str) or not os.path.isabs(recorded) or not recorded.isprintable():
        return here
    there = os.path.isdir(recorded)
    if there and os.stat(recorded).st_uid == os.getuid():
        return here if os.path.samefile(recorded, here) else Path(recorded)
    module = min(modules)
    if (here / f"{module.replace('.', os.sep)}.py").is_file():
        return here
    why = "belongs to another user; if you trust its modules, cd there" if there else (
        "is not there any more; cd to where that folder is now")  # fmt: skip
    raise UsageError(f"{run} uses {module} of the project {recorded}, which {why}, and type it again")


def refuse_from_elsewhere(module: ModuleType, where: str) -> None:
    """Refuse a module of the user's own that does not lie in the working directory (UsageError)."""
    file, here = getattr(module, "__file__", None), Path.cwd().resolve()
    if file is None or not Path(file).resolve().is_relative_to(here):
        raise UsageError(f"{where}: {module.__name__} was imported from {file}; expected a file in {here}")


def _placed(entries: list[str], place: Path) -> list[str]:
    """The entries of a path with a project's folder before the first other project, else at the end."""
    at = next((k for k, entry in enumerate(entries) if Path(entry).resolve() in _entered), len(entries))
    return [*entries[:at], str(place), *entries[at:]]


def _forget(place: Path) -> None:
    """Drop imported modules that hide one of this project, and those of this one if a file was edited since."""
    roots = {name.partition(".")[0] for name in sys.modules} - {"__main__", "pinn_cli"}
    homes = {root: home for root in roots if (home := _home(sys.modules.get(root))) is not None}
    edited = place in _entered and any(_is_newer(name, _entered[place]) for name in list(sys.modules)
                                       if homes.get(name.partition(".")[0]) == place)  # fmt: skip
    for root, home in homes.items():
        if edited if home == place else (place / root).is_dir() or (place / f"{root}.py").is_file():
            for name in [name for name in sys.modules if f"{name}.".startswith(f"{root}.")]:
                del sys.modules[name]


def _home(module: ModuleType | None) -> Path | None:
    """The folder from which a root module was imported; None for an installed or a built-in one."""
    if module is None:
        return None
    file, folders = getattr(module, "__file__", None), list(getattr(module, "__path__", []))
    place = Path(folders[0]) if folders else Path(file) if isinstance(file, str) else None
    if place is None or not place.is_absolute() or str(place).startswith(_INSTALLED):
        return None
    return place.resolve().parent


def _is_newer(name: str, moment: int) -> bool:
    file = getattr(sys.modules[name], "__file__", None)
    return isinstance(file, str) and os.path.isfile(file) and os.stat(file).st_mtime_ns > moment
