"""A network whose output layer satisfies the equations of each instance of a family, found anew by least squares."""

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor, nn

from pinn_cli.basics.errors import UsageError
from pinn_cli.basics.text import scientific
from pinn_cli.methods.architectures.family import Equations, FamilyNetwork
from pinn_cli.methods.nonlinear_least_squares import LIMITED, Backward, NotFinite, Outcome, solve
from pinn_cli.physics.problem import Problem


class Constrained(FamilyNetwork):
    """u_i(x) = sum_j w_ij f_j(x), where w_i minimises the weighted squared residuals of instance i at `points`:

        w_i = argmin |R_i(w)|^2 + ridge |D w|^2        R_i = sqrt(weight / N) r of every equation and condition

    The functions f are trained on the residuals at other points, and the gradient passes through the minimum by the
    implicit function theorem (`nonlinear_least_squares.py`). For an instance that was not trained the minimum is found
    in the same way. `points` are numbers of points as those of a run, by constraint, region or kind. D are the lengths
    of the columns of the Jacobian. `steps` is the most that a solve takes.

    Negiar, Mahoney & Krishnapriyan 2023, arXiv:2207.08675. Raises UsageError for a negative ridge; `coefficients` does
    for equations that are not finite where w = 0, and for a gradient where functions depend on each other.
    """

    def __init__(self, inputs: int, outputs: int, basis: Callable[..., nn.Module], functions: int = 50,
                 points: Mapping[str, int] | None = None, instances: int = 8, every: int | None = 1, train: int = 1000,
                 validation: int = 8, test: int = 16, ridge: float = 1e-12, backward: Backward = "implicit",
                 steps: int = 50) -> None:
        super().__init__(inputs, outputs, basis, functions, instances, every, train, validation, test)
        if ridge < 0:
            raise UsageError(f"architecture.ridge={ridge:g}: expected 0 or a number above it, e.g. 1e-12")
        if steps < 1:
            raise UsageError(f"architecture.steps={steps}: expected a whole number above 0, e.g. 50")
        self.points = dict(points or {"interior": 600, "face": 100})
        self.ridge, self.backward, self.steps = ridge, backward, steps
        self.last: Mapping[str, float] = {}  # how the last solve went
        self._failures: list[str] = []

    def coefficients(self, instances: Sequence[Problem], equations: Equations) -> Tensor:
        try:
            w, outcome = solve(equations(), ridge=self.ridge, backward=self.backward, steps=self.steps)
        except NotFinite as error:
            raise UsageError(
                f"instance {getattr(instances[error.instance], 'seed', 0)}: its equations are not finite where all "
                "fields are 0; look for a parameter that is not, a division by 0, or a root of a negative number"
            ) from error
        except UsageError as error:
            typed = str(error).replace("pass ridge=", "type architecture.ridge=")
            raise UsageError(f"architecture=constrained: {typed}") from error
        self.last = {
            "solver/steps": float(outcome.steps.max()),
            "solver/residual": float(outcome.residual.max()),
            "solver/condition": float(outcome.condition.max()),
            "solver/not_converged": float((~outcome.converged).sum()),
        }
        self._failures = [self._failure(outcome, i) for i in range(len(w))]
        if len(w) < len(instances):  # all of them have the same equations
            self._failures *= len(instances)
        return w if len(w) == len(instances) else w.expand(len(instances), -1, -1)

    def failures(self) -> Sequence[str]:
        return self._failures

    def _failure(self, outcome: Outcome, i: int) -> str:
        """Why the solve of an instance is none, the residual that it has reached, and what to type."""
        reached = f"residual {scientific(float(outcome.residual[i]))} after {int(outcome.steps[i])} steps"
        if outcome.reasons[i] == LIMITED:
            return f"{LIMITED} ({reached}); train with architecture.steps={2 * self.steps}"
        if outcome.reasons[i]:
            return f"{outcome.reasons[i]} ({reached}); train with architecture.ridge={max(1e-10, 100 * self.ridge):g}"
        rank, unknowns = int(outcome.rank[i]), self.fields * self.functions
        if rank < unknowns:
            return (
                f"only {rank} of {unknowns} coefficients are independent ({reached}); train with "
                f"architecture.ridge={max(1e-10, 100 * self.ridge):g}, or fewer architecture.functions"
            )
        return ""

    def values(self) -> Mapping[str, float]:
        return self.last
