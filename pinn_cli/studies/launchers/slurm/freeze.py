"""The code as it was submitted, the user's and pinn's own: what is edited while jobs queue changes nothing.

Copied are `./conf` and every module of the working directory that a part or a problem may import. Everything else
there is linked, so that the relative name of a data file still means the same.
"""

import ast
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from pinn_cli.basics import checkout
from pinn_cli.configuration import catalogue

TARGET = re.compile(r"_target_\s*[:=]\s*['\"]?([A-Za-z_]\w*)")
LEFT_OUT = shutil.ignore_patterns("__pycache__", ".*")  # an editor's own, links to nowhere among them
LARGE = 2**24  # bytes from which a file is linked and not copied: data, not code


def keep(folder: Path, words: Iterable[str] = ()) -> None:
    """Put `pinn` and `code` into the folder of a sweep: all of both or, where that is cut short, no `code`."""
    parts = {name: folder / f".{name}.part" for name in ("pinn", "code")}
    for name, part in parts.items():
        shutil.rmtree(part, ignore_errors=True)
        shutil.rmtree(folder / name, ignore_errors=True)
    checkout.copy(parts["pinn"])
    freeze(parts["code"], words)
    for name, part in parts.items():  # `code` last
        if part.exists():  # an installed pinn is not copied
            part.rename(folder / name)


def freeze(place: Path, words: Iterable[str] = ()) -> None:
    """Fill the folder `place` from the working directory; `words` of runs may name further classes."""
    here, own = Path.cwd(), catalogue.folders()[1:]
    yamls = (path for conf in own for path in conf.rglob("*.yaml") if path.is_file())
    texts = [*words, *(path.read_text(encoding="utf-8", errors="replace") for path in yamls)]
    modules = _reached({found for text in texts for found in TARGET.findall(text)})
    place.mkdir()
    for path in [*own, *modules]:
        if path.is_dir():
            shutil.copytree(path, place / path.name, ignore=LEFT_OUT, copy_function=_copy)
        else:
            _copy(path, place / path.name)
    for path in here.iterdir():
        if not path.name.startswith((".", "__")) and path.name != "outputs" and not (place / path.name).exists():
            (place / path.name).symlink_to(path)


def _reached(names: set[str]) -> list[Path]:
    """The modules of the working directory with these names, and those that they import in turn: files, folders."""
    found: dict[str, Path] = {}
    while names:
        name = names.pop()
        path = next((path for path in (Path.cwd() / name, Path.cwd() / f"{name}.py") if path.exists()), None)
        if path is not None and name not in found:
            found[name] = path
            names |= {root for file in _files(path) for root in _imports(file)}
    return list(found.values())


def _files(path: Path) -> list[Path]:
    return [path] if path.is_file() else [file for file in path.rglob("*.py") if file.is_file()]


def _imports(file: Path) -> set[str]:
    """The first names of what a file imports; none if it cannot be read as Python, which its run will say."""
    try:
        nodes = list(ast.walk(ast.parse(file.read_bytes())))
    except (SyntaxError, ValueError):
        return set()
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return {name.partition(".")[0] for name in plain} | {
        str(node.module).partition(".")[0] for node in nodes if isinstance(node, ast.ImportFrom) and not node.level
    }


def _copy(source: str | Path, target: str | Path) -> str:
    """A file that is small enough to be code is copied; data, and a link to nowhere, is linked."""
    if os.path.isfile(source) and os.path.getsize(source) < LARGE:
        shutil.copy2(source, target)
    else:
        os.symlink(os.path.abspath(source), target)
    return str(target)
