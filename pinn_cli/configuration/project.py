"""The user's project: the folder in which ``./conf`` and ``./problems`` lie, and from which their modules are imported.

A run of the user's own problem records its project folder, so that it loads, predicts and resumes from anywhere.
"""

import importlib
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import chdir, contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from omegaconf import DictConfig, OmegaConf

from pinn_cli.basics.errors import UsageError

_entered: set[Path] = set()  # the projects of this process


def enter() -> None:
    """Let ``problems.mine`` and the user's other modules be imported from the working directory.

    Processes started from here find them too. A console script has no working directory on its path; it comes last
    there, so that nothing installed is shadowed, but before other projects.
    """
    place = Path.cwd().resolve()
    sys.path[:] = _placed([entry for entry in sys.path if entry != str(place)], place)
    carried = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry not in ("", str(place))]
    os.environ["PYTHONPATH"] = os.pathsep.join(_placed(carried, place))
    _entered.add(place)
    importlib.invalidate_caches()


@contextmanager
def working_in(folder: Path) -> Iterator[None]:
    """Enter a project and work in its folder: the names of its data files are relative to it."""
    _entered.add(Path.cwd().resolve())
    path, environment = list(sys.path), os.environ.get("PYTHONPATH")
    with chdir(folder):
        enter()
        try:
            yield
        finally:
            sys.path[:] = path
            os.environ.pop("PYTHONPATH", None)
            if environment is not None:
                os.environ["PYTHONPATH"] = environment


def path_without_project() -> str:
    """PYTHONPATH without the working directory: for processes that use a frozen copy of it."""
    here = str(Path.cwd().resolve())
    return os.pathsep.join(place for place in os.environ.get("PYTHONPATH", "").split(os.pathsep)
                           if place and os.path.realpath(place) != here)  # fmt: skip


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
    here, modules, recorded = Path.cwd(), own_modules(config), _recorded(about)
    if not modules or recorded is None:
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


def data_of_run(about: Mapping[str, Any]) -> Path:
    """The folder to which the data files of a run are relative: its project, or where that is missing, this folder."""
    recorded = _recorded(about)
    return Path(recorded) if recorded is not None and os.path.isdir(recorded) else Path.cwd()


def _recorded(about: Mapping[str, Any]) -> str | None:
    recorded = about.get("project")
    usable = isinstance(recorded, str) and os.path.isabs(recorded) and recorded.isprintable()
    return recorded if usable else None


def places_of(root: str) -> list[Path]:
    """Where Python finds a module or package without importing it: its file, or its folders; [] for none."""
    try:
        spec = find_spec(root)
    except (ImportError, ValueError):
        return []
    places = [spec.origin, *(spec.submodule_search_locations or [])] if spec else []
    return [Path(place).resolve() for place in places if place and os.path.isabs(place)]


def lies_here(root: str) -> bool:
    """Whether Python finds a module or package in the working directory."""
    return any(place.parent == Path.cwd().resolve() for place in places_of(root))


def refuse_hidden(root: str, where: str) -> None:
    """Refuse a module of the working directory in whose place Python finds another one (UsageError)."""
    here, places = Path.cwd().resolve(), places_of(root)
    if not places or not ((here / root).is_dir() or (here / f"{root}.py").is_file()):
        return
    place = places[-1]  # the folder of a package
    carried = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    entry = next((one for one in carried if Path(one).resolve() == place.parent), None)
    way = f"take {entry} out of PYTHONPATH" if entry else f"give the module in {here} another name"
    raise UsageError(f"{where}: Python finds `{root}` in {place}; expected it in {here}: {way}")


def refuse_from_elsewhere(module: ModuleType, where: str) -> None:
    """Refuse a module of the user's own that does not lie in the working directory (UsageError)."""
    file, here = getattr(module, "__file__", None), Path.cwd().resolve()
    if file is None or not Path(file).resolve().is_relative_to(here):
        raise UsageError(f"{where}: {module.__name__} was imported from {file}; expected a file in {here}")


def _placed(entries: list[str], place: Path) -> list[str]:
    """The entries of a path with a project's folder before the first other project, else at the end."""
    at = next((k for k, entry in enumerate(entries) if Path(entry).resolve() in _entered), len(entries))
    return [*entries[:at], str(place), *entries[at:]]
