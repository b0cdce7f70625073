"""Limited-memory BFGS (Liu and Nocedal, 1989): H from the last `history` pairs by the two-loop recursion.

The recursion begins with (s.y / y.y) I of the last pair. Use float64: in float32, differences of gradients are
dominated by rounding once the loss is near 1e-7 of its start.

    P = parameters   K = pairs kept   g = gradient of the loss (P,)
"""

from torch import Tensor

from pinn_cli.basics.errors import UsageError
from pinn_cli.methods.contracts import Objective, Report
from pinn_cli.methods.optimizers.quasi_newton import QuasiNewton, is_positive, value_and_gradient


class LBFGS(QuasiNewton):
    """The quasi-Newton iteration with the last `history` pairs. `first_step` is what torch.optim.LBFGS calls `lr`.

    Raises UsageError for a `first_step` that is not above 0, or a `history` below 1.
    """

    memory = ("s", "y")

    def __init__(self, history: int = 50, evaluations: int = 25, gradient_tolerance: float = 0.0,
                 step_tolerance: float = 0.0, loss_tolerance: float = 0.0, stagnation: int = 20,
                 first_step: float = 1.0, keep: bool | str = False) -> None:
        if not first_step > 0:
            raise UsageError(f"optimizer.lbfgs.first_step={first_step:g}: expected a step above 0, e.g. 1.0")
        if history < 1:
            raise UsageError(f"optimizer.lbfgs.history={history}: expected a number of pairs above 0, e.g. 50")
        super().__init__(evaluations, gradient_tolerance, step_tolerance, loss_tolerance, stagnation, first_step, keep)
        self.history = history

    @property
    def remembers(self) -> bool:
        return bool(self.s)

    def workspace(self, parameters: int, rows: int, itemsize: int) -> float:
        """Bytes of a step besides the loss and its gradient: `history` pairs, and the vectors of a search."""
        return float((2 * self.history + 8) * parameters * itemsize)

    def _forget(self) -> None:
        self.s: list[Tensor] = []
        self.y: list[Tensor] = []

    def _direction(self, gradient: Tensor) -> Tensor:
        """-H g (P,) by the two-loop recursion."""
        q, alphas = -gradient, []
        for s, y in zip(reversed(self.s), reversed(self.y), strict=True):
            alphas.append((s @ q) / (s @ y))
            q = q - alphas[-1] * y
        if self.s:
            q = q * ((self.s[-1] @ self.y[-1]) / (self.y[-1] @ self.y[-1]))
        for s, y, alpha in zip(self.s, self.y, reversed(alphas), strict=True):
            q = q + (alpha - (y @ q) / (s @ y)) * s
        return q

    def _remember(self, s: Tensor, y: Tensor, Bs: Tensor) -> None:
        self.s, self.y = [*self.s, s][-self.history :], [*self.y, y][-self.history :]

    def _keep_positive(self, objective: Objective) -> None:
        """The same steps s with y = g(theta) - g(theta - s) of the new loss, without those where s.y is not positive.

        One gradient per pair.
        """
        theta, pairs = objective.flat(objective.parameters).detach(), []
        for s in self.s:
            objective.place(theta - s)
            y = self.gradient - value_and_gradient(objective)[1]
            if is_positive(s, y):
                pairs.append((s, y))
        objective.place(theta)
        self.s, self.y = [s for s, _ in pairs], [y for _, y in pairs]

    def _report(self, stop: str | None, **values: float | Tensor) -> Report:
        return super()._report(stop, pairs=float(len(self.s)), **values)
