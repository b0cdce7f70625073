"""Steady flow in the lid-driven cavity: Chebyshev collocation in the streamfunction, Newton's method, continuation.

    lap lap psi / Re - psi_y d/dx lap psi + psi_x d/dy lap psi = 0        u = psi_y, v = -psi_x

on the unit square; psi = 0 and no slip on the walls, psi_y = lid(x) on y = 1. The singular part at the ends of the lid
is known (`corner.py`) and subtracted. The rest is a polynomial of degree n in x and in y that meets the boundary
conditions by construction; the equation at the inner nodes determines it (Botella & Peyret 1998).
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.linalg import eigh, lu_factor, lu_solve

from pinn_cli.physics.references.cavity.corner import Corner
from pinn_cli.physics.references.chebyshev import (
    clamped,
    coefficients,
    differentiation,
    nodes,
    polynomials,
    quadrature,
)

Lid = Callable[[Any], Any]  # its speed along x, of arrays and of tensors
INNER = np.s_[2:-2, 2:-2]  # the equation holds here; the two outer nodes of each end carry the boundary conditions


class NotConverged(ArithmeticError):
    """Newton's method does not converge from its start values."""


def corners(lid: Lid, re: float) -> list[Corner]:
    """The two ends of a lid whose speed is a polynomial of degree 8 at most."""
    speed = lid(nodes(8))
    slope = np.round(differentiation(8, 1)[1] @ speed, 9)  # a slope of zero is exactly zero
    return [Corner(re, float(speed[0]), float(slope[0]), False), Corner(re, float(speed[-1]), -float(slope[-1]), True)]


class Collocation:
    """The discrete equations on (n + 1)^2 nodes at one Reynolds number; arrays are indexed [x, y].

    ``rest`` (n + 1, n + 1) is psi without its singular part, ``q`` (n - 3, n - 3) its values at the inner nodes.
    """

    def __init__(self, n: int, lid: Lid, re: float) -> None:
        self.n, self.re, self.lid = n, re, lid
        self.D = differentiation(n, 4)
        self.inner, self.ends = clamped(n)
        self.d = [D[2:-2] @ self.inner for D in self.D]  # derivatives at the inner nodes from values at the inner nodes
        self.points = np.meshgrid(nodes(n), nodes(n), indexing="ij")
        self.singular = self._singular()
        self.lift = self._lift()

    def _singular(self) -> dict[str, np.ndarray]:
        x, y = (torch.from_numpy(z) for z in self.points)
        left, right = (corner(x, y) for corner in corners(self.lid, self.re))
        return {name: (left[name] + right[name]).numpy() for name in left}

    def _lift(self) -> np.ndarray:
        """Zero at the inner nodes; on the sides, the boundary conditions minus the singular part."""
        s, D, ends = self.singular, self.D[1], self.ends
        lid = self.lid(nodes(self.n)) - s["psi_y"][:, -1]
        along_y = np.stack([-s["psi"][:, 0], -s["psi"][:, -1], -s["psi_y"][:, 0], lid], 1)  # (n + 1, 4)
        horizontal = along_y @ ends.T
        along_x = np.stack([-s["psi"][0], -s["psi"][-1], -s["psi_x"][0], -s["psi_x"][-1]])  # (4, n + 1)
        return horizontal + ends @ (along_x - np.vstack([horizontal[[0, -1]], D[[0, -1]] @ horizontal]))

    def rest(self, q: np.ndarray) -> np.ndarray:
        return self.lift + self.inner @ q @ self.inner.T

    def solve(self, q: np.ndarray, steps: int = 12) -> np.ndarray:
        """q by Newton's method from the given q, until the correction is below 1e-8; the error is about its square.

        Raises NotConverged if that takes more `steps`.
        """
        for _ in range(steps):
            residual, flow = self.residual(q)
            # the transpose is in the order of LAPACK, so that nothing is copied
            factors = lu_factor(self.jacobian(flow).T, overwrite_a=True, check_finite=False)
            correction = lu_solve(factors, residual.ravel(), trans=1, check_finite=False).reshape(q.shape)
            q = q - correction
            if not np.abs(correction).max() < 1e3:
                break
            if np.abs(correction).max() < 1e-8:
                return q
        raise NotConverged(f"no steady flow at Re = {self.re:g} on {self.n} nodes")

    def residual(self, q: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """The equation at the inner nodes (n - 3, n - 3), and the gradients of psi and z = lap psi there."""
        D, rest = self.D, self.rest(q)
        flow = {
            "psi_x": D[1] @ rest,
            "psi_y": rest @ D[1].T,
            "z_x": D[3] @ rest + D[1] @ rest @ D[2].T,
            "z_y": rest @ D[3].T + D[2] @ rest @ D[1].T,
            "bilaplace": D[4] @ rest + 2 * D[2] @ rest @ D[2].T + rest @ D[4].T,
        }
        flow = {name: (value + self.singular[name])[INNER] for name, value in flow.items()}
        return flow["bilaplace"] / self.re - flow["psi_y"] * flow["z_x"] + flow["psi_x"] * flow["z_y"], flow

    def jacobian(self, flow: dict[str, np.ndarray]) -> np.ndarray:
        """d residual / d q, ((n - 3)^2, (n - 3)^2): Kronecker products of d, block of rows by block of rows."""
        _, d1, d2, d3, d4 = self.d
        m, diagonal = len(d1), np.arange(len(d1))
        u, v, z_x, z_y = (flow[name][:, :, None] for name in ("psi_y", "psi_x", "z_x", "z_y"))
        J = np.empty((m, m, m, m))  # residual [i, j], unknown [k, l]
        for i in range(m):
            J[i] = d2[i][:, None] * (2 / self.re * d2 + v[i] * d1)[:, None, :]
            J[i] -= d1[i][:, None] * (u[i] * d2)[:, None, :]
            J[i, diagonal, :, diagonal] += d4[i] / self.re - u[i] * d3[i] + z_y[i] * d1[i]
            J[i, :, i, :] += d4 / self.re + v[i] * d3 - z_x[i] * d1
        return J.reshape(m * m, m * m)

    def head(self, q: np.ndarray) -> np.ndarray:
        """p + (u^2 + v^2) / 2 without its singular part, at the nodes; p(0, 0) = 0.

        Its gradient is (z_y / Re + z psi_x, -z_x / Re + z psi_y) in the least-squares sense, with integrals over the
        square. The normal equations are diagonal in the eigenvectors of one direction.
        """
        D, s, rest = self.D, self.singular, self.rest(q)
        z = D[2] @ rest + rest @ D[2].T + s["z"]
        g_x = (D[2] @ rest @ D[1].T + rest @ D[3].T) / self.re + z * (D[1] @ rest + s["psi_x"]) - s["shear_x"]
        g_y = -(D[3] @ rest + D[1] @ rest @ D[2].T) / self.re + z * (rest @ D[1].T + s["psi_y"]) - s["shear_y"]
        g_x[[0, -1], -1] = g_y[[0, -1], -1] = 0.0  # at the corners themselves it is undefined
        w = quadrature(self.n)
        eigenvalues, V = eigh(D[1].T @ (w[:, None] * D[1]), np.diag(w))  # V^T diag(w) V = 1
        forcing = V.T @ (D[1].T @ (w[:, None] * g_x * w) + (w[:, None] * g_y * w) @ D[1]) @ V
        total = eigenvalues[:, None] + eigenvalues
        total[0, 0] = np.inf  # the constant
        head = V @ (forcing / total) @ V.T
        return head - head[0, 0] - s["head"][0, 0]

    def distance(self, q: np.ndarray, other: np.ndarray, counted: np.ndarray) -> float:
        """Relative L2 norm of the difference in (u, v) between two solutions, over the nodes in `counted`."""
        s, D, w = self.singular, self.D[1], quadrature(self.n)

        def norm(psi_x: np.ndarray, psi_y: np.ndarray) -> float:
            return float(np.sqrt(w @ (counted * (psi_x**2 + psi_y**2)) @ w))

        rest, difference = self.rest(other), self.rest(other) - self.rest(q)
        size = norm(D @ rest + s["psi_x"], rest @ D.T + s["psi_y"])
        return norm(D @ difference, difference @ D.T) / size


def steady(lid: Lid, re: float, n: int) -> tuple[Collocation, np.ndarray]:
    """The flow at Re on (n + 1)^2 nodes, reached from Re = 1 upwards. A step that is too long is halved.

    Raises NotConverged if a step below one percent of Re is still too long.
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
    """Start values for `new`: the same psi on its grid, or with the singular part of its Reynolds number."""
    if old.n == new.n:
        return q + (old.singular["psi"] - new.singular["psi"])[INNER]
    T = polynomials(old.n, torch.from_numpy(nodes(new.n))).numpy() @ coefficients(old.n)
    return (T @ old.rest(q) @ T.T)[INNER]
