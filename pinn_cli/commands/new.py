"""Write a working problem and its YAML into ./problems and ./conf/problem, as a start for one's own."""

import keyword
import re
from argparse import ArgumentParser, Namespace
from pathlib import Path

from pinn_cli.basics.errors import UsageError
from pinn_cli.configuration import catalogue

PROBLEM = '''"""{title}: describe the problem here, and where it comes from."""

from dataclasses import dataclass
from math import pi

from torch import Tensor, exp, sin

from pinn_cli import Box, Problem, on


@dataclass
class {name}(Problem):
    """u_t = kappa u_xx on [0, 1] x [0, 1]; u = 0 at x = 0 and x = 1; u(x, 0) = sin(pi x)."""

    coordinates = ("x", "t")
    fields = ("u",)
    kappa: float = 0.1

    def __post_init__(self) -> None:
        self.domain = Box(x=(0, 1), t=(0, 1))

    @on("interior")
    def pde(self, u_t, u_xx, kappa):
        """The residual, which must vanish. The names of the parameters are the derivatives that it needs."""
        return u_t - kappa * u_xx

    @on("boundary")
    def wall(self, u):
        return u

    @on("initial")
    def initial(self, x, u):
        return u - sin(pi * x)

    def exact(self, x: Tensor, t: Tensor) -> Tensor:
        """The exact solution, if it is known. Without this method, a run reports residuals at unseen points instead."""
        return sin(pi * x) * exp(-self.kappa * pi**2 * t)
'''
YAML = """# u_t = kappa u_xx on [0, 1]^2 (`pinn list problems` prints this line)
_target_: {module}.{file}.{name}
kappa: 0.1
"""


def add(parser: ArgumentParser) -> None:
    """The arguments of `pinn new`."""
    parser.add_argument("kind", choices=["problem"], help="what to write")
    parser.add_argument("name", help="its name, e.g. my_heat: a file ./problems/my_heat.py, chosen by problem=my_heat")


def run(arguments: Namespace) -> int:
    """Write the two files; refuses to overwrite anything (UsageError)."""
    file = arguments.name
    if not re.fullmatch(r"[a-z][a-z0-9_]*", file) or keyword.iskeyword(file):
        raise UsageError(f"cannot call a problem `{file}`; expected lower-case letters, digits and _, e.g. my_heat")
    python, yaml = Path("problems", f"{file}.py"), Path("conf", "problem", f"{file}.yaml")
    if file in catalogue.options("problem") or python.exists():
        raise UsageError(f"there is a problem `{file}` already; choose another name")
    name = "".join(word.capitalize() for word in file.split("_"))
    own = Path("conf").resolve() != catalogue.CONF.resolve()
    values = {"title": file.replace("_", " ").capitalize(), "name": name, "file": file}
    _write(python, PROBLEM.format(**values))
    _write(yaml, YAML.format(**values, module="problems" if own else "pinn_cli.problems"))
    print(f"{python} and {yaml}: edit them; then `pinn check problem={file}` and `pinn train problem={file}`")
    return 0


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "x", encoding="utf-8") as stream:
            stream.write(text)
    except OSError as error:
        raise UsageError(f"cannot write {path} ({error.strerror})") from None
