"""Random points of a problem's regions, for what is not training: trying a residual, and holding points out."""

import torch
from torch import Tensor

from pinn_cli.physics.domains.base import lattice
from pinn_cli.physics.problem import Constraint, Problem
from pinn_cli.physics.symbols import Column

PointSet = tuple[str, bytes]
EVEN = 6  # the most coordinates for a lattice


def trial_points(problem: Problem, where: Constraint | str, n: int) -> Tensor:
    """n random points (n, D) of a region, or of that of a constraint, float64, always the same.

    Those of a constraint on `data` are all its measurements with their columns.
    """
    region = where if isinstance(where, str) else where.region
    if not isinstance(where, str) and where.kind == "data":
        return measured_points(problem, where)
    generator = torch.Generator("cpu").manual_seed(0)
    return _random(problem, region, n, generator, torch.empty(0, dtype=torch.float64, device="cpu"))


def even_points(problem: Problem, where: Constraint | str) -> Tensor:
    """A uniform lattice (n, D) of a region, its ends included, float64, of about 500 points; on `data` all of it."""
    region = where if isinstance(where, str) else where.region
    D = len(problem.coordinates)
    if D > EVEN or region == "data":
        return trial_points(problem, where, 512)
    return problem.domain.sample(region, lattice([(0.0, 1.0)] * D, max(3, round(512 ** (1 / D)) | 1)))


def measured_rows(problem: Problem, c: Constraint) -> Tensor:
    """Which rows (N,) of the measurements have every value that a constraint reads."""
    read = [symbol.position for symbol in c.symbols.values() if isinstance(symbol, Column)]
    return problem.data[:, read].isfinite().all(1)


def measured_points(problem: Problem, c: Constraint) -> Tensor:
    """The points of a constraint on `data` (N, D + columns): the measurements that have every value it reads."""
    return problem.data[measured_rows(problem, c)]


def point_set(problem: Problem, c: Constraint) -> PointSet:
    """What constraints with the same points have in common: the region, and on `data` the rows that were measured."""
    return c.region, measured_rows(problem, c).numpy().tobytes() if c.kind == "data" else b""


def fresh_points(problem: Problem, region: str, n: int, generator: torch.Generator, like: Tensor) -> Tensor:
    """n random points (n, D) of a region that training has not seen; on `data` the measurements `like` themselves."""
    return like if region == "data" else _random(problem, region, n, generator, like)


def _random(problem: Problem, region: str, n: int, generator: torch.Generator, like: Tensor) -> Tensor:
    unit = torch.rand(n, len(problem.coordinates), generator=generator, dtype=torch.float64, device="cpu")
    return problem.domain.sample(region, unit.to(like))
