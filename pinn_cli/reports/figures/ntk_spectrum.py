"""Eigenvalues of the neural tangent kernel, by constraint."""

import numpy as np
from matplotlib.figure import Figure

from pinn_cli.records.results import Results
from pinn_cli.reports.figures.diagnostic_data import group, look, read_records
from pinn_cli.reports.figures.style import logarithmic

DECADES = 12  # below the largest eigenvalue; smaller ones are rounding errors


def draw_ntk_spectrum(results: Results) -> Figure | None:
    """Eigenvalues over their index: full lines for the last record, thin dashes for the first."""
    records = read_records(results, "ntk_spectrum")
    spectra = group(records, "eigenvalues")
    if not spectra:
        return None
    first, last = int(records["step"][0]), int(records["step"][-1])
    figure = Figure(figsize=(4.6, 3.3), layout="constrained")
    axes = figure.subplots()
    shown = []
    for name, style in look(spectra).items():
        for row, dashes in ((0, {"linestyle": (0, (3, 2)), "linewidth": 0.8, "label": None}), (-1, {})):
            values = spectra[name][row]
            values = np.where(values > 10.0**-DECADES * np.nanmax(values), values, np.nan)
            if first != last or row:
                axes.plot(np.arange(1, len(values) + 1), values, **style | dashes)
                shown.append(values)
    axes.set_xscale("log")
    logarithmic(axes, shown)
    axes.set_xlabel("index")
    axes.set_ylabel(r"eigenvalue of $K = J J^T$")
    steps = f"step {last}" if first == last else f"step {last}; dashed: step {first}"
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3, title=steps)
    return figure
