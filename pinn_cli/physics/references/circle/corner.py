"""A corner on a circle that diffusion rounds off, in closed form (Carslaw & Jaeger 1959, section 2.5)."""

from math import pi, sqrt

import torch
from torch import Tensor


def corner(y: Tensor, tau: Tensor, length: float, longest: float) -> Tensor:
    """The solution (N,) of c_tau = c_yy, of period `length`, whose slope jumps by 1 at y = 0 when tau = 0.

        c = y / 2 - y^2 / (2 length)        at tau = 0, 0 <= y <= length
        E = sqrt(tau / pi) exp(-y^2 / (4 tau)) + y / 2 erf(y / (2 sqrt(tau)))        from |y| / 2 on the whole line

    c is the sum of E over the images of the corner, with the polynomial that is left between them. `longest` >= tau
    decides how many images count on each side: from 13 sqrt(tau) on, E is |y| / 2 to rounding.
    """
    images = int(13 * sqrt(longest) / length)
    tau = tau.clamp_min(1e-30)
    between = y / 2 - y**2 / (2 * length) - tau / length - length * (images + 1) ** 2 / 2
    image = torch.arange(-images, images + 2, dtype=y.dtype, device=y.device).view(-1, *[1] * y.ndim)
    away = y - length * image
    z = away / (2 * tau.sqrt())
    return between + (tau / pi).sqrt() * torch.exp(-(z**2)).sum(0) + (away * torch.erf(z)).sum(0) / 2
