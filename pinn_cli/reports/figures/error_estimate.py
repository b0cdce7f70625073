"""The estimated error of each field over the domain, beside the true one where there is a reference."""

import numpy as np
from matplotlib.figure import Figure

from pinn_cli.records.results import Results
from pinn_cli.reports.figures.fields import Map, aspect, colour_bar, limits, plane_map, planes
from pinn_cli.reports.figures.style import PALETTE, symbol


def draw_error_estimate(results: Results) -> Figure | None:
    """Solution minus reference, as estimated and as it is, on one scale; None for a run without an estimate."""
    stored, corrections = results.read("fields"), results.read("error_estimate/correction")
    if "points" not in stored or not corrections:
        return None
    errors: dict[str, Map] = {name: {"estimated": -du} for name, du in corrections.items()}
    for name, kinds in errors.items():
        if f"reference/{name}" in stored:
            kinds["true"] = stored[f"prediction/{name}"] - stored[f"reference/{name}"]
    coordinates = list(results.read_attributes("fields/points")["coordinates"])
    note = str(results.read("error_estimate").get("trust", ""))
    return (
        _lines(stored["points"], coordinates, errors, note)
        if len(coordinates) == 1
        else _maps(stored["points"], coordinates, errors, note)
    )


def _lines(points: np.ndarray, coordinates: list[str], errors: dict[str, Map], note: str) -> Figure:
    figure = Figure(figsize=(5.2, 2.6 * len(errors)), layout="constrained")
    order = np.argsort(points[:, 0])
    for axes, (name, kinds) in zip(figure.subplots(len(errors), 1, squeeze=False)[:, 0], errors.items(), strict=True):
        if "true" in kinds:
            axes.plot(points[order, 0], kinds["true"][order], color="black", linewidth=2.6, alpha=0.25, label="true")
        estimated = kinds["estimated"][order]
        axes.plot(points[order, 0], estimated, color=PALETTE[1], linestyle=(0, (5, 1.5)), label="estimated")
        axes.set_ylabel(f"error of {symbol(name)}")
        axes.set_xlabel(symbol(coordinates[0]))
        axes.margins(x=0)
        axes.legend(loc="best")
    figure.suptitle(note, fontsize="medium", wrap=True)
    return figure


def _maps(points: np.ndarray, coordinates: list[str], errors: dict[str, Map], note: str) -> Figure | None:
    """One row for each field and plane."""
    rows = [(name, kinds, plane) for name, kinds in errors.items() for plane in planes(points, coordinates)]
    if not rows:
        return None
    columns = max(len(kinds) for kinds in errors.values())
    tallest = max(min(aspect(plane) or 0.8, 1.6) for *_, plane in rows)
    figure = Figure(figsize=(2.9 * columns + 0.6, (2.35 * tallest + 0.6) * len(rows) + 0.3), layout="constrained")
    for panels, (name, kinds, plane) in zip(figure.subplots(len(rows), columns, squeeze=False), rows, strict=True):
        here = {kind: values[plane.rows] for kind, values in kinds.items()}
        shared = limits(list(here.values()), "solution")
        for panel, (kind, values) in zip(panels, here.items(), strict=False):
            picture = plane_map(panel, plane, values, *shared)
            panel.set_title(f"{kind} error of {symbol(name)}" + (f" at {plane.where}" if plane.where else ""))
            if kind != "estimated":
                panel.set_ylabel("")
                panel.set_yticklabels([])
            if kind == list(here)[-1]:
                colour_bar(figure, picture, panel)
        for panel in panels[len(here) :]:
            panel.set_axis_off()
    figure.suptitle(note, fontsize="medium", wrap=True)
    return figure
