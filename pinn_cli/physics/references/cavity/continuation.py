"""From one flow in the cavity to another: upwards in Re, and from grid to grid."""

import numpy as np
import torch

from pinn_cli.physics.references.cavity.solver import INNER, Collocation, Lid, NotConverged
from pinn_cli.physics.references.chebyshev import coefficients, nodes, polynomials


def steady(lid: Lid, re: float, n: int) -> tuple[Collocation, np.ndarray]:
    """The flow at Re on (n + 1)^2 nodes, found from Re = 1 upwards. A step that is too long is halved.

    Errors: NotConverged if a step below one percent of Re is too long as well.
    """
    grid = Collocation(n, lid, min(1.0, re))
    q = grid.solve(np.zeros((n - 3, n - 3)))
    aim = min(re, 100.0)
    while grid.re < re:
        try:
            grid, q = (following := Collocation(n, lid, aim)), following.solve(carried(grid, q, following))
            aim = min(re, 4 * aim)
        except NotConverged:
            if aim - grid.re < 0.01 * aim:
                raise
            aim = (grid.re + aim) / 2
    return grid, q


def carried(old: Collocation, q: np.ndarray, new: Collocation) -> np.ndarray:
    """The same psi on another grid, or with the singular part of another Reynolds number."""
    if old.n == new.n:
        return q + (old.singular["psi"] - new.singular["psi"])[INNER]
    T = polynomials(old.n, torch.from_numpy(nodes(new.n))).numpy() @ coefficients(old.n)
    return (T @ old.rest(q) @ T.T)[INNER]
