"""Adam (Kingma and Ba, 2015, arXiv:1412.6980).

    m <- b1 m + (1 - b1) g        v <- b2 v + (1 - b2) g^2        theta <- theta - rate (m / c1) / (sqrt(v / c2) + eps)

with the gradient g and c = 1 - b^n in step n. That of `torch.optim` has the same numbers; this one is a function of
tensors, so that a compiled run makes it a part of the graph of the gradient.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from pinn_cli.basics.errors import UsageError
from pinn_cli.methods.contracts import Batch, Objective, Report
from pinn_cli.methods.optimizers.first_order import GradientSteps, own_rates, same
from pinn_cli.methods.optimizers.schedules import Schedule


@dataclass(frozen=True)
class Rule:
    """The step, m and v; `numbers` are rate / c1 and sqrt(c2). `shares` (count, factor) are those of the rate."""

    b1: float
    b2: float
    eps: float
    shares: tuple[tuple[int, float], ...] = ()  # of the parameters in turn; (): all have the same rate

    numbers: ClassVar[int] = 2
    memory: ClassVar[int] = 2

    def __call__(self, gradient: Tensor, numbers: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        m, v = state
        m = torch.lerp(m, gradient, 1 - self.b1)
        v = self.b2 * v + (1 - self.b2) * gradient * gradient
        step = -numbers[0] * m / (v.sqrt() / numbers[1] + self.eps)
        if self.shares:
            step = step * torch.cat([step.new_full((count,), factor) for count, factor in self.shares])
        return step, m, v


class Adam(GradientSteps):
    """Raises ValueError for an `lr` that is not above 0, UsageError for `betas` or an `eps` that are not possible."""

    many = True

    def __init__(self, lr: float = 1e-3, schedule: Schedule | None = None, betas: tuple[float, float] = (0.9, 0.999),
                 eps: float = 1e-8) -> None:
        super().__init__(lr, schedule)
        if len(betas) != 2 or not all(0 <= b < 1 for b in betas):
            raise UsageError(f"optimizer.adam.betas={list(betas)}: expected two numbers in [0, 1), e.g. [0.9,0.999]")
        if not eps >= 0:
            raise UsageError(f"optimizer.adam.eps={eps:g}: expected a number that is not negative, e.g. 1e-8")
        self.betas, self.eps = betas, eps
        self.in_force = Rule(*betas, eps)
        self.moments: list[Tensor] = []  # m and v (P,)
        if self.schedule.by_loss:
            self.many = False
        self.start = self._state()
        self.of: list[nn.Parameter] | None = None  # what it moves; None: the parameters of the next step

    def rule(self, objective: Objective) -> Rule:
        own = own_rates(objective)
        each = tuple((p.numel(), own.get(id(p), self.lr) / self.lr) for p in objective.parameters)
        return Rule(*self.betas, self.eps, each if own else ())

    def step(self, objective: Objective) -> Report:
        """One step at the points and weights of the objective."""
        return self.stride(objective, [])

    def stride(self, objective: Objective, ahead: Sequence[Batch]) -> Report:
        """A step at the points of the objective and at those of each batch ahead, with the weights of the objective.

        The report has the losses before each, and the last rate.
        """
        self._take_over(objective)
        b1, b2 = self.betas
        counts = range(self.steps + 1, self.steps + 2 + len(ahead))
        rates = [self.lr * self.schedule(n - 1) for n in counts]
        numbers = [[rate / (1 - b1**n), math.sqrt(1 - b2**n)] for rate, n in zip(rates, counts, strict=True)]
        losses = objective.descend(self.in_force, self.moments[0].new_tensor(numbers), self.moments, ahead)
        for loss in losses:
            self.schedule.observe(loss)
        self.steps += len(losses)
        return Report({"loss/total": losses[-1], "learning_rate": rates[-1]}, before=losses[:-1])

    def _take_over(self, objective: Objective) -> None:
        """Begin anew, or from a loaded state, if the parameters are not those of the step before."""
        if self.of is objective.parameters or (self.of is not None and same(self.of, objective.parameters)):
            return
        if self.of is not None:
            self._restore(self.start)
        self.of, self.in_force = objective.parameters, self.rule(objective)
        like = objective.flat([p.detach() for p in self.of])
        self.moments = [m.to(like) for m in self.moments] or [torch.zeros_like(like), torch.zeros_like(like)]

    def workspace(self, parameters: int, rows: int, itemsize: int) -> float:
        """Bytes of a step besides the loss and its gradient: m, v and the step, before and after."""
        return 6.0 * parameters * itemsize

    def _state(self) -> dict[str, Any]:
        return {"steps": self.steps, "schedule": self.schedule.state_dict(), "moments": self.moments}

    def _restore(self, state: dict[str, Any]) -> None:
        self.steps, self.moments = state["steps"], list(state["moments"])
        self.schedule.load_state_dict(state["schedule"])

    def state_dict(self) -> dict[str, Any]:
        """n, the state of the schedule, m and v."""
        return self._state()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._restore(state)
        self.of = None
