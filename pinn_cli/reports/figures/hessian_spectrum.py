"""Eigenvalues of the Hessian of the loss and of its terms."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pinn_cli.records.results import Results
from pinn_cli.reports.figures.diagnostic_data import TOTAL, group, look, read_records
from pinn_cli.reports.figures.style import logarithmic


def draw_hessian_spectrum(results: Results) -> Figure | None:
    """The largest eigenvalue over the steps; beside it the last whole spectrum, or else the smallest eigenvalue."""
    records = read_records(results, "hessian_spectrum")
    largest, smallest, whole = (group(records, kind) for kind in ("largest", "smallest", "eigenvalues"))
    if not largest:
        return None
    figure = Figure(figsize=(7.4, 3.0), layout="constrained")
    left, right = figure.subplots(1, 2)
    _draw(left, records["step"], largest)
    left.set_ylabel("largest eigenvalue")
    logarithmic(left, largest.values())
    if whole:
        last = {name: values[-1] for name, values in whole.items()}
        _draw(right, np.arange(1, len(last[TOTAL]) + 1), last, marker=False)
        right.set(xlabel="index", ylabel=f"eigenvalue, step {int(records['step'][-1])}")
        _symlog(right, np.concatenate(list(last.values())))
    else:
        _draw(right, records["step"], smallest)
        right.set_ylabel("smallest eigenvalue")
        _symlog(right, np.concatenate(list(smallest.values())))
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=6)
    return figure


def _draw(axes: Axes, x: np.ndarray, curves: dict[str, np.ndarray], marker: bool = True) -> None:
    dots: dict[str, Any] = {"marker": "o", "markersize": 3.0} if marker and len(x) < 60 else {}
    for name, style in look(curves).items():
        axes.plot(x, curves[name], **style, **dots)
    axes.set_xlabel("step")
    axes.grid(True, axis="y")
    axes.set_axisbelow(True)


def _symlog(axes: Axes, values: np.ndarray) -> None:
    """A scale that is logarithmic on both sides of zero, over at most six decades, and linear around zero."""
    sizes = np.abs(values[np.isfinite(values) & (values != 0)])
    low, high = (np.log10(sizes.min()), np.log10(sizes.max())) if len(sizes) else (0.0, 0.0)
    axes.set_yscale("symlog", linthresh=10.0 ** max(np.floor(low), np.ceil(high) - 6), linscale=0.5)
    axes.axhline(0.0, color="#888888", linewidth=0.6, zorder=1)
