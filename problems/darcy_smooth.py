"""Flow through a medium whose permeability varies smoothly: a family."""

from dataclasses import dataclass

from pinn_cli import Box, Family, on
from pinn_cli.physics.coefficient_fields.base import CoefficientField
from pinn_cli.physics.distributions import GaussianField, LogNormal
from pinn_cli.physics.references.darcy import Darcy as Reference

UNIT = {"x": (0.0, 1.0), "y": (0.0, 1.0)}


@dataclass
class DarcySmooth(Family):
    """div(nu grad u) + f = 0 on [0, 1]^2, u = 0 on the boundary; nu = 6 exp(g) with a Gaussian field g.

    g has the covariance 18^2 (-Laplacian + 3^2)^-3, zero slopes at the boundary, and the rms 0.35: two standard
    deviations reach from 3 to 12, the two materials of `problem=darcy`.
    """

    coordinates = ("x", "y")
    fields = ("u",)
    nu: CoefficientField | None = None
    f: float = 1.0
    modes: int = 16

    def __post_init__(self) -> None:
        super().__post_init__()
        self.domain = Box(x=(0, 1), y=(0, 1))

    @property
    def parameters(self):  # type: ignore[override]
        return {"nu": LogNormal(GaussianField(UNIT, 18.0, 3.0, 3.0, "neumann", self.modes), 6.0)}

    def reference(self) -> Reference:
        assert self.nu is not None
        return Reference(self.nu, self.f, fields=self.fields)

    @on("interior")
    def pde(self, u_x, u_y, lap_u, nu, nu_x, nu_y, f):
        return nu * lap_u + nu_x * u_x + nu_y * u_y + f

    @on("boundary")
    def wall(self, u):
        return u
