"""The trained coefficients of a problem with unknowns, over the steps."""

import numpy as np
from matplotlib.figure import Figure

from pinn_cli.records.results import Results
from pinn_cli.reports.figures.losses import curves_of, mark_stages
from pinn_cli.reports.figures.style import PALETTE, logarithmic, symbol

DECADES = 2.0  # a coefficient of one sign that changes by more has a logarithmic axis


def draw_unknowns(results: Results) -> Figure | None:
    """One panel per coefficient, with its last value and, at the end of a run, its 95 % interval.

    None without unknowns or before there are two rows.
    """
    history = results.read_history()
    unknowns = curves_of(history, "unknown")
    if len(history.get("step", ())) < 2 or not unknowns:
        return None
    figure = Figure(figsize=(6.4, 0.7 + 1.9 * len(unknowns)), layout="constrained")
    panels = list(np.atleast_1d(figure.subplots(len(unknowns), 1, sharex=True)))
    for axes, (name, values) in zip(panels, unknowns.items(), strict=True):
        known = np.isfinite(values)
        steps, numbers = history["step"][known], values[known]
        axes.plot(steps, numbers, color=PALETTE[0])
        if numbers.min() > 0 and np.log10(numbers.max() / numbers.min()) > DECADES:
            logarithmic(axes, [numbers])
        axes.axhline(numbers[-1], color="#888888", linewidth=0.6, linestyle=(0, (4, 2)), zorder=1)
        known_of = results.read_attributes(f"unknowns/{name}")
        ends = [known_of.get(end, np.nan) for end in ("low", "high")]
        if np.isfinite(ends).all():
            axes.axhspan(*ends, color=PALETTE[0], alpha=0.15, linewidth=0)
        axes.set_ylabel(symbol(name))
        error = known_of.get("standard_error", np.inf)
        certain = f"{numbers[-1]:.6g}" + (f"\n$\\pm$ {error:.1e}" if np.isfinite(error) else "")
        axes.text(1.01, numbers[-1], certain, transform=axes.get_yaxis_transform(), va="center")
    panels[-1].set_xlabel("step")
    panels[-1].set_xlim(history["step"][0], history["step"][-1])
    mark_stages(panels, history, results.read("stages").get("", []))
    return figure
