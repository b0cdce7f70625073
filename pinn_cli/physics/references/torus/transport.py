"""Steady diffusion and advection on the unit square with periodic sides: a spectral solution."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from math import sqrt

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator, cg, gmres
from torch import Tensor

from pinn_cli.basics.errors import UsageError
from pinn_cli.physics.references.torus.series import Series

TOLERANCE = 1e-12  # of the residual, relative to the source
ITERATIONS, RESTART = 500, 50
Map = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Transport:
    """div(kappa K grad u) - v . grad u + f = 0 on the unit square, with period 1 in x and y and the mean 0.

        kappa = 1 + contrast sin(2 pi waves x) sin(2 pi waves y)
        f = g - (mean of g over the nodes)        g = exp(-((x - 1/2)^2 + (y - 1/2)^2) / (2 sigma^2)) / (2 pi sigma^2)

    K = ((xx, xy), (xy, yy)) is given as (xx, xy, yy), v as (v_x, v_y). Values are those of `nodes` x `nodes` nodes and
    the trigonometric polynomial through them. For contrast 0 each mode is solved by itself; else by conjugate gradients
    (Hestenes & Stiefel 1952), or with advection by GMRES (Saad & Schultz 1986), both with the solution for contrast 0
    as preconditioner.

    Raises UsageError for a sigma or waves that the nodes do not resolve, |contrast| >= 1, and a K that is not positive
    definite.
    """

    sigma: float
    K: tuple[float, float, float]
    v: tuple[float, float] = (0.0, 0.0)
    contrast: float = 0.0
    waves: int = 1
    nodes: int = 256
    fields: tuple[str, ...] = ("u",)
    at = None

    def __post_init__(self) -> None:
        xx, xy, yy = self.K
        if not self.sigma > 0:
            raise UsageError(f"sigma={self.sigma:g}: expected a width above 0, e.g. 0.1")
        if self.sigma * self.nodes < 1:  # from here on the error is 1e-5 at most
            raise UsageError(f"sigma={self.sigma:g}: expected at least {1 / self.nodes:.1g}, the distance of the "
                             f"{self.nodes} x {self.nodes} nodes of the reference")
        if not abs(self.contrast) < 1:
            raise UsageError(f"contrast={self.contrast:g}: expected a number between -1 and 1, e.g. 0.5")
        if not 1 <= self.waves <= self.nodes // 4:
            raise UsageError(f"waves={self.waves}: expected a whole number from 1 to {self.nodes // 4}, which the "
                             f"{self.nodes} x {self.nodes} nodes of the reference can tell apart")
        if not (xx > 0 and xx * yy > xy**2):
            raise UsageError(f"K={self.K}: expected a positive definite matrix, e.g. (1, 0, 1)")

    def __call__(self, X: Tensor) -> dict[str, Tensor]:
        """Values at X = (x, y) (N, 2), computed in double precision, returned in that of X, differentiable."""
        x, y = X.to(torch.float64).cpu().T
        return {"u": self.series(x, y).to(X)}

    def source(self, x: Tensor, y: Tensor) -> Tensor:
        """f (N,)."""
        return self._bump(x, y) - self._mean

    def rim(self, x: Tensor, y: Tensor) -> Tensor:
        """u (N,) at points of the boundary, in their precision and on their device."""
        upright = torch.minimum(x, 1 - x) < torch.minimum(y, 1 - y)
        return torch.where(upright, self._sides[0](y), self._sides[1](x))

    @cached_property
    def series(self) -> Series:
        """The solution as a Fourier series."""
        return self._solved(self.nodes)

    @cached_property
    def error(self) -> float:
        """Relative L2 distance to the solution on 3/2 times as many nodes in each direction."""
        finer = self._solved(self.nodes + self.nodes // 4 * 2)
        few, many = self.series.c, finer.c
        both = few.new_zeros(2, max(len(few), len(many)), max(few.shape[1], many.shape[1]))
        middle = both.shape[1] // 2
        for place, c in zip(both, (few, many), strict=True):
            place[middle - len(c) // 2 : middle + len(c) // 2 + 1, : c.shape[1]] = c
        return max(1e-15, sqrt(Series(both[0] - both[1]).square / finer.square))

    @cached_property
    def _sides(self) -> tuple:
        return self.series.side(0), self.series.side(1)

    @cached_property
    def _mean(self) -> float:
        return float(self._bump(*_grid(self.nodes)).mean())

    def _bump(self, x: Tensor, y: Tensor) -> Tensor:
        r2 = (x - 0.5) ** 2 + (y - 0.5) ** 2
        return torch.exp(-r2 / (2 * self.sigma**2)) / (2 * torch.pi * self.sigma**2)

    def _solved(self, n: int) -> Series:
        """The series of the solution on n x n nodes."""
        x, y = _grid(n)
        f = self._bump(x, y).numpy()
        in_x, in_y = (np.sin(2 * np.pi * self.waves * axis.numpy()) for axis in (x, y))
        kappa = 1 + self.contrast * in_x * in_y
        k, l = 2j * np.pi * np.fft.fftfreq(n, 1 / n)[:, None], 2j * np.pi * np.fft.rfftfreq(n, 1 / n)
        if n % 2 == 0:  # the derivative of the highest frequency vanishes at the nodes
            k[n // 2], l[-1] = 0, 0
        (xx, xy, yy), (vx, vy) = self.K, self.v
        symbol = -(xx * k**2 + 2 * xy * k * l + yy * l**2) + vx * k + vy * l
        inverse = np.divide(1, symbol, out=np.zeros_like(symbol), where=symbol != 0)

        def filtered(values: np.ndarray, factor: np.ndarray) -> np.ndarray:
            return np.fft.irfft2(factor * np.fft.rfft2(values.reshape(n, n)), (n, n)).ravel()

        def alone(values: np.ndarray) -> np.ndarray:
            return filtered(values, inverse)

        def applied(values: np.ndarray) -> np.ndarray:
            c = np.fft.rfft2(values.reshape(n, n))
            u_x, u_y = np.fft.irfft2(k * c, (n, n)), np.fft.irfft2(l * c, (n, n))
            p, q = (np.fft.rfft2(kappa * flux) for flux in (xx * u_x + xy * u_y, xy * u_x + yy * u_y))
            return filtered(np.fft.irfft2(-k * p - l * q, (n, n)) + vx * u_x + vy * u_y, symbol != 0)

        u = alone(f)
        if self.contrast:
            u = _iterated(applied, alone, filtered(f, symbol != 0), u, symmetric=not any(self.v))
        return Series.through(u.reshape(n, n))


def _iterated(applied: Map, alone: Map, f: np.ndarray, start: np.ndarray, symmetric: bool) -> np.ndarray:
    """The solution of applied(u) = f. Raises UsageError where the iterations do not converge."""

    def operator(of: Map) -> LinearOperator:
        return LinearOperator((len(f), len(f)), matvec=of, dtype=f.dtype)

    if symmetric:
        u, left = cg(operator(applied), f, start, rtol=TOLERANCE, maxiter=ITERATIONS, M=operator(alone))
    else:  # multiplied by the preconditioner, because the rounding errors of `applied` are large
        both = operator(lambda values: alone(applied(values)))
        u, left = gmres(both, alone(f), start, rtol=TOLERANCE, restart=RESTART, maxiter=ITERATIONS // RESTART)
    if left:
        raise UsageError("the reference solution did not converge; type a smaller contrast")
    return u - u.mean()


def _grid(n: int) -> tuple[Tensor, Tensor]:
    """x and y (n, n) of the nodes i / n."""
    node = torch.arange(n, dtype=torch.float64, device="cpu") / n
    x, y = torch.meshgrid(node, node, indexing="ij")
    return x, y
