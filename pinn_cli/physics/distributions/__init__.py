"""What the parameters of a family are drawn from: one file per kind, and the contract in `base.py`."""

from pinn_cli.physics.distributions.base import Distribution
from pinn_cli.physics.distributions.numbers import Range
from pinn_cli.physics.distributions.random_fields import GaussianField, LogNormal, TwoMaterials

__all__ = ["Distribution", "GaussianField", "LogNormal", "Range", "TwoMaterials"]
