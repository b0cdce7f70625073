"""The loop of DeepXDE (Lu, Meng, Mao & Karniadakis 2021) on torch, with new points for each step and Adam.

Where a condition holds on one side alone, the points on the boundary stay: DeepXDE draws those of all sides together,
and refuses a number of points on a side that changes.
"""

import contextlib
import io
import os
from collections.abc import Callable
from math import isclose
from typing import Any

os.environ["DDE_BACKEND"] = "pytorch"
with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
    import deepxde as dde
import numpy as np
import torch
from cases import Case, Condition, Face


def loop(case: Case, points: int, face: int, width: int, depth: int, dtype: str) -> Callable[[int], None]:
    """Takes a number of whole training steps."""
    dde.config.set_default_float(dtype)
    dde.config.set_random_seed(0)
    geometry = _geometry(case)

    def equations(x: Any, y: Any) -> list[Any]:
        d = _derivatives(x, y)
        return [equation(torch, x.split(1, 1), d) for equation in case.equations]

    sides = sum(len(where.sides) for where in case.faces if not _initial(case, where))
    counts = {"num_domain": points, "num_boundary": face * sides, "num_test": 2}
    conditions = [_condition(case, geometry, where, c) for where in case.faces for c in where.conditions]
    if case.pin is not None:
        conditions.append(dde.icbc.PointSetBC(np.array([case.low]), np.zeros((1, 1)), component=case.pin))
    if case.in_time:
        data = dde.data.TimePDE(geometry, equations, conditions, num_initial=face, **counts)
    else:
        data = dde.data.PDE(geometry, equations, conditions, **counts)
    network = dde.nn.FNN([2] + [width] * depth + [case.fields], "tanh", "Glorot normal")
    model = dde.Model(data, network)
    alone = any(len(where.sides) == 1 and not _initial(case, where) for where in case.faces)
    fresh = dde.callbacks.PDEPointResampler(period=1, pde_points=True, bc_points=not alone)  # see the first lines

    def steps(count: int) -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            model.train(iterations=count, display_every=10**9, callbacks=[fresh], verbose=0)

    with contextlib.redirect_stdout(io.StringIO()):
        model.compile("adam", lr=1e-3, verbose=0)
    return steps


def _geometry(case: Case) -> Any:
    if case.in_time:
        line = dde.geometry.Interval(case.low[0], case.high[0])
        return dde.geometry.GeometryXTime(line, dde.geometry.TimeDomain(case.low[1], case.high[1]))
    return dde.geometry.Rectangle(list(case.low), list(case.high))


def _initial(case: Case, where: Face) -> bool:
    return case.in_time and where.sides[0][0] == 1


def _condition(case: Case, geometry: Any, where: Face, condition: Condition) -> Any:
    def here(x: Any, on: bool = True) -> bool:
        return on and any(isclose(x[axis], end) for axis, end in where.sides)

    def target(x: Any) -> Any:
        return condition.target(np, [x[:, :1], x[:, 1:]])

    if condition.axes:
        def difference(x: Any, y: Any, X: Any) -> Any:
            return _derivatives(x, y)(condition.field, *condition.axes) - condition.target(torch, x.split(1, 1))

        return dde.icbc.OperatorBC(geometry, difference, lambda x, _: here(x))
    if _initial(case, where):
        return dde.icbc.IC(geometry, target, lambda _, on: on, component=condition.field)
    return dde.icbc.DirichletBC(geometry, target, here, component=condition.field)


def _derivatives(x: Any, y: Any) -> Callable[..., Any]:
    def d(field: int, *axes: int) -> Any:
        if not axes:
            return y[:, field : field + 1]
        if len(axes) == 1:
            return dde.grad.jacobian(y, x, i=field, j=axes[0])
        return dde.grad.hessian(y, x, component=field, i=axes[0], j=axes[1])

    return d
