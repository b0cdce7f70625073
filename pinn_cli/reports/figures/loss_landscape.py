"""The loss on a plane through the network's parameters."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogFormatterMathtext, LogLocator, MaxNLocator, NullLocator

from pinn_cli.records.results import Results
from pinn_cli.reports.figures.diagnostic_data import TOTAL, read_records
from pinn_cli.reports.figures.style import POSITIVE

LEVELS = 24
STEPS = [r"$\epsilon_1$", r"$\epsilon_2$"]


@dataclass
class Plane:
    """The loss (n, n) of one record at steps e1, e2 (n,), its limits, and the second derivatives along both."""

    step: int
    e1: np.ndarray
    e2: np.ndarray
    loss: Any
    ends: tuple[float, float]
    curvature: np.ndarray


def draw_loss_landscape(results: Results) -> Figure | None:
    """The last record of the total loss as contours and as a surface; colours and height are logarithmic."""
    records = read_records(results, "loss_landscape")
    if not records:
        return None
    plane = _plane(records, -1)
    if plane is None:
        return None
    figure = Figure(figsize=(7.4, 3.4), layout="constrained")
    _contours(figure, 1, plane, plane.ends)
    _surface(figure, plane.e1, plane.e2, plane.loss, plane.ends)
    figure.suptitle(f"loss, step {plane.step}", fontsize=10.5)
    return figure


def draw_loss_landscape_pair(results: Results) -> Figure | None:
    """The last two records of the total loss of which one is a step after the other; None if there are none.

    With `draws` in force, they are those before and after a draw of points.
    """
    records = read_records(results, "loss_landscape")
    near = np.diff(records["step"]) == 1 if records else np.zeros(0, bool)
    pairs = np.flatnonzero(near & ~np.concatenate([[False], near[:-1]]))  # of steps in a row the first two
    last = [int(pairs[-1]), int(pairs[-1]) + 1] if len(pairs) else []
    planes = [plane for k in last if (plane := _plane(records, k))]
    if len(planes) < 2:
        return None
    ends = (min(plane.ends[0] for plane in planes), max(plane.ends[1] for plane in planes))
    figure = Figure(figsize=(7.4, 3.4), layout="constrained")
    for place, plane in enumerate(planes, 1):
        _contours(figure, place, plane, ends)
        figure.axes[-2].set_title(f"loss, step {plane.step}")
    return figure


def _plane(records: dict[str, np.ndarray], k: int) -> Plane | None:
    """The total loss of record k; None if it is nowhere finite and above 0."""
    e1, e2 = (e[np.isfinite(e)] for e in (records["e1"][k], records["e2"][k]))  # a smaller grid is padded with NaN
    values = records[f"values/{TOTAL}"][k][: len(e1), : len(e2)]
    loss = np.ma.masked_where(~(np.isfinite(values) & (values > 0)), values)
    if loss.count() == 0:
        return None
    low, high = float(loss.min()), float(loss.max())
    ends = (low * (1 - 1e-9), max(high * (1 + 1e-9), 1.01 * low))  # both limits lie inside a contour
    return Plane(int(records["step"][k]), e1, e2, loss, ends, records["curvature"][k])


def _contours(figure: Figure, place: int, plane: Plane, ends: tuple[float, float]) -> None:
    """The cross marks the network; the label of each axis has the second derivative of the loss along it."""
    axes, e1, e2, loss, curvature = figure.add_subplot(1, 2, place), plane.e1, plane.e2, plane.loss, plane.curvature
    levels = np.geomspace(*ends, LEVELS)
    filled = axes.contourf(e1, e2, loss.T, levels=levels, norm=LogNorm(*ends), cmap=POSITIVE)
    axes.contour(e1, e2, loss.T, levels=levels[::2], colors="white", linewidths=0.3, alpha=0.6)
    axes.plot(0, 0, marker="+", color="white", markersize=7)
    axes.set(xlabel=f"{STEPS[0]}  (curvature {curvature[0]:.2g})", ylabel=f"{STEPS[1]}  (curvature {curvature[1]:.2g})")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(4))
    wide = _wide(ends)
    bar = figure.colorbar(filled, ax=axes, ticks=LogLocator(numticks=8) if wide else MaxNLocator(6), pad=0.02)
    bar.ax.yaxis.set_minor_locator(NullLocator())
    bar.ax.yaxis.set_major_formatter(LogFormatterMathtext() if wide else FuncFormatter(lambda v, _: f"{v:.3g}"))
    bar.outline.set_linewidth(0.5)


def _surface(figure: Figure, e1: np.ndarray, e2: np.ndarray, loss: np.ndarray, ends: tuple[float, float]) -> None:
    """The loss as a surface; values that are not finite are left out."""
    axes: Any = figure.add_subplot(1, 2, 2, projection="3d")
    x, y = np.meshgrid(e1, e2, indexing="ij")
    look: dict[str, Any] = {"edgecolor": (1, 1, 1, 0.4), "linewidth": 0.2, "rstride": 1, "cstride": 1, "shade": False}
    low, high = np.log10(ends)
    height = np.ma.log10(loss).filled(np.nan)
    axes.plot_surface(x, y, height, cmap=POSITIVE, vmin=low, vmax=high, **look)
    axes.set(xlabel=STEPS[0], ylabel=STEPS[1], zlim=(low, high))
    wide = _wide(ends)
    for axis in (axes.xaxis, axes.yaxis, axes.zaxis):
        axis.set_major_locator(MaxNLocator(4, integer=wide and axis is axes.zaxis))
        axis.pane.set_facecolor("white")
    axes.zaxis.set_major_formatter(FuncFormatter(lambda z, _: f"$10^{{{z:g}}}$" if wide else f"{10**z:.2g}"))
    axes.tick_params(pad=0)
    axes.view_init(elev=30, azim=-55)


def _wide(ends: tuple[float, float]) -> bool:
    """Whether the range is wide enough to label powers of ten only."""
    return ends[1] > 100 * ends[0]
