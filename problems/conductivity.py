"""An unknown conductivity in steady heat conduction: an inverse problem for a field."""

from dataclasses import dataclass
from math import pi

import torch
from torch import Tensor, cos, sin

from pinn_cli import Box, Problem, on


@dataclass
class Conductivity(Problem):
    """-(a u_x)_x - (a u_y)_y = f on [0, 1]^2; u is measured on a grid, a is known on the rim.

    u = sin(pi x) sin(pi y), a = 1 / (1 + x^2 + y^2 + (x - 1)^2 + (y - 1)^2). The measurements at `grid` points along
    each axis have normal noise of standard deviation `noise`, the same whatever the seed of the run. PInv of PINNacle
    (Hao et al. 2023, arXiv:2306.08827) has grid = 50 and noise = 0.1; here f belongs to u and a. The f in its code has
    2 x + 1 and 2 y + 1 where a gives 2 x - 1 and 2 y - 1.
    """

    coordinates = ("x", "y")
    fields = ("u", "a")
    grid: int = 12
    noise: float = 0.003

    def __post_init__(self) -> None:
        self.domain = Box(x=(0, 1), y=(0, 1))

    def exact(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        return sin(pi * x) * sin(pi * y), self.conductivity(x, y)

    def conductivity(self, x: Tensor, y: Tensor) -> Tensor:
        return 1 / (1 + x**2 + y**2 + (x - 1) ** 2 + (y - 1) ** 2)

    def source(self, x: Tensor, y: Tensor) -> Tensor:
        a, sine_x, sine_y = self.conductivity(x, y), sin(pi * x), sin(pi * y)
        slopes = (2 * x - 1) * cos(pi * x) * sine_y + (2 * y - 1) * sine_x * cos(pi * y)
        return 2 * pi**2 * a * sine_x * sine_y + 2 * pi * a**2 * slopes

    def measurements(self) -> dict[str, Tensor]:
        axis = torch.linspace(0, 1, self.grid, dtype=torch.float64, device="cpu")
        x, y = torch.cartesian_prod(axis, axis).unbind(1)
        normal = torch.randn(len(x), generator=torch.Generator("cpu").manual_seed(0), dtype=x.dtype, device="cpu")
        return {"x": x, "y": y, "u_data": self.exact(x, y)[0] + self.noise * normal}

    @on("interior")
    def pde(self, x, y, a, a_x, a_y, u_x, u_y, lap_u):
        return a * lap_u + a_x * u_x + a_y * u_y + self.source(x, y)

    @on("boundary")
    def rim(self, x, y, a):
        return a - self.conductivity(x, y)

    @on("data")
    def measured(self, u, u_data):
        return u - u_data
