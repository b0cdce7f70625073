"""Measurements against the fit, and what the fit leaves of them, in standard deviations of their noise."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from pinn_cli.records.results import Results
from pinn_cli.reports.figures.style import PALETTE, symbol

LEAST, MOST = 6, 40  # bins of a histogram


def draw_measurements(results: Results) -> Figure | None:
    """A row for each measured quantity: the measured values over the fitted ones, the residuals over the first and the
    last coordinate, and their histogram.

    The curve is the normal density. Residuals of noise alone show no pattern and follow it. None without an estimate of
    the noise, which a run with unknowns has at its end.
    """
    noise = {name.removeprefix("noise/"): value for name, value in results.read("uncertainty").items()
             if name.startswith("noise/")}  # fmt: skip
    if not noise:
        return None
    coordinates = list(results.read_attributes("fields/points").get("coordinates", []))
    shown = dict.fromkeys([0, len(coordinates) - 1])
    columns = len(shown) + 2
    figure = Figure(figsize=(2.6 * columns, 0.5 + 2.1 * len(noise)), layout="constrained")
    panels = figure.subplots(len(noise), columns, squeeze=False)
    for row, (name, sigma) in zip(panels, noise.items(), strict=True):
        data = results.read(f"residuals/{name}")
        _against(row[0], name, results.read(f"measurements/{name}"))
        r = data["values"] / sigma
        for axes in row[2:]:
            axes.sharey(row[1])
            axes.tick_params(labelleft=False)
        for axes, column in zip(row[1:], shown, strict=False):
            axes.axhline(0.0, color="#888888", linewidth=0.6)
            axes.plot(data["points"][:, column], r, ".", markersize=3, color=PALETTE[0])
            axes.set_xlabel(symbol(coordinates[column]))
        row[1].set_ylabel("residual / $\\sigma$")
        z = np.linspace(min(-3.0, r.min()), max(3.0, r.max()), 200)
        bins = int(np.clip(len(r) ** 0.5, LEAST, MOST))
        row[-1].hist(r, bins, density=True, orientation="horizontal", color=PALETTE[0], alpha=0.4)
        row[-1].plot(np.exp(-(z**2) / 2) / (2 * np.pi) ** 0.5, z, color=PALETTE[1])
        row[-1].set_xlabel("density")
    return figure


def _against(axes: Any, name: str, values: dict[str, np.ndarray]) -> None:
    """The measured values over those of the fit, with the diagonal; nothing for a residual of another kind."""
    axes.set_ylabel(symbol(name))
    axes.set_xlabel("fit")
    if not values:
        return
    ends = [min(v.min() for v in values.values()), max(v.max() for v in values.values())]
    axes.plot(ends, ends, color="#888888", linewidth=0.6)
    axes.plot(values["fit"], values["data"], ".", markersize=3, color=PALETTE[0])
