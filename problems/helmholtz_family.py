"""Waves in a square from a random source at a random wavenumber: a family."""

from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from pinn_cli import Box, Family, on
from pinn_cli.physics.coefficient_fields.base import CoefficientField
from pinn_cli.physics.coefficient_fields.series import Series
from pinn_cli.physics.distributions import GaussianField, Range

SQUARE = {"x": (-1.0, 1.0), "y": (-1.0, 1.0)}


@dataclass
class HelmholtzFamily(Family):
    """u_xx + u_yy + k^2 u = q on [-1, 1]^2, u = 0 on the boundary; k from 2.4 to 3.3, q a random sum of sines.

    q is a Gaussian field with covariance 100^2 (-Laplacian + 3^2)^-2 that vanishes on the boundary. Every sine of q,
    with the eigenvalue lambda of -Laplacian, is one of u, its amplitude divided by k^2 - lambda. k lies between the
    first two resonances, 2.22 and 3.51, at which there is no solution for most q.
    """

    coordinates = ("x", "y")
    fields = ("u",)
    k: float | None = None
    q: CoefficientField | None = None
    modes: int = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        self.domain = Box(x=(-1, 1), y=(-1, 1))
        if not isinstance(self.q, Series):
            self.exact = None  # type: ignore[assignment, method-assign]  # it is known for a sum of sines

    @property
    def parameters(self):  # type: ignore[override]
        return {"k": Range(2.4, 3.3), "q": GaussianField(SQUARE, 100.0, 3.0, 2.0, "dirichlet", self.modes)}

    @cached_property
    def _solution(self) -> Series:
        assert isinstance(self.q, Series)
        assert self.k is not None
        squares = [axis.wavenumbers**2 for axis in self.q.axes]
        return Series(self.coordinates, self.q.amplitudes / (self.k**2 - squares[0][:, None] - squares[1]), self.q.axes)

    def exact(self, x: Tensor, y: Tensor) -> Tensor:
        return self._solution(x, y)

    @on("interior")
    def pde(self, u, lap_u, k, q):
        return lap_u + k**2 * u - q

    @on("boundary")
    def wall(self, u):
        return u
