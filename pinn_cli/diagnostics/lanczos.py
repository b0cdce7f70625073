"""Extreme eigenvalues of a symmetric matrix that is known by its products with vectors alone."""

from collections.abc import Callable

import torch
from torch import Tensor


def extremes(
    times: Callable[[Tensor], Tensor], start: Tensor, tolerance: float = 1e-6, iterations: int = 200
) -> tuple[float, float]:
    """The largest and the smallest eigenvalue of A (P, P), from products A v alone.

    Lanczos: A Q = Q T + beta q e^T with orthonormal Q (P, m) and tridiagonal T (m, m). An eigenpair (theta, s) of T is
    within |beta s_m| of an eigenvalue of A; it goes on until that is at most tolerance |theta| at both ends, or until m
    is `iterations` or P. Every new vector is made orthogonal to all before it, twice: without that, rounding brings
    copies of eigenvalues found already (Paige 1972; Parlett, The Symmetric Eigenvalue Problem, 1980). The error of an
    eigenvalue is of second order in the bound, hence much below it. NaN if A v is not finite.
    """
    Q, alpha, beta = [start / start.norm()], [], []
    for m in range(1, min(iterations, len(start)) + 1):
        v = times(Q[-1])
        if not v.isfinite().all():
            return torch.nan, torch.nan
        alpha.append(float(Q[-1] @ v))
        basis = torch.stack(Q)
        for _ in range(2):
            v = v - basis.T @ (basis @ v)
        beta.append(float(v.norm()))
        theta, last = _ritz(alpha, beta[:-1])
        scale = float(theta.abs().max())
        bounds = beta[-1] * last.abs()
        if beta[-1] <= 1e-14 * max(scale, beta[0]) or m == len(start):  # an invariant subspace: theta are eigenvalues
            break
        if all(bounds[end] <= tolerance * theta[end].abs() for end in (0, -1)):
            break
        Q.append(v / beta[-1])
    return float(theta[-1]), float(theta[0])


def _ritz(alpha: list[float], beta: list[float]) -> tuple[Tensor, Tensor]:
    """Eigenvalues (m,) of the tridiagonal T, ascending, and the last entries (m,) of their vectors."""
    off = torch.tensor(beta, dtype=torch.float64, device="cpu")
    T = torch.diag(torch.tensor(alpha, dtype=torch.float64, device="cpu")) + off.diag(1) + off.diag(-1)
    theta, s = torch.linalg.eigh(T)
    return theta, s[-1]
