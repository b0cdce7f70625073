"""The loss on a plane through the network's parameters."""

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


def draw_loss_landscape(results: Results) -> Figure | None:
    """The last record of the total loss as contours and as a surface; colours and height are logarithmic."""
    records = read_records(results, "loss_landscape")
    if not records:
        return None
    e1, e2 = (e[np.isfinite(e)] for e in (records["e1"][-1], records["e2"][-1]))  # a smaller grid is padded with NaN
    values = records[f"values/{TOTAL}"][-1][: len(e1), : len(e2)]
    loss = np.ma.masked_where(~(np.isfinite(values) & (values > 0)), values)
    if loss.count() == 0:
        return None
    low, high = float(loss.min()), float(loss.max())
    ends = (low * (1 - 1e-9), max(high * (1 + 1e-9), 1.01 * low))  # both limits lie inside a contour
    figure = Figure(figsize=(7.4, 3.4), layout="constrained")
    _contours(figure, e1, e2, loss, ends, records["curvature"][-1])
    _surface(figure, e1, e2, loss, ends)
    figure.suptitle(f"loss, step {int(records['step'][-1])}", fontsize=10.5)
    return figure


def _contours(
    figure: Figure, e1: np.ndarray, e2: np.ndarray, loss: np.ndarray, ends: tuple[float, float], curvature: np.ndarray
) -> None:
    """The cross marks the network; the label of each axis has the second derivative of the loss along it."""
    axes = figure.add_subplot(1, 2, 1)
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
