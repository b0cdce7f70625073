"""Points of the interior with a density that the user gives."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import ClassVar

import torch
from torch import Tensor

from pinn_cli.basics.errors import UsageError
from pinn_cli.methods.contracts import Objective
from pinn_cli.methods.proxies import drawn
from pinn_cli.methods.samplers.redrawn import MOST, Redrawn
from pinn_cli.physics.formulas import Formula
from pinn_cli.physics.problem import Problem


@dataclass
class Density(Redrawn):
    """All points of the interior are drawn from the pool with the density p of `formula`, ``exp(-50 * x**2) + 0.1``.

    They are drawn before the first step, and anew every `every` steps (None: never). The pool is doubled until
    n max p <= sum p, where n points can follow p without repetition. Raises UsageError for a formula that is not
    understood, that is below 0 or not finite somewhere, that is 0 everywhere, or whose peak is too narrow.
    """

    once: ClassVar[bool] = True
    formula: str = "1"
    every: int | None = None  # type: ignore[assignment]

    def due(self, step: int, objective: Objective) -> bool:
        return not self.moved or (self.every is not None and step > 0 and step % self.every == 0)

    def kept(self, step: int) -> float:
        return inf if self.every is None else self.every - 1 - step % self.every

    def renewed(self, names: Sequence[str], X: Tensor, problem: Problem, objective: Objective) -> Tensor:
        pool = self.pool_for(problem, X, len(X))
        p = self._at(pool, problem)
        while len(X) * p.max() > p.sum():
            if 2 * len(pool) > MOST:
                raise UsageError(f"sampler.density.formula={self.formula}: its peak is too narrow for {len(X)} "
                                 f"points, even with {len(pool)} candidates; expected a wider one, or fewer points")
            more = self.fresh(problem, X, len(pool))
            pool, p = torch.cat([pool, more]), torch.cat([p, self._at(more, problem)])
        if not p.any():
            raise UsageError(f"sampler.density.formula={self.formula}: found 0 at all of {len(pool)} points; "
                             "expected values above 0")
        return pool[drawn(p, len(X), self.generator).to(pool.device)]

    def _at(self, X: Tensor, problem: Problem) -> Tensor:
        """The density (N,) at X (N, D); float64, on the CPU."""
        p = Formula(self.formula, problem.coordinates)(X.cpu().double())
        wrong = ~(p.isfinite() & (p >= 0))
        if wrong.any():
            first = int(wrong.nonzero()[0])
            where = ", ".join(f"{c}={x:.4g}" for c, x in zip(problem.coordinates, X[first].tolist(), strict=True))
            raise UsageError(f"sampler.density.formula={self.formula}: found {float(p[first]):.4g} at {where}; "
                             "expected values that are finite and not below 0")
        return p
