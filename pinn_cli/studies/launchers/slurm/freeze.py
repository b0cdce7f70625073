"""A copy of the code of a submission, the user's and pinn's: editing a file while jobs are queued changes nothing.

`./conf` and every module of the working directory that a part or a problem may import are copied. Everything else is
linked, so that relative names of data files stay valid.
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
LEFT_OUT = shutil.ignore_patterns("__pycache__", ".*")  # among them files of editors
LARGE = 2**24  # bytes; a larger file is data, and is linked


def keep(folder: Path, words: Iterable[str] = ()) -> None:
    """Write `pinn` and `code` into the folder of a sweep. `code` is there only if both are complete."""
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
    """Fill the folder `place` from the working directory. The `words` of runs may name further classes."""
    here, own = Path.cwd(), catalogue.folders()[1:]
    yamls = (path for conf in own for path in conf.rglob("*.yaml") if path.is_file())
    texts = [*words, *(path.read_text(encoding="utf-8", errors="replace") for path in yamls)]
    modules = _reached({name for text in texts for name in TARGET.findall(text)})
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
    """The files and folders of the modules with these names in the working directory, and of those that they import."""
    modules: dict[str, Path] = {}
    while names:
        name = names.pop()
        path = next((path for path in (Path.cwd() / name, Path.cwd() / f"{name}.py") if path.exists()), None)
        if path is not None and name not in modules:
            modules[name] = path
            files = [path] if path.is_file() else [file for file in path.rglob("*.py") if file.is_file()]
            names |= {root for file in files for root in _imports(file)}
    return list(modules.values())


def _imports(file: Path) -> set[str]:
    """The top-level names that a file imports; none if it is not valid Python, which its run will report."""
    try:
        nodes = list(ast.walk(ast.parse(file.read_bytes())))
    except (SyntaxError, ValueError):
        return set()
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return {name.partition(".")[0] for name in plain} | {
        str(node.module).partition(".")[0] for node in nodes if isinstance(node, ast.ImportFrom) and not node.level
    }


def _copy(source: str | Path, target: str | Path) -> str:
    """Copy a file that is small enough to be code; link data, and links that lead nowhere."""
    if os.path.isfile(source) and os.path.getsize(source) < LARGE:
        shutil.copy2(source, target)
    else:
        os.symlink(os.path.abspath(source), target)
    return str(target)
