"""Schedule-free learning: the average of the iterates in place of a decaying rate (Defazio et al. 2024,
arXiv:2405.15682).

    y = (1 - beta) z + beta x           the gradient of the loss is taken at y
    z <- z - rate d(gradient)           the step of a first-order optimizer without momentum of its own
    x <- (1 - c) x + c z                c = rate^2 / (sum of rate^2 over all steps)

The parameters of the model are x after every step, so errors, figures and predictions are those of x.
"""

from typing import Any

import torch
from torch import Tensor

from pinn_cli.basics.errors import UsageError
from pinn_cli.methods.contracts import Objective
from pinn_cli.methods.optimizers.first_order import FirstOrder, differentiate, take
from pinn_cli.methods.optimizers.schedules import Schedule


class ScheduleFree(FirstOrder):
    """The optimizer of torch.optim called `optimizer` moves z; `interpolation` is beta. The loss reported is that at y.

    Raises UsageError for an unknown name or option, and for an interpolation outside 0 to 1.
    """

    by_one_gradient = False  # it moves before it asks

    def __init__(self, optimizer: str = "Adam", lr: float = 1e-3, schedule: Schedule | None = None,
                 interpolation: float = 0.9, **options: Any) -> None:
        if not 0 <= interpolation <= 1:
            raise UsageError(f"optimizer.schedule_free.interpolation={interpolation:g}: expected a number from 0 to 1, "
                             "e.g. 0.9")
        self.interpolation = interpolation
        self.z: Tensor | None = None  # (P,); None: x
        self.total = 0.0  # the sum of rate^2
        super().__init__(optimizer, lr, schedule, **options)

    def _move(self, objective: Objective, inner: torch.optim.Optimizer, rate: float) -> Tensor:
        x = objective.flat(objective.parameters).detach()
        z = x if self.z is None else self.z
        objective.place(torch.lerp(z, x, self.interpolation))
        loss = differentiate(objective)
        objective.place(z)
        take(inner, objective)
        self.z = objective.flat(objective.parameters).detach()
        self.total += rate**2
        objective.place(torch.lerp(x, self.z, rate**2 / self.total))
        return loss

    def _state(self) -> dict[str, Any]:
        return super()._state() | {"z": self.z, "total": self.total}

    def _restore(self, state: dict[str, Any], inner: torch.optim.Optimizer) -> None:
        """Return to a state with a new torch optimizer."""
        super()._restore(state, inner)
        self.z, self.total = state["z"], state["total"]

    def workspace(self, parameters: int, rows: int, itemsize: int) -> float:
        """Bytes of a step besides the loss and its gradient: those of the torch optimizer, x, y and z."""
        return super().workspace(parameters, rows, itemsize) + 3.0 * parameters * itemsize
