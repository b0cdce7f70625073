"""Burgers equation solved through the heat equation (Hopf 1950; Cole 1951)."""

from math import pi, sqrt

import torch
from torch import Tensor, cos, exp, sin


class ColeHopf:
    """u_t + speed u u_x = nu u_xx on the whole line, u(x, 0) = -sin(pi x):

        u = - int sin(pi (x - z)) w dz / int w dz,   w = exp(-speed cos(pi (x - z)) / (2 pi nu) - z^2 / (4 nu t)).

    The trapezoidal rule converges geometrically here (Trefethen & Weideman 2014). Its nodes z = L s, -1 <= s <= 1,
    follow the kernel in time: beyond L = speed t + 12 sqrt(nu t) the weight is below exp(-36) of its largest value,
    since |d cos(pi z) / dz| <= pi. Five nodes lie within the narrowest kernel, so that it is accurate for small nu too.
    `nu` > 0 is a length^2 per time. The code is plain torch and can be differentiated.
    """

    fields: tuple[str, ...] = ("u",)
    at: Tensor | None = None
    error = 1e-13

    def __init__(self, nu: float, speed: float = 1.0) -> None:
        self.nu, self.speed = nu, speed

    def __call__(self, X: Tensor) -> dict[str, Tensor]:
        """Values at X = (x, t) (N, 2), t >= 0; computed in double precision, returned in that of X."""
        blocks = [self._solve(*block.T) for block in X.double().split(4096)]
        return {"u": torch.cat(blocks).to(X.dtype)}

    def _solve(self, x: Tensor, t: Tensor) -> Tensor:
        t = t.clamp_min(1e-30)[:, None]  # as t -> 0 the kernel becomes a delta function: the initial value
        reach = self.speed * t + 12 * (self.nu * t).sqrt()  # (N, 1)
        s = torch.linspace(-1, 1, self._nodes(float(t.detach().max())), dtype=x.dtype, device=x.device)
        z = reach * s  # (N, nodes)
        angle = pi * (x[:, None] - z)
        exponent = -self.speed * cos(angle) / (2 * pi * self.nu) - z**2 / (4 * self.nu * t)
        w = exp(exponent - exponent.detach().amax(1, keepdim=True))
        return -(sin(angle) * w).sum(1) / w.sum(1)

    def _nodes(self, t: float) -> int:
        """Odd number of nodes for all times up to t: five per narrowest width sqrt(2 nu / (1 / t + pi speed))."""
        reach = self.speed * t + 12 * sqrt(self.nu * t)
        return int(10 * reach / sqrt(2 * self.nu / (1 / t + pi * self.speed))) | 1
