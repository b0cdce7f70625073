"""Numbers in [0, 1] that are dense near both ends, for layers at the boundary."""

from math import log

import torch
from torch import Tensor


def towards_the_ends(u: Tensor, finest: float, share: float = 0.5) -> Tensor:
    """Uniform numbers u in [0, 1] -> numbers in [0, 1], entry by entry.

    A share of them have a distance d from the nearest end with log d uniform between log `finest` and log 1/2, so each
    decade of d has equally many. The others stay uniform. (Layer-adapted meshes: Bakhvalov 1969, Roos, Stynes & Tobiska
    2008.)
    """
    graded = u < share
    v = torch.where(graded, u / share, (u - share) / (1 - share))
    distance = 0.5 * torch.exp(log(2 * finest) * (2 * v - 1).abs())
    return torch.where(graded, torch.where(v < 0.5, distance, 1 - distance), v)
