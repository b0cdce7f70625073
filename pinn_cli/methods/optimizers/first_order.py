"""Any first-order optimizer of `torch.optim`, with a learning-rate schedule."""

import inspect
from copy import deepcopy
from difflib import get_close_matches
from typing import Any

import torch
from torch import Tensor, nn

from pinn_cli.basics.errors import UsageError
from pinn_cli.methods.contracts import Objective, Optimizer, Report
from pinn_cli.methods.optimizers.schedules import Constant, Schedule

# The first is abstract, L-BFGS is `optimizer=lbfgs`, the last two accept only sparse gradients or matrices.
UNFIT = ("Optimizer", "LBFGS", "SparseAdam", "Muon")


class FirstOrder(Optimizer):
    """theta <- theta - rate(n) d(grad loss), the direction d by ``torch.optim.<optimizer>(parameters, lr, **options)``.

    `optimizer` is the name of the class (Adam: Kingma and Ba, 2015), `rate(n) = lr * schedule(n)`. A step computes one
    loss and one gradient. The report has the loss before the step, and the rate. Raises UsageError for an unknown name
    or option.
    """

    endless = True
    remedy = "a smaller learning rate, e.g. optimizer.{phase}.lr=1e-4"
    cadence = 100  # a row of the history costs about as much as a step

    def __init__(
        self, optimizer: str = "Adam", lr: float = 1e-3, schedule: Schedule | None = None, **options: Any
    ) -> None:
        self.lr, self.schedule, self.options = lr, deepcopy(schedule or Constant()), options
        self.kind = _class(optimizer)
        self._make([nn.Parameter(torch.zeros(1, device="cpu"))])  # raises for misspelt options before the run starts
        self.inner: torch.optim.Optimizer | None = None
        self.steps = 0
        self.start: dict[str, Any] = {"steps": 0, "schedule": self.schedule.state_dict(), "optimizer": None}
        self.waiting: dict[str, Any] | None = None  # a loaded state, until the first step brings the parameters

    def workspace(self, parameters: int, rows: int, itemsize: int) -> float:
        """Bytes of a step besides the loss and its gradient: the moments that most kinds keep, and a step."""
        return 4.0 * parameters * itemsize

    def step(self, objective: Objective) -> Report:
        """One step at the points and weights of the objective."""
        inner = self._bound(objective.parameters)
        rate = self.lr * self.schedule(self.steps)
        for group in inner.param_groups:
            group["lr"] = rate
        loss = objective.loss()
        gradients = torch.autograd.grad(loss, objective.parameters, allow_unused=True)
        for parameter, gradient in zip(objective.parameters, gradients, strict=True):
            parameter.grad = gradient
        inner.step()
        self.schedule.observe(loss.detach())
        self.steps += 1
        return Report({"loss/total": loss.detach(), "learning_rate": rate})

    def state_dict(self) -> dict[str, Any]:
        """The number of steps, the state of the schedule, and that of the torch optimizer once it exists."""
        if self.waiting is not None:
            return self.waiting
        inner = self.inner.state_dict() if self.inner else None
        return {"steps": self.steps, "schedule": self.schedule.state_dict(), "optimizer": inner}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.inner, self.waiting = None, state

    def _bound(self, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        """The torch optimizer of these parameters; a new one if the parameters are not those of the step before."""
        if self.inner is None or not _same(self.inner.param_groups[0]["params"], parameters):
            self.inner = self._make(parameters)
            state, self.waiting = self.waiting or self.start, None
            self.steps = state["steps"]
            self.schedule.load_state_dict(state["schedule"])
            if state["optimizer"] is not None:
                self.inner.load_state_dict(state["optimizer"])
        return self.inner

    def _make(self, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        try:
            return self.kind(parameters, lr=self.lr, **self.options)
        except (TypeError, ValueError) as error:
            takes = ", ".join(inspect.signature(self.kind).parameters)
            raise UsageError(f"torch.optim.{self.kind.__name__}: {error}; it takes {takes}") from None


def _class(name: str) -> Any:
    """The class of `torch.optim` called `name`."""
    kinds = inspect.getmembers(torch.optim, inspect.isclass)
    known = [n for n, kind in kinds if issubclass(kind, torch.optim.Optimizer) and n not in UNFIT]
    if name not in known:
        near = get_close_matches(name, known, 1) or ["Adam"]
        hint = "type optimizer=lbfgs" if name == "LBFGS" else f"did you mean {near[0]}?"
        raise UsageError(f"unknown optimizer {name!r}: expected one of {', '.join(known)}; {hint}")
    return getattr(torch.optim, name)


def _same(one: list[Tensor], other: list[nn.Parameter]) -> bool:
    return len(one) == len(other) and all(a is b for a, b in zip(one, other, strict=True))
