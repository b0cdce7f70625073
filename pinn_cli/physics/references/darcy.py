"""Steady flow through a medium whose permeability varies or jumps, in the unit square: a solution by finite volumes."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from scipy.sparse import csc_array, diags_array
from scipy.sparse.linalg import splu
from torch import Tensor

from pinn_cli.basics.errors import UsageError
from pinn_cli.physics.coefficient_fields.base import CoefficientField
from pinn_cli.physics.coefficient_fields.gridded import Gridded
from pinn_cli.physics.references.cache import Arrays, cached

VERSION = 1  # of the method: a new one makes old cache entries unused


@dataclass(frozen=True)
class Darcy:
    """-div(nu grad u) = f on [0, 1]^2 for a constant f, u = 0 on the boundary, and the flux (p, q) = nu grad u.

    Finite volumes on `nodes` x `nodes` nodes with distance h (Patankar 1980): the flux between two nodes has the
    harmonic mean of nu there, so that it is continuous across a jump of nu,

        sum over the four neighbours of  2 nu nu' / (nu + nu') (u - u') = f h^2

    u is a cubic spline through the nodes where nu is smooth, and bilinear between them where it jumps. p and q are
    linear along their own axis and constant across it in the volume around a node, so that p_x + q_y + f = 0 holds to
    rounding, except within half a cell of the boundary. The sparse matrix is factored directly. The first call stores
    the solution in the cache.

    The streamfunction psi has psi_y = p + f (x - 1/2) / 2, psi_x = -q - f (y - 1/2) / 2 and psi(0, 0) = 0. It is
    summed from p and q over the corners of the volumes, on every path to the same numbers, and bilinear between them.

    `error` is the relative L2 distance of u to the solution on about half as many nodes. Where nu is smooth, the method
    is of second order and the error a third of that. Where it jumps, it is of first order and the error about as large:
    near 1e-3 for 421 x 421 nodes. Raises UsageError for a nu of other coordinates or not above 0 at all nodes.
    """

    nu: CoefficientField
    f: float = 1.0
    nodes: int = 421
    fields: tuple[str, ...] = ("u", "p", "q")
    at: None = field(default=None, init=False)

    def __post_init__(self) -> None:
        if self.nu.coordinates != ("x", "y"):
            raise UsageError(f"nu is a field of {', '.join(self.nu.coordinates)}; expected one of x, y, in this order")

    def __call__(self, X: Tensor) -> dict[str, Tensor]:
        """Values at X = (x, y) (N, 2), computed in double precision, returned in that of X, differentiable."""
        x, y = X.to(torch.float64).cpu().unbind(1)
        values = {"u": self._between(x, y)}
        if "p" in self.fields:
            p, q = (torch.from_numpy(self._solution[name]) for name in "pq")
            values |= {"p": _in_volumes(p, x, y), "q": _in_volumes(q.T, y, x)}
        if "psi" in self.fields:
            values["psi"] = self._stream(x, y)
        return {name: values[name].to(X) for name in self.fields}

    @cached_property
    def error(self) -> float:
        return float(self._solution["error"])

    @cached_property
    def _solution(self) -> Arrays:
        parameters: dict[str, float | int | str] = {"nu": self.nu.fingerprint, "f": self.f, "nodes": self.nodes}
        return cached("Darcy", parameters | {"version": VERSION}, self._solve)

    @cached_property
    def _between(self) -> Gridded:
        return self._spline(self._solution["u"])

    @cached_property
    def _stream(self) -> Gridded:
        corners, psi = streamfunction(self._solution["p"], self._solution["q"], self.f)
        return Gridded({"x": corners, "y": corners}, psi, 1)

    def _solve(self) -> Arrays:
        u, p, q = solve(self._at_nodes(self.nodes), self.f)
        coarse = self._spline(solve(self._at_nodes(self.nodes // 2 + 1), self.f)[0])
        axis = _nodes(self.nodes)
        error = np.linalg.norm(coarse.on_lattice([axis, axis]).numpy() - u) / np.linalg.norm(u)
        return {"u": u, "p": p, "q": q, "error": np.asarray(error)}

    def _spline(self, u: np.ndarray) -> Gridded:
        axis = _nodes(len(u))
        return Gridded({"x": axis, "y": axis}, u, 3 if self.nu.smooth else 1)

    def _at_nodes(self, n: int) -> np.ndarray:
        nu = self.nu.on_lattice([_nodes(n), _nodes(n)]).numpy()
        if not (nu > 0).all():
            raise UsageError(f"nu={nu.min():.3g} at a node: expected a permeability above 0 everywhere")
        return nu


def solve(nu: np.ndarray, f: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """u (n, n), p (n - 1, n) and q (n, n - 1) for nu (n, n) at the nodes; fluxes lie between two of them."""
    n, h = len(nu), 1 / (len(nu) - 1)
    along_x = 2 * nu[1:] * nu[:-1] / (nu[1:] + nu[:-1])
    along_y = 2 * nu[:, 1:] * nu[:, :-1] / (nu[:, 1:] + nu[:, :-1])
    west, east, south, north = along_x[:-1, 1:-1], along_x[1:, 1:-1], along_y[1:-1, :-1], along_y[1:-1, 1:]
    inner = (n - 2) ** 2
    to_north, to_east = north.copy(), east.copy()
    to_north[:, -1], to_east[-1] = 0, 0  # the neighbour lies on the boundary, where u = 0
    beside, across = -to_north.ravel()[:-1], -to_east.ravel()[: inner - (n - 2)]
    matrix = diags_array(
        [(west + east + south + north).ravel(), beside, beside, across, across],
        offsets=[0, 1, -1, n - 2, 2 - n],
    )
    u = np.zeros((n, n))
    symmetric: dict = {"permc_spec": "MMD_AT_PLUS_A", "diag_pivot_thresh": 0.0, "options": {"SymmetricMode": True}}
    factors = splu(csc_array(matrix), **symmetric)
    u[1:-1, 1:-1] = factors.solve(np.full(inner, f * h * h)).reshape(n - 2, n - 2)
    return u, along_x * np.diff(u, axis=0) / h, along_y * np.diff(u, axis=1) / h


def streamfunction(p: np.ndarray, q: np.ndarray, f: float) -> tuple[np.ndarray, np.ndarray]:
    """The corners of volumes along an axis (n + 1,), and psi (n + 1, n + 1) there, for the fluxes of `solve`.

    The first and the last corners lie half a cell outside; psi is continued to them linearly.
    """
    cells = len(p)
    h = 1 / cells
    corners = (np.arange(-1, cells + 1) + 0.5) * h
    inner = corners[1:-1]
    up = h * (p[0, 1:-1] + f * (inner[0] - 0.5) / 2)  # along y, beside x = 0
    right = -h * (q[1:-1] + f * (inner - 0.5) / 2)
    first = np.concatenate([np.zeros(1), np.cumsum(up)])
    psi = np.cumsum(np.concatenate([first[None], right]), axis=0)
    for _ in range(2):
        psi = np.concatenate([2 * psi[:1] - psi[1:2], psi, 2 * psi[-1:] - psi[-2:-1]]).T
    return corners, psi - psi[:2, :2].mean()


def _nodes(n: int) -> Tensor:
    return torch.linspace(0, 1, n, dtype=torch.float64, device="cpu")


def _in_volumes(flux: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """A flux along x (N,), from values (n - 1, n) between nodes: linear in x, constant in y around each node.

    Beside the ends of x it goes on linearly.
    """
    cells = len(flux)
    scaled = x * cells - 0.5
    i = scaled.detach().floor().long().clamp(0, cells - 2)
    j = (y.detach() * cells).round().long().clamp(0, cells)
    s = scaled - i
    return (1 - s) * flux[i, j] + s * flux[i + 1, j]
