"""The base of the equations on the unit square from Subramanian et al. (2022, arXiv:2207.04084)."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from pinn_cli import Box, Problem, on
from pinn_cli.physics.references.torus.transport import Transport

NODES = 257  # per direction, on which the paper measures
INSIDE = NODES - 2  # of them in the interior
DIFFUSION = {"isotropic": (1.0, 0.0, 1.0), "anisotropic": (1.0, 2.0, 8.0)}  # K_xx, K_xy, K_yy


@dataclass
class Square(Problem):
    """div(kappa K grad u) - v . grad u + f = 0 on [0, 1]^2, with the values of the periodic solution at the boundary.

    f is a Gaussian of width `sigma` in the middle and of integral 1, minus its mean. K is the identity (`diffusion`
    isotropic) or [[1, 2], [2, 8]] (anisotropic). Here v = 0 and kappa = 1.

    u is observed without noise at `observations` of the 255 x 255 nodes of the paper in the interior, drawn without
    replacement, the same whatever the seed of the run; 0: nowhere.
    """

    coordinates = ("x", "y")
    fields = ("u",)
    sigma: float = 0.1
    diffusion: str = "anisotropic"
    observations: int = 0

    def __post_init__(self) -> None:
        self.domain = Box(x=(0, 1), y=(0, 1))
        if not 0 <= self.observations <= INSIDE**2:
            raise ValueError(f"observations={self.observations}: expected 0 to {INSIDE**2}, as many as there are nodes")
        if self.diffusion not in DIFFUSION:
            raise ValueError(f"diffusion={self.diffusion}: expected {' or '.join(DIFFUSION)}")
        _ = self.solution

    @property
    def K(self) -> tuple[float, float, float]:
        """K_xx, K_xy and K_yy."""
        return DIFFUSION[self.diffusion]

    def reference(self) -> Transport:
        return self.solution

    @cached_property
    def solution(self) -> Transport:
        """The periodic solution."""
        return Transport(self.sigma, self.K)

    @on("interior")
    def pde(self, u):
        raise NotImplementedError  # each equation has its own; declared here so that it comes first

    @on("boundary")
    def rim(self, x, y, u):
        return u - self.solution.rim(x, y)

    def measurements(self) -> dict[str, Tensor]:
        """The observed nodes and u there; {} without observations."""
        if not self.observations:
            return {}
        generator = torch.Generator("cpu").manual_seed(0)
        chosen = torch.randperm(INSIDE**2, generator=generator, device="cpu")[: self.observations]
        x, y = ((1 + i.double()) / (NODES - 1) for i in (chosen // INSIDE, chosen % INSIDE))
        return {"x": x, "y": y, "u_data": self.solution.series(x, y)}

    @on("data")
    def measured(self, u, u_data):
        return u - u_data

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
