"""The errors of several groups of runs against the seconds that they took."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pinn_cli.records.folder import RESULTS
from pinn_cli.records.results import Results
from pinn_cli.reports.figures.style import PALETTE, logarithmic, style, symbol

OTHERS = "#BDBDBD"  # groups beyond the colours that can be told apart
Curve = tuple[np.ndarray, np.ndarray]  # seconds and errors, (R,) each


def write_comparison(groups: Mapping[str, Sequence[str | Path]], path: Path, resolution: int = 200) -> bool:
    """Draw the runs (folders) of each group, the best group first; False if none has recorded an error twice.

    Of each group the run with the median error at its end is drawn in full, the others thin.
    """
    curves = {label: [_curves(Results(Path(folder) / RESULTS)) for folder in folders]
              for label, folders in groups.items()}  # fmt: skip
    fields = list(dict.fromkeys(name for runs in curves.values() for run in runs for name in run))
    if not fields:
        return False
    with style():
        figure = Figure(figsize=(7.0, 0.6 + 2.9 * len(fields)), layout="constrained")
        panels = np.atleast_1d(figure.subplots(len(fields), 1, sharex=True))
        for axes, name in zip(panels, fields, strict=True):
            own = {label: [run[name] for run in runs if name in run] for label, runs in curves.items()}
            _draw(axes, {label: found for label, found in own.items() if found})
            axes.set_ylabel(f"relative $L^2$ error of {symbol(name)}")
        panels[-1].set_xlabel("seconds")
        panels[0].legend(loc="upper left", bbox_to_anchor=(1.01, 1.03), borderaxespad=0.0, handlelength=1.6)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=resolution)
    return True


def _curves(results: Results) -> dict[str, Curve]:
    """Seconds and errors of a run by field, of the rows that have both; fields with fewer than two are left out."""
    time, found = results.read("history/time").get("", np.zeros(0)), {}
    for name, errors in results.read("history/error").items():
        rows = min(len(time), len(errors))
        there = np.isfinite(errors[:rows]) & (errors[:rows] > 0)
        if there.sum() > 1:
            found[name] = (time[:rows][there], errors[:rows][there])
    return found


def _draw(axes: Axes, groups: Mapping[str, Sequence[Curve]]) -> None:
    for k, (label, runs) in enumerate(groups.items()):
        colour, name = (PALETTE[k], label) if k < len(PALETTE) else (OTHERS, "others" if k == len(PALETTE) else None)
        by_end = sorted(runs, key=lambda run: run[1][-1])
        middle = by_end.pop((len(runs) - 1) // 2)
        for seconds, errors in by_end:
            axes.plot(seconds, errors, color=colour, linewidth=0.5, alpha=0.6, zorder=2)
        axes.plot(*middle, color=colour, linewidth=1.5, zorder=40 - min(k, len(PALETTE)), label=name)
    logarithmic(axes, [errors for runs in groups.values() for _, errors in runs])
    axes.set_xlim(left=0.0)
