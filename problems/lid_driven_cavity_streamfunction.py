"""Steady flow in a square cavity below a moving lid, in streamfunction and pressure: mass is conserved exactly."""

from dataclasses import dataclass

from torch import Tensor

from pinn_cli import observable, on
from pinn_cli.physics.references.cavity.reference import LIDS
from pinn_cli.problems.lid_driven_cavity import CORNERS, CavityFlow


@dataclass
class LidDrivenCavityStreamfunction(CavityFlow):
    """u = psi_y, v = -psi_x; u . grad u + grad p = lap u / re on the unit square, walls and lids as in velocities.

    With `constraints=exact` the walls of the `regularised` lid hold by construction:

        psi = lid(x) y^2 (y - 1) + [16 x (1 - x) y (1 - y)]^2 N
    """

    fields = ("psi", "p")
    imposes = ("wall_u", "wall_v", "wall")

    @on("interior")
    def momentum_x(self, x, y, psi_x, psi_y, psi_xy, psi_yy, p_x, psi_xxy, psi_yyy, re):
        return self.near_corner(x, y) * (psi_y * psi_xy - psi_x * psi_yy + p_x - (psi_xxy + psi_yyy) / re)

    @on("interior")
    def momentum_y(self, x, y, psi_x, psi_y, psi_xy, psi_xx, p_y, psi_xxx, psi_xyy, re):
        return self.near_corner(x, y) * (psi_x * psi_xy - psi_y * psi_xx + p_y + (psi_xxx + psi_xyy) / re)

    @on("boundary")
    def wall_u(self, x, y, psi_y):
        return self.near_corner(x, y) * (psi_y - self.wall_speed(x, y))

    @on("boundary")
    def wall_v(self, x, y, psi_x):
        return self.near_corner(x, y) * psi_x

    @on("boundary")
    def wall(self, psi):
        return psi

    @on("gauge")
    def gauge(self, p):
        return p

    @observable
    def u(self, psi_y):
        return psi_y

    @observable
    def v(self, psi_x):
        return -psi_x

    @observable
    def vorticity(self, psi_xx, psi_yy):
        return -psi_xx - psi_yy

    def impose(self, x: Tensor, y: Tensor, psi: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
        """Fields that meet the walls for any network. Raises ValueError for a lid that jumps, or whose slope does."""
        if CORNERS[self.lid]:
            raise ValueError(f"lid={self.lid}: constraints=exact is for lid=regularised; type constraints=soft")
        inside = (16 * x * (1 - x) * y * (1 - y)) ** 2
        return LIDS[self.lid](x) * y * y * (y - 1) + inside * psi, p
