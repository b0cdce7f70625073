"""An unknown conductivity k(x) of a rod, from noisy readings of its temperature: an inverse problem for a field."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import pi
from typing import Any

import torch
from torch import Tensor, exp, sin

from pinn_cli import Box, Field, Problem, on
from pinn_cli.physics.coefficient_fields.formula import Formula
from pinn_cli.physics.references.rod import Rod


@dataclass
class HeatConductivity(Problem):
    """u_t = (k u_x)_x + 2 sin(pi x) on [0, 1] x [0, 1]; u = 0 at x = 0, 1; u(x, 0) = sin(pi x); k(x) is unknown.

    The true k = base + bump exp(-((x - middle) / width)^2) is behind the measurements and the error that is shown.
    There are `count` readings at random points, with normal noise of standard deviation `noise` times that of the clean
    ones; points and noise are the same whatever the seed of the run.
    """

    coordinates = ("x", "t")
    fields = ("u",)
    base: float = 0.1
    bump: float = 0.1
    middle: float = 0.6
    width: float = 0.15
    count: int = 500
    noise: float = 0.01
    unknowns: Mapping[str, Any] = field(default_factory=lambda: {"k": Field("x", start=0.15, positive=True)})

    def __post_init__(self) -> None:
        self.domain = Box(x=(0, 1), t=(0, 1))
        self.k = Formula(self.conductivity, ["x"])

    def conductivity(self, x: Any) -> Any:
        return self.base + self.bump * exp(-(((x - self.middle) / self.width) ** 2))

    def reference(self) -> Rod:
        return Rod(self.k, lambda x: 2 * sin(pi * x), lambda x: sin(pi * x))

    def measurements(self) -> dict[str, Tensor]:
        generator = torch.Generator("cpu").manual_seed(0)
        X = torch.rand(self.count, 2, generator=generator, dtype=torch.float64, device="cpu")
        u, normal = self.reference()(X)["u"], torch.randn(len(X), generator=generator, dtype=X.dtype, device="cpu")
        return {"x": X[:, 0], "t": X[:, 1], "u_data": u + self.noise * u.std() * normal}

    @on("interior")
    def pde(self, x, u_t, u_x, u_xx, k, k_x):
        return u_t - k * u_xx - k_x * u_x - 2 * sin(pi * x)

    @on("boundary")
    def wall(self, u):
        return u

    @on("initial")
    def initial(self, x, u):
        return u - sin(pi * x)

    @on("data")
    def measured(self, u, u_data):
        return u - u_data
