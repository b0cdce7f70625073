"""Polynomials on [0, 1] through the Chebyshev-Gauss-Lobatto points (Trefethen 2000; Weideman & Reddy 2000)."""

import numpy as np
import torch
from numpy import pi
from torch import Tensor


def nodes(n: int) -> np.ndarray:
    """The n + 1 points (1 - cos(pi i / n)) / 2, from 0 to 1."""
    return np.sin(pi * np.arange(n + 1) / (2 * n)) ** 2


def differentiation(n: int, order: int) -> list[np.ndarray]:
    """Matrices (n + 1, n + 1) from values at the nodes to derivatives there, of order 0 up to `order`.

    Rounding errors stay small, because differences of nodes are computed as products of sines, and each diagonal entry
    as the negative sum of its row.
    """
    angle = pi * np.arange(n + 1) / (2 * n)
    difference = np.sin(angle[:, None] + angle) * np.sin(angle[:, None] - angle)
    np.fill_diagonal(difference, 1.0)
    weight = (-1.0) ** np.arange(n + 1)
    weight[[0, -1]] /= 2
    matrices = [np.eye(n + 1)]
    for m in range(1, order + 1):
        last = matrices[-1]
        D = m / difference * (weight / weight[:, None] * np.diag(last)[:, None] - last)
        np.fill_diagonal(D, 0.0)
        np.fill_diagonal(D, -D.sum(1))
        matrices.append(D)
    return matrices


def quadrature(n: int) -> np.ndarray:
    """Weights (n + 1,) > 0 of the integral over [0, 1] (Clenshaw & Curtis 1960)."""
    even = np.arange(0, n + 1, 2)
    integral = np.zeros(n + 1)
    integral[even] = 1 / (1 - even**2)
    return integral @ coefficients(n)


def clamped(n: int) -> tuple[np.ndarray, np.ndarray]:
    """The polynomial with given values q at the nodes 2 .. n - 2 and given values and slopes at both ends.

    Its values at all nodes are inner @ q + ends @ (p(0), p(1), p'(0), p'(1)); inner (n + 1, n - 3), ends (n + 1, 4).
    """
    one, D = differentiation(n, 1)
    known = np.vstack([one[2:-2], one[[0, -1]], D[[0, -1]]])
    solved = np.linalg.inv(known)
    return solved[:, :-4], solved[:, -4:]


def coefficients(n: int) -> np.ndarray:
    """Matrix (n + 1, n + 1) from values at the nodes to coefficients of T_k(2 x - 1)."""
    return np.linalg.inv(polynomials(n, torch.from_numpy(nodes(n))).numpy())


def polynomials(n: int, x: Tensor) -> Tensor:
    """T_0 .. T_n of 2 x - 1, (N, n + 1) at x (N,), by recurrence, which is differentiable at the ends as well."""
    t = 2 * x - 1
    T = [torch.ones_like(t), t]
    for _ in range(n - 1):
        T.append(2 * t * T[-1] - T[-2])
    return torch.stack(T[: n + 1], 1)
