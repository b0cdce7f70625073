"""Ordinary differential equations from their initial values, by an explicit Runge-Kutta method of order 8."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from pinn_cli.physics.references.chebyshev import coefficients, nodes, polynomials

TOLERANCE = 1e-13  # of a step of the method, relative and absolute
LEAST = 1e-12  # the largest of the last coefficients, relative to the first: below, the series has enough terms


class InitialValue:
    """The solution of y_t = f(t, y) on [first, last] with y(first) = start, for one field each entry of y.

    scipy's DOP853 (Hairer, Norsett & Wanner 1993) gives the values at Chebyshev points, and their series the solution
    with its derivatives. Raises ValueError if 1024 terms are not enough.
    """

    at: Tensor | None = None
    error = 1e-10  # a tolerance of 1e-11 changes the solution of Lotka-Volterra by 1e-11

    def __init__(
        self,
        f: Callable[[float, np.ndarray], Sequence[float]],
        start: Sequence[float],
        extent: tuple[float, float],
        fields: tuple[str, ...],
    ) -> None:
        from scipy.integrate import solve_ivp

        self.fields, (self.first, self.last) = fields, extent
        for n in (64, 128, 256, 512, 1024):
            t = self.first + (self.last - self.first) * nodes(n)
            solved = solve_ivp(f, extent, start, "DOP853", t.clip(*extent), rtol=TOLERANCE, atol=TOLERANCE)
            if not solved.success:
                raise ValueError(f"the equations cannot be solved up to {self.last:g}: {solved.message}")
            c = coefficients(n) @ solved.y.T  # (n + 1, F)
            if np.abs(c[-3:]).max() < LEAST * np.abs(c).max():
                self.c = torch.from_numpy(c)
                return
        raise ValueError("the solution varies too quickly for 1024 polynomials; choose a shorter time")

    def __call__(self, X: Tensor) -> dict[str, Tensor]:
        """Values (N,) by field at X (N, 1)."""
        z = (X[:, 0].to(self.c) - self.first) / (self.last - self.first)
        values = polynomials(len(self.c) - 1, z) @ self.c.to(X.device)
        return {name: values[:, k].to(X) for k, name in enumerate(self.fields)}
