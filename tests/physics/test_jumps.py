"""Coefficients of the highest derivatives that jump inside the domain are found, and smooth ones are not."""

import pytest
import torch

from pinn_cli import Box, Problem, on
from pinn_cli.physics.jumps import jumps_of

LINE, SQUARE, STRIP = Box(x=(0, 1)), Box(x=(0, 1), y=(0, 1)), Box(x=(0, 1), t=(0, 1))


def step(x):
    return torch.where(x < 0.5, 1.0, 10.0)


def problem(domain, residual, *more):
    members = {"equation": on("interior")(residual)} | {f"more{k}": one for k, one in enumerate(more)}
    cls = type("Given", (Problem,), {"coordinates": domain.coordinates, "fields": ("u",), **members})
    made = cls()
    made.domain = domain
    return made


@pytest.mark.parametrize(
    ("domain", "residual", "symbol", "coordinates"),
    [
        (LINE, lambda self, x, u_xx: step(x) * u_xx, "u_xx", "x"),
        (SQUARE, lambda self, x, lap_u: step(x) * lap_u - 1, "lap_u", "x"),
        (SQUARE, lambda self, x, y, lap_u: step((x - 0.5) ** 2 + (y - 0.5) ** 2 + 0.4) * lap_u, "lap_u", "xy"),
        (STRIP, lambda self, x, u_t, u_xx, u: u_t - step(x) * u * u_xx, "u_xx", "x"),
    ],
)
def test_a_jump_of_the_leading_coefficient_is_named(domain, residual, symbol, coordinates):
    jumps = jumps_of(problem(domain, residual))
    assert [(jump.constraint, jump.symbol, jump.coordinate) for jump in jumps] == [
        ("equation", symbol, c) for c in coordinates
    ]
    if len(coordinates) == 1:
        assert jumps[0].position == pytest.approx(0.5, abs=1e-6)
        assert f"the factor of {symbol} in equation jumps near x = 0.5;" in str(jumps[0])


@pytest.mark.parametrize(
    ("domain", "residual"),
    [
        (LINE, lambda self, x, u_xx: u_xx - step(x)),  # a source that jumps leaves u_x continuous
        (LINE, lambda self, x, u_xx: u_xx * (2 + torch.tanh(1000 * (x - 0.5)))),
        (LINE, lambda self, x, u_xx, u_x: u_xx + step(x) * u_x),
        (STRIP, lambda self, t, u_t, u_xx: u_t - step(t) * u_xx),  # the flux is continuous in x
        (STRIP, lambda self, x, u_t, u_xx: step(x) * u_t - u_xx),
        (LINE, lambda self, x, u_xx: u_xx / x),
    ],
)
def test_what_leaves_the_slope_continuous_is_no_jump(domain, residual):
    assert jumps_of(problem(domain, residual)) == []


def test_a_jump_with_a_condition_of_its_own_is_left_out():
    domain = Box(x=(0, 1), points={"middle": (0.5,)})
    joined = on("middle")(lambda self, u: u)
    assert jumps_of(problem(domain, lambda self, x, u_xx: step(x) * u_xx, joined)) == []
