"""Write a working problem and its YAML into ./problems and ./conf/problem, as a start for one's own."""

from argparse import ArgumentParser, Namespace

from pinn_cli.runs.problem_files import ProblemFiles

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
_target_: {target}
kappa: 0.1
"""


def add(parser: ArgumentParser) -> None:
    """The arguments of `pinn new`."""
    parser.add_argument("kind", choices=["problem"], help="what to write")
    parser.add_argument("name", help="its name, e.g. my_heat: a file ./problems/my_heat.py, chosen by problem=my_heat")


def run(arguments: Namespace) -> int:
    """Write the two files; refuses to overwrite anything (UsageError)."""
    files = ProblemFiles(arguments.name)
    values = {"title": files.name.replace("_", " ").capitalize(), "name": files.class_name, "target": files.target}
    files.write(PROBLEM.format(**values), YAML.format(**values))
    more = f"`pinn check problem={files.name}` and `pinn train problem={files.name}`"
    print(f"{files.python} and {files.yaml}: edit them; then {more}")
    return 0
