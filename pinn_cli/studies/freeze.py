"""A copy of the user's code, configuration and data in the folder of a sweep: an edited file changes none of its runs.

`./conf`, every module of the working directory that a part or a problem may import, and the data files that their texts
name are copied. Everything else is linked, so that relative names of files stay valid. A linked file is not frozen;
that it has changed shows in the hash `source` of the runs that have read it.
"""

import ast
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from pinn_cli.basics import safe_yaml
from pinn_cli.basics.errors import UsageError
from pinn_cli.configuration import catalogue
from pinn_cli.configuration.sources import Text, hash_of, refuse_difference

CODE = "code"  # the name of the copy in the folder of a sweep
TARGET = re.compile(r"_target_\s*[:=]\s*['\"]?([A-Za-z_]\w*)")
# Files of editors; published tables, which no run reads and which may get further cells.
LEFT_OUT = shutil.ignore_patterns("__pycache__", ".*", catalogue.PUBLISHED)
LARGE = 2**24  # bytes; a larger file is linked
MANY = 1000  # files; a folder of data that holds more is linked
LONGEST = 200  # characters of the name of a data file


def keep(folder: Path, words: Iterable[str] = (), always: bool = True) -> None:
    """Write `code` into the folder of a sweep: all of it, or nothing.

    Without `always` nothing is written where there is nothing of the user's own to copy.
    """
    part = folder / f".{CODE}.part"
    shutil.rmtree(part, ignore_errors=True)
    if freeze(part, words) or always:
        part.rename(folder / CODE)
    else:
        shutil.rmtree(part)


def freeze(place: Path, words: Iterable[str] = ()) -> bool:
    """Fill the folder `place` from the working directory; whether anything of the user's own was copied.

    The `words` of runs may name further classes and files.
    """
    here, words, own = Path.cwd(), list(words), catalogue.folders()[1:]
    yamls = [path for conf in own for path in conf.rglob("*.yaml") if path.is_file()]
    texts = [*words, *(path.read_text(encoding="utf-8", errors="replace") for path in yamls)]
    modules = _reached({name for text in texts for name in TARGET.findall(text)})
    place.mkdir()
    for path in [*own, *modules]:
        if path.is_dir():
            shutil.copytree(path, place / path.name, ignore=LEFT_OUT, copy_function=_copy)
        else:
            _copy(path, place / path.name)
    _link(here, place)
    named = [*(word.partition("=")[2] for word in words), *_in_yamls(yamls)]
    data = {here / name for name in named if _is_name(name)} | set(_in_modules(modules))
    for path in sorted(path for path in data if _is_data(path, here)):
        _own(place, path.relative_to(here))
    return bool(own or modules)


def refuse_changed(folder: Path) -> None:
    """Refuse to start runs of a frozen sweep from files that have changed since, with the difference (UsageError)."""
    code, here = folder / CODE, Path.cwd()
    way = f"put it back as it was, or type folder=ANOTHER; pinn resume {folder} goes on with the frozen files"
    for file in sorted(path for path in code.rglob("*") if path.is_file() and not _is_linked(path, code)):
        name = file.relative_to(code)
        if not (here / name).is_file():
            raise UsageError(f"{name} is not there any more, and {folder} has it frozen; {way}")
        if hash_of(file) != hash_of(here / name):
            with suppress(UnicodeDecodeError):
                then, now = (path.read_text(encoding="utf-8") for path in (file, here / name))
                refuse_difference(str(name), then, Text(now, str(name)), way, "the sweep")
            raise UsageError(f"{name} has changed since the sweep began; {way}")


def _is_linked(path: Path, code: Path) -> bool:
    return any(parent.is_symlink() for parent in (path, *path.parents) if parent != code and code in parent.parents)


def _link(source: Path, target: Path) -> None:
    """Link what a folder holds into another one, but for what is there already, hidden files and outputs."""
    for path in source.iterdir():
        if not path.name.startswith((".", "__")) and path.name != "outputs" and not (target / path.name).exists():
            (target / path.name).symlink_to(path)


def _own(place: Path, name: Path) -> None:
    """Replace a link to data, or a link that it lies behind, by a copy."""
    for parent in [*reversed(name.parents[:-1]), name]:
        copy = place / parent
        if not copy.is_symlink():
            continue
        source = copy.readlink()
        copy.unlink()
        if parent == name and source.is_dir():
            shutil.copytree(source, copy, ignore=LEFT_OUT, copy_function=_copy)
        elif parent == name:
            _copy(source, copy)
        else:
            copy.mkdir()
            _link(source, copy)


def _is_name(text: str) -> bool:
    return 0 < len(text) <= LONGEST and text.isprintable() and not os.path.isabs(text)


def _is_data(path: Path, here: Path) -> bool:
    """Whether a path is a file, or a folder of not too many files, below the working directory."""
    try:
        inside = path.resolve().is_relative_to(here.resolve()) and path.resolve() != here.resolve()
        parts = path.relative_to(here).parts if path.is_relative_to(here) else ("..",)
        if not inside or not path.exists() or any(part.startswith((".", "__")) for part in parts) or "outputs" in parts:
            return False
        return path.is_file() or sum(1 for _, _, files in os.walk(path) for _ in files) <= MANY
    except OSError:
        return False


def _in_yamls(yamls: Iterable[Path]) -> Iterator[str]:
    """The scalars of the user's own YAML files."""
    for path in yamls:
        try:
            yield from safe_yaml.scalars(path.read_text(encoding="utf-8", errors="replace"))
        except UsageError:  # its run will report it
            continue


def _in_modules(modules: Iterable[Path]) -> Iterator[Path]:
    """What the texts in modules may name: a file or folder beside the module or in the working directory.

    Of a name that is put together, such as ``f"data/{case}.csv"``, the folder.
    """
    for file in (file for path in modules for file in ([path] if path.is_file() else path.rglob("*.py"))):
        try:
            nodes = list(ast.walk(ast.parse(file.read_bytes())))
        except (SyntaxError, ValueError, OSError):
            continue
        texts = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
        for text in filter(_is_name, texts):
            for name in (text, *([text.rpartition("/")[0]] if "/" in text else [])):
                yield from (place / name for place in (Path.cwd(), file.parent) if name)


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
    """Copy a file that is not too large; link another one, and links that lead nowhere."""
    if os.path.isfile(source) and os.path.getsize(source) < LARGE:
        shutil.copy2(source, target)
    else:
        os.symlink(os.path.abspath(source), target)
    return str(target)
