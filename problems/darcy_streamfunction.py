"""Flow through two materials, in pressure and streamfunction: a family whose fluxes are conserved exactly."""

from dataclasses import dataclass

from pinn_cli import observable, on
from pinn_cli.problems.darcy import DarcyFlow


@dataclass
class DarcyStreamfunction(DarcyFlow):
    """(p, q) = nu grad u on [0, 1]^2, u = 0 on the boundary; nu is `low` or `high`, the fields are u and psi.

        p = psi_y - f (x - 1/2) / 2        q = -psi_x - f (y - 1/2) / 2        p_x + q_y + f = 0 for every psi

    Only first derivatives remain. With `power` 0.5 and many points, the sum of the squared residuals is the gap between
    the principles of Dirichlet (u) and Thomson (psi), and u and psi do not depend on each other: it equals the squared
    distance of both to the solution in the norm of energy (Prager & Synge 1947).
    """

    fields = ("u", "psi")

    @on("interior")
    def flux_x(self, x, psi_y, u_x, nu, f, power):
        return (self.p(x, psi_y, f) - nu * u_x) / nu**power

    @on("interior")
    def flux_y(self, y, psi_x, u_y, nu, f, power):
        return (self.q(y, psi_x, f) - nu * u_y) / nu**power

    @on("gauge")
    def gauge(self, psi):
        return psi

    @observable
    def p(self, x, psi_y, f):
        return psi_y - f * (x - 0.5) / 2

    @observable
    def q(self, y, psi_x, f):
        return -psi_x - f * (y - 0.5) / 2
