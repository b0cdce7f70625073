"""Convection at any speed, a family: `problem=convection` for a random beta."""

from dataclasses import dataclass

from pinn_cli import Family
from pinn_cli.physics.distributions import Range
from pinn_cli.problems.convection import Convection


@dataclass
class ConvectionFamily(Family, Convection):
    """u_t + beta u_x = 0 on [0, 2 pi] x [0, 1], periodic in x; u(x, 0) = sin(x); beta from 1 to 50."""

    beta: float | None = None
    parameters = {"beta": Range(1, 50)}
