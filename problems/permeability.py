"""An unknown permeability k(x, y) of a porous medium, from noisy readings of its pressure: an inverse problem."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import pi
from typing import Any

import torch
from torch import Tensor, exp, sin

from pinn_cli import Box, Field, Problem, on
from pinn_cli.physics.coefficient_fields.base import CoefficientField
from pinn_cli.physics.coefficient_fields.formula import Formula
from pinn_cli.physics.distributions import GaussianField, LogNormal
from pinn_cli.physics.distributions.base import generator
from pinn_cli.physics.references.darcy import Darcy as Reference

PRIOR = LogNormal(GaussianField({"x": (0, 1), "y": (0, 1)}, 18.0, 3.0, 3.0, "neumann", modes=16))


@dataclass
class Permeability(Problem):
    """div(k grad u) + 1 = 0 on [0, 1]^2, u = 0 on the boundary; k(x, y) is unknown.

    The true k is behind the measurements and the error that is shown: exp(contrast sin(2 pi x) sin(2 pi y)), or with
    `draw` a draw of the random field of `problem=darcy_smooth`, with the median 1. There are `count` readings of u at
    random points, with normal noise of standard deviation `noise` times that of the clean ones; points and noise are
    the same whatever the seed of the run.
    """

    coordinates = ("x", "y")
    fields = ("u",)
    contrast: float = 0.5
    count: int = 200
    noise: float = 0.01
    draw: int | None = None
    unknowns: Mapping[str, Any] = field(default_factory=lambda: {"k": Field("xy", start=1.0, positive=True)})

    def __post_init__(self) -> None:
        self.domain = Box(x=(0, 1), y=(0, 1))
        self.k: CoefficientField = Formula(self.permeability, ["x", "y"])
        if self.draw is not None:
            self.k = PRIOR.draw(generator("k", self.draw))

    def permeability(self, x: Any, y: Any) -> Any:
        return exp(self.contrast * sin(2 * pi * x) * sin(2 * pi * y))

    def reference(self) -> Reference:
        return Reference(self.k, 1.0, fields=("u",))

    def measurements(self) -> dict[str, Tensor]:
        generator = torch.Generator("cpu").manual_seed(0)
        X = torch.rand(self.count, 2, generator=generator, dtype=torch.float64, device="cpu")
        u, normal = self.reference()(X)["u"], torch.randn(len(X), generator=generator, dtype=X.dtype, device="cpu")
        return {"x": X[:, 0], "y": X[:, 1], "u_data": u + self.noise * u.std() * normal}

    @on("interior")
    def pde(self, u_x, u_y, lap_u, k, k_x, k_y):
        return k * lap_u + k_x * u_x + k_y * u_y + 1

    @on("boundary")
    def wall(self, u):
        return u

    @on("data")
    def measured(self, u, u_data):
        return u - u_data
