"""A coefficient field from what a user has: a file, arrays on a grid, or a function."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pinn_cli.physics.coefficient_fields.base import CoefficientField
from pinn_cli.physics.coefficient_fields.formula import Formula
from pinn_cli.physics.coefficient_fields.gridded import Gridded
from pinn_cli.physics.references.table import Columns, read_table, refuse_non_numbers


def field_from(name: str, value: Any, like: CoefficientField) -> Any:
    """The field of this `name` that a value means, with the coordinates of another one; other values as they are.

    A value is a field, a function of the coordinates, the name of a file, or a mapping: an axis for each coordinate and
    the values on that grid, ``{"x": x, "y": y, "nu": nu}``, or three columns of equal length that are one in any order.
    A CSV, NPZ or HDF5 file has the same names. The spline between nodes is cubic, or linear where `like` has jumps.
    Raises ValueError or UsageError for columns that are missing, no numbers, or no grid.
    """
    if isinstance(value, str | Path):
        return _on_grid(name, read_table(value), like, value)
    if isinstance(value, Mapping):
        return _on_grid(name, value, like, name)
    if callable(value) and not isinstance(value, CoefficientField):
        return Formula(value, like.coordinates)
    return value


def _on_grid(name: str, columns: Mapping[str, Any], like: CoefficientField, where: object) -> Gridded:
    found = ", ".join(map(str, columns)) or "none"
    expected = f"expected {', '.join(like.coordinates)} and {name}"
    if missing := [c for c in like.coordinates if c not in columns]:
        raise ValueError(f"{where}: no column {', '.join(missing)}; found {found}, {expected}")
    others = [c for c in columns if c not in like.coordinates]
    if name not in columns and len(others) != 1:
        raise ValueError(f"{where}: no column {name}; found {found}, {expected}")
    chosen = name if name in columns else others[0]
    numbers = {key: columns[key] for key in (*like.coordinates, chosen)}
    refuse_non_numbers(Columns(numbers, str(where), getattr(columns, "lines", ())), where)
    *sides, values = (np.asarray(column, dtype=np.float64) for column in numbers.values())
    try:
        if all(side.shape == values.shape for side in sides):  # points, also where there is one coordinate
            axes, values = _lattice(dict(zip(like.coordinates, map(np.ravel, sides), strict=True)), values.ravel())
        else:
            axes = dict(zip(like.coordinates, sides, strict=True))
        return Gridded(axes, values, 3 if like.smooth else 1, like.periodic)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def _lattice(columns: Mapping[str, np.ndarray], values: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The axes and the values (n_1, ..., n_d) of points (N,) that are all nodes of a grid, in any order."""
    axes, places = {}, []
    for c, column in columns.items():
        axes[c], place = np.unique(column, return_inverse=True)
        places.append(place.ravel())
    shape = tuple(axis.size for axis in axes.values())
    flat = np.ravel_multi_index(places, shape)
    if values.size != np.prod(shape) or np.unique(flat).size != values.size:
        sides = ", ".join(f"{axis.size} different values of {c}" for c, axis in axes.items())
        raise ValueError(f"{values.size} points with {sides}; expected each node of a grid, {np.prod(shape)} points")
    table = np.empty(values.size)
    table[flat] = values
    return axes, table.reshape(shape)
