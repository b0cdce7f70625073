"""Heat conduction in a rod whose conductivity varies: a spectral method in space, the exact exponential in time."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import torch
from torch import Tensor

from pinn_cli.physics.coefficient_fields.base import CoefficientField
from pinn_cli.physics.references.chebyshev import coefficients, differentiation, nodes, polynomials, quadrature

Function = Callable[[Tensor], Tensor]  # of x (N,)


@dataclass(frozen=True)
class Rod:
    """u_t = (k(x) u_x)_x + f(x) on [0, 1]; u = 0 at both ends; u(x, 0) = `initial`.

    The weak form with a polynomial through n + 1 Chebyshev points and their quadrature weights W (Clenshaw & Curtis
    1960) conserves heat and is symmetric: for the values U at the inner points,

        W U' = -K U + W f        K = D^T W diag(k) D
        U(t) = U_s + W^-1/2 Q exp(-L t) Q^T W^1/2 (U(0) - U_s)        W^-1/2 K W^-1/2 = Q L Q^T,  K U_s = W f

    where D differentiates (Trefethen 2000, chapter 6). `error` is the relative L2 distance to half as many points.
    """

    k: CoefficientField
    source: Function
    initial: Function
    n: int = 96
    fields: tuple[str, ...] = ("u",)
    at: None = field(default=None, init=False)

    def __call__(self, X: Tensor) -> dict[str, Tensor]:
        """u at X = (x, t) (N, 2), computed in double precision, returned in that of X."""
        x, t = X.to(torch.float64).cpu().unbind(1)
        return {"u": self._values(self.n, x, t).to(X)}

    @property
    def error(self) -> float:
        axis = torch.linspace(0, 1, 41, dtype=torch.float64, device="cpu")
        x, t = torch.cartesian_prod(axis, axis).unbind(1)
        fine = self._values(self.n, x, t)
        return float((fine - self._values(self.n // 2, x, t)).norm() / fine.norm())

    def _values(self, n: int, x: Tensor, t: Tensor) -> Tensor:
        steady, modes, rates, start = self._solved(n)
        amplitudes = torch.exp(-t[:, None] * rates) * start  # (N, M)
        values = polynomials(n, x)  # (N, n + 1) times the coefficients (n + 1, M) of every mode
        return values @ steady + ((values @ modes) * amplitudes).sum(1)

    @cache  # noqa: B019  (a reference lives as long as its run)
    def _solved(self, n: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The steady state (n + 1,) and modes (n + 1, M) in Chebyshev coefficients, their rates and amplitudes (M,)."""
        x = torch.from_numpy(nodes(n))
        k, f, u0 = (function(x).numpy() for function in (self.k, self.source, self.initial))
        W, D = quadrature(n), differentiation(n, 1)[1][:, 1:-1]
        K, root = D.T @ ((W * k)[:, None] * D), W[1:-1] ** 0.5
        rates, Q = np.linalg.eigh(K / root[:, None] / root)
        steady = np.linalg.solve(K, W[1:-1] * f[1:-1])
        start = Q.T @ (root * (u0[1:-1] - steady))
        to_coefficients = coefficients(n)[:, 1:-1]
        made = to_coefficients @ steady, to_coefficients @ (Q / root[:, None]), rates, start
        a, b, c, d = (torch.from_numpy(np.ascontiguousarray(one)) for one in made)
        return a, b, c, d
