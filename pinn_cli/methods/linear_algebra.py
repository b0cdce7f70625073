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

`least_squares` has a gradient (`implicit.py`), which takes one more solve with the triangle that is already there.

    M = rows   P = columns   K = right-hand sides   ... = several problems at once, or nothing
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from math import inf

import torch
from torch import Tensor

from pinn_cli.basics.errors import UsageError
from pinn_cli.methods.implicit import implicit

PANEL = 192  # columns that are factored together
SAFE = 1e3  # times the tolerance: the smallest ratio on the diagonal of R with which no column counts as dependent


@dataclass(frozen=True)
class Triangle:
    """A D^-1 = Q R: R (..., P, P), y = Q^T b (..., P, K), and D (..., P), with 1 for a column of zeros.

    `rest` (..., K) is |b - Q y|^2, what is left of b for the best x.
    """

    R: Tensor
    y: Tensor
    D: Tensor
    rest: Tensor

    @property
    def columns(self) -> int:
        return self.R.shape[-1]

    @cached_property
    def decomposition(self) -> tuple[Tensor, Tensor, Tensor]:
        """U (..., P, P), s (..., P) from large to small, and V^T (..., P, P), with R = U diag(s) V^T."""
        return torch.linalg.svd(self.R)

    def rank(self, tolerance: float | None = None) -> Tensor:
        """How many (...) singular values of A D^-1 are above `tolerance` (default: P eps) times the largest."""
        s = self.decomposition[1]
        return (s > self._or_default(tolerance) * s[..., :1]).sum(-1)

    def independent(self, tolerance: float | None = None) -> Tensor:
        """Whether (...) the diagonal of R shows that no column depends on others."""
        diagonal, largest = self.R.diagonal(dim1=-2, dim2=-1).abs(), self.R.abs().amax((-2, -1))
        return (diagonal > SAFE * self._or_default(tolerance) * largest[..., None]).all(-1)

    def solve(self, ridge: float = 0.0, tolerance: float | None = None) -> Tensor:
        """x (..., P, K). Where columns depend on others (`rank`) and there is no ridge, the x of the smallest |D x|."""
        if ridge > 0:
            return self.with_ridge(ridge).solve(tolerance=0.0)  # no columns depend on each other
        if bool(self.independent(tolerance).all()):
            return torch.linalg.solve_triangular(self.R, self.y, upper=True) / self.D[..., None]
        if self.R.ndim > 2:
            parts = zip(self.R, self.y, self.D, self.rest, strict=True)
            return torch.stack([Triangle(*part).solve(tolerance=tolerance) for part in parts])
        U, s, Vt = self.decomposition
        n = int(self.rank(tolerance))
        return Vt[:n].T @ (U[:, :n].T @ self.y / s[:n, None]) / self.D[:, None]

    def covariance_times(self, B: Tensor) -> Tensor:
        """(A^T A)^-1 B for B (..., P, K). If the errors of b are independent with variance 1, x has this covariance.

        With B = A^T (b - A x) it is the correction of x by the semi-normal equations.

        Raises RuntimeError if the columns of A depend on each other; a ridge (`with_ridge`) makes them independent.
        """
        half = torch.linalg.solve_triangular(self.R.mT, B / self.D[..., None], upper=False)
        return torch.linalg.solve_triangular(self.R, half, upper=True) / self.D[..., None]

    def squares(self, x: Tensor) -> Tensor:
        """|A x - b|^2 (..., K) for x (..., P, K)."""
        return self.rest + (self.R @ (self.D[..., None] * x) - self.y).square().sum(-2)

    def with_ridge(self, ridge: float | Tensor, about: Tensor | None = None) -> "Triangle":
        """The triangle with the rows sqrt(ridge) D below A, and sqrt(ridge) D `about` (..., P, K) below b; None: zeros.

        A tensor (...) has a ridge for each problem.
        """
        identity = torch.eye(self.columns, dtype=self.R.dtype, device=self.R.device).expand_as(self.R)
        right = torch.zeros_like(self.y) if about is None else self.D[..., None] * about
        root = ridge**0.5 if isinstance(ridge, float | int) else ridge.sqrt()[..., None, None]
        R, y, rest = _of_two(torch.cat([self.R, self.y], -1), root * torch.cat([identity, right], -1))
        return Triangle(R, y, self.D, self.rest + rest)

    def _or_default(self, tolerance: float | None) -> float:
        return self.columns * torch.finfo(self.R.dtype).eps if tolerance is None else tolerance


@torch.no_grad()
def triangle(A: Tensor, b: Tensor) -> Triangle:
    """The triangle of A (..., M, P) and b (..., M) or (..., M, K); M may be smaller than P."""
    if A.ndim == 2:
        return triangle_of_blocks([(A, b)])
    return _of_factor(_reduced(torch.cat([A, b.reshape(*A.shape[:-1], -1)], -1)), A.shape[-1])


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
    return _of_factor(_factored(kept), P)


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
    """argmin |A x - b|^2 + ridge |D x|^2 for A (..., M, P) and b (..., M) or (..., M, K): x (..., P) or (..., P, K).

    Columns that depend on others to within `tolerance` (default: P eps) are no error: without a ridge, x is then the
    minimiser with the smallest |D x|. Such an x jumps when A changes, because the rank does, so it has no gradient:
    raises UsageError if one is wanted. Otherwise the gradient is that of the minimum; D changes with A. With
    H = A^T A + ridge D^2, r = A x - b and z = H^-1 dl/dx it is

        dl/db = A z        dl/dA = -(r z^T + (A z) x^T) - 2 ridge A diag(x z)
    """
    B = b[..., None] if b.ndim < A.ndim else b
    solved = triangle(A, B)
    solved = solved.with_ridge(ridge) if ridge > 0 else solved
    x = solved.solve(tolerance=0.0 if ridge > 0 else tolerance)  # with a ridge, no columns depend on each other
    if torch.is_grad_enabled() and (A.requires_grad or b.requires_grad):
        refuse_dependent(solved, "columns", tolerance)
        G = A.mT @ (A @ x - B)
        if ridge > 0:
            squares = A.square().sum(-2)
            G = G + ridge * torch.where(squares > 0, squares, torch.ones_like(squares))[..., None] * x
        x = implicit(x, G, solved.covariance_times)
    return x[..., 0] if b.ndim < A.ndim else x


def refuse_dependent(solved: Triangle, what: str, tolerance: float | None = None) -> None:
    """Raise UsageError if the columns of a triangle depend on each other, so that no derivative of x exists."""
    if bool(solved.independent(tolerance).all()):
        return
    rank = int(solved.rank(tolerance).min())
    if rank < solved.columns:
        raise UsageError(
            f"only {rank} of {solved.columns} {what} are independent: many combinations are equally good, and none has "
            f"a derivative; expected independent {what}, or a ridge that chooses one: pass ridge=1e-10"
        )


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
    """R (P, P), y (P, K) and rest (K,) of the factor of two triangles with right-hand sides, (P, P + K), which may be
    overwritten.

    A panel of columns at a time; the rows of the second triangle that have not begun yet take no part (Elmroth &
    Gustavson 2000).
    """
    P = upper.shape[-2]
    for start in range(0, P, PANEL):
        stop = min(start + PANEL, P)
        rows = torch.cat([upper[..., start:stop, start:], lower[..., :stop, start:]], -2)
        n = stop - start
        factor, tau = torch.geqrf(rows[..., :n])
        right = torch.ormqr(factor, tau, rows[..., n:], transpose=True)
        upper[..., start:stop, start:stop] = factor[..., :n, :].triu()
        upper[..., start:stop, stop:], lower[..., :stop, stop:] = right[..., :n, :], right[..., n:, :]
    return upper[..., :P], upper[..., P:], lower[..., P:].square().sum(-2)


def _of_factor(whole: Tensor, P: int) -> Triangle:
    """The triangle (P, P) of the factor of [A, b]; missing rows are zeros."""
    top, rest = whole[..., :P, :], whole[..., P:, P:].square().sum(-2)
    top = torch.cat([top, top.new_zeros(*top.shape[:-2], P - top.shape[-2], top.shape[-1])], -2)
    R, y = top[..., :P], top[..., P:]
    D = R.norm(dim=-2)  # the columns of R are as long as those of A, and scaling them before or after is the same
    D = torch.where(D > 0, D, torch.ones_like(D))
    return Triangle(R / D[..., None, :], y, D, rest)
