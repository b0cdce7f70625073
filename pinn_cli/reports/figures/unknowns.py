"""The trained coefficients of a problem with unknowns, over the steps."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from pinn_cli.records.results import Results
from pinn_cli.reports.figures.losses import curves_of, mark_stages
from pinn_cli.reports.figures.style import PALETTE, logarithmic, symbol

DECADES = 2.0  # a coefficient of one sign that changes by more has a logarithmic axis
NARROW = 0.1  # an interval that takes less of its panel has a second panel, of the last half of the steps
ROOM = 1.5  # lengths of an interval that this panel shows on each side of its middle


def draw_unknowns(results: Results) -> Figure | None:
    """A row per coefficient, with its last value and, at the end of a run, its 95 % interval and the known truth.

    An interval that is too narrow to be seen over all steps is drawn once more over the last half of them. None without
    unknowns or before there are two rows.
    """
    history = results.read_history()
    unknowns = curves_of(history, "unknown")
    if len(history.get("step", ())) < 2 or not unknowns:
        return None
    known = {name: results.read_attributes(f"unknowns/{name}") for name in unknowns}
    narrow = [name for name, values in unknowns.items() if _is_narrow(values, known[name])]
    columns = 2 if narrow else 1
    figure = Figure(figsize=(6.4 + 2.8 * (columns - 1), 0.9 + 1.9 * len(unknowns)), layout="constrained")
    widths = [1.7, 1.0][:columns]
    panels = figure.subplots(len(unknowns), columns, sharex="col", squeeze=False, width_ratios=widths)
    for row, (name, values) in zip(panels, unknowns.items(), strict=True):
        for axes in row:
            _curve(axes, history["step"], values, known[name])
        row[0].set_ylabel(symbol(name))
        finite = values[np.isfinite(values)]
        if finite.min() > 0 and np.log10(finite.max() / finite.min()) > DECADES:
            logarithmic(row[0], [finite])
        if name in narrow:
            low, high = known[name]["low"], known[name]["high"]
            row[1].set_ylim((low + high) / 2 - ROOM * (high - low), (low + high) / 2 + ROOM * (high - low))
        elif columns == 2:
            row[1].set_axis_off()
        shown = row[1] if name in narrow else row[0]
        error = known[name].get("standard_error", np.inf)
        certain = f"{finite[-1]:.6g}" + (f"\n$\\pm$ {error:.1e}" if np.isfinite(error) else "")
        shown.text(1.03, finite[-1], certain, transform=shown.get_yaxis_transform(), va="center")
    steps = history["step"]
    for axes, first in zip(panels[-1], (steps[0], (steps[0] + steps[-1]) / 2), strict=False):
        axes.set_xlim(first, steps[-1])
    for axes in (row[k] for k in range(columns) for row in panels[-1:]):
        axes.set_xlabel("step")
    if narrow and narrow[-1] != list(unknowns)[-1]:  # its last panel is empty, so that above has the numbers
        panels[list(unknowns).index(narrow[-1])][1].tick_params(labelbottom=True)
    mark_stages(list(panels[:, 0]), history, results.read("stages").get("", []))
    if meanings := _meanings(known):
        figure.legend(handles=meanings, loc="outside upper right", ncols=2)
    return figure


def _is_narrow(values: np.ndarray, about: dict[str, Any]) -> bool:
    ends = np.array([about.get(end, np.nan) for end in ("low", "high")], float)
    return bool(np.isfinite(ends).all() and 0 < ends[1] - ends[0] < NARROW * (np.nanmax(values) - np.nanmin(values)))


def _curve(axes: Axes, steps: np.ndarray, values: np.ndarray, about: dict[str, Any]) -> None:
    """The values over the steps, the interval as a band, the truth as a dashed line."""
    known = np.isfinite(values)
    axes.plot(steps[known], values[known], color=PALETTE[0])
    ends = [about.get(end, np.nan) for end in ("low", "high")]
    if np.isfinite(ends).all():
        axes.axhspan(*ends, color=PALETTE[0], alpha=0.15, linewidth=0)
    if "truth" in about:
        axes.axhline(about["truth"], color="black", linewidth=0.8, linestyle=(0, (4, 2)), zorder=1)


def _meanings(known: dict[str, dict[str, Any]]) -> list[Any]:
    """What band and dashed line mean, where they are drawn."""
    meanings: list[Any] = []
    if any(np.isfinite(about.get("low", np.nan)) for about in known.values()):
        meanings.append(Patch(color=PALETTE[0], alpha=0.15, linewidth=0, label="95 % interval"))
    if any("truth" in about for about in known.values()):
        meanings.append(Line2D([], [], color="black", linewidth=0.8, linestyle=(0, (4, 2)), label="truth"))
    return meanings
