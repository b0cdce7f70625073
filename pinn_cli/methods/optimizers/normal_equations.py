"""Damped normal equations of the linearised residuals, in the smaller of two spaces.

    d(u) = -(J^T J + mu D)^-1 J^T u  =  -D^-1 J^T (J D^-1 J^T + mu I)^-1 u

The first form factors a matrix of parameter space (P, P), the second one of residual space (M, M); d is the same.
"""

import torch
from torch import Tensor

from pinn_cli.methods import symmetric
from pinn_cli.methods.contracts import Linearisation, Objective
from pinn_cli.methods.symmetric import Buffers


class NormalEquations:
    """d(u) = -(J^T J + mu D)^-1 J^T u for several mu, in the smaller space; at most `budget` bytes of J at a time.

    D (P,) is the diagonal. In residual space d = -D^-1 J^T (J D^-1 J^T + mu I)^-1 u. The matrix, its factor and J lie
    in `buffers`, which the next equations overwrite.
    """

    def __init__(self, linear: Linearisation, D: Tensor, budget: float, buffers: Buffers):
        self.linear, self.D, self.buffers = linear, D, buffers
        self.small = linear.parameters <= linear.rows
        weights = None if bool((D == 1).all()) else 1 / D
        self.matrix = linear.gram(budget, buffers) if self.small else linear.kernel(budget, weights, buffers)

    def damp(self, mu: float) -> bool:
        """Factor the damped matrix; False if rounding has made it indefinite."""
        self.factor = self.buffers("factor", self.matrix, *self.matrix.shape).copy_(self.matrix)
        self.factor.diagonal().add_(mu * self.D if self.small else mu)
        return symmetric.factor(self.factor)

    def step(self, u: Tensor) -> Tensor:
        """d (P,) for a residual vector u (M,)."""
        if self.small:
            return -symmetric.solve(self.factor, self.linear.transposed(u))
        return -self.linear.transposed(symmetric.solve(self.factor, u)) / self.D

    def norm(self, d: Tensor) -> Tensor:
        """sqrt(d^T D d), the norm that the damping bounds."""
        return (self.D.sqrt() * d).norm()

    def half_acceleration(self, objective: Objective, v: Tensor, h: float) -> Tensor:
        """a / 2 (P,) along a step v (P,), or zero where 2 |a| >= 0.75 |v|; one evaluation of F, a distance h v ahead.

            F_vv = (2 / h) [(F(theta + h v) - F) / h - J v]        a = d(F_vv)        (Transtrum & Sethna 2012)
        """
        objective.shift(h * v)
        with torch.no_grad():
            ahead = objective.vector()
        objective.shift(-h * v)
        a = self.step((2 / h) * ((ahead - self.linear.F) / h - self.linear.times(v)))
        return a / 2 if bool(2 * self.norm(a) < 0.75 * self.norm(v)) else torch.zeros_like(v)


def bytes_needed(parameters: int, rows: int, itemsize: int, budget: float) -> float:
    """Bytes besides the linearisation: the matrix and its factor, and J, formed in pieces, with a copy."""
    side = min(parameters, rows)
    return 2.0 * side * side * itemsize + 2 * min(budget, float(parameters * rows * itemsize))
