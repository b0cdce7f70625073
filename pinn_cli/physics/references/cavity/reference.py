"""The lid-driven cavity: a spectral solution of the steady Navier-Stokes equations in the unit square."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from pinn_cli.basics.errors import UsageError
from pinn_cli.physics.references.cache import Arrays, cached
from pinn_cli.physics.references.cavity.corner import Corner
from pinn_cli.physics.references.cavity.solver import Collocation, Lid, NotConverged, carried, corners, steady
from pinn_cli.physics.references.chebyshev import coefficients, differentiation, polynomials

LIDS: dict[str, Lid] = {
    "unit": lambda x: 0 * x + 1,
    "regularised": lambda x: 16 * (x * (1 - x)) ** 2,
    "parabolic": lambda x: 4 * x * (1 - x),
}
FIELDS = ("u", "v", "p", "psi", "vorticity")
VERSION = 2  # of the method: a new one makes old cache entries unused
MASK = 0.05  # around the ends of a lid where the flow is singular


@dataclass(frozen=True)
class Cavity:
    """u . grad u + grad p = lap u / re, div u = 0 in the unit square, u = (lid(x), 0) on y = 1, 0 on the other walls.

    u = psi_y, v = -psi_x, psi = 0 on the walls (psi < 0 in the primary vortex), vorticity = v_x - u_y, p(0, 0) = 0.
    The first call solves the flow on (`nodes` + 1)^2 points, starting from coarser ones, and stores it in the cache.
    Relative L2 errors of 72 nodes against 96, outside the mask, for lid=unit and re = 100, 400, 1000: (u, v) 8e-8,
    1e-6, 7e-6; p 9e-5, 4e-4, 1e-3, largest on the side walls; vorticity 7e-5, 1e-3, 6e-3, largest on the lid.

    Raises UsageError for an unknown lid or field, re <= 0, fewer than 24 nodes, and an re too high for the nodes.
    """

    re: float
    lid: str = "unit"
    nodes: int = 72
    fields: tuple[str, ...] = FIELDS
    at = None

    def __post_init__(self) -> None:
        if self.lid not in LIDS:
            raise UsageError(f"lid={self.lid}: expected {', '.join(LIDS)}")
        if not self.re > 0:
            raise UsageError(f"re={self.re:g}: expected a Reynolds number above 0")
        if self.nodes < 24:
            raise UsageError(f"nodes={self.nodes}: expected 24 or more (72 resolves re=1000)")
        if unknown := set(self.fields) - set(FIELDS):
            raise UsageError(f"a cavity has no {', '.join(sorted(unknown))}: expected {', '.join(FIELDS)}")

    def __call__(self, X: Tensor) -> dict[str, Tensor]:
        """Values (N,) by field at X = (x, y) (N, 2), differentiable; computed in float64, returned in the dtype of X.

        At the two ends of the lid themselves, p and vorticity are finite but meaningless.
        """
        x, y = X.to(torch.float64).cpu().T
        Tx, Ty = polynomials(self.nodes, x), polynomials(self.nodes, y)
        values = {name: ((Tx @ c) * Ty).sum(1) for name, c in self._series.items()}
        for corner in self._corners:
            singular = corner(x, y)
            values = {name: value + singular[name] for name, value in values.items()}
        values["u"], values["v"], values["vorticity"] = values["psi_y"], -values["psi_x"], -values["z"]
        values["p"] = values["head"] - (values["u"] ** 2 + values["v"] ** 2) / 2
        return {name: values[name].to(X) for name in self.fields}

    def counts(self, X: Tensor) -> Tensor:
        """Which points (N,) enter the errors: all, except within 0.05 of an end of the lid where u or u_x jumps."""
        x, y = X.T
        r = torch.hypot(torch.minimum(x, 1 - x), 1 - y)
        singular = any(corner.speed or corner.slope for corner in self._corners)
        return r >= MASK if singular else torch.ones_like(r, dtype=torch.bool)

    @cached_property
    def error(self) -> float:
        """Relative L2 distance of (u, v), outside the mask, to that on 8/9 of the nodes; it exceeds the error."""
        return float(self._solution["error"])

    @cached_property
    def _corners(self) -> list[Corner]:
        return corners(LIDS[self.lid], self.re)

    @cached_property
    def _series(self) -> dict[str, Tensor]:
        """Coefficients (nodes + 1, nodes + 1) of T_i(2 x - 1) T_j(2 y - 1), without the corners' singular parts."""
        psi, head, A = self._solution["psi"], self._solution["head"], coefficients(self.nodes)
        _, D1, D2 = differentiation(self.nodes, 2)
        values = {"psi": psi, "psi_x": D1 @ psi, "psi_y": psi @ D1.T, "z": D2 @ psi + psi @ D2.T, "head": head}
        return {name: torch.from_numpy(A @ value @ A.T) for name, value in values.items()}

    @cached_property
    def _solution(self) -> Arrays:
        parameters: dict[str, float | int | str] = {"re": float(self.re), "lid": self.lid, "nodes": self.nodes}
        return cached("cavity", parameters | {"version": VERSION}, self._solve)

    def _solve(self) -> Arrays:
        try:
            grid, q = steady(LIDS[self.lid], self.re, 2 * self.nodes // 3)
            for n in (8 * self.nodes // 9, self.nodes):
                coarse, grid = grid, Collocation(n, LIDS[self.lid], self.re)
                q = grid.solve(start := carried(coarse, q, grid))
        except NotConverged as error:
            raise UsageError(f"{error}; expected a smaller re, or more than nodes={self.nodes}") from error
        x, y = (torch.from_numpy(z.ravel()) for z in grid.points)
        counted = self.counts(torch.stack([x, y], 1)).numpy().reshape(grid.points[0].shape)
        return {"psi": grid.rest(q), "head": grid.head(q), "error": np.array(grid.distance(start, q, counted))}
