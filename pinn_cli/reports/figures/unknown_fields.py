"""Unknown fields with their standard errors: a band in one dimension, maps in two."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from pinn_cli.records.results import Results
from pinn_cli.reports.figures.fields import colour_bar, limits, plane_map, planes
from pinn_cli.reports.figures.style import PALETTE, symbol

BAND = 2.0  # standard errors on each side
SHADES = 300.0  # the largest error over the least that is told apart in a map

Values = dict[str, Any]


def draw_unknown_fields(results: Results) -> Figure | None:
    """A row for each unknown field of one or two coordinates; None without one, or before the end of a run.

    In one dimension: the field, its true value where it is known, and a band of two standard errors on each side. In
    two: maps of the field, the true value, the absolute error and the standard error, as far as they are known; the
    last two have the same logarithmic colours, since both are largest by far where the data say little.
    """
    stored = results.read("unknown_fields")
    fields = {name: _of(results, stored, name) for name in dict.fromkeys(key.partition("/")[0] for key in stored)}
    shown = {name: values for name, values in fields.items() if len(values["coordinates"]) <= 2}
    if not shown:
        return None
    columns = max(1 if len(v["coordinates"]) == 1 else len(_maps(v)) for v in shown.values())
    figure = Figure(figsize=(max(4.6, 2.9 * columns + 0.6), 2.9 * len(shown)), layout="constrained")
    panels = figure.subplots(len(shown), columns, squeeze=False)
    for row, (name, values) in zip(panels, shown.items(), strict=True):
        used = _line(row[0], name, values) if len(values["coordinates"]) == 1 else _planes(figure, row, name, values)
        for axes in row[used:]:
            axes.set_axis_off()
    return figure


def _of(results: Results, stored: Values, name: str) -> Values:
    """The datasets of one field, and the names of its coordinates."""
    own = {key.removeprefix(f"{name}/"): value for key, value in stored.items() if key.startswith(f"{name}/")}
    about = results.read_attributes(f"unknown_fields/{name}/points")
    return own | {"coordinates": list(about["coordinates"])}


def _line(axes: Any, name: str, values: Values) -> int:
    x, k = values["points"][:, 0], values["value"]
    if "truth" in values:
        axes.plot(x, values["truth"], color="black", linewidth=2.6, alpha=0.25, label="truth")
    if "standard_error" in values:
        half = BAND * values["standard_error"]
        label = f"$\\pm$ {BAND:g} standard errors"
        axes.fill_between(x, k - half, k + half, color=PALETTE[0], alpha=0.2, linewidth=0, label=label)
    axes.plot(x, k, color=PALETTE[0], label="found")
    axes.set_xlabel(symbol(values["coordinates"][0]))
    axes.set_ylabel(symbol(name))
    axes.margins(x=0)
    axes.legend(loc="best")
    return 1


def _maps(values: Values) -> Values:
    """What is drawn of a field of two coordinates, by its title."""
    shown = {"found": values["value"]}
    if "truth" in values:
        shown |= {"truth": values["truth"], "absolute error": np.abs(values["value"] - values["truth"])}
    if "standard_error" in values:
        shown["standard error"] = values["standard_error"]
    return shown


def _planes(figure: Figure, row: Any, name: str, values: Values) -> int:
    (plane,) = planes(values["points"], values["coordinates"])
    shown = _maps(values)
    shared = limits([v for title, v in shown.items() if title in ("found", "truth")], "solution")
    errors = limits([next((v for title, v in shown.items() if title.endswith("error")), values["value"])], "error")
    for axes, (title, v) in zip(row, shown.items(), strict=False):
        if title.endswith("error"):
            least = errors[1] / SHADES
            picture = plane_map(axes, plane, np.maximum(v, least), least, *errors[1:], "log")
        else:
            picture = plane_map(axes, plane, v, *shared)
        axes.set_title(f"{symbol(name)}, {title}")
        colour_bar(figure, picture, axes)
    return len(shown)
