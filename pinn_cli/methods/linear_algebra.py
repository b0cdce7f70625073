"""Dense linear least squares: columns scaled to length one, then the triangle of a QR factorisation.

    minimise |A x - b|^2 + ridge |D x|^2        D = diag(lengths of the columns of A)

Only the triangle of [A D^-1, b] is formed: Q is never stored, and A^T A, which squares the condition number, never
arises (Golub & Van Loan, Matrix Computations, section 5.3). The triangle then answers for any ridge without A.

    M = rows   P = columns   K = right-hand sides
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

SAFE = 1e3  # times the tolerance: the smallest ratio on the diagonal of R with which no column counts as dependent


@dataclass(frozen=True)
class Triangle:
    """A D^-1 = Q R: R (P, P), y = Q^T b (P, K), and D (P,), with 1 for a column of zeros."""

    R: Tensor
    y: Tensor
    D: Tensor

    @cached_property
    def decomposition(self) -> tuple[Tensor, Tensor, Tensor]:
        """U (P, P), s (P,) from large to small, and V^T (P, P), with R = U diag(s) V^T."""
        return torch.linalg.svd(self.R)

    def rank(self, tolerance: float | None = None) -> int:
        """How many singular values of A D^-1 are above `tolerance` (default: P eps) times the largest."""
        s = self.decomposition[1]
        return int((s > self._or_default(tolerance) * s[:1]).sum())

    def solve(self, ridge: float = 0.0, tolerance: float | None = None) -> Tensor:
        """x (P, K). Where columns depend on each other (`rank`) and there is no ridge, the x of the smallest |D x|."""
        if ridge > 0:
            return self.with_ridge(ridge).solve(tolerance=0.0)  # no columns depend on each other
        diagonal = self.R.diagonal().abs()
        if bool((diagonal > SAFE * self._or_default(tolerance) * self.R.abs().max()).all()):
            return torch.linalg.solve_triangular(self.R, self.y, upper=True) / self.D[:, None]
        U, s, Vt = self.decomposition
        n = self.rank(tolerance)
        return Vt[:n].T @ (U[:, :n].T @ self.y / s[:n, None]) / self.D[:, None]

    def covariance_times(self, B: Tensor) -> Tensor:
        """(A^T A)^-1 B for B (P, K). If the errors of b are independent with variance 1, x has this covariance.

        Raises RuntimeError if the columns of A depend on each other; a ridge (`with_ridge`) makes them independent.
        """
        half = torch.linalg.solve_triangular(self.R.T, B / self.D[:, None], upper=False)
        return torch.linalg.solve_triangular(self.R, half, upper=True) / self.D[:, None]

    def with_ridge(self, ridge: float) -> "Triangle":
        """The triangle with the rows sqrt(ridge) D below A, and zeros below b."""
        identity = torch.eye(len(self.R), dtype=self.R.dtype, device=self.R.device)
        R, y = _reduced(torch.cat([self.R, ridge**0.5 * identity]), torch.cat([self.y, torch.zeros_like(self.y)]))
        return Triangle(R, y, self.D)

    def _or_default(self, tolerance: float | None) -> float:
        return len(self.R) * torch.finfo(self.R.dtype).eps if tolerance is None else tolerance


@torch.no_grad()
def triangle(A: Tensor, b: Tensor) -> Triangle:
    """The triangle of A (M, P) and b (M,) or (M, K); M may be smaller than P."""
    D = A.norm(dim=0)
    D = torch.where(D > 0, D, torch.ones_like(D))
    return Triangle(*_reduced(A / D, b.reshape(len(A), -1)), D)


def least_squares(A: Tensor, b: Tensor, ridge: float = 0.0, tolerance: float | None = None) -> Tensor:
    """argmin |A x - b|^2 + ridge |D x|^2 for A (M, P) and b (M,) or (M, K): x (P,) or (P, K).

    Columns that depend on others to within `tolerance` (default: P eps) are no error: without a ridge, x is then the
    minimiser with the smallest |D x|.
    """
    x = triangle(A, b).solve(ridge, tolerance)
    return x[:, 0] if b.ndim == 1 else x


def _reduced(A: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """R (P, P) and Q^T b (P, K) of A = Q R, from the triangle of [A, b]; missing rows are zeros."""
    P = A.shape[1]
    whole = torch.linalg.qr(torch.cat([A, b], 1), mode="r").R[:P]
    whole = torch.cat([whole, whole.new_zeros(P - len(whole), whole.shape[1])])
    return whole[:, :P], whole[:, P:]
