"""Poisson's equation with a smooth or sharp source in a square (TC1 and TC2 of Subramanian et al. 2022)."""

from dataclasses import dataclass

from pinn_cli import on
from pinn_cli.problems.square import Square


@dataclass
class Poisson(Square):
    """div(K grad u) + f = 0 on [0, 1]^2, with f, K and the values at the boundary of `Square`."""

    @on("interior")
    def pde(self, x, y, u_xx, u_xy, u_yy):
        xx, xy, yy = self.K
        return xx * u_xx + 2 * xy * u_xy + yy * u_yy + self.solution.source(x, y)
