"""Flow through two materials: a family (Li et al. 2021, arXiv:2010.08895; Negiar et al. 2023, arXiv:2207.08675)."""

from dataclasses import dataclass

from pinn_cli import Box, Family, on
from pinn_cli.physics.coefficient_fields.base import CoefficientField
from pinn_cli.physics.distributions import GaussianField, TwoMaterials
from pinn_cli.physics.references.darcy import Darcy as Reference

UNIT = {"x": (0.0, 1.0), "y": (0.0, 1.0)}


@dataclass
class DarcyFlow(Family):
    """-div(nu grad u) = f on [0, 1]^2, u = 0 on the boundary; nu is `low` or `high`.

    The sign of a Gaussian field with covariance 3^2 (-Laplacian + 3^2)^-2 and zero slopes at the boundary decides. The
    data of the literature have all modes up to 420 and the same law; the modes from 65 on have 1.3 % of its rms.

    At a jump of nu the flux across it is continuous and the slope of u is not. Written as nu lap_u = -f on both sides,
    the equation would say nothing about the jump, so fluxes are unknown too. Their equations are divided by nu^power,

        nu^-power (p - nu u_x) = 0        nu^-power (q - nu u_y) = 0

    which changes nothing for fields that satisfy them, and much for smooth ones, which cannot bend at every jump. Where
    (p, q) is given and nu jumps from point to point, least squares finds the slope that belongs to the conductivity

        mean(nu^(2 - 2 power)) / mean(nu^(1 - 2 power))

    in place of nu. `power` 0.5 makes it the arithmetic mean, the largest that a medium can have. With 0.75 it is
    sqrt(low high) for equal parts: what any statistically symmetric medium of two materials in the plane has (Keller
    1964; Dykhne 1971).
    """

    coordinates = ("x", "y")
    nu: CoefficientField | None = None
    low: float = 3.0
    high: float = 12.0
    f: float = 1.0
    modes: int = 64
    power: float = 0.75

    def __post_init__(self) -> None:
        super().__post_init__()
        self.domain = Box(x=(0, 1), y=(0, 1), points={"gauge": (0, 0)})

    @property
    def parameters(self):  # type: ignore[override]
        return {"nu": TwoMaterials(GaussianField(UNIT, 3.0, 3.0, 2.0, "neumann", self.modes), self.low, self.high)}

    def reference(self) -> Reference:
        assert self.nu is not None
        return Reference(self.nu, self.f, fields=self.fields)

    @on("boundary")
    def wall(self, u):
        return u


@dataclass
class Darcy(DarcyFlow):
    """(p, q) = nu grad u and p_x + q_y + f = 0 on [0, 1]^2, u = 0 on the boundary; nu is `low` or `high`."""

    fields = ("u", "p", "q")

    @on("interior")
    def balance(self, p_x, q_y, f):
        return p_x + q_y + f

    @on("interior")
    def flux_x(self, p, u_x, nu, power):
        return (p - nu * u_x) / nu**power

    @on("interior")
    def flux_y(self, q, u_y, nu, power):
        return (q - nu * u_y) / nu**power
