"""The Jacobian of all points where each process has the rows of its own.

    J^T u = sum_p J_p^T u_p        J^T J = sum_p J_p^T J_p        J J^T = sum_p J[:, c_p] J[:, c_p]^T

p = processes   J_p (M_p, P) = rows of the points of one   c_p = the columns that one multiplies, once it has all rows
"""

from collections.abc import Iterator, Sequence
from functools import cached_property

import torch
from torch import Tensor

from pinn_cli.basics.ranks import Ranks
from pinn_cli.methods.symmetric import Buffers, add_product
from pinn_cli.training.jacobian import Linearisation

BLOCK = 512  # rows of a triangle that are sent at once


class DividedLinearisation:
    """F (M,) of all points, and their Jacobian J (M, P); `own` has its rows at the `places` of F of this process."""

    def __init__(self, F: Tensor, own: Linearisation, places: Sequence[slice], ranks: Ranks) -> None:
        self.F, self.own, self.places, self.ranks = F, own, places, ranks
        self.parameters = own.parameters

    @property
    def rows(self) -> int:
        return len(self.F)

    @cached_property
    def gradient(self) -> Tensor:
        """J^T F (P,)."""
        return self.transposed(self.F)

    def times(self, v: Tensor) -> Tensor:
        """J v (M,)."""
        return self.ranks.whole(self._placed(self.own.times(v)))

    def transposed(self, u: Tensor) -> Tensor:
        """J^T u (P,)."""
        return self.ranks.sum(self.own.transposed(torch.cat([u[place] for place in self.places])))

    def column_squares(self) -> Tensor:
        """The diagonal of J^T J (P,)."""
        return self.ranks.sum(self.own.column_squares())

    def dense(self) -> Tensor:
        """J (M, P) itself."""
        return self.ranks.sum(self._placed(self.own.dense()))

    def gram(self, budget: float, buffers: Buffers | None = None) -> Tensor:
        """The lower triangle of J^T J (P, P), as `Linearisation.gram`."""
        return self._sum(self.own.gram(budget, buffers))

    def kernel(self, budget: float, weights: Tensor | None = None, buffers: Buffers | None = None) -> Tensor:
        """The lower triangle of J diag(weights) J^T (M, M), as `Linearisation.kernel`.

        Each process gets the rows of all, and multiplies its share of their columns.
        """
        buffers, M = buffers or Buffers(), self.rows
        K, width = buffers("product", self.F, M, M).zero_(), int(budget / (M * self.F.element_size()))
        for slab, J in self.own.slabs(width, buffers, self.ranks.sum):
            whole = self.ranks.sum(self._placed(J))
            some = self.ranks.share(whole.shape[1])
            part = whole[:, some].contiguous()
            add_product(K, (part if weights is None else part * weights[slab][some].sqrt()).T, keep=True)
        return self._sum(K)

    def chunks(self, budget: float, columns: Sequence[slice]) -> Iterator[Tensor]:
        """Rows of J of this process alone would be wrong: methods that read them are refused."""
        raise NotImplementedError("rows of J are not divided among processes")

    def _placed(self, own: Tensor) -> Tensor:
        """Rows (M_p, ...) of this process at their places among all (M, ...), and 0 elsewhere."""
        out, start = own.new_zeros(self.rows, *own.shape[1:]), 0
        for place in self.places:
            stop = start + place.stop - place.start
            out[place], start = own[start:stop], stop
        return out

    def _sum(self, A: Tensor) -> Tensor:
        """Add up lower triangles (n, n) in place; what lies above a block of rows is not sent."""
        for start in range(0, len(A), BLOCK):
            stop = min(start + BLOCK, len(A))
            A[start:stop, :stop] = self.ranks.sum(A[start:stop, :stop].contiguous())
        return A
