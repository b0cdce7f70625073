"""Distributions of numbers."""

from math import exp, isfinite, log
from numbers import Real
from typing import Any

import numpy as np

from pinn_cli.physics.distributions.base import Distribution, Outside, shown


class Range(Distribution):
    """A number between `low` and `high`, uniform; with `logarithmic` its logarithm is uniform."""

    def __init__(self, low: float, high: float, logarithmic: bool = False) -> None:
        self.low, self.high, self.logarithmic = low, high, logarithmic
        if not (_is_number(low) and _is_number(high) and low < high):
            raise ValueError(f"Range({low!r}, {high!r}): expected two numbers, the smaller one first")
        if logarithmic and not low > 0:
            raise ValueError(f"Range({low:g}, {high:g}, logarithmic=True): expected numbers above 0")

    def draw(self, random: np.random.Generator) -> float:
        share = float(random.random())
        if self.logarithmic:
            return exp(log(self.low) + share * (log(self.high) - log(self.low)))
        return self.low + share * (self.high - self.low)

    def refuse(self, value: Any) -> None:
        expected = f"expected a number from {self.low:g} to {self.high:g}"
        if not _is_number(value):
            raise ValueError(f"found {shown(value)}; {expected}")
        if not self.low <= value <= self.high:
            raise Outside(f"found {value:g}; {expected}")

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}, {'logarithm uniform' if self.logarithmic else 'uniform'}"


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and isfinite(value)
