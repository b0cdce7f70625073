"""Solution, reference and absolute error: lines in one dimension, maps in two, slices through the middle in more."""

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator, ScalarFormatter

from pinn_cli.records.results import Results
from pinn_cli.reports.figures.style import BACKGROUND, ERROR, PALETTE, POSITIVE, SIGNED, colours, logarithmic, symbol

PLANES = 3  # planes at most, of a domain with three or more dimensions
Map = dict[str, np.ndarray]  # "solution", "reference", "error" -> values


@dataclass
class Plane:
    """A plane through the domain: points (N, 2), the labels of its axes, and the values of the other coordinates."""

    points: np.ndarray
    labels: tuple[str, str]
    rows: np.ndarray  # (N,) which of the stored points these are
    where: str = ""


def draw_solution(results: Results) -> Figure | None:
    """Solution, reference and absolute error, one row per field; None before the run has written its fields."""
    stored = results.read("fields")
    if "points" not in stored:
        return None
    coordinates = list(results.read_attributes("fields/points")["coordinates"])
    names = [name.partition("/")[2] for name in stored if name.startswith("prediction/")]
    fields = {name: _values(stored, name) for name in names}
    if len(coordinates) == 1:
        return _lines(stored["points"], coordinates, fields)
    return _maps(planes(stored["points"], coordinates), fields)


def draw_collocation(results: Results) -> Figure | None:
    """Training points of each constraint over the absolute error (or the solution) of the first field, in 2-D only."""
    stored, points = results.read("fields"), results.read("collocation")
    if "points" not in stored or not points or stored["points"].shape[1] != 2:
        return None
    name = next(key for key in stored if key.startswith("prediction/")).partition("/")[2]
    values, coordinates = _values(stored, name), list(results.read_attributes("fields/points")["coordinates"])
    (plane,) = planes(stored["points"], coordinates)
    figure = Figure(figsize=(5.2, 4.2), layout="constrained")
    axes = figure.subplots()
    shown = "error" if "error" in values else "solution"
    low, high, _ = limits([values[shown]], shown)
    colour_bar(figure, plane_map(axes, plane, values[shown], low, high, BACKGROUND), axes)
    order = [1, 0] if plane.labels[0] != coordinates[0] else [0, 1]
    for constraint, colour in colours(points).items():
        x, y = points[constraint][:, order].T
        look: dict[str, Any] = {"color": colour, "edgecolor": "white", "linewidth": 0.3, "clip_on": False, "zorder": 3}
        axes.scatter(x, y, s=6, label=constraint, **look)
    axes.set_title(f"training points over {_title(shown, name, plane)}")
    figure.legend(loc="outside lower center", ncols=4, markerscale=2.0, handletextpad=0.2)
    return figure


def planes(points: np.ndarray, coordinates: list[str]) -> list[Plane]:
    """The planes to draw, of points (N, D). Time is the horizontal axis; scattered points above 2-D give no plane."""
    planes = []
    nodes = [np.unique(column) for column in points.T]
    on_grid = np.prod([len(axis) for axis in nodes]) == len(points)
    pairs = list(combinations(range(len(coordinates)), 2))[:PLANES]
    for pair in pairs if on_grid or len(coordinates) == 2 else []:
        i, j = reversed(pair) if coordinates[pair[1]] == "t" else pair
        others = [k for k in range(len(coordinates)) if k not in pair]
        held = {k: nodes[k][len(nodes[k]) // 2] for k in others}
        there = np.ones(len(points), bool)
        for k, value in held.items():
            there &= points[:, k] == value
        rows = np.flatnonzero(there)
        where = ", ".join(f"${coordinates[k]} = {value:.3g}$" for k, value in held.items())
        planes.append(Plane(points[rows][:, [i, j]], (coordinates[i], coordinates[j]), rows, where))
    return planes


def _values(stored: dict[str, np.ndarray], name: str) -> Map:
    solution, reference = stored[f"prediction/{name}"], stored.get(f"reference/{name}")
    if reference is None:
        return {"solution": solution}
    return {"solution": solution, "reference": reference, "error": np.abs(solution - reference)}


def _lines(points: np.ndarray, coordinates: list[str], fields: dict[str, Map]) -> Figure:
    """Solution over reference on the left, the absolute error on the right."""
    columns = 2 if any("error" in values for values in fields.values()) else 1
    figure = Figure(figsize=(3.6 * columns, 2.6 * len(fields)), layout="constrained")
    panels = figure.subplots(len(fields), columns, squeeze=False)
    order = np.argsort(points[:, 0])
    x = points[order, 0]
    for row, (name, values) in zip(panels, fields.items(), strict=True):
        if "reference" in values:
            row[0].plot(x, values["reference"][order], color="black", linewidth=2.6, alpha=0.25, label="reference")
            error = values["error"][order]
            row[1].plot(x, np.where(error > 0, error, np.nan), color=PALETTE[1])
            logarithmic(row[1], [values["error"]])
            row[1].set_ylabel(f"absolute error of {symbol(name)}")
        row[0].plot(x, values["solution"][order], color=PALETTE[0], linestyle=(0, (5, 1.5)), label="solution")
        row[0].set_ylabel(symbol(name))
        row[0].legend(loc="best")
        for axes in row:
            axes.set_xlabel(symbol(coordinates[0]))
            axes.margins(x=0)
    return figure


def _maps(planes: list[Plane], fields: dict[str, Map]) -> Figure | None:
    """One row per field and plane; solution and reference share one colour scale."""
    rows = [(name, values, plane) for name, values in fields.items() for plane in planes]
    if not rows:
        return None
    columns = max(len(values) for values in fields.values())
    tallest = max(min(aspect(plane) or 0.8, 1.6) for plane in planes)
    figure = Figure(figsize=(2.9 * columns + 0.6, (2.35 * tallest + 0.6) * len(rows)), layout="constrained")
    panels = figure.subplots(len(rows), columns, squeeze=False)
    for axes, (name, values, plane) in zip(panels, rows, strict=True):
        here = {kind: value[plane.rows] for kind, value in values.items()}
        shared = limits([v for kind, v in here.items() if kind != "error"], "solution")
        for panel, (kind, value) in zip(axes, here.items(), strict=False):
            picture = plane_map(panel, plane, value, *(limits([value], kind) if kind == "error" else shared))
            panel.set_title(_title(kind, name, plane))
            if kind != "solution" or len(here) == 1:
                colour_bar(figure, picture, panel)
            if kind != "solution":
                panel.set_ylabel("")
                panel.set_yticklabels([])
        for panel in axes[len(here) :]:
            panel.set_axis_off()
    return figure


def _title(kind: str, name: str, plane: Plane) -> str:
    field = symbol(name)
    text = {"solution": field, "reference": f"{field}, reference", "error": f"absolute error of {field}"}[kind]
    return f"{text} at {plane.where}" if plane.where and kind == "solution" else text


def limits(values: list[np.ndarray], kind: str) -> tuple[float, float, str]:
    """Limits and colour map: symmetric about zero for a field with both signs."""
    finite = np.concatenate([v[np.isfinite(v)] for v in values])
    low, high = _extent(finite) if len(finite) else (0.0, 1.0)
    if kind == "error":
        return 0.0, high or 1.0, ERROR
    if low < 0 < high and min(-low, high) > 0.1 * max(-low, high):
        return -max(-low, high), max(-low, high), SIGNED
    return low, high if high > low else low + 1.0, POSITIVE


def _extent(values: np.ndarray) -> tuple[float, float]:
    """Limits of the values, without the few beside a singularity that are far from all others."""
    whole, most = np.quantile(values, [0, 1]), np.quantile(values, [0.0025, 0.9975])
    low, high = most if np.ptp(whole) > 3 * np.ptp(most) > 0 else whole
    return float(low), float(high)


def plane_map(
    axes: Axes, plane: Plane, values: np.ndarray, low: float, high: float, colourmap: str, scale: str = "linear"
) -> ScalarMappable:
    """A map over a grid, or over triangles where the points are scattered; `scale` is that of the colours."""
    x, y = (np.unique(column) for column in plane.points.T)
    look: dict[str, Any] = {"shading": "gouraud", "rasterized": True, "norm": scale}
    if len(x) * len(y) == len(values):
        order = np.lexsort((plane.points[:, 0], plane.points[:, 1]))
        grid = values[order].reshape(len(y), len(x))
        picture: ScalarMappable = axes.pcolormesh(x, y, grid, cmap=colourmap, vmin=low, vmax=high, **look)
    else:
        picture = axes.tripcolor(
            plane.points[:, 0], plane.points[:, 1], values, cmap=colourmap, vmin=low, vmax=high, **look
        )
    axes.set_xlabel(symbol(plane.labels[0]))
    axes.set_ylabel(symbol(plane.labels[1]), rotation=0, labelpad=8)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.set_aspect("equal" if aspect(plane) else "auto")
    axes.spines[:].set_visible(True)
    return picture


def aspect(plane: Plane) -> float | None:
    """Height over width of a plane in space; None if one axis is time or the plane is long and thin."""
    width, height = np.ptp(plane.points, axis=0)
    return height / width if "t" not in plane.labels and 1 / 3 <= height / width <= 3 else None


def colour_bar(figure: Figure, picture: ScalarMappable, axes: Axes, extend: str | None = None) -> None:
    """A colour bar as high as the map beside it; `extend` is found from the values unless it is given."""
    values: np.ndarray = np.ma.asarray(picture.get_array()).compressed()
    low, high = picture.get_clim()
    beyond = {(True, True): "both", (True, False): "min", (False, True): "max"}
    found = beyond.get((bool((values < low).any()), bool((values > high).any())), "neither")
    bar = figure.colorbar(picture, cax=axes.inset_axes((1.03, 0.0, 0.04, 1.0)), extend=extend or found)
    if isinstance(picture.norm, LogNorm):
        bar.ax.yaxis.set_major_locator(LogLocator(numticks=7))
        bar.ax.yaxis.set_minor_locator(NullLocator())
    else:
        formatter = ScalarFormatter(useMathText=True)
        formatter.set_powerlimits((-2, 3))
        bar.ax.yaxis.set_major_formatter(formatter)
    bar.outline.set_linewidth(0.5)
