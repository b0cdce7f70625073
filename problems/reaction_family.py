"""Reaction at any rate, a family: `problem=reaction` for a random rho."""

from dataclasses import dataclass

from pinn_cli import Family
from pinn_cli.physics.distributions import Range
from pinn_cli.problems.reaction import Reaction


@dataclass
class ReactionFamily(Family, Reaction):
    """u_t = rho u (1 - u) on [0, 2 pi] x [0, 1], periodic in x, from a Gaussian; rho from 1 to 10."""

    rho: float | None = None
    parameters = {"rho": Range(1, 10)}
