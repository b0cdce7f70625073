"""Steady flow in a square cavity below a moving lid, in streamfunction and pressure: mass is conserved exactly."""

from dataclasses import dataclass
from math import pi

from torch import Tensor, atan, sqrt

from pinn_cli import observable, on
from pinn_cli.physics.references.cavity.reference import LIDS
from pinn_cli.problems.lid_driven_cavity import CORNERS, CavityFlow

INNER, OUTER = 0.1, 0.45  # radii between which the corner solution decreases to 0
SCALE = 1 / (pi**2 - 4)


@dataclass
class LidDrivenCavityStreamfunction(CavityFlow):
    """u = psi_y, v = -psi_x; u . grad u + grad p = lap u / re on the unit square, walls and lids as in velocities.

    With `constraints=exact` the walls hold by construction: psi = lift + [16 x (1 - x) y (1 - y)]^2 N, where the lift
    carries the lid, and for the `unit` lid the Stokes flow of both corners (Batchelor 1967, section 4.8),

        psi_s = -r (pi^2 sin a - 4 a cos a - 2 pi a sin a) / (pi^2 - 4)        a = 0 on the lid, pi/2 on the wall

    with its pressure. The rest, which the network learns, is smoother.
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
        """Fields that meet the walls for any network. Raises ValueError for a lid that has no lift."""
        if self.lid not in ("unit", "regularised"):
            raise ValueError(f"lid={self.lid}: constraints=exact knows the lids unit and regularised only")
        inside = (16 * x * (1 - x) * y * (1 - y)) ** 2
        along_lid = y * y * (y - 1)
        if not CORNERS[self.lid]:
            return LIDS[self.lid](x) * along_lid + inside * psi, p
        left, right = self._corner(x, 1 - y), self._corner(1 - x, 1 - y)
        rest = (1 - _fade(x) - _fade(1 - x)) * along_lid
        return left[0] + right[0] + rest + inside * psi, p - left[1] + right[1]

    def _corner(self, X: Tensor, Y: Tensor) -> tuple[Tensor, Tensor]:
        """psi_s and |p_s| of one corner, times `_fade`; X is the distance from its wall, Y from the lid."""
        r = sqrt(X * X + Y * Y + 1e-24)
        angle = 2 * atan(Y / (r + X))
        psi = (4 * angle * X - (pi**2 - 2 * pi * angle) * Y) * SCALE
        pressure = (8 * X + 4 * pi * Y) * SCALE / (self.re * r * r)
        return _fade(r) * psi, _fade(r) * pressure


def _fade(r: Tensor) -> Tensor:
    """1 up to INNER, 0 from OUTER on, four times differentiable."""
    t = ((OUTER - r) / (OUTER - INNER)).clamp(0, 1)
    return t**5 * (126 - 420 * t + 540 * t**2 - 315 * t**3 + 70 * t**4)
