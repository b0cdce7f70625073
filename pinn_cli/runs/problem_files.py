"""The two files of a problem of one's own, ./problems/NAME.py and ./conf/problem/NAME.yaml: they are written once."""

import keyword
import re
from dataclasses import dataclass
from pathlib import Path

from pinn_cli.basics.errors import UsageError
from pinn_cli.configuration import catalogue


@dataclass(frozen=True)
class ProblemFiles:
    """The files of the problem `name`. Raises UsageError for a name that is none, or that is taken."""

    name: str

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9_]*", self.name) or keyword.iskeyword(self.name):
            raise UsageError(
                f"cannot call a problem `{self.name}`; expected lower-case letters, digits and _, e.g. my_heat"
            )
        if self.name in catalogue.options("problem") or self.python.exists():
            raise UsageError(f"there is a problem `{self.name}` already; choose another name")

    @property
    def python(self) -> Path:
        return Path("problems", f"{self.name}.py")

    @property
    def yaml(self) -> Path:
        return Path("conf", "problem", f"{self.name}.yaml")

    @property
    def class_name(self) -> str:
        return "".join(word.capitalize() for word in self.name.split("_"))

    @property
    def target(self) -> str:
        """The `_target_` of the YAML."""
        own = Path("conf").resolve() != catalogue.CONF.resolve()
        return f"{'problems' if own else 'pinn_cli.problems'}.{self.name}.{self.class_name}"

    def write(self, python: str, yaml: str) -> None:
        """Write both. Raises UsageError if that is not possible; nothing is overwritten."""
        for path, text in ((self.python, python), (self.yaml, yaml)):
            write_new(path, text)


def write_new(path: Path, text: str) -> None:
    """Write a file that does not exist yet (Raises UsageError)."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "x", encoding="utf-8") as stream:
            stream.write(text)
    except OSError as error:
        raise UsageError(f"cannot write {path} ({error.strerror})") from None
