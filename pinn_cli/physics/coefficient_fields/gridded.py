"""A field from values on a grid, such as a measured conductivity."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pinn_cli.derivatives.keys import Index
from pinn_cli.physics.coefficient_fields.base import CoefficientField

CLOSED = 1e-6  # relative difference of the values at both ends of a periodic coordinate that may come from rounding


class Gridded(CoefficientField):
    """The spline through values on a grid: ``Gridded({"x": x, "y": y}, values, degree=3)``.

    `axes` are the grid's nodes by coordinate, each (n_i,) and increasing, `values` an array (n_1, ..., n_d). A spline
    of degree p is a polynomial of this degree between nodes along each coordinate (de Boor 1978), and has p - 1
    continuous derivatives: cubic splines two; degree 1 interpolates linearly, keeps the limits of the values, and has
    none. In `periodic` coordinates, whose first and last values are the same, derivatives are continuous across the
    ends as well. A problem whose domain is larger than the grid is refused. Raises ValueError for a shape that does not
    fit, values that are not finite or not periodic, axes that do not increase, and fewer than p + 1 nodes.
    """

    def __init__(self, axes: Mapping[str, Any], values: Any, degree: int = 3, periodic: Collection[str] = ()) -> None:
        from scipy.interpolate import make_interp_spline  # a third of a second, for fields on a grid only

        nodes = [np.asarray(axis, dtype=np.float64) for axis in axes.values()]
        table = np.asarray(values, dtype=np.float64)
        self.coordinates = tuple(axes)
        _refuse_wrong_grid(dict(zip(axes, nodes, strict=True)), table, degree)
        self.smooth, self.periodic = degree > 1, tuple(periodic)
        self.box = {c: (float(x[0]), float(x[-1])) for c, x in zip(axes, nodes, strict=True)}
        knots, shape = [], table.shape
        for i, (c, x) in enumerate(zip(axes, nodes, strict=True)):
            if c in self.periodic:
                table = _closed(c, table, i)
            closed = c in self.periodic and degree > 1
            spline = make_interp_spline(x, table, k=degree, axis=i, bc_type="periodic" if closed else None)
            table = np.moveaxis(spline.c, 0, i)
            knots.append(torch.from_numpy(spline.t))
        self._set(knots, torch.from_numpy(np.ascontiguousarray(table)), [degree] * len(nodes), shape)

    def _set(self, knots: Sequence[Tensor], c: Tensor, degrees: Sequence[int], shape: Sequence[int]) -> None:
        self.knots, self.c, self.degrees, self.shape = list(knots), c, list(degrees), tuple(shape)

    def values(self, *columns: Tensor) -> Tensor:
        axes = zip(self.knots, columns, self.degrees, strict=True)
        (places, weights), *rest = [
            _b_splines(self.moved(f"knots{i}", t, x), x.contiguous(), p) for i, (t, x, p) in enumerate(axes)
        ]
        for (where, weight), n in zip(rest, self.c.shape[1:], strict=True):  # places in the flat coefficients
            places = (places[:, :, None] * n + where[:, None, :]).flatten(1)
            weights = (weights[:, :, None] * weight[:, None, :]).flatten(1)
        return (self.moved("c", self.c, columns[0]).flatten()[places] * weights).sum(1)

    def derivative(self, index: Index) -> "Gridded":
        """Raises ValueError for orders from the degree on: that derivative jumps at the nodes."""
        out = object.__new__(Gridded)
        out.coordinates, out.box, out.periodic = self.coordinates, self.box, self.periodic
        knots, c, degrees = list(self.knots), self.c, list(self.degrees)
        for i, order in enumerate(index):
            for _ in range(order):
                p, t = degrees[i], knots[i]
                if p < 2:
                    coordinate, of = self.coordinates[i], self.degrees[i]
                    raise ValueError(
                        f"it is a spline of degree {of} in {coordinate}, whose derivative of order {order} is not "
                        "continuous; type degree=3 (two derivatives) or degree=5 (four)"
                    )
                width = (t[p + 1 : -1] - t[1 : -p - 1]).view([-1 if j == i else 1 for j in range(c.ndim)])
                c, knots[i], degrees[i] = p * c.diff(dim=i) / width, t[1:-1], p - 1
        out._set(knots, c, degrees, self.shape)
        out.smooth = min(degrees) > 1
        return out

    @property
    def state(self) -> Mapping[str, Tensor]:
        degrees = torch.tensor(self.degrees, dtype=torch.float64, device="cpu")
        return {"c": self.c, "degrees": degrees, **{f"knots{i}": t for i, t in enumerate(self.knots)}}

    def __str__(self) -> str:
        return f"values on {' x '.join(map(str, self.shape))} nodes in {', '.join(self.coordinates)}"


def _b_splines(t: Tensor, x: Tensor, p: int) -> tuple[Tensor, Tensor]:
    """The B-splines of degree p on knots t that do not vanish at x (N,): their numbers and values (N, p + 1)."""
    n = len(t) - p - 1
    k = (torch.bucketize(x.detach(), t[p + 1 : n].contiguous(), right=True) + p)[:, None]
    basis = torch.ones_like(x)[:, None]
    for d in range(1, p + 1):  # Cox and de Boor: those of degree d from those of degree d - 1
        r = torch.arange(d, device=x.device)
        right, left = t[k + 1 + r], t[k + 1 + r - d]
        share = basis / (right - left)
        up, down = (x[:, None] - left) * share, (right - x[:, None]) * share
        zero = torch.zeros_like(x)[:, None]
        basis = torch.cat([down, zero], 1) + torch.cat([zero, up], 1)
    return k - p + torch.arange(p + 1, device=x.device), basis


def _closed(coordinate: str, table: np.ndarray, axis: int) -> np.ndarray:
    """The values with those at the last node as at the first, from which rounding may part them."""
    first, last = np.take(table, [0], axis), np.take(table, [-1], axis)
    if np.abs(last - first).max() > CLOSED * np.abs(table).max():
        raise ValueError(f"other values at both ends of {coordinate}; expected the same, for a periodic field")
    return np.concatenate([np.delete(table, -1, axis), first], axis)


def _refuse_wrong_grid(axes: Mapping[str, np.ndarray], values: np.ndarray, degree: int) -> None:
    shape = tuple(axis.size for axis in axes.values())
    if values.shape != shape or any(axis.ndim != 1 for axis in axes.values()) or not axes:
        sides = ", ".join(f"{c}: {axis.size}" for c, axis in axes.items())
        raise ValueError(f"values of shape {values.shape}; expected {shape}, as many as the axes have nodes ({sides})")
    if not np.isfinite(values).all():
        raise ValueError(f"{(~np.isfinite(values)).sum()} of {values.size} values are not finite; expected numbers")
    if degree not in (1, 3, 5):
        raise ValueError(f"degree={degree}: expected 1, 3 or 5")
    for c, axis in axes.items():
        if not (np.isfinite(axis).all() and (np.diff(axis) > 0).all()):
            raise ValueError(f"the axis {c} does not increase; expected finite nodes in increasing order")
        if axis.size <= degree:
            raise ValueError(f"{axis.size} nodes along {c}; expected at least {degree + 1} for degree={degree}")
