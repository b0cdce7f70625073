"""Points of the interior with a density that the user gives."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from pinn_cli.basics.errors import UsageError
from pinn_cli.methods.contracts import Objective
from pinn_cli.methods.proxies import drawn
from pinn_cli.methods.samplers.redrawn import Redrawn
from pinn_cli.physics.formulas import Formula
from pinn_cli.physics.problem import Problem


@dataclass
class Density(Redrawn):
    """All points of the interior are drawn from the pool with the density `formula`, e.g. ``exp(-50 * x**2) + 0.1``.

    They are drawn before the first step, and anew every `every` steps (None: never). Raises UsageError for a formula
    that is not understood, and for one that is below 0 or not finite somewhere.
    """

    formula: str = "1"
    every: int | None = None  # type: ignore[assignment]

    def due(self, step: int, objective: Objective) -> bool:
        return not self.moved or (self.every is not None and step > 0 and step % self.every == 0)

    def renewed(self, names: Sequence[str], X: Tensor, problem: Problem, objective: Objective) -> Tensor:
        pool = self.fresh(problem, X)
        p = Formula(self.formula, problem.coordinates)(pool.double())
        if not (p.isfinite().all() and (p >= 0).all() and p.any()):
            raise UsageError(f"sampler.density.formula={self.formula}: expected values that are finite and not below 0")
        return pool[drawn(p, len(X), self.generator).to(pool.device)]
