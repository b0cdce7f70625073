"""Distribution of the entries of each constraint's gradient, one panel per layer."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pinn_cli.records.results import Results
from pinn_cli.reports.figures.diagnostic_data import group, layer, look, read_records

PER_ROW = 4  # panels beside each other
WIDER = 0.3  # kernel width over distance from zero, in the tails
SHOWN = 0.98  # of the entries of the widest gradient lie inside a panel


def draw_gradient_histograms(results: Results) -> Figure | None:
    """Density curves of the last record, one panel per layer; None without a record."""
    records = read_records(results, "gradient_histograms")
    edges, counts = (group(records, kind) for kind in ("edges", "counts"))
    if not edges:
        return None
    rows = -(-len(edges) // PER_ROW)
    columns = min(len(edges), PER_ROW)
    figure = Figure(figsize=(2.35 * columns + 0.5, 2.5 * rows + 0.45), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, (name, sides) in zip(panels, edges.items(), strict=False):
        _draw(axes, sides[-1], {c: n[-1] for c, n in group(counts, name).items()})
        axes.set_title(layer(name))
        axes.set_xlabel(r"$\partial (\lambda\mathcal{L}) / \partial W$")
    for axes in panels[len(edges) :]:
        axes.set_axis_off()
    for axes in panels[::columns]:
        axes.set_ylabel("density")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=6, title=f"step {int(records['step'][-1])}")
    return figure


def _draw(axes: Axes, edges: np.ndarray, counts: dict[str, np.ndarray]) -> None:
    """The curves of one layer: a linear horizontal axis, and a vertical scale that shows both flat and steep curves."""
    limit = max(_reach(edges, n) for n in counts.values()) or 1.0
    fine = limit * np.geomspace(1e-6, 1, 500)
    x = np.concatenate([-fine[::-1], [0.0], fine])
    curves = {name: density(x, edges, n) for name, n in counts.items()}
    peaks = [float(y.max()) for y in curves.values()]
    for name, style in look(curves).items():
        if name in curves:
            axes.plot(x, curves[name], **style)
            axes.fill_between(x, curves[name], color=style["color"], alpha=0.15, linewidth=0)
    axes.set_yscale("symlog", linthresh=10.0 ** np.floor(np.log10(min(peaks))), linscale=0.6)
    axes.set_ylim(0, 2 * max(peaks))
    axes.set_xlim(-limit, limit)
    axes.xaxis.set_major_locator(MaxNLocator(3, symmetric=True))


def density(x: np.ndarray, edges: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """A Gaussian kernel estimate at x from a histogram.

    At zero as wide as Silverman's rule says (1986), 0.9 min(std, interquartile range / 1.34) n^(-1/5); wider in
    proportion to the distance from zero, where entries are few (Abramson 1982), and never narrower than a bin.
    """
    n, centres, widths = counts.sum(), (edges[1:] + edges[:-1]) / 2, np.diff(edges)
    std = float(np.sqrt((counts * centres**2).sum() / n))
    low, high = np.interp([0.25, 0.75], counts.cumsum() / n, edges[1:])
    spread = min(std, (high - low) / 1.34) or std
    scale = np.sqrt((0.9 * spread * n**-0.2) ** 2 + (WIDER * centres) ** 2 + widths**2 / 12)
    there = counts > 0
    z = (x[:, None] - centres[there]) / scale[there]
    return (counts[there] / (n * scale[there] * np.sqrt(2 * np.pi)) * np.exp(-(z**2) / 2)).sum(1)


def _reach(edges: np.ndarray, counts: np.ndarray) -> float:
    """|g| below which most entries lie."""
    half = len(counts) // 2
    outwards = counts[half:] + counts[half::-1]
    inside = int(np.searchsorted(outwards.cumsum(), SHOWN * outwards.sum()))
    return float(edges[half + 1 + inside])
