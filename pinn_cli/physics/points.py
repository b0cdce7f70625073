"""Points of a problem's regions that no sampler has drawn."""

from typing import Any

import torch
from torch import Tensor


def points_of(problem: Any, region: str, n: int) -> Tensor:
    """Random points (n, D) of a region, float64; on `data` all measurements with their columns."""
    if region == "data":
        return problem.data
    generator = torch.Generator("cpu").manual_seed(0)
    unit = torch.rand(n, len(problem.coordinates), generator=generator, dtype=torch.float64, device="cpu")
    return problem.domain.sample(region, unit)


def fresh_points(problem: Any, region: str, n: int, generator: torch.Generator, like: Tensor) -> Tensor:
    """n uniform points of a region that no training has seen; the measurements themselves on `data`."""
    if region == "data":
        return like
    unit = torch.rand(n, problem.domain.dimension, generator=generator, dtype=torch.float64, device="cpu")
    return problem.domain.sample(region, unit.to(like))
