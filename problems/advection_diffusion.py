"""Advection and diffusion with a smooth or sharp source in a square (TC3 and TC4 of Subramanian et al. 2022)."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from pinn_cli import on
from pinn_cli.physics.references.torus.transport import Transport
from pinn_cli.problems.square import Square

VELOCITY = {"isotropic": (1.0, 1.0), "anisotropic": (40.0, 10.0)}


@dataclass
class AdvectionDiffusion(Square):
    """div(kappa K grad u) - speed v . grad u + f = 0 on [0, 1]^2, with f, K and the boundary values of `Square`.

        kappa = 1 + contrast sin(2 pi waves x) sin(2 pi waves y)

    v = (40, 10), or (1, 1) where the diffusion is isotropic. With speed = 0 it is Poisson's equation in a heterogeneous
    material.
    """

    speed: float = 1.0
    contrast: float = 0.0
    waves: int = 1

    @property
    def v(self) -> tuple[float, float]:
        """speed v."""
        x, y = VELOCITY[self.diffusion]
        return self.speed * x, self.speed * y

    @cached_property
    def solution(self) -> Transport:
        return Transport(self.sigma, self.K, self.v, self.contrast, self.waves)

    @on("interior")
    def pde(self, x, y, u_x, u_y, u_xx, u_xy, u_yy):
        (xx, xy, yy), (v_x, v_y) = self.K, self.v
        kappa, kappa_x, kappa_y = self._factor(x, y)
        diffusion = kappa * (xx * u_xx + 2 * xy * u_xy + yy * u_yy)
        diffusion = diffusion + kappa_x * (xx * u_x + xy * u_y) + kappa_y * (xy * u_x + yy * u_y)
        return diffusion - v_x * u_x - v_y * u_y + self.solution.source(x, y)

    def _factor(self, x: Tensor, y: Tensor) -> tuple[Tensor | float, Tensor | float, Tensor | float]:
        """kappa and its slopes in x and y."""
        if not self.contrast:
            return 1.0, 0.0, 0.0
        k = 2 * torch.pi * self.waves
        in_x, in_y = torch.sin(k * x), torch.sin(k * y)
        steep = self.contrast * k
        return 1 + self.contrast * in_x * in_y, steep * torch.cos(k * x) * in_y, steep * in_x * torch.cos(k * y)
