"""Products J^T J and Cholesky factors of symmetric matrices, in place, with half the operations of general ones.

Only the lower triangle of a symmetric matrix (n, n) is read or written; what lies above it is arbitrary. On the CPU the
BLAS and LAPACK of scipy do the work on the memory of the tensors, elsewhere torch. The matrices are contiguous.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

BLOCK = 256  # columns of a product formed at once where there is no BLAS for symmetric ones


class Buffers:
    """Tensors by name that are used again: the pages of new memory cost as much as filling them.

    `buffers(name, like, *shape)` is uninitialised, or what the last call of this name left.
    """

    def __init__(self) -> None:
        self._kept: dict[str, Tensor] = {}

    def __call__(self, name: str, like: Tensor, *shape: int) -> Tensor:
        size, kept = torch.Size(shape).numel(), self._kept.get(name)
        if kept is None or kept.numel() < size or (kept.dtype, kept.device) != (like.dtype, like.device):
            self._kept.pop(name, None)  # before its successor is allocated
            kept = self._kept[name] = like.new_empty(size)
        return kept[:size].view(shape)


def add_product(A: Tensor, J: Tensor, keep: bool) -> None:
    """A <- J^T J, plus A if `keep`, for J (m, n), or for J given as the transpose of a contiguous matrix."""
    if A.device.type != "cpu":
        for start in range(0, len(A), BLOCK):
            stop = min(start + BLOCK, len(A))
            A[start:stop, :stop].addmm_(J[:, start:stop].T, J[:, :stop], beta=float(keep))
        return
    syrk, rows = _routine("syrk", A.dtype), J.is_contiguous()  # the transpose of a row-major matrix is column-major
    a = J.numpy().T if rows else J.numpy()
    syrk(1.0, a, beta=float(keep), c=A.numpy().T, trans=0 if rows else 1, lower=0, overwrite_c=1)


def factor(A: Tensor) -> bool:
    """Replace A by its Cholesky factor; False, with A destroyed, if rounding has made it indefinite."""
    if A.device.type != "cpu":
        L, info = torch.linalg.cholesky_ex(A)
        A.copy_(L)
        return int(info) == 0
    _, info = _routine("potrf", A.dtype)(A.numpy().T, lower=0, clean=0, overwrite_a=1)
    return int(info) == 0


def solve(L: Tensor, b: Tensor) -> Tensor:
    """A^-1 b (n,) for the factor L of A."""
    if L.device.type != "cpu":
        return torch.cholesky_solve(b[:, None], L)[:, 0]
    x, _ = _routine("potrs", L.dtype)(L.numpy().T, b.numpy(), lower=0)
    return torch.from_numpy(x).flatten()


def load() -> None:
    """Load the BLAS and LAPACK of scipy, which read the number of threads when they are loaded."""
    from scipy.linalg import blas, lapack  # noqa: F401


@cache
def _routine(name: str, dtype: torch.dtype) -> Callable[..., Any]:
    from scipy.linalg import blas, lapack

    letter = {torch.float32: "s", torch.float64: "d"}[dtype]
    return getattr(blas if name == "syrk" else lapack, letter + name)
