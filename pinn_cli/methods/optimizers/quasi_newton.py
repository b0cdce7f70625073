"""A quasi-Newton iteration that always reports why it stops.

Each call of `step` is one accepted iteration theta <- theta + t p. The direction p = -H g comes from a memory H of the
pairs s = theta' - theta, y = g' - g of the steps before; t from a strong Wolfe search.

    P = parameters   g = gradient of the loss (P,)   H = an estimate of the inverse Hessian (P, P)
"""

from abc import abstractmethod
from math import isfinite, nan
from typing import Any

import torch
from torch import Tensor

from pinn_cli.methods.contracts import Objective, Optimizer, Report
from pinn_cli.methods.optimizers.line_search import StrongWolfe, Trial

KEEP = (False, True, "if_positive")


class QuasiNewton(Optimizer):
    """Minimises objective.loss(); stops with one of

    ``grad_tol``            the largest entry of the gradient is at most `gradient_tolerance`
    ``step_tol``            the largest entry of the step is at most `step_tolerance`, if that is positive
    ``loss_tol``            the loss fell by no more than `loss_tolerance`, if that is positive
    ``stagnated``           `stagnation` accepted steps in a row each lowered the loss by less than 1e-12 of itself
    ``line_search_failed``  no step lowers the loss, even along -g with the memory cleared
    ``nonfinite``           the loss or its gradient at the start of a step is not a number

    Every search begins with t = `first_step`, or t = `first_step` min(1, 1 / |g|_1) without memory. Pairs with
    s.y <= 1e-14 |s| |y| are skipped. The memory belongs to one loss. When points or weights change, `keep` says what
    stays: nothing (False), all (True), or what is positive definite for the new loss too (``if_positive``). Only pairs
    of one loss are added. A subclass keeps the memory, and lists its attributes in `memory`. Raises ValueError for
    `evaluations` or `stagnation` below 1, and for another `keep`.
    """

    cadence = 10
    interruptible = True
    memory: tuple[str, ...] = ()  # attributes of the memory, for the checkpoint

    def __init__(self, evaluations: int, gradient_tolerance: float, step_tolerance: float, loss_tolerance: float,
                 stagnation: int, first_step: float = 1.0, keep: bool | str = False) -> None:
        for name, number in (("evaluations", evaluations), ("stagnation", stagnation)):
            if number < 1:
                raise ValueError(f"{name}={number}: expected a whole number above 0, e.g. {name}=20")
        if keep not in KEEP:
            raise ValueError(f"keep={keep}: expected false, true or if_positive")
        self.keep, self.carried = keep, keep
        self.gradient_tolerance, self.step_tolerance = gradient_tolerance, step_tolerance
        self.loss_tolerance, self.stagnation, self.first_step = loss_tolerance, stagnation, first_step
        self.search = StrongWolfe(evaluations=evaluations)
        self.loss, self.gradient = nan, torch.zeros(0)
        self.weights: dict[str, float | Tensor] = {}
        self.stagnant, self.restarts = 0, 0
        self._forget()

    @property
    @abstractmethod
    def remembers(self) -> bool:
        """Whether the memory holds a pair."""

    @abstractmethod
    def _forget(self) -> None:
        """Clear the memory: H = I."""

    @abstractmethod
    def _direction(self, gradient: Tensor) -> Tensor:
        """-H g (P,)."""

    @abstractmethod
    def _remember(self, s: Tensor, y: Tensor, Bs: Tensor) -> None:
        """Take a pair with s.y > 0 into the memory; B s (P,) with B = H^-1 is known from the direction."""

    @abstractmethod
    def _keep_positive(self, objective: Objective) -> None:
        """Drop what of the memory is not positive definite for the loss and the gradient of now."""

    def carry(self, keep: bool | str) -> None:
        self.carried = keep

    def step(self, objective: Objective) -> Report:
        """One accepted iteration, or none and the reason."""
        loss, gradient = self._start(objective)
        if not (isfinite(loss) and gradient.isfinite().all()):
            return self._report("nonfinite")
        if gradient.abs().max() <= self.gradient_tolerance:
            return self._report("grad_tol")
        theta = objective.flat(objective.parameters).detach()
        trial = self._search(objective, theta)
        if trial is None and self.remembers:
            self._forget()
            self.restarts += 1
            trial = self._search(objective, theta)
        if trial is None:
            return self._report("line_search_failed")
        return self._accept(trial, objective.flat(objective.parameters).detach() - theta)

    def _start(self, objective: Objective) -> tuple[float, Tensor]:
        """Loss and gradient at theta; those of the last accepted step while points and weights are the same."""
        weights = dict(objective.weights)
        if not len(self.gradient) or objective.points_changed or not _equal(weights, self.weights):
            self.loss, self.gradient = value_and_gradient(objective)
            if not self.carried:
                self._forget()
            elif self.carried == "if_positive" and self.remembers:
                self._keep_positive(objective)
        self.weights, self.carried = weights, self.keep
        return self.loss, self.gradient

    def _search(self, objective: Objective, theta: Tensor) -> Trial | None:
        """Leave the parameters at the accepted point, or at theta (P,) if there is none."""
        p = self._direction(self.gradient)
        start = Trial(0.0, self.loss, float(self.gradient @ p), self.gradient)

        def at(t: float) -> Trial:
            objective.place(theta + t * p)
            loss, gradient = value_and_gradient(objective)
            return Trial(t, loss, float(gradient @ p), gradient)

        first = self.first_step * (1.0 if self.remembers else min(1.0, 1.0 / float(self.gradient.abs().sum())))
        trial = self.search(at, start, first) if start.slope < 0 else None
        moved = theta if trial is None else theta + trial.step * p
        objective.place(moved)
        return None if torch.equal(moved, theta) else trial

    def _accept(self, trial: Trial, s: Tensor) -> Report:
        y = trial.gradient - self.gradient
        if is_positive(s, y):
            self._remember(s, y, -trial.step * self.gradient)
        fall = self.loss - trial.loss
        self.stagnant = self.stagnant + 1 if fall < 1e-12 * abs(self.loss) else 0
        self.loss, self.gradient = trial.loss, trial.gradient
        return self._report(self._end(s, fall), step_size=trial.step, step_norm=s.norm())

    def _end(self, s: Tensor, fall: float) -> str | None:
        """Why an accepted step s (P,), by which the loss fell, is the last; None if it is not."""
        if self.stagnant >= self.stagnation:
            return "stagnated"
        if 0 < self.step_tolerance >= s.abs().max():
            return "step_tol"
        return "loss_tol" if 0 < self.loss_tolerance >= abs(fall) else None

    def _report(self, stop: str | None, **values: float | Tensor) -> Report:
        norm, restarts = self.gradient.norm(), float(self.restarts)
        return Report({"loss/total": self.loss, "gradient_norm": norm, "restarts": restarts, **values}, stop)

    def state_dict(self) -> dict[str, Any]:
        names = ("loss", "gradient", "weights", "stagnant", "restarts", *self.memory)
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name in self.state_dict():
            setattr(self, name, state[name])


def is_positive(s: Tensor, y: Tensor) -> bool:
    """Whether a pair has a curvature that is clearly above 0; not where it is not finite."""
    return bool(s @ y > 1e-14 * s.norm() * y.norm())


def value_and_gradient(objective: Objective) -> tuple[float, Tensor]:
    """The loss and its gradient (P,) at the current parameters."""
    loss, gradients = objective.differentiated()
    return float(loss), objective.flat(gradients)


def _equal(one: dict[str, float | Tensor], other: dict[str, float | Tensor]) -> bool:
    return one.keys() == other.keys() and all(_same(w, other[name]) for name, w in one.items())


def _same(one: float | Tensor, other: float | Tensor) -> bool:
    if isinstance(one, Tensor) or isinstance(other, Tensor):
        return isinstance(one, Tensor) and isinstance(other, Tensor) and torch.equal(one, other)
    return one == other
