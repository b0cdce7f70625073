"""Advection and diffusion with a smooth or sharp source in a square (TC3 and TC4 of Subramanian et al. 2022)."""

from dataclasses import dataclass
from typing import ClassVar

from pinn_cli.problems.square import Square


@dataclass
class AdvectionDiffusion(Square):
    """div(kappa K grad u) - v . grad u + f = 0 on [0, 1]^2: `Square` with v = (40, 10), or (1, 1) if isotropic."""

    velocities: ClassVar[dict[str, tuple[float, float]]] = {"isotropic": (1.0, 1.0), "anisotropic": (40.0, 10.0)}
