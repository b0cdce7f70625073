"""The base of the equations on the unit square from Subramanian et al. (2022, arXiv:2207.04084)."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor

from pinn_cli import Box, Problem, on
from pinn_cli.physics.references.torus.transport import Transport

NODES = 257  # per direction, on which the paper measures
DIFFUSION = {"isotropic": (1.0, 0.0, 1.0), "anisotropic": (1.0, 2.0, 8.0)}  # K_xx, K_xy, K_yy


@dataclass
class Square(Problem):
    """div(kappa K grad u) - v . grad u + f = 0 on [0, 1]^2, with the values of the periodic solution at the boundary.

        kappa = 1 + contrast sin(2 pi waves x) sin(2 pi waves y)

    f is a Gaussian of width `sigma` in the middle and of integral 1, minus its mean. K is the identity (`diffusion`
    isotropic) or [[1, 2], [2, 8]] (anisotropic).
    """

    coordinates = ("x", "y")
    fields = ("u",)
    sigma: float = 0.1
    diffusion: str = "anisotropic"
    contrast: float = 0.0
    waves: int = 1
    velocities: ClassVar[dict[str, tuple[float, float]]] = dict.fromkeys(DIFFUSION, (0.0, 0.0))

    def __post_init__(self) -> None:
        self.domain = Box(x=(0, 1), y=(0, 1))
        if self.diffusion not in DIFFUSION:
            raise ValueError(f"diffusion={self.diffusion}: expected {' or '.join(DIFFUSION)}")
        _ = self.solution

    def reference(self) -> Transport:
        return self.solution

    @cached_property
    def solution(self) -> Transport:
        """The periodic solution."""
        K, v = DIFFUSION[self.diffusion], self.velocities[self.diffusion]
        return Transport(self.sigma, K, v, self.contrast, self.waves)

    @on("interior")
    def pde(self, x, y, u_x, u_y, u_xx, u_xy, u_yy):
        (a, b, c), v = DIFFUSION[self.diffusion], self.velocities[self.diffusion]
        flux_x, flux_y = a * u_x + b * u_y, b * u_x + c * u_y
        kappa, kappa_x, kappa_y = self._factor(x, y)
        diffusion = kappa * (a * u_xx + 2 * b * u_xy + c * u_yy) + kappa_x * flux_x + kappa_y * flux_y
        return diffusion - v[0] * u_x - v[1] * u_y + self.solution.source(x, y)

    @on("boundary")
    def rim(self, x, y, u):
        return u - self.solution.rim(x, y)

    def metrics(self, evaluate: Callable[[list[str], Tensor], dict[str, Tensor]]) -> dict[str, float]:
        """Relative L2 errors on the 257 x 257 nodes of the paper.

        plain          of u
        centred        of u minus its mean over these nodes, as the code of the paper measures
        centred_floor  the same of the exact solution, whose mean over 256 x 256 nodes is 0: no error is smaller
        """
        X = self.domain.grid(NODES)
        u, exact = evaluate(["u"], X)["u"], self._at_nodes
        size = exact.norm()
        return {
            "plain": float((u - exact).norm() / size),
            "centred": float((u - u.mean() - exact).norm() / size),
            "centred_floor": float(exact.mean().abs() * len(exact) ** 0.5 / size),
        }

    @cached_property
    def _at_nodes(self) -> Tensor:
        return self.solution(self.domain.grid(NODES))["u"]

    def _factor(self, x: Tensor, y: Tensor) -> tuple[Tensor | float, Tensor | float, Tensor | float]:
        """kappa and its slopes in x and y."""
        if not self.contrast:
            return 1.0, 0.0, 0.0
        k = 2 * torch.pi * self.waves
        in_x, in_y = torch.sin(k * x), torch.sin(k * y)
        steep = self.contrast * k
        return 1 + self.contrast * in_x * in_y, steep * torch.cos(k * x) * in_y, steep * in_x * torch.cos(k * y)
