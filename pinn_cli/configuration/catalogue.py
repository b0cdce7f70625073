"""What may be chosen: the YAML files of the package's `conf/` and of the user's own `./conf`, by group."""

from pathlib import Path

from pinn_cli.basics import safe_yaml
from pinn_cli.basics.errors import UsageError, nearest

PACKAGE = Path(__file__).resolve().parents[1]
CONF = next(folder for folder in (PACKAGE / "conf", PACKAGE.parent / "conf") if folder.is_dir())
LISTS = ("weighting", "sampler", "optimizer", "strategy", "diagnostics")  # groups of which several may be taken at once
PUBLISHED = "published"  # the folder of published tables: what `pinn reproduce` reads, no choice of a run
HYDRA = "hydra"  # the folder of launchers: how runs are started, no choice of a run


def folders() -> list[Path]:
    """The package's configuration folder, then the user's own `./conf` if there is one (Raises UsageError)."""
    own = Path.cwd() / "conf"
    if not own.is_dir() or own.resolve() == CONF.resolve():
        return [CONF]
    for file in own.rglob("*.yaml"):
        if (CONF / file.relative_to(own)).exists():
            raise UsageError(
                f"./conf/{file.relative_to(own)} has the name of a file of pinn itself; give it another name"
            )
    return [CONF, own]


def groups() -> list[str]:
    """The groups, by name."""
    found = {folder.name for conf in folders() for folder in conf.iterdir() if _is_group(folder)}
    return sorted(found - {PUBLISHED, HYDRA})


def options(group: str) -> list[str]:
    """The choices of a group; a recipe in a folder of its own is called `folder/name`."""
    return [name for name, _ in _files(group)]


def file(group: str, name: str) -> Path:
    """The YAML of a choice (Raises KeyError for one that is not there)."""
    return dict(_files(group))[name]


def descriptions(group: str) -> dict[str, str]:
    """What the first comment of each file says, by choice."""
    return {name: _description(path) for name, path in _files(group)}


def known(group: str, name: str) -> None:
    """Refuse a choice that a group does not have, offering the nearest, or whose file is no YAML (UsageError)."""
    if name not in options(group):
        hint = f"{nearest(name, options(group))} (pinn list {plural(group)}){_own(group, name)}"
        raise UsageError(f"unknown {group} `{name}`; {hint}")
    _check(file(group, name), set())


def _own(group: str, name: str) -> str:
    """Where a problem of the user's own is looked for, if there is no such place."""
    if group != "problem" or Path("conf", group).is_dir():
        return ""
    return f"; your own problems go into ./conf/problem, and there is none in {Path.cwd()}: pinn new problem {name}"


def plural(group: str) -> str:
    """The name of a group as `pinn list` spells it."""
    return group if group.endswith("s") else f"{group[:-1]}ies" if group.endswith("y") else f"{group}s"


def _check(file: Path, seen: set[Path]) -> None:
    """Refuse a user's file, or one that it names, that is no plain YAML, or could make Hydra build something, which may
    be anything (UsageError)."""
    if file in seen or CONF in file.parents:
        return
    seen.add(file)
    text = read(file)
    safe_yaml.check(text, file, foreign=HYDRA)
    if any(HYDRA in line for line in text.splitlines() if "@package" in line):
        raise UsageError(f"{file}: `# @package {HYDRA}...` is for the command line; expected a group of pinn's")
    said = "\n".join(safe_yaml.scalars(text))
    for other in (file for conf in folders()[1:] for file in conf.rglob("*.yaml")):
        if other.stem in said or "${" in said:  # what a reference becomes may be any name
            _check(other, seen)


def read(file: Path) -> str:
    """The text of a YAML (Raises UsageError if it cannot be read)."""
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} cannot be read ({' '.join(str(error).split())})") from None


def _is_group(folder: Path) -> bool:
    return folder.is_dir() and not folder.name.startswith(("_", "."))


def _files(group: str) -> list[tuple[str, Path]]:
    found = [
        (path.relative_to(conf / group).with_suffix("").as_posix(), path)
        for conf in folders()
        for path in (conf / group).rglob("*.yaml")
    ]
    return sorted(found)


def _description(path: Path) -> str:
    for line in read(path).splitlines():
        if line.startswith("#") and not line.startswith("# @package"):
            return line.lstrip("# ").strip()
        if not line.startswith("#"):
            break
    return ""
