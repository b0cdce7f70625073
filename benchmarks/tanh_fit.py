"""The coefficients of `pinn_cli/derivatives/rational_tanh.py`, and the error of the function in float32.

    python benchmarks/tanh_fit.py

p and q minimise the largest |x p(x^2) / (q(x^2) tanh x) - 1| on 0 < x <= BOUND, with q(0) = 1. For a given q, the error
of p - q tanh(x)/x over q tanh(x)/x is linear in all coefficients; q is that of the round before, and the weights of the
points grow with their errors (Lawson, 1961). Coefficients are rounded to float32 from the lowest order up, each before
the rest is fitted again.
"""

import numpy as np
import torch

from pinn_cli.derivatives.rational_tanh import BOUND, P, Q, rational_tanh

DEGREES = 4, 4  # of p and q
POINTS, ROUNDS = 2001, 60


def fit(fixed: dict[int, float]) -> np.ndarray:
    """The coefficients of p, then those of q without q(0), of which some are `fixed`."""
    p, q = DEGREES
    x = BOUND * np.sin(0.5 * np.pi * (np.arange(POINTS) + 0.5) / POINTS)
    f, u = np.tanh(x) / x, (x / BOUND) ** 2
    powers = np.vander(u, max(DEGREES) + 1, increasing=True)
    A = np.hstack([powers[:, : p + 1], -f[:, None] * powers[:, 1 : q + 1]])
    scale = float(BOUND) ** (-2.0 * np.array([*range(p + 1), *range(1, q + 1)]))
    c = np.array([fixed.get(k, 0.0) for k in range(len(scale))]) / scale
    free = [k for k in range(len(scale)) if k not in fixed]
    known, weights, below = f - A @ c, np.ones(POINTS), np.ones(POINTS)
    best, least = c, np.inf
    for _ in range(ROUNDS):
        rows = np.sqrt(weights) / (f * below)
        B = A[:, free] * rows[:, None]
        lengths = np.linalg.norm(B, axis=0)
        c[free] = np.linalg.lstsq(B / lengths, known * rows, rcond=None)[0] / lengths
        below = 1 + powers[:, 1 : q + 1] @ c[p + 1 :]
        errors = np.abs(powers[:, : p + 1] @ c[: p + 1] / (f * below) - 1)
        if errors.max() < least:
            best, least = c.copy(), errors.max()
        weights *= (errors / errors.max() + 1e-3) ** 0.7
    return best * scale


def rounded() -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The coefficients of p and q as numbers of float32."""
    p, q = DEGREES
    fixed: dict[int, float] = {}
    for k in sorted(range(p + 1 + q), key=lambda k: k if k <= p else k - p):  # by order, p before q
        fixed[k] = float(np.float32(fit(fixed)[k]))
    return tuple(fixed[k] for k in range(p + 1)), (1.0, *(fixed[k] for k in range(p + 1, p + 1 + q)))


def relative_errors() -> tuple[torch.Tensor, torch.Tensor]:
    """All numbers of float32 from 2^-5 to 10, and the relative errors there; below, it is that of two roundings."""
    x = torch.arange(0x3D000000, 0x41200000, dtype=torch.int32).view(torch.float32)
    exact = torch.tanh(x.double())
    return x, (rational_tanh(x).double() / exact - 1).abs()


def main() -> None:
    p, q = rounded()
    print(f"P = {p}\nQ = {q}\nthose of the package: {'the same' if (p, q) == (P, Q) else f'{P}, {Q}'}")
    x, errors = relative_errors()
    print(f"largest relative error {errors.max():.3g}, at x = {x[errors.argmax()]:.6g}")


if __name__ == "__main__":
    main()
