"""Estimated errors while a run trains: columns of the history, and what `stop.estimated_error` is compared with.

The estimate is that of the end of a run (`error_estimate.py`), on the parameters as they are. It draws from generators
of its own, so that the training has the same bits with and without it.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pinn_cli.methods.contracts import Stage
from pinn_cli.physics.references import Reference
from pinn_cli.training.error_estimate import Estimate, estimate
from pinn_cli.training.finish import derived, points_of_fields
from pinn_cli.training.loop import Run
from pinn_cli.training.objective import Objective
from pinn_cli.training.verdict import judge

ROWS = 50  # between estimates where no number of steps is set: they cost about as much as a few dozen steps


@dataclass
class EstimateRecords:
    """Estimates every `every` steps; None: every 50 rows that the optimizer suggests. The end of a run has its own.

    `doubts` were known of the problem before its training: with one no estimate is trusted.
    """

    seed: int
    every: int | None = None
    doubts: Sequence[str] = ()
    said: set[str] = field(default_factory=set)  # reasons why there is none, which are shown once

    def cadence(self, stage: Stage) -> int:
        """Steps between two estimates."""
        return self.every or ROWS * stage.optimizer.cadence

    def take(
        self, run: Run, stage: Stage, objective: Objective, reference: Reference | None, say: Callable[[str], None]
    ) -> dict[str, float]:
        """The columns for the history; the progress of the run gets the largest error, if it may be trusted.

        An easier problem on the way, or a window in time that others follow, is judged alone. At the end it is the
        problem of the run that counts, over all windows. `reference` is that of this problem.
        """
        problem, windows = stage.problem, list[Objective]()
        if not stage.underway:
            problem, (objective, windows) = run.problem, run.whole(stage, objective)
        X = points_of_fields(problem, reference)
        made = estimate(objective, X, self.seed, problem, derived(problem, reference))
        errors = {**made.error, **made.unknowns}
        trusted = made.is_trusted(judge(problem, objective, made, self.seed, windows, self.doubts).solved)
        run.progress.estimated = largest(made) if trusted else math.inf
        if made.why and made.why not in self.said:
            self.said.add(made.why)
            say(f"estimated error: none ({made.why})")
        own = {f"estimated_error/{name}": error for name, error in errors.items()}
        return {**own, "estimate/explained": made.explained, "estimate/trusted": float(trusted)} if own else {}


def largest(made: Estimate) -> float:
    """The largest estimated error of a field or coefficient; infinite without one, or if one is not finite."""
    errors = [*made.error.values(), *made.unknowns.values()]
    return max(errors) if errors and all(map(math.isfinite, errors)) else math.inf
