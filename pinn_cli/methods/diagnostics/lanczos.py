"""Eigenvalues and eigenvectors of a symmetric matrix, from its products with vectors (Lanczos iteration)."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Product = Callable[[Tensor], Tensor]


@dataclass
class Ritz:
    """Ritz pairs of A (P, P) from m products: eigenvalues of its restriction to the span of Q, ascending.

    Each lies within its bound |A y - theta y| of an eigenvalue of A. All are NaN if a product was not finite.
    """

    values: Tensor  # theta (m,), float64 on the CPU
    bounds: Tensor  # (m,), float64 on the CPU
    basis: Tensor  # Q (m, P), orthonormal rows
    coefficients: Tensor  # (m, m), a column per eigenvalue: y = Q^T s

    def largest(self, count: int) -> Tensor:
        """Unit vectors y (count, P) of the largest eigenvalues, descending; the largest entry of each is positive."""
        s = self.coefficients[:, -count:].flip(1).to(self.basis)
        y = s.T @ self.basis
        return y * y.gather(1, y.abs().argmax(1, keepdim=True)).sign() / y.norm(dim=1, keepdim=True)


def extremes(times: Product, start: Tensor, tolerance: float = 1e-6, iterations: int = 200) -> tuple[float, float]:
    """The largest and the smallest eigenvalue of A, each to a relative `tolerance` if `iterations` products suffice.

    The error of an eigenvalue is of second order in its bound, so much smaller than the bound.
    """

    def both_ends(theta: Tensor, bounds: Tensor) -> bool:
        return all(bounds[end] <= tolerance * theta[end].abs() for end in (0, -1))

    values = lanczos(times, start, iterations, both_ends).values
    return float(values[-1]), float(values[0])


def lanczos(
    times: Product,
    start: Tensor,
    iterations: int,
    enough: Callable[[Tensor, Tensor], bool] = lambda theta, bounds: False,
) -> Ritz:
    """A Q = Q T + beta q e^T with orthonormal Q (P, m) and tridiagonal T (m, m), from products A v alone.

    An eigenvalue theta of T, with vector s, is within |beta s_m| of an eigenvalue of A. The iteration ends when
    `enough(theta, bounds)` holds, or when m is `iterations` or P. Each new vector is made orthogonal to all before it,
    twice; otherwise rounding produces copies of known eigenvalues (Paige 1972; Parlett, The Symmetric Eigenvalue
    Problem, 1980). If the span of Q is invariant, a random vector orthogonal to it continues the iteration, so that a
    double eigenvalue appears twice.
    """
    Q, alpha, beta = [start / start.norm()], [], []
    for m in range(1, min(iterations, len(start)) + 1):
        v = times(Q[-1])
        if not v.isfinite().all():
            return _nothing(start)
        alpha.append(float(Q[-1] @ v))
        basis = torch.stack(Q)
        v = _orthogonal(v, basis)
        beta.append(float(v.norm()))
        theta, s = _ritz(alpha, beta[:-1])
        if beta[-1] <= 1e-14 * max(float(theta.abs().max()), beta[0]) or m == len(start):
            beta[-1] = 0.0
        bounds = beta[-1] * s[-1].abs()
        if enough(theta, bounds):
            break
        Q.append(v / beta[-1] if beta[-1] else _fresh(basis))
    return Ritz(theta, bounds, basis, s)


def _orthogonal(v: Tensor, basis: Tensor) -> Tensor:
    for _ in range(2):
        v = v - basis.T @ (basis @ v)
    return v


def _fresh(basis: Tensor) -> Tensor:
    """A unit vector orthogonal to the rows of the basis (m, P), the same at every call."""
    generator = torch.Generator("cpu").manual_seed(len(basis))
    v = torch.randn(basis.shape[1], generator=generator, dtype=torch.float64, device="cpu").to(basis)
    v = _orthogonal(v, basis)
    return v / v.norm()


def _ritz(alpha: list[float], beta: list[float]) -> tuple[Tensor, Tensor]:
    """Eigenvalues (m,) of the tridiagonal T, ascending, and their vectors (m, m), one per column."""
    off = torch.tensor(beta, dtype=torch.float64, device="cpu")
    T = torch.diag(torch.tensor(alpha, dtype=torch.float64, device="cpu")) + off.diag(1) + off.diag(-1)
    theta, s = torch.linalg.eigh(T)
    return theta, s


def _nothing(start: Tensor) -> Ritz:
    two = torch.full((2,), torch.nan, dtype=torch.float64, device="cpu")
    return Ritz(two, two, start.new_full((2, len(start)), torch.nan), two.expand(2, 2))
