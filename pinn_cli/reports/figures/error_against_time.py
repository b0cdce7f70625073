"""Errors of groups of runs against seconds of training, one panel per problem and field."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import takewhile
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pinn_cli.records.folder import RESULTS
from pinn_cli.records.results import Results
from pinn_cli.reports.figures.style import PALETTE, logarithmic, style, symbol

CELL = "label="  # so begins the name of a cell of a published table
OTHERS = "#BDBDBD"  # groups beyond the colours that can be told apart
Curve = tuple[np.ndarray, np.ndarray]  # seconds and errors, (R,) each


def write_comparison(problems: Mapping[str, Mapping[str, Sequence[str | Path]]], path: Path) -> bool:
    """Draw the runs (folders) of each group of each problem, best group first; False if no run has two errors.

    The run of a group with the median error at its end has a thick line, the others have thin lines. Cells of a table
    are named by what differs in a panel, and a name has the same colour in every panel.
    """
    panels = [(problem, field, curves) for problem, groups in problems.items()
              for field, curves in _by_field(groups).items()]  # fmt: skip
    if not panels:
        return False
    colours: dict[str, str] = {}
    with style():
        figure = Figure(figsize=(7.0, 0.6 + 2.9 * len(panels)), layout="constrained")
        for k, (problem, field, curves) in enumerate(panels):
            axes = figure.add_subplot(len(panels), 1, k + 1)
            names = _names(curves)
            for name in names.values():
                colours.setdefault(name, PALETTE[len(colours)] if len(colours) < len(PALETTE) else OTHERS)
            _draw(axes, {names[label]: runs for label, runs in curves.items()}, colours)
            axes.set_ylabel(f"relative $L^2$ error of {symbol(field)}")
            if len(problems) > 1:
                axes.set_title(problem, loc="left")
            if k == 0 or problem != panels[k - 1][0]:  # the groups of a problem are named once
                axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.03), borderaxespad=0.0, handlelength=1.6)
        axes.set_xlabel("seconds")
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=200)
    return True


def _by_field(groups: Mapping[str, Sequence[str | Path]]) -> dict[str, dict[str, list[Curve]]]:
    """The curves of each group, by field."""
    runs = [(label, Results(Path(folder) / RESULTS)) for label, folders in groups.items() for folder in folders]
    curves: dict[str, dict[str, list[Curve]]] = {}
    for label, results in runs:
        for field, curve in _curves(results).items():
            curves.setdefault(field, {}).setdefault(label, []).append(curve)
    return curves


def _curves(results: Results) -> dict[str, Curve]:
    """Seconds and errors of a run by field, in rows that have both; fields with fewer than two rows are left out."""
    time, curves = results.read("history/time").get("", np.zeros(0)), {}
    for name, errors in results.read("history/error").items():
        rows = min(len(time), len(errors))
        there = np.isfinite(errors[:rows]) & (errors[:rows] > 0)
        if there.sum() > 1:
            curves[name] = (time[:rows][there], errors[:rows][there])
    return curves


def _names(labels: Iterable[str]) -> dict[str, str]:
    """The names of groups; of cells (``label=burgers_rad``) without the words that all of them begin with."""
    labels = list(labels)
    if not all(label.startswith(CELL) for label in labels):
        return {label: label for label in labels}
    words = {label: label.removeprefix(CELL).split("_") for label in labels}
    shared = len(list(takewhile(lambda at: len(set(at)) == 1, zip(*words.values(), strict=False))))
    return {label: "_".join(each[shared:] or each) for label, each in words.items()}


def _draw(axes: Axes, groups: Mapping[str, Sequence[Curve]], colours: Mapping[str, str]) -> None:
    """The curves of each group in its colour; groups beyond the colours that can be told apart are `others`."""
    others = False
    for k, (label, runs) in enumerate(groups.items()):
        colour, name = colours[label], label
        if colour == OTHERS:
            name, others = ("" if others else "others"), True
        by_end = sorted(runs, key=lambda run: run[1][-1])
        middle = by_end.pop((len(runs) - 1) // 2)
        for seconds, errors in by_end:
            axes.plot(seconds, errors, color=colour, linewidth=0.5, alpha=0.6, zorder=2)
        axes.plot(*middle, color=colour, linewidth=1.5, zorder=40 - min(k, len(PALETTE)), label=name or None)
    logarithmic(axes, [errors for runs in groups.values() for _, errors in runs])
    axes.set_xlim(left=0.0)
