"""Diffusion on a circle (Fourier 1822), as in the code of Krishnapriyan et al. (2021, arXiv:2109.01050)."""

from dataclasses import dataclass

from pinn_cli import on
from pinn_cli.physics.references.circle.fourier import FourierModes
from pinn_cli.problems.circle import SmoothCircle


@dataclass
class Diffusion(SmoothCircle):
    """u_t = nu u_xx + q on [0, 2 pi] x [0, 1], periodic in x; u(x, 0) = sin(x), or another initial value."""

    nu: float = 1.0
    q: float = 0.0
    u0: str = "sin"

    def reference(self) -> FourierModes:
        return FourierModes(self.u0, nu=self.nu, q=self.q)

    @on("interior")
    def pde(self, u_t, u_xx, nu, q):
        return u_t - nu * u_xx - q
