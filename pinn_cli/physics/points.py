"""Random points of a problem's regions, for what is not training: trying a residual, and holding points out."""

import torch
from torch import Tensor

from pinn_cli.physics.domains.base import lattice
from pinn_cli.physics.problem import Problem

EVEN = 6  # the most coordinates for a lattice


def trial_points(problem: Problem, region: str, n: int) -> Tensor:
    """n random points (n, D) of a region, float64, always the same; on `data` all measurements with their columns."""
    if region == "data":
        return problem.data
    generator = torch.Generator("cpu").manual_seed(0)
    return _random(problem, region, n, generator, torch.empty(0, dtype=torch.float64, device="cpu"))


def even_points(problem: Problem, region: str) -> Tensor:
    """A uniform lattice (n, D) of a region, its ends included, float64, of about 500 points; on `data` all of it."""
    if region == "data":
        return problem.data
    D = len(problem.coordinates)
    if D > EVEN:
        return trial_points(problem, region, 512)
    return problem.domain.sample(region, lattice([(0.0, 1.0)] * D, max(3, round(512 ** (1 / D)) | 1)))


def fresh_points(problem: Problem, region: str, n: int, generator: torch.Generator, like: Tensor) -> Tensor:
    """n random points (n, D) of a region that training has not seen; on `data` the measurements `like` themselves."""
    return like if region == "data" else _random(problem, region, n, generator, like)


def _random(problem: Problem, region: str, n: int, generator: torch.Generator, like: Tensor) -> Tensor:
    unit = torch.rand(n, len(problem.coordinates), generator=generator, dtype=torch.float64, device="cpu")
    return problem.domain.sample(region, unit.to(like))
