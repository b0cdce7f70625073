"""Points of the interior while they move, over the size of the residual and over the error; of two coordinates only."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure

from pinn_cli.records.results import Results
from pinn_cli.reports.figures.diagnostic_data import group, read_records
from pinn_cli.reports.figures.fields import Plane, aspect, colour_bar, plane_map, planes
from pinn_cli.reports.figures.style import BACKGROUND, PALETTE, symbol

DECADES = 4  # of the colours, at most
ROWS = 3  # of a figure, at most


@dataclass
class Map:
    """Values (R, M) of the records on their lattices, under the points of one constraint, and their name."""

    name: str
    constraint: str
    values: np.ndarray

    def ends(self) -> tuple[float, float]:
        """Limits of the colours, logarithmic, without the few largest and smallest values of all."""
        known = self.values[np.isfinite(self.values) & (self.values > 0)]
        low, high = np.quantile(known, [0.02, 0.999]) if len(known) else (0.1, 1.0)
        return max(low, high / 10**DECADES) * (1 - 1e-9), high


def draw_points(results: Results) -> Figure | None:
    """Three snapshots of the points over |r|; None before there is a record, and unless there are two coordinates."""
    records = read_records(results, "points")
    maps = _residuals(records)[:ROWS]
    if not maps:
        return None
    last = len(records["step"]) - 1
    shown = sorted({0, last // 2, last})
    plane = _plane(records, 0)
    tall = min(aspect(plane) or 0.8, 1.6)
    figure = Figure(figsize=(2.5 * len(shown) + 1.0, (2.3 * tall + 0.5) * len(maps)), layout="constrained")
    panels = figure.subplots(len(maps), len(shown), squeeze=False)
    for row, one in zip(panels, maps, strict=True):
        for axes, k in zip(row, shown, strict=True):
            picture = _draw(axes, records, one, k, f"step {int(records['step'][k])}")
            if axes is not row[0]:
                axes.set_ylabel("")
                axes.set_yticklabels([])
        colour_bar(figure, picture, row[-1], "both")
        row[-1].annotate(one.name, (1.03, 1.03), xycoords="axes fraction", va="bottom")
    return figure


def animate_points(results: Results) -> Iterator[Figure]:
    """The points over |r| and over the error of the first field, if it is known, record by record."""
    records = read_records(results, "points")
    maps = _residuals(records)[:1]
    errors = list(group(records, "error").items())[:1]
    maps += [Map(f"absolute error of {symbol(name)}", one.constraint, e) for one in maps for name, e in errors]
    for k in range(len(records["step"]) if maps else 0):
        plane = _plane(records, k)
        tall = min(aspect(plane) or 0.8, 1.6)
        figure = Figure(figsize=(3.7 * len(maps), 2.9 * tall + 0.8), layout="constrained")
        for axes, one in zip(figure.subplots(1, len(maps), squeeze=False)[0], maps, strict=True):
            colour_bar(figure, _draw(axes, records, one, k, one.name), axes, "both")  # the same in all frames
        figure.suptitle(f"step {int(records['step'][k])}", fontsize=10.5)
        yield figure


def _residuals(records: dict[str, np.ndarray]) -> list[Map]:
    """|r| by the constraint whose points are drawn over it; none unless there are two coordinates."""
    if len(group(records, "lattice")) != 2:
        return []
    found = group(records, "residual").items()
    several = len(found) > 1
    return [Map(f"$|r|$ of {name}" if several else "$|r|$", name, values) for name, values in found]


def _plane(records: dict[str, np.ndarray], k: int) -> Plane:
    """The lattice of record k."""
    axes = group(records, "lattice")
    (plane,) = planes(np.stack([nodes[k] for nodes in axes.values()], 1), list(axes))
    return plane


def _draw(axes: Axes, records: dict[str, np.ndarray], one: Map, k: int, title: str) -> ScalarMappable:
    """One record: the map in the colours of all records, and the points over it."""
    plane, (low, high) = _plane(records, k), one.ends()
    values = np.where(one.values[k] > 0, one.values[k], low)
    picture = plane_map(axes, plane, values, low, high, BACKGROUND, scale="log")
    points = group(records, f"points/{one.constraint}")  # padded with NaN where there are fewer
    x, y = (points[label][k] for label in plane.labels)
    axes.scatter(x, y, s=4, color=PALETTE[1], edgecolor="none", zorder=3, clip_on=False)
    axes.set_title(title)
    return picture
