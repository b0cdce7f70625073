"""The metrics of a lid-driven cavity flow that its literature uses."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import lru_cache
from math import nan

import torch
from torch import Tensor

from pinn_cli.physics.references.cavity.ghia import Line, centre_lines
from pinn_cli.physics.references.cavity.reference import Cavity

Evaluate = Callable[[list[str], Tensor], dict[str, Tensor]]
Values = dict[str, Tensor]
GRID = 100  # nodes per direction of the whole field, the walls included
FINE = 201  # nodes of a centre line in search of an extreme


def cavity_metrics(evaluate: Evaluate, reference: Cavity) -> dict[str, float]:
    """Metrics of the prediction `evaluate(names, X) -> {name: (N,)}`, float64 on the CPU, of u and v (psi if known).

    centreline       relative L2 norm of the error at the stations of Ghia, Ghia & Shin (1982), both lines together;
    centreline_u, centreline_v      u on x = 1/2 alone, v on y = 1/2 alone
    ghia, ghia_floor                distance of prediction and of reference to the printed values, if there are any
    field_masked     relative L2 norm of the error in (u, v) on 100 x 100 nodes, without those near the ends of the lid
    speed_spectral   relative spectral norm of the error of the 100 x 100 matrix |(u, v)| (Wang et al. 2021)
    u_min, v_min, v_max             on x = 1/2, on y = 1/2
    vortex_x, vortex_y, psi_min     where (u, v) = 0 in the primary vortex, and psi there
    NaN where the prediction is not finite.
    """
    stations, grid = _stations(reference.re), _grid()
    lines = torch.cat([stations["u"].X, stations["v"].X])
    values = evaluate(["u", "v"], torch.cat([lines, grid]))
    split = [len(stations["u"].X), len(stations["v"].X), len(grid)]
    u, v = values["u"].split(split), values["v"].split(split)
    truth_u, truth_v = (value.split(split) for value in _truth(reference))
    measured = {
        "centreline": _distance([(u[0], truth_u[0]), (v[1], truth_v[1])]),
        "centreline_u": _distance([(u[0], truth_u[0])]),
        "centreline_v": _distance([(v[1], truth_v[1])]),
    }
    if reference.lid == "unit" and centre_lines(reference.re):
        printed = stations["u"].printed, stations["v"].printed
        measured["ghia"] = _distance(zip((u[0], v[1]), printed, strict=True))
        measured["ghia_floor"] = _distance(zip((truth_u[0], truth_v[1]), printed, strict=True))
    counted = reference.counts(grid)
    measured["field_masked"] = _distance([(u[2][counted], truth_u[2][counted]), (v[2][counted], truth_v[2][counted])])
    measured["speed_spectral"] = _spectral(torch.hypot(u[2], v[2]), torch.hypot(truth_u[2], truth_v[2]))
    return measured | _extremes(evaluate) | _vortex(evaluate, u[2], "psi" in reference.fields)


@lru_cache(maxsize=8)
def _stations(re: float) -> dict[str, Line]:
    """The stations printed for this Re; for any other Re, those of Re = 100."""
    return centre_lines(re) or centre_lines(100.0) or {}


def _grid() -> Tensor:
    line = torch.linspace(0, 1, GRID, dtype=torch.float64, device="cpu")
    return torch.cartesian_prod(line, line)


@lru_cache(maxsize=8)  # used at every row of a history
def _truth(reference: Cavity) -> tuple[Tensor, Tensor]:
    stations = _stations(reference.re)
    values = replace(reference, fields=("u", "v"))(torch.cat([stations["u"].X, stations["v"].X, _grid()]))
    return values["u"], values["v"]


def _distance(pairs: Iterable[tuple[Tensor, Tensor]]) -> float:
    """Relative L2 norm of prediction minus truth, over all pairs together."""
    prediction, truth = (torch.cat(side) for side in zip(*pairs, strict=True))
    return float(torch.linalg.vector_norm(prediction - truth) / torch.linalg.vector_norm(truth))


def _spectral(speed: Tensor, truth: Tensor) -> float:
    """The largest singular value of the error on the grid, divided by that of the truth."""
    if not speed.isfinite().all():
        return nan
    largest = [torch.linalg.matrix_norm(w.reshape(GRID, GRID), 2) for w in (speed - truth, truth)]
    return float(largest[0] / largest[1])


def _extremes(evaluate: Evaluate) -> dict[str, float]:
    """Extremes on the centre lines: the best of 201 nodes, then of 41 around it, then a parabola through three."""
    along = torch.linspace(0, 1, FINE, dtype=torch.float64, device="cpu")
    u, v = _on_lines(evaluate, along, along)
    close = torch.linspace(-1, 1, 41, dtype=torch.float64, device="cpu") / (FINE - 1)
    on_x, low, high = (along[1:-1][w[1:-1].argmin()] + close for w in (u, v, -v))
    u, v = _on_lines(evaluate, on_x, torch.cat([low, high]))
    return {"u_min": _peak(u), "v_min": _peak(v[: len(low)]), "v_max": -_peak(-v[len(low) :])}


def _on_lines(evaluate: Evaluate, y: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """u(1/2, y) and v(x, 1/2)."""
    X = torch.cat([torch.stack([torch.full_like(y, 0.5), y], 1), torch.stack([x, torch.full_like(x, 0.5)], 1)])
    values = evaluate(["u", "v"], X)
    return values["u"][: len(y)], values["v"][len(y) :]


def _peak(w: Tensor) -> float:
    """Minimum of the parabola through the smallest of equidistant values and its neighbours, if it has two."""
    i = int(w.argmin())
    if not 0 < i < len(w) - 1:
        return float(w[i])
    below, at, above = (float(value) for value in w[i - 1 : i + 2])
    bend = above - 2 * at + below
    return at - (above - below) ** 2 / (8 * bend) if bend > 0 else at


def _vortex(evaluate: Evaluate, u: Tensor, has_psi: bool) -> dict[str, float]:
    """The centre of the primary vortex: the minimum of the integral of u over y on the grid, then the root of (u, v).

    The root is that of planes fitted to u and v on 11 x 11 points, three times, each time on a smaller patch.
    """
    psi = torch.cumulative_trapezoid(u.reshape(GRID, GRID), dx=1 / (GRID - 1))
    centre = _grid().reshape(GRID, GRID, 2)[:, 1:].reshape(-1, 2)[psi.argmin()]
    line = torch.linspace(-1, 1, 11, dtype=torch.float64, device="cpu")
    patch = torch.cartesian_prod(line, line)
    for size in (0.02, 0.002, 0.0002):
        values = evaluate(["u", "v"], (centre + size * patch).clamp(0, 1))
        centre = (centre + size * _root(patch, torch.stack([values["u"], values["v"]], 1))).clamp(0, 1)
    position = {"vortex_x": float(centre[0]), "vortex_y": float(centre[1])}
    return position | ({"psi_min": float(evaluate(["psi"], centre[None])["psi"])} if has_psi else {})


def _root(patch: Tensor, velocity: Tensor) -> Tensor:
    """Where the planes through velocity (M, 2) on patch (M, 2) vanish, clamped to the patch; (2,)."""
    if not velocity.isfinite().all():
        return torch.full_like(patch[0], nan)
    plane = torch.linalg.lstsq(torch.cat([torch.ones_like(patch[:, :1]), patch], 1), velocity).solution  # (3, 2)
    root = torch.linalg.lstsq(plane[1:].T, -plane[:1].T, driver="gelsd").solution[:, 0]  # not unique for a flow at rest
    return root.clamp(-1, 1)
