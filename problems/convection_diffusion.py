"""Convection with diffusion on a circle, as in the code of Krishnapriyan et al. (2021, arXiv:2109.01050)."""

from dataclasses import dataclass

from pinn_cli import on
from pinn_cli.physics.references.circle.fourier import FourierModes
from pinn_cli.problems.circle import SmoothCircle


@dataclass
class ConvectionDiffusion(SmoothCircle):
    """u_t + beta u_x = nu u_xx + q on [0, 2 pi] x [0, 1], periodic in x; u(x, 0) = sin(x), or another initial value."""

    beta: float = 30.0
    nu: float = 1.0
    q: float = 0.0
    u0: str = "sin"

    def reference(self) -> FourierModes:
        return FourierModes(self.u0, nu=self.nu, beta=self.beta, q=self.q)

    @on("interior")
    def pde(self, u_t, u_x, u_xx, beta, nu, q):
        return u_t + beta * u_x - nu * u_xx - q
