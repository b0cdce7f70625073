"""What `pinn check` and the start of a run refuse in one line although each part is sound, and what they say."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from pinn_cli import load
from pinn_cli.cli import main
from pinn_cli.records.results import Results
from tests.conftest import TINY, each

SMALL = ["problem=mine", *TINY[1:]]
HEAD = """
from dataclasses import dataclass, field
import torch
from torch import exp, pi, sin
from pinn_cli import Box, Problem, observable, on, periodic
from pinn_cli.physics.references.table import Table, read_table
"""

# y'' = y with y = A at x = 0, where A is sought; {lines} of the class follow.
SOUGHT = """
@dataclass
class Mine(Problem):
    coordinates, fields = ("x",), ("y",)
    unknowns = {"A": 0.5}
    A: float = 0.5

    def __post_init__(self):
        self.domain = Box(x=(0, 3))

    def measurements(self):
        x = torch.linspace(0.5, 2.5, 7, dtype=torch.float64)
        return {"x": x, "y_data": 2.0 * torch.exp(-x)}

    @on("interior")
    def pde(self, y, y_xx):
        return y_xx - y

    @on("data")
    def measured(self, y, y_data):
        return y - y_data

    @on("x=0")
"""
# u_t = u_xx
RISE = """
@dataclass
class Mine(Problem):
    coordinates, fields = ("x", "t"), ("u",)

    def __post_init__(self):
        self.domain = Box(x=(0, 1), t=(0, 1))

    @on("interior")
    def heat(self, u_t, u_xx):
        return u_t - u_xx

    @on("initial")
    def start(self, x, u):
        return u - sin(pi * x)
"""
WALLS = """
    @on("boundary")
    def wall(self, u):
        return u
"""
EXACT = """
    def exact(self, x, t):
        return exp(-pi**2 * t) * sin(pi * x)
"""
DECAY = """
@dataclass
class Mine(Problem):
    coordinates, fields = ("t",), ("u",)
    start: float = 1.7e9
    length: float = 3000.0
    level: float = 0.0

    def __post_init__(self):
        self.domain = Box(t=(self.start, self.start + self.length))

    def exact(self, t):
        return self.level + torch.exp(-(t - self.start) / 1000)

    @on("interior")
    def decay(self, u, u_t, level):
        return 1000 * u_t + u - level

    @on("initial")
    def begin(self, u, level):
        return u - level - 1
"""
TABLE = """
    def reference(self):
        return Table('u.csv', self.coordinates, self.fields)
"""

REFUSED = {
    "an unknown as self.A": (SOUGHT + "    def left(self, y):\n        return y - self.A\n", [],
                             r"Mine.left: self.A is a fixed number, and `A` is an unknown; add `A` to the parameters of"
                             " `left` and write A in place of self.A"),
    "an unknown as self.A in an observable": (
        SOUGHT + "    def left(self, y, A):\n        return y - A\n    @observable\n    def gap(self, y):\n"
        "        return y - self.A\n", [], "Mine.gap: self.A is a fixed number"),
    "an unknown as self.A in an ansatz": (
        SOUGHT + "    def left(self, y, A):\n        return y - A\n    def ansatz(self, x, y):\n"
        "        return self.A + x * y\n", [], "Mine.ansatz: self.A is a fixed number, and `A` is an unknown; add `A`"),
    "an unknown that nobody names": (SOUGHT + "    def left(self, y):\n        return y - 2\n", [],
                                     "no residual changes with `A`; add `A` to the parameters of the residual"),
    "an unknown without effect": (SOUGHT + "    def left(self, y, A):\n        return y - 2 + 0 * A\n", [],
                                  "no residual changes with `A`, although left names it"),
    "an unknown without effect where it starts": (
        SOUGHT + "    def left(self, y, A):\n        return y - (A - 0.5)**2\n", [],
        r"no residual changes with `A` where it starts, at 0.5; write another start value, e.g. 'A': 0.6"),
    "an unknown without a weight": (SOUGHT + "    def left(self, y, A):\n        return y - A\n", ["weights.left=0"],
                                    "`left` has the weight 0 or no points; type weights.left=1"),
    "an unknown whose condition is imposed": (
        SOUGHT + "    def left(self, y, A):\n        return y - A\n    imposes = ('left',)\n"
        "    def impose(self, x, y):\n        return 2 + x * y\n", ["constraints=exact"],
        "no residual changes with `A`; add `A`"),
    "two values on one face": (RISE + WALLS + "    @on('x=1')\n    def hot(self, u):\n        return u - 1\n", [],
                               "Mine: `wall` and `hot` prescribe different values of u on x=1; take one of them away"),
    "two beginnings": (RISE + WALLS + "    @on('t=0')\n    def again(self, u):\n        return u - 1\n", [],
                       "Mine: `start` and `again` prescribe different values of u on t=0"),
    "exact in another order": (RISE + WALLS + "    def exact(self, t, x):\n        return t * x\n", [],
                               "Mine.exact: `t` stands for x; expected x, t"),
    "a reference of a field that is none": (RISE + WALLS + TABLE.replace("self.fields", "('v',)"), [],
                                           "Mine.reference: `v` is no field and no observable; expected one of u"),
    "a reference that is none": (RISE + WALLS + "    def reference(self):\n        return 'u.csv'\n", [],
                                 "Mine.reference: found str; expected e.g. Table"),
    "imposed values and an ansatz": (RISE + WALLS + "    def ansatz(self, x, t, u):\n        return t * u\n",
                                    ["constraints=exact"], "constraints=exact: the problem has its own `ansatz`"),
    "an imposed condition that is none": (RISE + WALLS + "    imposes = ('wal',)\n", [],
                                          "Mine.imposes: no constraint `wal`; .*wall"),
    "a sampler that needs another": (RISE + WALLS, ["sampler=held_out"],
                                     r"sampler=\[held_out\]: held_out wraps a sampler that draws points"),
    "two samplers that draw": (RISE + WALLS, ["sampler=[sobol,uniform]"],
                               r"sampler=\[sobol,uniform\]: uniform draws points itself, as the first does"),
    "points that would be added in vain": (RISE + WALLS, ["sampler=[sobol,rar,r3]"],
                                           "r3 draws all points of the interior, and those of rar would not be used"),
    "points that would be moved in vain": (RISE + WALLS, ["sampler=[sobol,rad,held_out,adaptive_residual]"],
                                           "those of rad would not be used"),
    "a density that would be drawn in vain": (RISE + WALLS, ["sampler=[sobol,density,vrba]", "sampler.density.every=5"],
                                              "those of density would not be used"),
    "time marching without time": (DECAY.replace("Box(t=", "Box(time=None, t=").replace('"initial"', "'t=1.7e9'"),
                                   ["strategy=time_marching"], "Mine has no time axis"),
    "time marching without a beginning": (RISE.replace('"initial"', '"t=1"') + WALLS, ["strategy=time_marching"],
                                          "`start` on t=1 ties times to each other"),
    "no weight at all": (RISE + WALLS, ["weights={interior: 0, face: 0, data: 0}"], "weights: all are 0"),
    "an error without a reference": (RISE + WALLS, ["stop.error=1e-3"],
                                     "stop.error=0.001: the problem has no `exact` and no `reference`"),
    "a period of an initial-value problem": (RISE + WALLS, ["periodic=[t]"],
                                             r"periodic=\[t\]: `start` says how the solution begins, so t has no per"),
    "a period with both ends given": (RISE + WALLS, ["periodic=[x]"],
                                      r"periodic=\[x\]: `wall` hold at both ends of x, which would be one point"),
    "a period that the solution has not": (RISE + EXACT.replace("pi * x", "x"), ["periodic=[x]"],
                                           r"periodic=\[x\]: u of the reference differs by 0.[0-9]+ between both ends"),
    "single precision far from zero": (DECAY, ["dtype=float32"],
                                       r"dtype=float32 rounds t near 1.7e\+09 to 0.07 of its length 3000; type d"),
    "double precision far from zero": (DECAY, ["problem.length=1e-3"],
                                       r"dtype=float64 rounds t near 1.7e\+09 to 0.0004 of .*; measure t from there"),
    "a field far from zero": (DECAY, ["dtype=float32", "problem.start=0", "problem.level=1e5"],
                              "dtype=float32 rounds u near 100000 to 0.0.* of its deviation 0.2.; type dtype=float64"),
}  # fmt: skip


@pytest.fixture
def mine(own_folder: Path) -> Callable[[str], None]:
    """Writes a problem with this text, `problem=mine`."""

    def write(text: str) -> None:
        numbers = "start: 1.7e9\nlength: 3000.0\nlevel: 0.0\n" if text.startswith(DECAY) else ""
        Path("conf/problem").mkdir(parents=True)
        Path("conf/problem/mine.yaml").write_text(f"_target_: problems.mine.Mine\n{numbers}")
        Path("problems").mkdir()
        Path("problems/mine.py").write_text(HEAD + text)

    return write


@pytest.mark.parametrize("case", REFUSED)
def test_a_contradiction_is_refused_in_one_line(case, mine, one_line):
    text, words, message = REFUSED[case]
    mine(text)
    Path("u.csv").write_text("x,t,v\n0,0,1\n1,1,1\n")
    assert main(["check", *SMALL, *words]) == 2
    assert re.search(message, refusal := one_line()), refusal


@pytest.mark.parametrize("case", ["an unknown as self.A", "single precision far from zero"])
def test_a_contradiction_is_refused_before_a_run_has_a_folder(case, mine, one_line):
    text, words, _ = REFUSED[case]
    mine(text)
    assert main(["train", *SMALL, *words]) == 2
    assert one_line()
    assert not Path("outputs").exists()


SOUND = {
    "an unknown that stands in the ansatz alone": (
        SOUGHT + "    def left(self, y):\n        return y\n    def ansatz(self, x, y, A):\n"
        "        return A + x * y\n", []),
    "an unknown that is named": (SOUGHT + "    def left(self, y, A):\n        return y - A\n", []),
    "an unknown of a sensor": (SOUGHT.replace("measured(self, y, y_data)", "measured(self, y, y_data, A)").replace(
        "y - y_data", "y + A - y_data") + "    def left(self, y):\n        return y - 2\n", []),
    "an error with a reference": (RISE + WALLS + EXACT, ["stop.error=1e-3"]),
    "double precision of Unix time": (DECAY, []),
    "single precision near zero": (DECAY, ["dtype=float32", "problem.start=0"]),
    "kelvin in single precision": (DECAY, ["dtype=float32", "problem.start=0", "problem.level=100"]),
    "a value given twice": (RISE + WALLS + "    @on('x=1')\n    def cold(self, u):\n        return 2 * u\n", []),
    "values that meet at a corner": (RISE.replace("sin(pi * x)", "1") + WALLS, []),
    "a period with one end given": (RISE + WALLS.replace("boundary", "x=0"), ["periodic=[x]"]),
}  # fmt: skip


@pytest.mark.parametrize("case", SOUND)
def test_what_is_no_contradiction_is_accepted(case, mine, capsys):
    text, words = SOUND[case]
    mine(text)
    assert main(["check", *SMALL, *words]) == 0, capsys.readouterr()


REFERENCES = {
    "some outside": ("x,t,u\n0.5,0.5,0.1\n0.1,0.1,0.1\n0.9,0.9,0.1\n2,0.5,7\n0.5,-1,7\n",
                     ["2 of 5 points lie outside the domain and do not count", "0.1 to 0.9 of 0 to 1"]),
    "a part": ("x,t,u\n0,0,0.1\n0.25,1,0.2\n",
               ["known for x from 0 to 0.25 of 0 to 1; errors are those of this part"]),
    "the whole": ("x,t,u\n0,0,0.1\n1,1,0.2\n", []),
}  # fmt: skip


@pytest.mark.parametrize("case", each(REFERENCES, ["some outside"]))
def test_what_a_reference_covers_is_said(case, mine, capsys):
    table, said = REFERENCES[case]
    mine(RISE + WALLS + TABLE)
    Path("u.csv").write_text(table)
    main(["check", *SMALL])
    shown = " ".join(capsys.readouterr().out.split())
    assert all(words in shown for words in said), shown
    assert ("known for" in shown) == ("known for x" in " ".join(said) or case == "some outside")
    assert main(["train", *SMALL, "stop.steps=1"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert all(words in shown for words in said), shown


def test_points_outside_do_not_enter_the_error(mine, capsys):
    mine(RISE + WALLS + TABLE)
    Path("u.csv").write_text("x,t,u\n0,0,1\n1,1,1\n5,5,1e6\n")
    assert main(["train", *SMALL, "stop.steps=1", "folder=run"]) == 0
    u = load("run")
    misfit = [float(u(x=x, t=x)) - 1 for x in (0.0, 1.0)]
    error = Results(Path("run/results.h5")).read("error")
    assert float(error["u"]) == pytest.approx((sum(e * e for e in misfit) / 2) ** 0.5, rel=1e-9)


def test_a_reference_that_lies_all_outside_is_refused(mine, one_line):
    mine(RISE + WALLS + TABLE)
    Path("u.csv").write_text("x,t,u\n2,0.5,7\n0.5,-1,7\n")
    assert main(["train", *SMALL]) == 2
    assert "Mine.reference: none of 2 points lies in the domain; the first is x = 2, t = 0.5" in one_line()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return torch.ones(3)", r"Mine.exact: `u` has shape \(3,\)"),
        ("return 1.0", "Mine.exact: `u` has float at 4 points"),
        ("return u", "Mine.exact: NameError"),
        ("return x, t", "exact: 2 values; expected one for each field"),
        ("return x + 1j", "Mine.exact: `u` has values of torch.complex128; expected torch.float64"),
        ("return (x * t).float()", "Mine.exact: `u` has values of torch.float32; expected torch.float64"),
        ("return (x * t).long()", "Mine.exact: `u` has values of torch.int64; expected torch.float64"),
        ("return x * t + float('nan')", "Mine: the reference of u is finite at none of 64 points"),
    ],
)
def test_a_wrong_exact_solution_is_refused(body, message, mine, one_line):
    mine(RISE + WALLS + f"    def exact(self, x, t):\n        {body}\n")
    assert main(["train", *SMALL, "stop.steps=1"]) == 2
    assert re.search(message, refusal := one_line()), refusal


def test_an_exact_solution_that_is_not_finite_at_a_corner_is_said_and_the_corner_does_not_count(mine, capsys):
    mine(RISE + WALLS + "    def exact(self, x, t):\n        return x * t / (x + t)\n")
    assert main(["train", *SMALL, "stop.steps=1", "folder=run"]) == 0
    assert "exact: u is not finite at 1 of 10000 points, which do not count" in capsys.readouterr().out
    assert 0 < float(Results(Path("run/results.h5")).read("error")["u"]) < 1e3
