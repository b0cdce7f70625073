"""Initial values on a circle, 0 <= x < 2 pi, by name: all those of Krishnapriyan et al. (2021, arXiv:2109.01050)."""

from collections.abc import Callable
from math import pi

from torch import Tensor, cos, exp, sin, tanh

from pinn_cli.basics.errors import UsageError, nearest

Function = Callable[[Tensor], Tensor]


def _wave(amplitude: float, mean: float = 0.0) -> Function:
    return lambda x: mean + amplitude * sin(x)


INITIAL_VALUES: dict[str, Function] = {
    "gaussian": lambda x: exp(-((x - pi) ** 2) / (2 * (pi / 4) ** 2)),
    "sin": sin,
    "sin_2x": lambda x: sin(2 * x),
    "sin_squared": lambda x: sin(x) ** 2,
    "sin_cos": lambda x: sin(x) * cos(x),
    "0.1sin": _wave(0.1),
    "0.5sin": _wave(0.5),
    "10sin": _wave(10),
    "50sin": _wave(50),
    "1+sin": _wave(1, 1),
    "2+sin": _wave(1, 2),
    "6+sin": _wave(1, 6),
    "10+sin": _wave(1, 10),
    "sin_pi_x": lambda x: sin(pi * x),
    "tanh": tanh,
    "2x": lambda x: 2 * x,
    "x_squared": lambda x: x**2,
}
JUMPS = ("sin_pi_x", "tanh", "2x", "x_squared")  # with period 2 pi they jump at x = 0


def initial_value(name: str) -> Function:
    """The function of x (N,) called `name`. Its period is 2 pi, or it is defined on [0, 2 pi) only (`JUMPS`).

    Raises UsageError for an unknown name.
    """
    if name not in INITIAL_VALUES:
        raise UsageError(f"u0={name}: no such initial value; {nearest(name, INITIAL_VALUES)}")
    return INITIAL_VALUES[name]
