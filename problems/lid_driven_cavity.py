"""Steady flow in a square cavity below a moving lid: the base of both forms, and that in velocities and pressure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from pinn_cli import Box, Problem, observable, on
from pinn_cli.physics.references.cavity.corner import Corner, FadingCorner
from pinn_cli.physics.references.cavity.metrics import cavity_metrics
from pinn_cli.physics.references.cavity.reference import LIDS, Cavity
from pinn_cli.physics.references.cavity.solver import corners

# By the name of the lid: the radius around its ends within which the flow is singular, because u or div u jumps.
CORNERS = {"unit": 0.1, "parabolic": 0.1, "regularised": 0.0}


@dataclass
class CavityFlow(Problem):
    """The base of both forms: the square, its lid, its reference.

    Where a `unit` lid meets a wall, u jumps, the vorticity grows like 1/r and p_x like 1/r^2. No network can fit that,
    and the attempt causes errors between the points. Residuals there are multiplied by min(1, r / corner), which makes
    their squares integrable. `corner` depends on the lid, not on Re (null: the radius of the lid; 0: no weights).
    """

    coordinates = ("x", "y")
    re: float = 100.0
    lid: str = "unit"
    corner_flow: bool = True
    corner: float | None = None

    def __post_init__(self) -> None:
        if self.lid not in LIDS:
            raise ValueError(f"lid={self.lid}: expected {', '.join(LIDS)}")
        if not self.re > 0 or (self.corner is not None and not self.corner >= 0):
            typed = f"re={self.re:g}, corner={self.corner}"
            raise ValueError(f"{typed}: expected a Reynolds number above 0, and a radius from 0 on or null")
        self.domain = Box(x=(0, 1), y=(0, 1), points={"gauge": (0, 0)})

    @cached_property
    def _reference(self) -> Cavity:
        return self._flow([f for f in ("u", "v", "p", "psi") if f in self._known])

    def _flow(self, fields: Sequence[str]) -> Cavity:
        """These fields of the spectral solution."""
        return Cavity(self.re, self.lid, fields=tuple(fields))

    @property
    def _known(self) -> set[str]:
        return {*self.fields, *self.observables()}

    def reference(self) -> Cavity:
        return self._reference

    def metrics(self, evaluate: Callable[[list[str], Tensor], dict[str, Tensor]]) -> dict[str, float]:
        return cavity_metrics(evaluate, self._reference)

    @property
    def ansatz(self) -> Callable[..., tuple[Tensor, ...]] | None:
        """The fields in terms of the network's outputs; None where these are the same.

        The pressure at a corner is a multiple of 1 / (re r). An unknown `re` has the value that the search has reached.
        """
        return self._with_corner_flow if self.corner_flow and CORNERS[self.lid] else None

    def _with_corner_flow(self, x: Tensor, y: Tensor, re: Tensor | float, **outputs: Tensor) -> tuple[Tensor, ...]:
        """The outputs plus the flow of both ends of the lid, which together have u = 1 on a `unit` lid."""
        ends = [FadingCorner(replace(corner, re=re), x, y) for corner in self._corners]
        known = {name: sum(getattr(end, name) for end in ends) for name in outputs}
        return tuple(output + known[name] for name, output in outputs.items())

    @cached_property
    def _corners(self) -> list[Corner]:
        return corners(LIDS[self.lid], self.re)

    def near_corner(self, x: Tensor, y: Tensor) -> Tensor:
        """min(1, r / corner), r the distance to the nearer end of the lid; 1 for a lid without singularity."""
        corner = CORNERS[self.lid] if self.corner is None else self.corner
        if not corner:
            return torch.ones_like(x)
        r = (torch.minimum(x, 1 - x).square() + (1 - y).square()).sqrt()
        return (r / corner).clamp(max=1)

    def wall_speed(self, x: Tensor, y: Tensor) -> Tensor:
        """u on the boundary: the speed of the lid on y = 1, 0 elsewhere."""
        return torch.where(y == 1, LIDS[self.lid](x), 0.0)


@dataclass
class LidDrivenCavity(CavityFlow):
    """u . grad u + grad p = lap u / re, div u = 0 on the unit square; u = (lid(x), 0) on y = 1, 0 on the other walls.

    Lids: `unit` 1; `regularised` 16 x^2 (1 - x)^2; `parabolic` 4 x (1 - x). The pressure is 0 at the lower left.
    """

    fields = ("u", "v", "p")

    @on("interior")
    def momentum_x(self, x, y, u, v, u_x, u_y, p_x, lap_u, re):
        return self.near_corner(x, y) * (u * u_x + v * u_y + p_x - lap_u / re)

    @on("interior")
    def momentum_y(self, x, y, u, v, v_x, v_y, p_y, lap_v, re):
        return self.near_corner(x, y) * (u * v_x + v * v_y + p_y - lap_v / re)

    @on("interior")
    def continuity(self, x, y, u_x, v_y):
        return self.near_corner(x, y) * (u_x + v_y)

    @on("boundary")
    def wall_u(self, x, y, u):
        return self.near_corner(x, y) * (u - self.wall_speed(x, y))

    @on("boundary")
    def wall_v(self, x, y, v):
        return self.near_corner(x, y) * v

    @on("gauge")
    def gauge(self, p):
        return p

    @observable
    def vorticity(self, v_x, u_y):
        return v_x - u_y
