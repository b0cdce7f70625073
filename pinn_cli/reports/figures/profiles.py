"""The profile likelihood of unknown coefficients, with both 95 % intervals."""

import numpy as np
from matplotlib.figure import Figure

from pinn_cli.records.results import Results
from pinn_cli.reports.figures.style import PALETTE, symbol


def draw_profiles(results: Results) -> Figure | None:
    """One panel per coefficient: the signed root of the rise of -2 log L over its value; None without an interval.

    It is a straight line for a normal posterior, with the slope of the dashed line. The band is the interval by profile
    likelihood, between the values where the root reaches the threshold.
    """
    kept = results.read("profiles")
    names = [path.removesuffix("/value") for path in kept if path.endswith("/value") and len(kept[path]) > 1]
    if not names:
        return None
    figure = Figure(figsize=(1.0 + 3.2 * len(names), 3.4), layout="constrained")
    for axes, name in zip(np.atleast_1d(figure.subplots(1, len(names), sharey=True)), names, strict=True):
        values, deviance = kept[f"{name}/value"], kept[f"{name}/deviance"]
        known = results.read_attributes(f"profiles/{name}/value")
        level = known["threshold"] ** 0.5
        root = np.sign(np.arange(len(values)) - deviance.argmin()) * np.sqrt(np.maximum(deviance, 0))
        axes.plot(values, root, ".-", color=PALETTE[0], label="refits")
        settled = kept[f"{name}/settled"] > 0
        if not settled.all():
            axes.plot(values[~settled], root[~settled], "x", color=PALETTE[1], label="not settled")
        stated = [known["gauss_newton_low"], known["gauss_newton_high"]]
        if np.isfinite(stated).all():
            axes.plot(stated, [-level, level], color="#888888", linestyle=(0, (4, 2)), label="Gauss-Newton")
        ends = [end if np.isfinite(end) else values[k] for k, end in ((0, known["low"]), (-1, known["high"]))]
        axes.axvspan(*ends, color=PALETTE[0], alpha=0.15, linewidth=0, label="95 % interval")
        for y in (-level, level):
            axes.axhline(y, color="#888888", linewidth=0.6)
        axes.locator_params(axis="x", nbins=5)
        axes.set_xlabel(symbol(name))
    named = [zip(*axes.get_legend_handles_labels(), strict=True) for axes in figure.axes]
    shown = {label: handle for each in named for handle, label in each}
    figure.legend(shown.values(), shown, loc="outside upper center", ncols=2, fontsize=8.5)
    figure.axes[0].set_ylabel("signed root of the rise of $-2\\,\\log L$")
    return figure
