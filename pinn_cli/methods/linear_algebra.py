"""Dense linear least squares: columns scaled to length one, then the triangle of a QR factorisation.

    minimise |A x - b|^2 + ridge |D x|^2        D = diag(lengths of the columns of A)

Only the triangle of [A, b] is formed: Q is never stored, and A^T A, which squares the condition number, never arises
(Golub & Van Loan, Matrix Computations, section 5.3). The triangle then answers for any ridge without A. Where A does
not fit the memory, its rows come in blocks, and the triangle of each is merged with that of the blocks before
(tall-skinny QR: Demmel, Grigori, Hoemmen & Langou 2012). Many rows that are 0 in the same columns, such as those of a
boundary condition of one of several fields, are first reduced to as many as they have other columns.

A solution is corrected without a new factorisation by the semi-normal equations (Bjorck 1987),

    x <- x + (A^T A + ridge D^2)^-1 A^T (b - A x)        (`covariance_times`)

which converge where sqrt(ridge) is above the rounding error of the triangle (`least_ridge`).

    M = rows   P = columns   K = right-hand sides
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from math import inf

import torch
from torch import Tensor

PANEL = 192  # columns that are factored together
SAFE = 1e3  # times the tolerance: the smallest ratio on the diagonal of R with which no column counts as dependent


@dataclass(frozen=True)
class Triangle:
    """A D^-1 = Q R: R (P, P), y = Q^T b (P, K), and D (P,), with 1 for a column of zeros.

    `rest` (K,) is |b - Q y|^2, what is left of b for the best x.
    """

    R: Tensor
    y: Tensor
    D: Tensor
    rest: Tensor

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

        With B = A^T (b - A x) it is the correction of x by the semi-normal equations.

        Raises RuntimeError if the columns of A depend on each other; a ridge (`with_ridge`) makes them independent.
        """
        half = torch.linalg.solve_triangular(self.R.T, B / self.D[:, None], upper=False)
        return torch.linalg.solve_triangular(self.R, half, upper=True) / self.D[:, None]

    def squares(self, x: Tensor) -> Tensor:
        """|A x - b|^2 (K,) for x (P, K)."""
        return self.rest + (self.R @ (self.D[:, None] * x) - self.y).square().sum(0)

    def with_ridge(self, ridge: float, about: Tensor | None = None) -> "Triangle":
        """The triangle with the rows sqrt(ridge) D below A, and sqrt(ridge) D `about` (P, K) below b; None: zeros."""
        identity = torch.eye(len(self.R), dtype=self.R.dtype, device=self.R.device)
        right = torch.zeros_like(self.y) if about is None else self.D[:, None] * about
        below = ridge**0.5 * torch.cat([identity, right], 1)
        R, y, rest = _of_two(torch.cat([self.R, self.y], 1), below)
        return Triangle(R, y, self.D, self.rest + rest)

    def _or_default(self, tolerance: float | None) -> float:
        return len(self.R) * torch.finfo(self.R.dtype).eps if tolerance is None else tolerance


def triangle(A: Tensor, b: Tensor) -> Triangle:
    """The triangle of A (M, P) and b (M,) or (M, K); M may be smaller than P."""
    return triangle_of_blocks([(A, b)])


@torch.no_grad()
def triangle_of_blocks(blocks: Iterable[tuple[Tensor, Tensor]], budget: float = inf) -> Triangle:
    """The triangle of A and b of which some rows come at a time: (m, P) with (m,) or (m, K). At least one block.

    Blocks are kept until they have `budget` bytes, and then factored together.
    """
    kept: list[Tensor] = []
    P = size = 0
    for A, b in blocks:
        P, rows = A.shape[1], torch.cat([A, b.reshape(len(A), -1)], 1)
        if kept and size + rows.nbytes > budget:
            kept, size = [_factored(kept)], 0
        kept.append(rows)
        size += rows.nbytes
        del A, b, rows
    R, y, rest = _split(_factored(kept), P)
    D = R.norm(dim=0)  # the columns of R are as long as those of A, and scaling them before or after is the same
    D = torch.where(D > 0, D, torch.ones_like(D))
    return Triangle(R / D, y, D, rest)


def least_ridge(columns: int, dtype: torch.dtype) -> float:
    """P (10 eps)^2: the smallest ridge that the rounding errors of the triangle of P columns do not exceed."""
    return columns * (10 * torch.finfo(dtype).eps) ** 2


def bytes_needed(rows: int, columns: int, itemsize: int, budget: float) -> float:
    """Bytes at the peak of `triangle_of_blocks` and `with_ridge`, with blocks of at most `budget` bytes.

    The blocks, together with the triangle of those before, and the copy that is factored; or R, its copy and the ridge.
    """
    block, square = min(budget, float(rows * columns * itemsize)), float(columns * columns * itemsize)
    return 3 * block + 2 * square + max(0.0, 3 * square - 3 * block)


def operations(rows: int, columns: int) -> float:
    """Floating-point operations of `triangle`, 2 P^2 (M - P / 3) for M rows, and of `with_ridge`, 2 P^3 / 3."""
    return 2 * columns**2 * (max(rows, columns) - columns / 3) + 2 * columns**3 / 3


def least_squares(A: Tensor, b: Tensor, ridge: float = 0.0, tolerance: float | None = None) -> Tensor:
    """argmin |A x - b|^2 + ridge |D x|^2 for A (M, P) and b (M,) or (M, K): x (P,) or (P, K).

    Columns that depend on others to within `tolerance` (default: P eps) are no error: without a ridge, x is then the
    minimiser with the smallest |D x|.
    """
    x = triangle(A, b).solve(ridge, tolerance)
    return x[:, 0] if b.ndim == 1 else x


def _reduced(rows: Tensor) -> Tensor:
    """The upper triangular factor (min(M, P + K), P + K) of the QR factorisation of rows [A, b]."""
    return torch.linalg.qr(rows, mode="r").R


def _factored(blocks: list[Tensor]) -> Tensor:
    """The triangular factor of all rows of these blocks, which are freed."""
    alike: dict[bytes, list[Tensor]] = {}
    while blocks:
        rows = blocks.pop()
        alike.setdefault(bytes((rows != 0).any(0).tolist()), []).append(rows)
    if len(alike) == 1:
        return _reduced(torch.cat(alike.popitem()[1]))
    return _reduced(torch.cat([_shortened(*alike.popitem()) for _ in range(len(alike))]))


def _shortened(used: bytes, blocks: list[Tensor]) -> Tensor:
    """The rows (m, P) of blocks that are 0 but in the u columns `used`, or their triangular factor (u, P).

    The factor takes 2 u^2 (m - u / 3) operations and spares the next one (m - u) rows, 2 P^2 each.
    """
    m, u, P = sum(map(len, blocks)), sum(used), len(used)
    if (m - u) * P**2 <= u**2 * (m - u / 3):
        return torch.cat(blocks)
    columns = torch.tensor(list(used), dtype=torch.bool, device=blocks[0].device)
    short = _reduced(torch.cat([rows[:, columns] for rows in blocks]))
    whole = short.new_zeros(len(short), len(columns))
    whole[:, columns] = short
    return whole


def _of_two(upper: Tensor, lower: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """R (P, P), y (P, K) and rest (K,) of the factor of two triangles with right-hand sides, (P, P + K), of which the
    first may be overwritten.

    A panel of columns at a time; the rows of the second triangle that have not begun yet take no part (Elmroth &
    Gustavson 2000).
    """
    P = len(upper)
    for start in range(0, P, PANEL):
        stop = min(start + PANEL, P)
        rows = torch.cat([upper[start:stop, start:], lower[:stop, start:]])
        n = stop - start
        factor, tau = torch.geqrf(rows[:, :n])
        right = torch.ormqr(factor, tau, rows[:, n:], transpose=True)
        upper[start:stop, start:stop] = factor[:n].triu()
        upper[start:stop, stop:], lower[:stop, stop:] = right[:n], right[n:]
    return upper[:, :P], upper[:, P:], lower[:, P:].square().sum(0)


def _split(whole: Tensor, P: int) -> tuple[Tensor, Tensor, Tensor]:
    """R (P, P), y (P, K) and rest (K,) of the factor of [A, b]; missing rows are zeros."""
    top, below = whole[:P], whole[P:, P:]
    top = torch.cat([top, top.new_zeros(P - len(top), top.shape[1])])
    return top[:, :P], top[:, P:], below.square().sum(0)
