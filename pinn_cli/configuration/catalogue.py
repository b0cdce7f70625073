"""The choices of each group: the YAML files of the package's `conf/` and of the user's own `./conf`."""

from pathlib import Path

from pinn_cli.basics import safe_yaml
from pinn_cli.basics.errors import UsageError, nearest

PACKAGE = Path(__file__).resolve().parents[1]
CONF = next(folder for folder in (PACKAGE / "conf", PACKAGE.parent / "conf") if folder.is_dir())
LISTS = ("weighting", "sampler", "optimizer", "strategy", "diagnostics")  # groups that take several parts
PUBLISHED = "published"  # the folder of published tables, which `pinn reproduce` reads: not a group
HYDRA = "hydra"  # the folder of launchers: not a group


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
    """The names of the groups."""
    names = {folder.name for conf in folders() for folder in conf.iterdir() if folder.is_dir()}
    return sorted(name for name in names - {PUBLISHED, HYDRA} if not name.startswith(("_", ".")))


def options(group: str) -> list[str]:
    """The choices of a group; a recipe in a folder of its own is called `folder/name`."""
    return [name for name, _ in _files(group)]


def file(group: str, name: str) -> Path:
    """The YAML of a choice (Raises KeyError if there is none)."""
    return dict(_files(group))[name]


def descriptions(group: str) -> dict[str, str]:
    """The first comment of each file, by choice."""
    return {name: _description(path) for name, path in _files(group)}


def check(group: str, name: str) -> None:
    """Refuse a choice that the group does not have, or one whose file is not plain YAML (UsageError)."""
    if name not in options(group):
        hint = f"{nearest(name, options(group))} (pinn list {plural(group)}){_place_of_own(group, name)}"
        raise UsageError(f"unknown {group} `{name}`; {hint}")
    _check(file(group, name), set())


def _place_of_own(group: str, name: str) -> str:
    """What to type for a problem of one's own, where there is no ./conf/problem yet."""
    if group != "problem" or Path("conf", group).is_dir():
        return ""
    return f"; your own problems go into ./conf/problem, and there is none in {Path.cwd()}: pinn new problem {name}"


def plural(group: str) -> str:
    """The plural of a group's name, as `pinn list` takes it."""
    return group if group.endswith("s") else f"{group[:-1]}ies" if group.endswith("y") else f"{group}s"


def _check(file: Path, seen: set[Path]) -> None:
    """Refuse a file of the user's, or a file that it names, that is not plain YAML or has settings of Hydra's, which
    could make it build any object (UsageError)."""
    if file in seen or CONF in file.parents:
        return
    seen.add(file)
    text = read(file)
    safe_yaml.check(text, file, foreign=HYDRA)
    if any(HYDRA in line for line in text.splitlines() if "@package" in line):
        raise UsageError(f"{file}: `# @package {HYDRA}...` is for the command line; expected a group of pinn's")
    scalars = "\n".join(safe_yaml.scalars(text))
    for other in (file for conf in folders()[1:] for file in conf.rglob("*.yaml")):
        if other.stem in scalars or "${" in scalars:  # a reference may become any name
            _check(other, seen)


def read(file: Path) -> str:
    """The text of a YAML (Raises UsageError if it cannot be read)."""
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} cannot be read ({' '.join(str(error).split())})") from None


def _files(group: str) -> list[tuple[str, Path]]:
    files = [
        (path.relative_to(conf / group).with_suffix("").as_posix(), path)
        for conf in folders()
        for path in (conf / group).rglob("*.yaml")
    ]
    return sorted(files)


def _description(path: Path) -> str:
    for line in read(path).splitlines():
        if line.startswith("#") and not line.startswith("# @package"):
            return line.lstrip("# ").strip()
        if not line.startswith("#"):
            break
    return ""
