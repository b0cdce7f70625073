"""Rows of dF/dtheta without a loop over points.

F_n depends only on point n. One backward pass of sum_n F_n to the streams in front of every layer gives, for each n,

    dF_n/dW = sum_s G_{s,n} (x) A_{s,n}        A = streams into the layer, G = dF_n / d(streams out of it),

a product of rank S. Products with J are matrix products of these factors. J itself, J^T J and J J^T are formed in
pieces within a memory budget. Other parameters (slopes, gates, coefficients) have dense rows.

    M = rows   P = parameters   N = points of one constraint   S = streams
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

import torch
from torch import Tensor

from pinn_cli.derivatives import Tape

BLOCK = 256  # columns of a Gram matrix formed at once; only its lower triangle is formed
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

    def times(self, v: Tensor) -> Tensor:
        return self.rows @ v

    def transposed(self, u: Tensor) -> Tensor:
        return self.rows.T @ u


@dataclass
class ConstraintRows:
    """The rows of one constraint: pieces over the parameters, which add."""

    count: int
    pieces: list[Layer | Dense] = field(default_factory=list)


def rows_of(F: Tensor, tapes: Sequence[Tape], parameters: Sequence[Tensor], slow: Sequence[int] = ()) -> ConstraintRows:
    """The rows of F (N,) with respect to the parameters, from the tapes of its evaluation.

    Parameters in `slow` (by position) have no rule on the tape; they take one backward pass per row.
    """
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
    by_tape = Linearisation(F.detach(), [rows_of(F, tapes, parameters)], columns[-1].stop).transposed(u)
    true = flat(torch.autograd.grad(F @ u, parameters, allow_unused=True), parameters)
    for p, value in zip(parameters, before, strict=True):
        p.data.copy_(value)
    tolerance = torch.finfo(F.dtype).eps ** 0.5 * true.abs().max()
    return [i for i, c in enumerate(columns) if (by_tape[c] - true[c]).abs().max() > tolerance]


class Linearisation:
    """F(theta + d) = F + J d + O(|d|^2): the vector F (M,), and the Jacobian J (M, P) as an operator.

    `gram` and `kernel` call `check` after each part, which may raise to end a step that is under way.
    """

    def __init__(
        self, F: Tensor, blocks: list[ConstraintRows], parameters: int, check: Callable[[], None] = lambda: None
    ):
        self.F, self.blocks, self.parameters, self.check = F, blocks, parameters, check

    @property
    def rows(self) -> int:
        return len(self.F)

    @cached_property
    def gradient(self) -> Tensor:
        """J^T F (P,), half the gradient of |F|^2."""
        return self.transposed(self.F)

    def times(self, v: Tensor) -> Tensor:
        """J v (M,)."""
        return torch.cat([sum((p.times(v[p.columns]) for p in b.pieces), v.new_zeros(b.count)) for b in self.blocks])

    def transposed(self, u: Tensor) -> Tensor:
        """J^T u (P,)."""
        out = u.new_zeros(self.parameters)
        for block, part in zip(self.blocks, u.split([b.count for b in self.blocks]), strict=True):
            for piece in block.pieces:
                out[piece.columns] += piece.transposed(part)
        return out

    def column_squares(self) -> Tensor:
        """The diagonal of J^T J (P,)."""
        out = self.F.new_zeros(self.parameters)
        chunk = max(1, min(BLOCK, 2**24 // self.parameters))
        for block in self.blocks:
            for start in range(0, block.count, chunk):
                out += self._dense(block, slice(start, min(start + chunk, block.count))).square().sum(0)
        return out

    def dense(self) -> Tensor:
        """J (M, P) itself."""
        return torch.cat([self._dense(b, slice(0, b.count)) for b in self.blocks])

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

    def _dense(self, block: ConstraintRows, rows: slice) -> Tensor:
        J = self.F.new_zeros(rows.stop - rows.start, self.parameters)
        for piece in block.pieces:
            J[:, piece.columns] += piece.dense(rows)
        return J

    def gram(self, budget: float) -> Tensor:
        """The lower triangle of J^T J (P, P); rows of J are formed in chunks of at most `budget` bytes."""
        A = self.F.new_zeros(self.parameters, self.parameters)
        chunk = max(1, int(budget / (self.parameters * self.F.element_size())))
        for block in self.blocks:
            for start in range(0, block.count, chunk):
                J = self._dense(block, slice(start, min(start + chunk, block.count)))
                for a in range(0, self.parameters, BLOCK):
                    b = min(a + BLOCK, self.parameters)
                    A[a:b, :b].addmm_(J[:, a:b].T, J[:, :b])
                    self.check()
        return A

    def kernel(self, budget: float, weights: Tensor | None = None) -> Tensor:
        """The lower triangle of J diag(weights) J^T (M, M), or J J^T, with columns of J of at most `budget` bytes."""
        K, width = self.F.new_zeros(self.rows, self.rows), max(1, int(budget / (self.rows * self.F.element_size())))
        blocks = [ConstraintRows(b.count, [part for p in b.pieces for part in p.split(width)]) for b in self.blocks]
        for slab in _slabs(sorted({p.columns.stop for b in blocks for p in b.pieces}), width):
            J = torch.cat([_columns(b, slab, self.F) for b in blocks])
            for a in range(0, self.rows, BLOCK):
                b = min(a + BLOCK, self.rows)
                K[a:b, :b].addmm_(J[a:b] if weights is None else J[a:b] * weights[slab], J[:b].T)
                self.check()
        return K


def _slabs(ends: list[int], width: int) -> Iterator[slice]:
    """Ranges of columns of at most about `width` that end where pieces end."""
    start = last = 0
    for end in ends:
        if end - start > width and last > start:
            yield slice(start, last)
            start = last
        last = end
    yield slice(start, last)


def _columns(block: ConstraintRows, slab: slice, like: Tensor) -> Tensor:
    """The columns `slab` of the rows of one constraint (N, width)."""
    J = like.new_zeros(block.count, slab.stop - slab.start)
    for piece in block.pieces:
        if slab.start <= piece.columns.start and piece.columns.stop <= slab.stop:
            here = slice(piece.columns.start - slab.start, piece.columns.stop - slab.start)
            J[:, here] += piece.dense(slice(0, block.count))
    return J
