"""Poisson's equation with a smooth or sharp source in a square (TC1 and TC2 of Subramanian et al. 2022)."""

from dataclasses import dataclass

from pinn_cli.problems.square import Square


@dataclass
class Poisson(Square):
    """div(kappa K grad u) + f = 0 on [0, 1]^2: the equation of `Square` with the velocity 0."""
