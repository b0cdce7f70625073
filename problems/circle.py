"""The base of the equations on a circle from Krishnapriyan et al. (2021, arXiv:2109.01050)."""

from math import pi

from torch import Tensor

from pinn_cli import Box, Problem, on, periodic
from pinn_cli.physics.references.circle.initial_values import initial_value


class Circle(Problem):
    """u(x, t) with period 2 pi in x, 0 <= t <= 1, from the initial value called `u0`.

    The values at both ends of x are equal. This is one more condition, or it holds by construction for a network with
    periodic inputs (`periodic=[x]`).
    """

    coordinates = ("x", "t")
    fields = ("u",)
    u0: str

    def __post_init__(self) -> None:
        self.domain = Box(x=(0, 2 * pi), t=(0, 1))
        initial_value(self.u0)

    def start(self, x: Tensor) -> Tensor:
        """u(x, 0)."""
        return initial_value(self.u0)(x)

    @on("interior")
    def pde(self, u):
        raise NotImplementedError  # each equation has its own; declared here so that it comes first

    @on("initial")
    def initial(self, x, u):
        return u - self.start(x)

    @periodic("x")
    def seam(self, u):
        return u


class SmoothCircle(Circle):
    """With diffusion, the slopes at both ends are equal as well."""

    @periodic("x")
    def seam_slope(self, u_x):
        return u_x
