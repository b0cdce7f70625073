"""Where the equations hold: one file per shape. A new shape is one subclass of `Domain`."""

from pinn_cli.physics.domains.base import Domain
from pinn_cli.physics.domains.box import Box, Interval

__all__ = ["Box", "Domain", "Interval"]
