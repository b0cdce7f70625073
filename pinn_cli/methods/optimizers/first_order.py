"""Any first-order optimizer of `torch.optim`, with a learning-rate schedule."""

import inspect
import math
from collections.abc import Callable, Sequence
from copy import deepcopy
from difflib import get_close_matches
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import increment_version

from pinn_cli.basics.errors import UsageError
from pinn_cli.methods.contracts import Objective, Optimizer, Report
from pinn_cli.methods.optimizers.schedules import Constant, Schedule

# The first is abstract, L-BFGS is `optimizer=lbfgs`, the last two accept only sparse gradients or matrices.
OTHER_WAYS = {"foreach", "capturable", "differentiable"}  # to take the step; torch takes one of these or `fused`
UNFIT = ("Optimizer", "LBFGS", "SparseAdam", "Muon")


class GradientSteps(Optimizer):
    """Many small steps, each from one loss and one gradient, with `rate(n) = lr * schedule(n)`.

    Raises ValueError for an `lr` that is not above 0.
    """

    endless = True
    by_one_gradient = True
    remedy = "a smaller learning rate, e.g. optimizer.{phase}.lr=1e-4"
    cadence = 100  # a row of the history costs as much as some steps of a small network

    def __init__(self, lr: float, schedule: Schedule | None) -> None:
        if not 0 < lr < math.inf:
            raise ValueError(f"lr={lr:g}: expected a learning rate above 0, e.g. lr=1e-3")
        self.lr, self.schedule = lr, deepcopy(schedule or Constant())
        self.steps = 0

class TorchOptimizer(GradientSteps):
    """theta <- theta - rate(n) d(grad loss), the direction d by a class `kind` in torch's interface and its `options`.

    All that `kind` keeps must be in its `state_dict`.
    """

    def __init__(
        self,
        kind: Callable[..., torch.optim.Optimizer],
        lr: float = 1e-3,
        schedule: Schedule | None = None,
        **options: Any,
    ) -> None:
        super().__init__(lr, schedule)
        self.kind, self.options = kind, options
        self._make([nn.Parameter(torch.zeros(1, device="cpu"))])  # raises for misspelt options before the run starts
        self.inner: torch.optim.Optimizer | None = None
        self.start = self._state()
        self.waiting: dict[str, Any] | None = None  # a loaded state, until the first step brings the parameters

    def workspace(self, parameters: int, rows: int, itemsize: int) -> float:
        """Bytes of a step besides the loss and its gradient: the moments that most kinds keep, and a step."""
        return 4.0 * parameters * itemsize

    def step(self, objective: Objective) -> Report:
        """One step at the points and weights of the objective; the report has the loss before it, and the rate."""
        self.inner, share = self._bound(objective), self.schedule(self.steps)
        for group in self.inner.param_groups:
            group["lr"] = group.get("own", self.lr) * share
        loss = self._move(objective, self.inner, self.lr * share)
        self.schedule.observe(loss)
        self.steps += 1
        return Report({"loss/total": loss, "learning_rate": self.lr * share})

    def _move(self, objective: Objective, inner: torch.optim.Optimizer, rate: float) -> Tensor:
        """Move the parameters; the loss at which the gradient was taken."""
        loss = differentiate(objective)
        take(inner, objective)
        return loss

    def _state(self) -> dict[str, Any]:
        """The number of steps, the state of the schedule, and that of the torch optimizer once it exists."""
        inner = self.inner.state_dict() if self.inner else None
        return {"steps": self.steps, "schedule": self.schedule.state_dict(), "optimizer": inner}

    def _restore(self, state: dict[str, Any], inner: torch.optim.Optimizer) -> None:
        """Return to a state with a new torch optimizer."""
        self.inner, self.steps = inner, state["steps"]
        self.schedule.load_state_dict(state["schedule"])
        if state["optimizer"] is not None:
            inner.load_state_dict(state["optimizer"])

    def state_dict(self) -> dict[str, Any]:
        """Its state, or a loaded one that waits for the parameters."""
        return self._state() if self.waiting is None else self.waiting

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.inner, self.waiting = None, state

    def _bound(self, objective: Objective) -> torch.optim.Optimizer:
        """The torch optimizer of its parameters; a new one if the parameters are not those of the step before."""
        groups = _groups(objective)
        parameters = [p for group in groups for p in group["params"]]
        if self.inner is None or not same([p for g in self.inner.param_groups for p in g["params"]], parameters):
            inner = self._make(groups if len(groups) > 1 else parameters)
            self._restore(self.waiting or self.start, inner)
            self.waiting = None
            return inner
        return self.inner

    def _make(self, parameters: list[Any]) -> torch.optim.Optimizer:
        """For parameters, or for groups of them as torch takes them."""
        return self.kind(parameters, lr=self.lr, **self.options)


class FirstOrder(TorchOptimizer):
    """The class of torch.optim whose name is `optimizer` (Adam: Kingma and Ba, 2015).

    Raises UsageError for an unknown name or option.
    """

    def __init__(
        self, optimizer: str = "Adam", lr: float = 1e-3, schedule: Schedule | None = None, **options: Any
    ) -> None:
        self.name, kind = optimizer, _class(optimizer)
        if "fused" in inspect.signature(kind).parameters and not OTHER_WAYS & options.keys():
            options = {"fused": True, **options}  # one call for all parameters, a fifth of the time of a loop over them
        super().__init__(kind, lr, schedule, **options)

    def _make(self, parameters: list[Any]) -> torch.optim.Optimizer:
        try:
            return super()._make(parameters)
        except (TypeError, ValueError) as error:
            takes = ", ".join(inspect.signature(self.kind).parameters)
            raise UsageError(f"torch.optim.{self.name}: {error}; it takes {takes}") from None


def own_rates(objective: Objective) -> dict[int, float]:
    """The rates of unknowns that have one of their own, by the id of the parameter."""
    model = getattr(objective, "model", None)  # a plain function of its parameters has none
    bounds, free = getattr(model, "bounds", {}), dict(getattr(model, "unknowns", {}))
    own = {id(free[name]): unknown.lr for name, unknown in bounds.items() if unknown.lr is not None}
    for network in dict(getattr(model, "unknown_fields", {})).values():
        own |= {id(p): network.field.lr for p in network.parameters() if network.field.lr is not None}
    return own


def _groups(objective: Objective) -> list[dict[str, Any]]:
    """The parameters as groups of torch: those with the rate of the run, then each unknown with a rate of its own."""
    own = own_rates(objective)
    usual = [p for p in objective.parameters if id(p) not in own]
    return [{"params": usual}, *({"params": [p], "own": own[id(p)]} for p in objective.parameters if id(p) in own)]


def take(inner: torch.optim.Optimizer, objective: Objective) -> None:
    """A step of a torch optimizer. Their fused steps change parameters without telling, and kept values rely on it."""
    inner.step()
    increment_version(objective.parameters)


def differentiate(objective: Objective) -> Tensor:
    """The loss, detached; its gradient is left in the parameters."""
    loss, gradients = objective.differentiated()
    for parameter, gradient in zip(objective.parameters, gradients, strict=True):
        parameter.grad = gradient
    return loss


def _class(name: str) -> Any:
    """The class of `torch.optim` called `name`."""
    kinds = inspect.getmembers(torch.optim, inspect.isclass)
    known = [n for n, kind in kinds if issubclass(kind, torch.optim.Optimizer) and n not in UNFIT]
    if name not in known:
        near = get_close_matches(name, known, 1) or ["Adam"]
        hint = "type optimizer=lbfgs" if name == "LBFGS" else f"did you mean {near[0]}?"
        raise UsageError(f"unknown optimizer {name!r}: expected one of {', '.join(known)}; {hint}")
    return getattr(torch.optim, name)


def same(one: Sequence[Tensor], other: Sequence[Tensor]) -> bool:
    """Whether two lists have the same tensors, not only equal ones."""
    return len(one) == len(other) and all(a is b for a, b in zip(one, other, strict=True))
