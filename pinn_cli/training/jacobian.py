"""Rows of dF/dtheta without a loop over points.

F_n depends only on point n. One backward pass of sum_n F_n to the streams in front of every layer gives, for each n,

    dF_n/dW = sum_s G_{s,n} (x) A_{s,n}        A = streams into the layer, G = dF_n / d(streams out of it),

a product of rank S. Products with J are matrix products of these factors, until J itself has been formed: J^T J and
J J^T need it, in pieces within a memory budget. Other parameters (slopes, gates, coefficients) have dense rows.

    M = rows   P = parameters   N = points of one constraint   S = streams
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

import torch
from torch import Tensor

from pinn_cli.derivatives import Tape
from pinn_cli.methods.symmetric import Buffers, add_product

ROWS = 2048  # of J that enter a product between two looks at an interruption
PROBE = 32  # points at which the tape is compared with autograd


@dataclass
class Layer:
    """Factors of the rows of one weight (O, I): A (N, S, I), G (N, S, O)."""

    columns: slice
    A: Tensor
    G: Tensor

    def split(self, width: int) -> "list[Layer]":
        """The same columns in pieces of about `width`, each some of the outputs."""
        O, I, start = self.G.shape[2], self.A.shape[2], self.columns.start
        ends = [*range(0, O, max(1, width // I)), O]
        return [Layer(slice(start + a * I, start + b * I), self.A, self.G[..., a:b]) for a, b in pairwise(ends)]

    def dense(self, rows: slice) -> Tensor:
        return torch.bmm(self.G[rows].transpose(1, 2), self.A[rows]).flatten(1)

    def write(self, rows: slice, out: Tensor) -> None:
        out = out.unflatten(1, (self.G.shape[2], self.A.shape[2]))
        torch.bmm(self.G[rows].transpose(1, 2), self.A[rows], out=out)

    def times(self, v: Tensor) -> Tensor:
        V = v.view(self.G.shape[2], self.A.shape[2])
        return ((self.A @ V.T) * self.G).sum((1, 2))

    def transposed(self, u: Tensor) -> Tensor:
        return ((self.G * u[:, None, None]).flatten(0, 1).T @ self.A.flatten(0, 1)).flatten()


@dataclass
class Dense:
    """Dense rows (N, p) of any other parameter."""

    columns: slice
    rows: Tensor

    def split(self, width: int) -> "list[Dense]":
        """The same columns in pieces of at most `width`."""
        ends = [*range(0, self.rows.shape[1], width), self.rows.shape[1]]
        start = self.columns.start
        return [Dense(slice(start + a, start + b), self.rows[:, a:b]) for a, b in pairwise(ends)]

    def dense(self, rows: slice) -> Tensor:
        return self.rows[rows]

    def write(self, rows: slice, out: Tensor) -> None:
        out.copy_(self.rows[rows])

    def times(self, v: Tensor) -> Tensor:
        return self.rows @ v

    def transposed(self, u: Tensor) -> Tensor:
        return self.rows.T @ u


@dataclass
class ConstraintRows:
    """The rows of one constraint: pieces over the parameters, which add."""

    count: int
    pieces: list[Layer | Dense] = field(default_factory=list)

    def split(self, width: int) -> "ConstraintRows":
        """The same rows in pieces of about `width` columns."""
        return ConstraintRows(self.count, [part for piece in self.pieces for part in piece.split(width)])

    def write(self, rows: slice, out: Tensor, columns: slice) -> None:
        """Some rows of the pieces inside `columns`: written once, or added to another piece of the same columns."""
        end = columns.start
        inside = (p for p in self.pieces if columns.start <= p.columns.start and p.columns.stop <= columns.stop)
        for piece in sorted(inside, key=lambda p: p.columns.start):
            start, stop = piece.columns.start - columns.start, piece.columns.stop - columns.start
            gap = slice(end - columns.start, start if piece.columns.start >= end else stop)
            out[:, gap] = 0
            if piece.columns.start >= end:
                piece.write(rows, out[:, start:stop])
            else:
                out[:, start:stop] += piece.dense(rows)
            end = max(end, piece.columns.stop)
        out[:, end - columns.start :] = 0


def rows_of(F: Tensor, tapes: Sequence[Tape], parameters: Sequence[Tensor], slow: Sequence[int] = ()) -> ConstraintRows:
    """The rows of F (N,) with respect to the parameters, from the tapes of its evaluation.

    Parameters in `slow` (by position) have no rule on the tape; they take one backward pass per row. A residual that no
    parameter changes, such as u_xx of a network that is linear in x, has rows of zeros.
    """
    if not F.requires_grad:
        return ConstraintRows(len(F))
    columns = columns_of(parameters)
    layers = [entry for tape in tapes for entry in tape.layers]
    factors = [entry for tape in tapes for entry in tape.factors]
    outputs = [z for *_, streams in layers for z in streams if z is not None] + [copy for _, copy in factors]
    grads = iter(torch.autograd.grad(F.sum(), outputs, retain_graph=True, allow_unused=True) if outputs else ())
    rows, position = ConstraintRows(len(F)), {id(p): i for i, p in enumerate(parameters)}

    def place(tensor: Tensor, make: Callable[[slice], Layer | Dense], dense: Callable[[], Tensor]) -> None:
        if id(tensor) in position:
            if position[id(tensor)] not in slow:
                rows.pieces.append(make(columns[position[id(tensor)]]))
        elif tensor.requires_grad:  # a function of parameters, such as diag(e^s) V: the chain rule, row by row
            rows.pieces.extend(_through(tensor, dense(), parameters, columns, slow))

    for weight, bias, inputs, streams in layers:
        G = [None if z is None else next(grads) for z in streams]
        pairs = [(a, g) for a, g in zip(inputs, G, strict=True) if a is not None and g is not None]
        if pairs:
            A = torch.stack([a.detach().expand(len(F), -1) for a, _ in pairs], 1)
            layer = Layer(slice(0), A, torch.stack([g for _, g in pairs], 1))
            place(weight, lambda c, l=layer: Layer(c, l.A, l.G), lambda l=layer: l.dense(slice(None)))  # type: ignore[misc]
        if bias is not None and G[0] is not None:
            place(bias, lambda c, g=G[0]: Dense(c, g), lambda g=G[0]: g)  # type: ignore[misc]
    for tensor, _ in factors:
        if (g := next(grads)) is not None:
            g = g.reshape(len(F), -1)
            place(tensor, lambda c, g=g: Dense(c, g), lambda g=g: g)  # type: ignore[misc]
    for i in slow:
        rows.pieces.append(Dense(columns[i], row_by_row(F, [parameters[i]])))
    return rows


def columns_of(parameters: Sequence[Tensor]) -> list[slice]:
    """The place of each parameter in the flat vector (P,)."""
    ends = torch.tensor([0, *(p.numel() for p in parameters)], device="cpu").cumsum(0).tolist()
    return [slice(a, b) for a, b in pairwise(ends)]


def _through(
    tensor: Tensor, rows: Tensor, parameters: Sequence[Tensor], columns: list[slice], slow: Sequence[int]
) -> Iterator[Dense]:
    """Rows with respect to the parameters from which a tensor was computed, by the chain rule."""
    fast = [i for i in range(len(parameters)) if i not in slow]
    seeds = rows.reshape(len(rows), *tensor.shape)
    grads = torch.autograd.grad(
        tensor, [parameters[i] for i in fast], seeds, is_grads_batched=True, allow_unused=True, retain_graph=True
    )
    for i, g in zip(fast, grads, strict=True):
        if g is not None:
            yield Dense(columns[i], g.flatten(1))


def row_by_row(F: Tensor, parameters: Sequence[Tensor]) -> Tensor:
    """J (N, P) by one backward pass per row: slow, without rules; tests compare everything above with it."""

    def row(f: Tensor) -> Tensor:
        return flat(torch.autograd.grad(f, parameters, retain_graph=True, allow_unused=True), parameters)

    return torch.stack([row(f) for f in F.unbind()])


def flat(tensors: Sequence[Tensor | None], parameters: Sequence[Tensor]) -> Tensor:
    """One vector (P,) of one tensor per parameter; None counts as zeros."""
    pairs = zip(parameters, tensors, strict=True)
    return torch.cat([(torch.zeros_like(p) if t is None else t).flatten() for p, t in pairs])


def untaped(evaluate: Callable[[Sequence[Tape]], Tensor], parameters: Sequence[Tensor]) -> list[int]:
    """Parameters (by position) that the tape misses: where J^T u from the tape differs from the gradient of u . F.

    `evaluate(tapes)` gives F (n,). The comparison is made at parameters moved at random, because a gradient that is
    zero at the start (behind a closed gate, or a last layer of zeros) would hide a missing rule; they are restored
    exactly.
    """
    before, tapes, columns = [p.detach().clone() for p in parameters], [Tape(), Tape()], columns_of(parameters)
    kick = 0.1 * torch.randn(columns[-1].stop, generator=torch.Generator("cpu").manual_seed(0), device="cpu")
    for p, where in zip(parameters, columns, strict=True):
        p.data.add_(kick.to(p)[where].view_as(p))
    F = evaluate(tapes)
    u = torch.linspace(0.5, 1.5, len(F), dtype=F.dtype, device=F.device)
    by_tape = Linearisation(F.detach(), lambda: [rows_of(F, tapes, parameters)], columns[-1].stop).transposed(u)
    true = flat(torch.autograd.grad(F @ u, parameters, allow_unused=True) if F.requires_grad else [None] * len(columns),
                parameters)  # fmt: skip
    for p, value in zip(parameters, before, strict=True):
        p.data.copy_(value)
    tolerance = torch.finfo(F.dtype).eps ** 0.5 * true.abs().max()
    return [i for i, c in enumerate(columns) if (by_tape[c] - true[c]).abs().max() > tolerance]


class Linearisation:
    """F(theta + d) = F + J d + O(|d|^2): the vector F (M,), and the Jacobian J (M, P) as an operator.

    `blocks` gives the rows by constraint when they are first needed. `gram` and `kernel` call `check` after each part,
    which may raise to end a step that is under way.
    """

    def __init__(
        self,
        F: Tensor,
        blocks: Callable[[], list[ConstraintRows]],
        parameters: int,
        check: Callable[[], None] = lambda: None,
    ):
        self.F, self._blocks, self.parameters, self.check = F, blocks, parameters, check
        self.J: Tensor | None = None  # (M, P), once it has been formed as a whole

    @cached_property
    def blocks(self) -> list[ConstraintRows]:
        with torch.enable_grad():  # they may be needed where gradients are off
            return self._blocks()

    @property
    def rows(self) -> int:
        return len(self.F)

    @cached_property
    def gradient(self) -> Tensor:
        """J^T F (P,), half the gradient of |F|^2."""
        return self.transposed(self.F)

    def times(self, v: Tensor) -> Tensor:
        """J v (M,)."""
        if self.J is not None:
            return self.J @ v
        return torch.cat([sum((p.times(v[p.columns]) for p in b.pieces), v.new_zeros(b.count)) for b in self.blocks])

    def transposed(self, u: Tensor) -> Tensor:
        """J^T u (P,)."""
        if self.J is not None:
            return u @ self.J
        out = u.new_zeros(self.parameters)
        for block, part in zip(self.blocks, u.split([b.count for b in self.blocks]), strict=True):
            for piece in block.pieces:
                out[piece.columns] += piece.transposed(part)
        return out

    def column_squares(self) -> Tensor:
        """The diagonal of J^T J (P,)."""
        if self.J is not None:
            return torch.linalg.vector_norm(self.J, dim=0).square()
        chunk, out = max(1, 2**24 // self.parameters), self.F.new_zeros(self.parameters)
        for rows in _slices(self.rows, chunk):
            out += self._part(self.blocks, rows, slice(0, self.parameters), Buffers()).square().sum(0)
        return out

    def dense(self) -> Tensor:
        """J (M, P) itself."""
        return self._part(self.blocks, slice(0, self.rows), slice(0, self.parameters), Buffers())

    def chunks(self, budget: float, columns: Sequence[slice]) -> Iterator[Tensor]:
        """Some columns of J, whole parameters, in the order of `columns`: rows (m, p) of at most `budget` bytes."""
        ends = torch.tensor([0, *(c.stop - c.start for c in columns)], device="cpu").cumsum(0).tolist()
        where = {c.start: slice(a, b) for c, (a, b) in zip(columns, pairwise(ends), strict=True)}
        chunk = max(1, int(budget / (ends[-1] * self.F.element_size())))
        for block in self.blocks:
            pieces = [piece for piece in block.pieces if piece.columns.start in where]
            for start in range(0, block.count, chunk):
                rows = slice(start, min(start + chunk, block.count))
                J = self.F.new_zeros(rows.stop - rows.start, ends[-1])
                for piece in pieces:
                    J[:, where[piece.columns.start]] += piece.dense(rows)
                yield J
                self.check()

    def gram(self, budget: float, buffers: Buffers | None = None) -> Tensor:
        """The lower triangle of J^T J (P, P); rows of J are formed in chunks of at most `budget` bytes.

        The product and J lie in `buffers`: the next call with these overwrites both.
        """
        buffers, P = buffers or Buffers(), self.parameters
        A, every = buffers("product", self.F, P, P), slice(0, P)
        for rows in _slices(self.rows, max(1, int(budget / (P * self.F.element_size())))):
            J = self._part(self.blocks, rows, every, buffers)
            for at in _slices(len(J), ROWS):
                add_product(A, J[at], keep=rows.start + at.start > 0)
                self.check()
        self._keep(J)
        return A

    def kernel(self, budget: float, weights: Tensor | None = None, buffers: Buffers | None = None) -> Tensor:
        """The lower triangle of J diag(weights) J^T (M, M), or J J^T, with columns of J of at most `budget` bytes.

        The product and J lie in `buffers`: the next call with these overwrites both.
        """
        buffers, M = buffers or Buffers(), self.rows
        K, width = buffers("product", self.F, M, M), int(budget / (M * self.F.element_size()))
        for slab, J in self.slabs(width, buffers):
            add_product(K, (J if weights is None else J * weights[slab].sqrt()).T, keep=slab.start > 0)
        return K

    def slabs(
        self, width: int, buffers: Buffers, joint: Callable[[Tensor], Tensor] = lambda marks: marks
    ) -> Iterator[tuple[slice, Tensor]]:
        """All rows of J, about `width` columns at a time, in `buffers`.

        A slab ends where a piece ends, and cuts none. `joint` sums the marks of these columns over several processes.
        """
        blocks = self.blocks if width >= self.parameters else [b.split(max(1, width)) for b in self.blocks]
        marks = torch.zeros(2, self.parameters + 1, device="cpu")
        marks[0, self.parameters] = 1
        for columns in (piece.columns for block in blocks for piece in block.pieces):
            marks[0, columns.stop] = 1
            marks[1, columns.start + 1 : columns.stop] = 1
        ends, inside = joint(marks)
        for slab in _slabs(((ends > 0) & (inside == 0)).nonzero()[:, 0].tolist(), max(1, width)):
            J = self._part(blocks, slice(0, self.rows), slab, buffers)
            yield slab, J
            self.check()
        self._keep(J)

    def _part(self, blocks: list[ConstraintRows], rows: slice, columns: slice, buffers: Buffers) -> Tensor:
        """Some rows and columns of J."""
        J = buffers("J", self.F, rows.stop - rows.start, columns.stop - columns.start)
        start = 0
        for block in blocks:
            first, last = max(start, rows.start), min(start + block.count, rows.stop)
            if first < last:
                here = J[first - rows.start : last - rows.start]
                block.write(slice(first - start, last - start), here, columns)
            start += block.count
        return J

    def _keep(self, J: Tensor) -> None:
        """Products with J need no factors if its last part is the whole."""
        if J.shape == (self.rows, self.parameters):
            self.J = J


def _slices(length: int, most: int) -> Iterator[slice]:
    """The range up to `length` in parts of at most `most`."""
    for start in range(0, length, most):
        yield slice(start, min(start + most, length))


def _slabs(ends: list[int], width: int) -> Iterator[slice]:
    """Ranges of columns of at most about `width` that end where pieces end."""
    start = last = 0
    for end in ends:
        if end - start > width and last > start:
            yield slice(start, last)
            start = last
        last = end
    yield slice(start, last)
