"""A line search for the strong Wolfe conditions that allows for the rounding of the loss.

Along theta + t p, with phi(t) the loss and phi'(t) its slope, a step t is accepted when

    phi(t) <= phi(0) + c1 t phi'(0) + noise        |phi'(t)| <= c2 |phi'(0)|

(Nocedal and Wright, 2006, algorithms 3.5 and 3.6). `noise` is the rounding error of a loss. Without it the first
condition fails at random near a minimum, where it compares two nearly equal numbers (Hager and Zhang, 2005).
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf, isfinite, sqrt

import torch
from torch import Tensor


@dataclass(frozen=True)
class Trial:
    """One point on the line: its step, the loss, the slope along the line, and the gradient (P,)."""

    step: float
    loss: float
    slope: float
    gradient: Tensor

    @property
    def finite(self) -> bool:
        """Whether loss and slope are numbers."""
        return isfinite(self.loss) and isfinite(self.slope)


@dataclass(frozen=True)
class StrongWolfe:
    """`decrease` is c1, `curvature` is c2; at most `evaluations` losses and gradients per search."""

    decrease: float = 1e-4
    curvature: float = 0.9
    evaluations: int = 25

    def __call__(self, at: Callable[[float], Trial], start: Trial, step: float) -> Trial | None:
        """The accepted trial, starting from `step`; else the lowest trial that decreases enough; else None."""
        low, high = start, Trial(inf, inf, inf, start.gradient)
        noise = 4 * torch.finfo(start.gradient.dtype).eps * abs(start.loss)
        width = inf
        for _ in range(self.evaluations):
            trial = at(step)
            too_high = trial.loss > start.loss + self.decrease * step * start.slope + noise
            if not trial.finite or too_high or trial.loss > low.loss + noise:
                high = trial
            elif abs(trial.slope) <= -self.curvature * start.slope:
                return trial
            else:
                beyond = trial.slope * (high.step - low.step) >= 0  # the minimum lies between `low` and this trial
                low, high = trial, low if beyond else high
            step, width = _next(low, high, step, width), abs(high.step - low.step)
            if step in (low.step, high.step):  # the bracket has shrunk to adjacent floating-point numbers
                break
        return low if low.loss < start.loss else None


def _next(low: Trial, high: Trial, step: float, width: float) -> float:
    """The next step: farther out until the minimum is bracketed, then by cubic interpolation, or by halving if slow."""
    if high.step == inf:
        return 4 * step
    length = high.step - low.step
    if not high.finite or abs(length) > 0.66 * width:
        return low.step + 0.5 * length
    share = (_cubic_minimum(low, high) - low.step) / length
    return low.step + min(max(share, 0.1), 0.9) * length


def _cubic_minimum(a: Trial, b: Trial) -> float:
    """The minimum of the cubic through both losses and slopes; the middle if it has none."""
    secant = 3 * (b.loss - a.loss) / (b.step - a.step)
    d1 = a.slope + b.slope - secant
    square = d1 * d1 - a.slope * b.slope
    if square < 0:
        return 0.5 * (a.step + b.step)
    d2 = sqrt(square) if b.step > a.step else -sqrt(square)
    below = b.slope - a.slope + 2 * d2
    return b.step - (b.step - a.step) * (b.slope + d2 - d1) / below if below else 0.5 * (a.step + b.step)
