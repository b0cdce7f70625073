"""A network whose output layer satisfies the equations of each instance of a family, found anew by least squares."""

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor, nn

from pinn_cli.basics.errors import UsageError
from pinn_cli.methods.architectures.family import Equations, FamilyNetwork
from pinn_cli.methods.nonlinear_least_squares import Backward, solve
from pinn_cli.physics.family import Family


class Constrained(FamilyNetwork):
    """u_i(x) = sum_j w_ij f_j(x), where w_i minimises the weighted squared residuals of instance i at `points`:

        w_i = argmin |R_i(w)|^2 + ridge |D w|^2        R_i = sqrt(weight / N) r of every equation and condition

    The functions f are trained on the residuals at other points, and the gradient passes through the minimum by the
    implicit function theorem (`nonlinear_least_squares.py`). For an instance that was not trained the minimum is found
    in the same way. `points` are numbers of points as those of a run, by constraint, region or kind. D are the lengths
    of the columns of the Jacobian. `steps` is the most that a solve takes.

    Negiar, Mahoney & Krishnapriyan 2023, arXiv:2207.08675. Raises UsageError for a negative ridge.
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

    def coefficients(self, instances: Sequence[Family], equations: Equations) -> Tensor:
        w, outcome = solve(equations(), ridge=self.ridge, backward=self.backward, steps=self.steps)
        self.last = {
            "solver/steps": float(outcome.steps.max()),
            "solver/residual": float(outcome.residual.max()),
            "solver/condition": float(outcome.condition.max()),
            "solver/not_converged": float((~outcome.converged).sum()),
        }
        return w if len(w) == len(instances) else w.expand(len(instances), -1, -1)

    def values(self) -> Mapping[str, float]:
        return self.last
