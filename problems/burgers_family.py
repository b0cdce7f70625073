"""Burgers equation from random initial values: a family (Negiar, Mahoney & Krishnapriyan 2023, arXiv:2207.08675)."""

from dataclasses import dataclass

from pinn_cli import Box, Family, on, periodic
from pinn_cli.physics.coefficient_fields.base import CoefficientField
from pinn_cli.physics.distributions import GaussianField
from pinn_cli.physics.references.circle.burgers import PeriodicBurgers


@dataclass
class BurgersFamily(Family):
    """u_t + u u_x = nu u_xx on [0, 1]^2, with period 1 in x, from a random u(x, 0) = u0(x).

    u0 is a periodic Gaussian field with covariance 625^2 (-Laplacian + 5^2)^-4, as the released data of the paper have
    it. These lie at x = i / 100, t = j / 100; the loader of the paper's code reads i / 101 and j / 101, which is this
    problem with nu = 0.0101.
    """

    coordinates = ("x", "t")
    fields = ("u",)
    u0: CoefficientField | None = None
    nu: float = 0.01
    modes: int = 64

    def __post_init__(self) -> None:
        super().__post_init__()
        self.domain = Box(x=(0, 1), t=(0, 1))

    @property
    def parameters(self):  # type: ignore[override]
        return {"u0": GaussianField({"x": (0, 1)}, sigma=625.0, tau=5.0, gamma=4.0, modes=self.modes)}

    def reference(self) -> PeriodicBurgers:
        assert self.u0 is not None
        return PeriodicBurgers(self.nu, self.u0)

    @on("interior")
    def pde(self, u, u_t, u_x, u_xx, nu):
        return u_t + u * u_x - nu * u_xx

    @on("initial")
    def initial(self, u, u0):
        return u - u0

    @periodic("x")
    def seam(self, u):
        return u

    @periodic("x")
    def seam_slope(self, u_x):
        return u_x
