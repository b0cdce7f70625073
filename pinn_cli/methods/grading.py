"""Numbers that are dense near both ends of [0, 1], and lengths that grow away from a layer or a front."""

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


def shape_length(x: Tensor, u: Tensor) -> Tensor:
    """The length (N,) over which functions u (N, F) change at x (N,), x increasing, at most half the extent of x.

        min over the functions of  U / |u'|  and  sqrt(U / |u''|)    U the deviation of u

    Slopes are differences between neighbours.
    """
    steepest = torch.full_like(x, 2 / float(x[-1] - x[0]))
    for f in u.T:
        size = f.std()
        if size > 0:
            slope = torch.gradient(f, spacing=(x,))[0]
            bend = torch.gradient(slope, spacing=(x,))[0]
            steepest = torch.maximum(steepest, torch.maximum(slope.abs() / size, (bend.abs() / size).sqrt()))
    return 1 / steepest


def graded(x: Tensor, length: Tensor, slope: float) -> Tensor:
    """The largest function of x (N,), x increasing, below `length` (N,) that changes by at most slope * |x - y|.

    It is min over y of length(y) + slope |x - y|, so it grows away from a front in proportion to the distance.
    """
    forwards = (length - slope * x).cummin(0).values + slope * x
    backwards = (length + slope * x).flip(0).cummin(0).values.flip(0) - slope * x
    return torch.minimum(forwards, backwards)
