"""A time step for stiff equations with a linear part that is diagonal in Fourier space."""

from collections.abc import Callable

import numpy as np
from numpy import pi

CIRCLE = np.exp(2j * pi * (np.arange(32) + 0.5) / 32)  # around each z: the formulas cancel where z is small


class ETDRK4:
    """Steps of length h for v' = L v + N(v, t), L real and diagonal (K,), v complex (K,).

    Exponential time differencing of order four (Cox & Matthews 2002; Kassam & Trefethen 2005).
    """

    def __init__(self, L: np.ndarray, h: float) -> None:
        z = h * L[:, None] + CIRCLE
        e = np.exp(z)
        self.h, self.whole, self.half = h, np.exp(h * L), np.exp(h * L / 2)
        self.Q = h * ((np.exp(z / 2) - 1) / z).mean(1).real
        self.f1 = h * ((-4 - z + e * (4 - 3 * z + z**2)) / z**3).mean(1).real
        self.f2 = h * ((2 + z + e * (z - 2)) / z**3).mean(1).real
        self.f3 = h * ((-4 - 3 * z - z**2 + e * (4 - z)) / z**3).mean(1).real

    def __call__(self, v: np.ndarray, t: float, N: Callable[[np.ndarray, float], np.ndarray]) -> np.ndarray:
        """v (K,) at the time t + h."""
        middle, end = t + self.h / 2, t + self.h
        at_v = N(v, t)
        a = self.half * v + self.Q * at_v
        at_a = N(a, middle)
        at_b = N(self.half * v + self.Q * at_a, middle)
        at_c = N(self.half * a + self.Q * (2 * at_b - at_v), end)
        return self.whole * v + self.f1 * at_v + 2 * self.f2 * (at_a + at_b) + self.f3 * at_c
