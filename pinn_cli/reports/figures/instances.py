"""A network of a whole family: some test instances side by side, and the errors and seconds of all of them."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pinn_cli.records.results import Results
from pinn_cli.reports.figures.fields import Plane, aspect, colour_bar, limits, plane_map, planes
from pinn_cli.reports.figures.style import PALETTE, logarithmic, symbol

Pairs = dict[str, np.ndarray]


def draw_instances(results: Results) -> Figure | None:
    """The instances with the least, median and largest error, a row each: parameter, reference, prediction, error.

    Of the first field; in more than two dimensions on one plane through the middle. None without test instances, and in
    one dimension.
    """
    stored = results.read("instances/shown")
    if "points" not in stored or stored["points"].shape[1] < 2:
        return None
    coordinates = list(results.read_attributes("instances/shown/points")["coordinates"])
    there = planes(stored["points"], coordinates)[:1]
    if not there:
        return None
    (plane,) = there
    name = next(key for key in stored if key.startswith("reference/")).partition("/")[2]
    seeds, errors = stored["seed"], results.read("instances")
    relative = dict(zip(errors["seed"], errors[f"error/{name}"], strict=True))
    parameters = {key.partition("/")[2]: values for key, values in stored.items() if key.startswith("parameter/")}
    of_points = {key: values for key, values in parameters.items() if values.ndim > 1}
    columns = min(len(of_points), 1) + 3
    height = 2.35 * min(aspect(plane) or 0.8, 1.6) + 0.6
    figure = Figure(figsize=(2.75 * columns + 0.6, height * len(seeds)), layout="constrained")
    panels = figure.subplots(len(seeds), columns, squeeze=False)
    for k, (axes, seed) in enumerate(zip(panels, seeds, strict=True)):
        title = f"instance {seed}" + "".join(f", {symbol(key)} = {values[k]:.3g}" for key, values in parameters.items()
                                             if values.ndim == 1)  # fmt: skip
        if of_points:
            key, values = next(iter(of_points.items()))
            _parameter(figure, axes[0], plane, key, values[k][plane.rows])
            axes[0].set_title(f"{title}: {symbol(key)}")
        truth, found = (stored[f"{kind}/{name}"][k][plane.rows] for kind in ("reference", "prediction"))
        shared = limits([truth, found], "solution")
        difference = np.abs(found - truth)
        last = list(axes[-3:])
        scales = (shared, shared, limits([difference], "error"))
        for panel, values, scale in zip(last, (truth, found, difference), scales, strict=True):
            picture = plane_map(panel, plane, values, *scale)
            if panel is not last[0]:
                colour_bar(figure, picture, panel)
                panel.set_ylabel("")
                panel.set_yticklabels([])
        last[0].set_title(f"{'' if of_points else title + ': '}{symbol(name)}, reference")
        last[1].set_title(symbol(name))
        last[2].set_title(f"absolute error (relative $L^2$ {relative[seed]:.1e})")
    return figure


def draw_test_instances(results: Results) -> Figure | None:
    """Errors of all test instances in their order, and the seconds that each takes over the steps of the solver."""
    stored = results.read("instances")
    errors = {key.partition("/")[2]: values for key, values in stored.items() if key.startswith("error/")}
    if not errors:
        return None
    figure = Figure(figsize=(7.0, 2.9), layout="constrained")
    left, right = figure.subplots(1, 2)
    for (name, values), colour in zip(errors.items(), PALETTE, strict=False):
        known = np.sort(values[np.isfinite(values)])
        look: dict[str, Any] = {"color": colour, "linewidth": 0.8, "markersize": 4.0, "label": symbol(name)}
        left.plot(np.arange(1, len(known) + 1), known, ".-", **look)
    logarithmic(left, list(errors.values()))
    left.xaxis.set_major_locator(MaxNLocator(integer=True))
    left.set_xlabel("test instances, by error")
    left.set_ylabel("relative $L^2$ error")
    left.legend(loc="best")
    _seconds(right, stored)
    return figure


def _seconds(axes: Axes, stored: Pairs) -> None:
    seconds, steps = stored.get("seconds", np.zeros(0)), stored.get("steps", np.zeros(0))
    known = np.isfinite(seconds)
    if not known.any():
        axes.set_axis_off()
        return
    axes.plot(steps[known], seconds[known], "o", color=PALETTE[1], markersize=4, alpha=0.7)
    axes.set_xlabel("steps of the solver")
    axes.set_ylabel("seconds for an instance")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlim(0, max(steps[known]) + 1)
    axes.set_ylim(0, 1.15 * max(seconds[known]))


def _parameter(figure: Figure, axes: Axes, plane: Plane, name: str, values: np.ndarray) -> None:
    """A coefficient field as a map; one that does not change along an axis as a line."""
    for i, other in ((0, 1), (1, 0)):
        x = plane.points[:, i]
        order = np.lexsort((plane.points[:, other], x))
        groups = np.split(values[order], np.flatnonzero(np.diff(x[order])) + 1)
        if all(np.ptp(group) <= 1e-12 * (1 + np.ptp(values)) for group in groups) and np.ptp(values) > 0:
            axes.plot(np.unique(x), [group[0] for group in groups], color=PALETTE[0])
            axes.set_xlabel(symbol(plane.labels[i]))
            axes.margins(x=0)
            return
    colour_bar(figure, plane_map(axes, plane, values, *limits([values], "solution")), axes)
