"""Heat equation with an unknown diffusivity, insulated walls and noisy measurements: an inverse problem."""

from dataclasses import dataclass, field
from math import factorial, pi
from typing import Any

import torch
from torch import Tensor, cos, exp

from pinn_cli import Box, Problem, on


def bessel(k: int) -> float:
    """Modified Bessel function I_k(1) by its power series (Abramowitz & Stegun 9.6.10)."""
    return sum(0.5 ** (2 * j + k) / (factorial(j) * factorial(j + k)) for j in range(12))


@dataclass
class HeatInverse(Problem):
    """u_t = kappa u_xx on [0, 1] x [0, 1]; u_n = 0 at x = 0, 1; u(x, 0) = exp(cos(pi x)); kappa is unknown.

    The solution is a cosine series with modified Bessel functions as coefficients (Abramowitz & Stegun 9.6.34):
    u = I_0(1) + 2 sum_k I_k(1) cos(k pi x) exp(-kappa (k pi)^2 t), where I_18(1) < 1e-21.
    `measurements` samples it with the true `kappa` at 200 random points, with normal noise of standard deviation
    `noise` times that of the clean samples; points and noise are the same whatever the seed of the run.
    """

    coordinates = ("x", "t")
    fields = ("u",)
    kappa: float = 0.1
    noise: float = 0.01
    unknowns: dict[str, float] = field(default_factory=lambda: {"kappa": 1.0})

    def __post_init__(self) -> None:
        self.domain = Box(x=(0, 1), t=(0, 1))

    def exact(self, x: Tensor, t: Tensor) -> Tensor:
        u = bessel(0) + 0 * x
        for k in range(1, 18):
            u = u + 2 * bessel(k) * cos(k * pi * x) * exp(-self.kappa * (k * pi) ** 2 * t)
        return u

    def measurements(self) -> dict[str, Tensor]:
        generator = torch.Generator("cpu").manual_seed(0)
        kind: dict[str, Any] = {"generator": generator, "dtype": torch.float64, "device": "cpu"}
        x, t = torch.rand(2, 200, **kind)
        u = self.exact(x, t)
        return {"x": x, "t": t, "u_data": u + self.noise * u.std() * torch.randn(200, **kind)}

    @on("interior")
    def pde(self, u_t, u_xx, kappa):
        return u_t - kappa * u_xx

    @on("boundary")
    def wall(self, u_n):
        return u_n

    @on("initial")
    def initial(self, x, u):
        return u - exp(cos(pi * x))

    @on("data")
    def measured(self, u, u_data):
        return u - u_data
