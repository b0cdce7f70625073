"""A new shape of domain is one class: a disk, defined here, is trained on, evaluated and drawn like a box."""

import re
from dataclasses import dataclass
from math import pi
from pathlib import Path

import numpy as np
import pytest
import torch

import pinn_cli
from pinn_cli import Problem, load, on, periodic
from pinn_cli.cli import main
from pinn_cli.physics.ansatz import derive
from pinn_cli.physics.domains import Box, Domain
from pinn_cli.physics.references import reference_of
from pinn_cli.physics.time_window import refuse_unsliceable


class Disk(Domain):
    """x^2 + y^2 <= radius^2, with the regions `interior`, `boundary` and its `centre`."""

    coordinates = ("x", "y")
    regions = ["interior", "boundary", "centre"]

    def __init__(self, radius: float):
        self.radius = radius

    @property
    def extents(self):
        return ((-self.radius, self.radius),) * 2

    def parts(self, region):
        if region not in self.regions:
            raise ValueError(f"no region `{region}`; expected one of: {', '.join(self.regions)}")
        return [{"interior": (0, 1), "boundary": (0,), "centre": ()}[region]]

    def sample(self, region, unit):
        angle = 2 * pi * unit[:, 0]
        r = {"interior": unit[:, 1].sqrt(), "boundary": 1.0, "centre": 0.0}[region]
        return self.radius * torch.stack([r * torch.cos(angle), r * torch.sin(angle)], 1)

    def contains(self, X):
        return X.norm(dim=1) <= self.radius * (1 + 1e-12)

    def normal(self, region, X):
        return X / X.norm(dim=1, keepdim=True)


@dataclass
class Membrane(Problem):
    """u_xx + u_yy = -4 in the disk, du/dn = -2 radius on its boundary, u = radius^2 at the centre: radius^2 - r^2."""

    coordinates = ("x", "y")
    fields = ("u",)
    radius: float = 2.0

    def __post_init__(self):
        self.domain = Disk(self.radius)

    def exact(self, x, y):
        return self.radius**2 - x**2 - y**2

    @on("interior")
    def pde(self, lap_u):
        return lap_u + 4

    @on("boundary")
    def flux(self, u_n, radius):
        return u_n + 2 * radius

    @on("centre")
    def top(self, u, radius):
        return u - radius**2


SOURCE = Path(__file__).read_text()
PACKAGE = Path(pinn_cli.__file__).parent


@pytest.mark.slow
def test_a_problem_on_a_disk_is_trained_loaded_and_drawn(here, capsys):
    head, _, body = SOURCE.partition("import pinn_cli\n")
    Path("conf/problem").mkdir(parents=True)
    classes = body[body.index("class Disk") : body.index("SOURCE =")]
    imports = "from pinn_cli import Problem, on\nfrom pinn_cli.physics.domains import Domain\n"
    Path("membranes.py").write_text(f"{head}{imports}\n{classes}")
    Path("conf/problem/membrane.yaml").write_text("_target_: membranes.Membrane\nradius: 2.0\n")
    small = ["points.interior=64", "points.face=16", "architecture.width=8", "architecture.depth=1", "device=cpu"]
    assert main(["check", "problem=membrane"]) == 0
    assert "WARN" not in capsys.readouterr().out
    words = ["problem=membrane", "folder=run", "stop.steps=30", "weights.top=1", *small]
    assert main(["train", *words, "sampler=sobol"]) == 0
    u = load("run")
    assert u(x=0.5, y=0.5) == pytest.approx(3.5, abs=0.05)
    table = u.grid([5, 3])
    assert np.isnan(table["u"]).sum() == 8
    assert table["u"][2, 1] == pytest.approx(4, abs=0.05)
    assert (Path("run") / "figures" / "solution.png").is_file()
    assert main(["train", "problem=membrane", "constraints=exact", *small]) == 2
    assert "gives no values on faces to impose" in capsys.readouterr().err


def test_the_defaults_of_a_domain():
    disk = Disk(2.0)
    assert (disk.dimension, disk.length, disk.extent("y")) == (2, 4.0, (-2.0, 2.0))
    scale, shift = disk.scaling(1.0)
    assert scale.tolist() == [0.5, 0.5]
    assert not shift.any()
    assert disk.grid(2).shape == (5, 2)  # no corner of the square lies in the disk: the nodes of a 3 x 3 grid
    assert disk.contains(disk.grid(40)).all()
    assert [disk.has_normal(region) for region in disk.regions] == [False, True, False]
    assert [disk.is_point(region) for region in disk.regions] == [False, False, True]
    X = disk.sample("boundary", torch.rand(9, 2, dtype=torch.float64))
    torch.testing.assert_close(disk.inwards(X, 0.5).norm(dim=1), torch.ones(9, dtype=torch.float64))
    assert derive(Membrane()) == (None, [])
    assert reference_of(Membrane()) is not None


def test_a_method_that_a_domain_lacks_is_refused_in_one_line():
    class Ring(Membrane):
        @periodic("x")
        def seam(self, u):
            return u

    with pytest.raises(TypeError, match=r"Ring\.seam: Disk has no periodic coordinates"):
        Ring().constraints()
    with pytest.raises(ValueError, match="Membrane has no time axis"):
        refuse_unsliceable(Membrane())
    with pytest.raises(ValueError, match="Disk cannot be sliced"):
        Disk(1.0).between("x", 0.0, 1.0)
    with pytest.raises(TypeError, match="`u_n` is no symbol of the region `centre`"):
        type("Cusp", (Membrane,), {"spike": on("centre")(lambda self, u_n: u_n)})().constraints()


def test_a_normal_in_time_is_no_symbol():
    class Film(Problem):
        coordinates, fields = ("x", "t"), ("u",)

        def __init__(self):
            self.domain = Box(x=(0, 1), t=(0, 1))

        @on("t=0")
        def pull(self, u_n):
            return u_n

    with pytest.raises(TypeError, match="`u_n` is no symbol of the region `t=0`"):
        Film().constraints()


def test_only_the_domains_know_of_sides_and_faces():
    """Every other module asks a domain for what it needs, so that a new shape is one file."""
    asked = re.compile(r"\.(lower|upper)\b(?!\()|\.faces\(|\bFace\b")
    files = [*PACKAGE.rglob("*.py"), *(PACKAGE.parent / "problems").rglob("*.py")]
    outside = [file for file in files if file.parent != PACKAGE / "physics" / "domains"]
    assert not [(str(file), m[0]) for file in outside for m in asked.finditer(file.read_text())]
    assert asked.search("domain.lower[0]")
