"""An unknown conductivity in heat conduction: an inverse problem for a field that does not change in time."""

from dataclasses import dataclass
from math import pi

import torch
from torch import Tensor, cos, exp, sin

from pinn_cli import Box, Problem, on


@dataclass
class ConductivityHeat(Problem):
    """u_t = (a u_x)_x + (a u_y)_y + f, a_t = 0 on [-1, 1]^2 x [0, 1]; u is measured, a is known on the rim.

    u = exp(-t) sin(pi x) sin(pi y), a = 2 + sin(pi x) sin(pi y). There are `count` measurements at random points, with
    normal noise of standard deviation `noise`; points and noise are the same whatever the seed of the run. HInv of
    PINNacle (Hao et al. 2023, arXiv:2306.08827) has count = 2500, other points, and noise = 0.1.
    """

    coordinates = ("x", "y", "t")
    fields = ("u", "a")
    count: int = 200
    noise: float = 0.003

    def __post_init__(self) -> None:
        self.domain = Box(x=(-1, 1), y=(-1, 1), t=(0, 1))

    def exact(self, x: Tensor, y: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        waves = sin(pi * x) * sin(pi * y)
        return exp(-t) * waves, 2 + waves

    def source(self, x: Tensor, y: Tensor, t: Tensor) -> Tensor:
        waves, slopes = sin(pi * x) * sin(pi * y), (cos(pi * x) * sin(pi * y)) ** 2 + (sin(pi * x) * cos(pi * y)) ** 2
        return exp(-t) * (-waves + pi**2 * (2 * waves * (2 + waves) - slopes))

    def measurements(self) -> dict[str, Tensor]:
        generator = torch.Generator("cpu").manual_seed(0)
        points = torch.rand(3, self.count, generator=generator, dtype=torch.float64, device="cpu")
        x, y, t = 2 * points[0] - 1, 2 * points[1] - 1, points[2]
        normal = torch.randn(len(x), generator=generator, dtype=torch.float64, device="cpu")
        return {"x": x, "y": y, "t": t, "u_data": self.exact(x, y, t)[0] + self.noise * normal}

    @on("interior")
    def pde(self, x, y, t, a, a_x, a_y, u_t, u_x, u_y, lap_u):
        return u_t - a * lap_u - a_x * u_x - a_y * u_y - self.source(x, y, t)

    @on("interior")
    def steady(self, a_t):
        return a_t

    @on("boundary")
    def rim(self, x, y, t, a):
        return a - self.exact(x, y, t)[1]

    @on("data")
    def measured(self, u, u_data):
        return u - u_data
