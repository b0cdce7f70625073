"""Losses by constraint, the weights in the same colours, the error against the reference, and estimated errors."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pinn_cli.records.results import Results
from pinn_cli.reports.figures.style import colours, logarithmic, symbol

PANELS = {  # group of the history -> label, relative height
    "loss": ("mean squared residual", 2.0),
    "weight": ("weight", 1.15),
    "error": ("relative $L^2$ error", 1.3),
}


def draw_losses(results: Results) -> Figure | None:
    """One panel for each of loss, weight and error that the history has, over the steps; None before the second row."""
    history = results.read_history()
    steps = history.get("step", np.zeros(0))
    groups = {group: curves_of(history, group) for group in PANELS}
    estimated = curves_of(history, "estimated_error")
    groups = {group: curves for group, curves in groups.items() if curves or (group == "error" and estimated)}
    if len(steps) < 2 or not groups:
        return None
    heights = [PANELS[group][1] for group in groups]
    figure = Figure(figsize=(7.0, 1.05 * sum(heights) + 0.7), layout="constrained")
    panels = np.atleast_1d(figure.subplots(len(groups), 1, sharex=True, height_ratios=heights))
    constraints = [name for name in groups.get("loss", {}) if name != "total"]
    for axes, (group, curves) in zip(panels, groups.items(), strict=True):
        names = list({**curves, **estimated})
        known = colours(names if group == "error" else constraints)
        _draw(axes, steps, curves, known, thicker=group != "loss")
        if group == "error" and estimated:
            _mark(axes, history, estimated, known)
            logarithmic(axes, [*curves.values(), *estimated.values()])
        lone = group == "error" and len(names) == 1 and not estimated
        axes.set_ylabel(PANELS[group][0] + (f" of {symbol(names[0])}" if lone else ""))
        if group == "loss" or (group == "error" and not lone):  # the weights have the colours of the losses
            axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.03), borderaxespad=0.0, handlelength=1.6)
    panels[-1].set_xlabel("step")
    panels[-1].set_xlim(steps[0], steps[-1])
    mark_stages(list(panels), history, results.read("stages").get("", []))
    return figure


def curves_of(history: dict[str, np.ndarray], group: str) -> dict[str, np.ndarray]:
    """The columns ``group/name`` of a history that hold a number, by name."""
    return {
        name.partition("/")[2]: values
        for name, values in history.items()
        if name.startswith(f"{group}/") and np.isfinite(values).any()
    }


def _draw(
    axes: Axes, steps: np.ndarray, curves: dict[str, np.ndarray], known: dict[str, str], thicker: bool = False
) -> None:
    """Draw the curves; with `thicker`, lower ones are wider, so that curves that coincide stay visible."""
    for above, (name, values) in enumerate(curves.items()):
        there = np.isfinite(values) & (values > 0)  # a column that is measured now and then is joined across its gaps
        x, y = steps[there], values[there]
        if name in known:
            width = 1.2 + (0.5 * (len(curves) - 1 - above) if thicker else 0.0)
            axes.plot(x, y, label=name, color=known[name], linewidth=width, zorder=3 + above)
        else:
            axes.plot(x, y, label="minimised", color="black", linewidth=0.8, linestyle=(0, (4, 2)), zorder=50)
    logarithmic(axes, curves.values())


def _mark(axes: Axes, history: dict[str, np.ndarray], estimated: dict[str, np.ndarray], known: dict[str, str]) -> None:
    """A circle for each estimated error: a full one where it may be trusted, else an open one."""
    trusted = history.get("estimate/trusted", np.zeros(0))
    for name, values in estimated.items():
        there = np.isfinite(values) & (values > 0)
        faces = [known[name] if full else "none" for full in trusted[there] == 1]
        label = f"{name} estimated"
        axes.scatter(history["step"][there], values[there], 18, faces, edgecolors=known[name], label=label, zorder=60)


def mark_stages(panels: list[Axes], history: dict[str, np.ndarray], names: list[str]) -> None:
    """Draw a thin line at the start of each stage with its name above; nothing for a single stage."""
    stage, steps = history.get("stage", np.zeros(0)), history["step"]
    starts = [k for k in range(1, len(stage)) if stage[k] != stage[k - 1]]
    for k in starts:
        for axes in panels:
            axes.axvline(steps[k], color="#888888", linewidth=0.6, zorder=1)
    for k in [0, *starts] if starts else []:
        name = names[int(stage[k])] if int(stage[k]) < len(names) else ""
        place = {"xy": (steps[k], 1.0), "xycoords": ("data", "axes fraction"), "textcoords": "offset points"}
        panels[0].annotate(name.replace("_", " "), xytext=(2, 3), fontsize=8.5, color="#555555", **place)  # type: ignore[arg-type]
